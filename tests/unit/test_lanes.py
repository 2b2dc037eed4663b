"""Lanes are started and stopped as the group says, and stopping them twice at the same time is harmless."""

import asyncio
from typing import Any

import pytest

from tests.unit.fakes import DEPLOYMENT, INBOX, TOPICS, FakePorts, Log, wait_for
from worker.kafka.connection import KafkaConnection
from worker.pipeline import lanes as lanes_module
from worker.pipeline.lane import LaneContext
from worker.pipeline.lanes import Lanes
from worker.resilience.breaker import make_breakers
from worker.supervise import Supervisor
from worker.telemetry.tracing import Traces


class SlowLane:
    """A lane that ends when the test lets it, or never."""

    refusal = ""
    running = 0
    release: asyncio.Event

    def __init__(self, *_: Any) -> None: ...

    async def run(self, stopping: asyncio.Event) -> None:
        SlowLane.running += 1
        try:
            await stopping.wait()
            await SlowLane.release.wait()
        finally:
            SlowLane.running -= 1


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def lanes(log: Any, monkeypatch: pytest.MonkeyPatch) -> Lanes:
    monkeypatch.setattr(lanes_module, "Lane", SlowLane)
    monkeypatch.setattr(SlowLane, "release", asyncio.Event(), raising=False)
    monkeypatch.setattr(SlowLane, "running", 0)
    context = LaneContext(
        ports=FakePorts(),
        kafka=KafkaConnection("127.0.0.1:1"),
        database_url="",
        deployment_id=DEPLOYMENT,
        group_id="group",
        topics=TOPICS,
        inbox_partitions=1,
        breakers=make_breakers(log),
        traces=Traces(),
    )
    lanes = Lanes(context, Supervisor(asyncio.Event(), log), log)
    await lanes._start([INBOX])
    await wait_for(lambda: SlowLane.running)
    return lanes


async def test_a_lane_that_is_being_stopped_twice_has_ended_for_both(lanes: Lanes, log: Log) -> None:
    first, second = (asyncio.create_task(lanes._stop([INBOX])) for _ in range(2))
    await asyncio.sleep(0.01)
    assert not first.done()
    assert not second.done()
    assert lanes.list_partitions() == []
    SlowLane.release.set()
    await asyncio.gather(first, second)
    assert SlowLane.running == 0
    assert log.list_names() == ["lanes.stopped"]


async def test_a_stop_that_is_given_up_is_finished_by_the_next(lanes: Lanes) -> None:
    # aiokafka cancels the callback of a member that leaves its group.
    first = asyncio.create_task(lanes._stop([INBOX]))
    await asyncio.sleep(0.01)
    first.cancel()
    closing = asyncio.create_task(lanes.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    SlowLane.release.set()
    await closing
    assert SlowLane.running == 0


async def test_a_lane_that_does_not_end_in_time_is_cancelled(
    lanes: Lanes, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "STOP_SECONDS", 0.01)
    await lanes._stop([INBOX])
    assert SlowLane.running == 0
    assert log.list_names() == ["task.cancelled", "lanes.stopped"]

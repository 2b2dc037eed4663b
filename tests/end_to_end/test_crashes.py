"""Whatever dies: every input is applied once, every output appears once, in order."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.records import Outgoing
from demo.kafka_server import Kafka, run_kafka
from demo.postgres_server import Postgres, run_postgres
from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, lock

BUDGETS = 300


async def burst(bridge: Bridge, count: int = BUDGETS, first: int = 1) -> None:
    """Lock and accept budgets, each of its own project."""
    records = []
    for project in range(first, count + 1):
        key = KEY._replace(project_id=project)
        bodies = lock(1, key=key), accept(1, key=key)
        bridge.remember_locks(bodies)
        for body in map(bridge.complete, bodies):
            value = body.model_dump_json().encode()
            topic = bridge.prefix + bridge.find_topic(body)
            records.append(Outgoing(topic, str(key).encode(), value, bridge.head(body)))
    await bridge.appender.append(records)


async def everything_once(bridge: Bridge, count: int = BUDGETS) -> None:
    def exported() -> int:
        return len(bridge.messages("spectrum.export.v1"))

    await bridge.wait_until(lambda: exported() >= count, f"{count} exports")
    await bridge.wait_until(
        lambda: len(bridge.messages("budget.status.v1", status="EXPORTING")) >= count, f"{count} statuses"
    )
    ids = Counter(dict(record.headers)["ce_id"] for record in bridge.seen)
    assert set(ids.values()) == {1}
    exports = Counter(message["project_id"] for message in bridge.messages("spectrum.export.v1"))
    assert exports == Counter(range(1, count + 1))
    sequences: dict[int, list[int]] = {}
    for message in bridge.messages("budget.status.v1"):
        sequences.setdefault(message["project_id"], []).append(message["sequence"])
    assert all(found == [1, 2] for found in sequences.values())
    assert not bridge.dead_letters()


async def test_killed_in_the_middle_again_and_again(bridge: Bridge) -> None:
    chance = random.Random(7)
    worker, started = bridge.start(), 0
    await burst(bridge)
    for _ in range(3):
        before = len(bridge.seen)
        more = chance.randint(1, 150)
        await bridge.wait_until(lambda before=before, more=more: len(bridge.seen) >= before + more, "some of it")  # type: ignore[misc]
        await bridge.stop(worker, signal.SIGKILL)
        started = count_events(bridge, "worker.started")
        worker = bridge.start()
    await everything_once(bridge)
    # The last one may find nothing left to do; it still has to come up before it can be stopped in order.
    await bridge.wait_until(lambda: count_events(bridge, "worker.started") > started, "the last worker")
    assert await bridge.stop(worker) == 0


async def test_stopped_in_the_middle_it_finishes_and_continues_later(bridge: Bridge) -> None:
    worker = bridge.start()
    await burst(bridge)
    await bridge.wait_until(lambda: len(bridge.seen) > 20, "some of it")
    began = asyncio.get_running_loop().time()
    assert await bridge.stop(worker) == 0
    assert asyncio.get_running_loop().time() - began < 10
    bridge.start()
    await everything_once(bridge)


async def test_a_worker_frozen_past_its_session_wakes_as_a_zombie(bridge: Bridge) -> None:
    first = bridge.start()
    await bridge.wait_until(lambda: count_events(bridge, "lane.started") >= 2, "the first worker with both lanes")
    second = bridge.start()
    # Both have joined, and each has been given one of the two lanes.
    await bridge.wait_until(lambda: count_events(bridge, "lane.started") >= 3, "both workers with a lane")
    first.send_signal(signal.SIGSTOP)
    await burst(bridge, 100)
    await bridge.wait_until(lambda: len(bridge.messages("spectrum.export.v1")) >= 100, "the other one takes over")
    first.send_signal(signal.SIGCONT)
    await bridge.send(lock(1, key=KEY._replace(project_id=200)))
    await bridge.wait_for("approval.requested.v1", project_id=200)
    await everything_once_but(bridge, 200)
    assert [await bridge.stop(first), await bridge.stop(second)] == [0, 0]


def count_events(bridge: Bridge, event: str) -> int:
    if not (bridge.folder / "worker.log").exists():
        return 0
    return sum(line["event"] == event for line in bridge.read_log())


async def everything_once_but(bridge: Bridge, project: int) -> None:
    bridge.seen = [record for record in bridge.seen if record.key != str(KEY._replace(project_id=project)).encode()]
    await everything_once(bridge, 100)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    with run_kafka(tmp_path / "kafka") as started:
        yield started


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    with run_postgres(tmp_path / "postgres") as started:
        yield started


async def test_outages_are_waited_out_and_reported_once(
    tmp_path: Path, own_kafka: Kafka, own_postgres: Postgres
) -> None:
    bridge = Bridge(tmp_path, own_kafka.bootstrap, own_postgres.url)
    try:
        await bridge.prepare()
        worker = bridge.start()
        await burst(bridge, 150)
        await bridge.wait_until(lambda: len(bridge.seen) > 20, "some of it")
        own_postgres.stop()
        await burst(bridge, 200, 151)
        await wait_for_event(bridge, "database.lost")
        own_postgres.start()
        await bridge.wait_until(lambda: len(bridge.messages("spectrum.export.v1")) >= 180, "it continues")
        own_kafka.stop()
        own_kafka.start()
        await burst(bridge, 300, 201)
        await everything_once(bridge, 300)
        assert await bridge.stop(worker) == 0
        lost = Counter(
            (line["event"], line.get("lane")) for line in bridge.read_log() if line["event"].endswith(".lost")
        )
        assert max(lost.values()) <= 3
    finally:
        await bridge.close()


async def wait_for_event(bridge: Bridge, event: str) -> None:
    await bridge.wait_until(lambda: any(line["event"] == event for line in bridge.read_log()), event)

"""The stop of a worker ends within its one time limit, whatever each step does."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.unit.fakes import TOPICS, Log, Script, wait_for, wait_no_time
from worker import app, shutdown
from worker.app import _prepare_when_there, _start_when_there, run_worker
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import Partition
from worker.pipeline.lane import LaneContext
from worker.resilience import breaker as breaker_module
from worker.resilience import outage
from worker.resilience.breaker import make_breakers
from worker.shutdown import Shutdown
from worker.telemetry.tracing import Traces

LIMIT = 0.4
SLACK = 0.9
"""What the loop and a loaded machine may add; each step alone would take more."""

Step = Callable[[], Awaitable[None]]


async def hang() -> None:
    await asyncio.Event().wait()


async def hang_and_ignore_cancellation() -> None:
    clock = asyncio.get_running_loop().time
    until = clock() + 5 * LIMIT
    while (left := until - clock()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


async def fail() -> None:
    message = "a bug"
    raise ValueError(message)


async def give_up() -> None:
    raise asyncio.CancelledError


async def end() -> None: ...


STEPS = pytest.mark.parametrize("step", [hang, hang_and_ignore_cancellation, fail, give_up, end])


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "STOP_SECONDS", LIMIT)
    monkeypatch.setattr(shutdown, "CANCEL_SECONDS", LIMIT / 20)


async def measure(work: Awaitable[None]) -> float:
    clock = asyncio.get_running_loop().time
    began = clock()
    await work
    return clock() - began


@STEPS
async def test_steps_share_one_limit_and_all_of_them_run(step: Step) -> None:
    log: Any = Log()
    stop, ran = Shutdown(log), []

    async def stage(name: str) -> None:
        ran.append(name)
        await step()

    async def stop_all() -> None:
        stop.request()
        for number in range(5):
            await stop.run(LIMIT, one=stage(f"{number} one"), other=stage(f"{number} other"))

    assert await measure(stop_all()) < LIMIT + SLACK
    assert len(ran) == 10
    assert ("task.failed" in log.list_names()) == (step is fail)
    assert ("task.cancelled" in log.list_names()) == (step in {hang, hang_and_ignore_cancellation})


async def test_a_step_with_a_limit_of_its_own_leaves_time_to_the_next() -> None:
    log: Any = Log()
    stop, ended = Shutdown(log), asyncio.Event()

    async def note() -> None:
        await asyncio.sleep(0)
        ended.set()

    await stop.run(LIMIT / 4, stuck=hang())
    await stop.run(LIMIT / 4, next=note())
    assert ended.is_set()


async def test_a_second_request_gives_no_more_time() -> None:
    log: Any = Log()
    stop = Shutdown(log)

    async def request_all_the_time() -> None:
        while True:
            stop.request()
            await asyncio.sleep(0.01)

    stop.request()
    asking = asyncio.create_task(request_all_the_time())
    assert await measure(stop.run(60, stuck=hang())) < LIMIT + SLACK
    asking.cancel()


class Stuck:
    """Any part of the worker: whatever is awaited of it does what the test wants."""

    step: Step = end
    reader: Any = None

    def __init__(self, *_: Any, **__: Any) -> None:
        self.reader = self if isinstance(self, Lanes) else None

    async def start(self) -> None: ...

    async def run(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        await type(self).step()

    async def close(self, *_: float) -> None:
        await type(self).step()

    def list_silent(self) -> list[str]:
        return []

    list_refusals = list_partitions = list_silent

    def list_ends(self) -> dict[Partition, tuple[int, int]]:
        return {}


class Lanes(Stuck):
    """The lanes, which have a reader."""


@STEPS
@pytest.mark.parametrize("when", ["running", "preparing"])
async def test_a_worker_whose_parts_do_that_ends_in_time(
    step: Step, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: Any = Log()
    signalled: list[bool] = []
    began = asyncio.Event()

    async def prepare(*_: Any) -> LaneContext:
        began.set()
        if when == "preparing":
            await hang()
        return LaneContext(
            ports=Stuck(),  # type: ignore[arg-type]
            kafka=Any,  # type: ignore[arg-type]
            database_url="",
            deployment_id=Any,  # type: ignore[arg-type]
            group_id="group",
            topics=TOPICS,
            inbox_partitions=1,
            breakers=make_breakers(log),
            traces=Traces(),
        )

    async def census(_url: str, stopping: asyncio.Event) -> None:
        await Stuck().run(stopping)

    monkeypatch.setattr(Stuck, "step", staticmethod(step))
    monkeypatch.setattr(app, "prepare", prepare)
    monkeypatch.setattr(app, "Lanes", Lanes)
    for name in ("Consumer", "Appender", "Intake", "StalledConsumers", "Deadlines"):
        monkeypatch.setattr(app, name, Stuck)
    monkeypatch.setattr(app, "take_census", census)
    monkeypatch.setattr(app, "open_traces", lambda *_: Traces())
    monkeypatch.setattr(app, "collect_less_often", lambda: None)
    monkeypatch.setattr(app, "end_process_later", lambda _: signalled.append(True))

    class Settings:
        kafka_group_id = "group"
        http_port = None
        http_bind = ""

    settings: Any = Settings()
    folder: Any = None
    running = asyncio.create_task(run_worker(settings, folder, log))
    await wait_for(lambda: began.is_set() if when == "preparing" else "worker.started" in log.list_names())
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        assert await measure(running) < LIMIT + SLACK
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)
    assert log.list_names()[-1] == "worker.stopped"
    assert signalled == [True]


async def test_a_start_waits_as_long_as_kafka_is_down_and_reports_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log, context = Log(), object()
    tries = Script(*[KafkaDown("gone")] * 20, context)

    async def connect(*_: Any) -> Any:
        return tries.answer()

    monkeypatch.setattr(app, "prepare", connect)
    monkeypatch.setattr(app, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(breaker_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "OTHERS_FIRST_SECONDS", 0.0)
    nothing: Any = None
    made = make_breakers(log)  # type: ignore[arg-type]
    assert await _prepare_when_there(nothing, nothing, asyncio.Event(), made, Traces(), nothing) is context
    assert (tries.calls, log.list_names()) == (21, ["kafka.lost", "kafka.regained"])


async def test_a_stop_while_kafka_is_down_does_not_log_that_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    log: Any = Log()
    stopping, tries = asyncio.Event(), Script(KafkaDown("gone"), KafkaDown("gone"), None)

    async def connect(*_: Any) -> None:
        tries.answer()
        stopping.set()
        await hang()

    monkeypatch.setattr(app, "prepare", connect)
    monkeypatch.setattr(app, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(breaker_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "OTHERS_FIRST_SECONDS", 0.0)
    # What is unavailable at the stop stays noted: no other test may see it.
    monkeypatch.setattr(outage, "_unavailable", Counter())
    nothing: Any = None
    assert await _prepare_when_there(nothing, nothing, stopping, make_breakers(log), Traces(), log) is None
    assert log.list_names() == ["kafka.lost"]
    stopping.clear()
    consumer: Any = Stuck()
    consumer.start = connect
    again = Script(KafkaDown("gone"), None)
    monkeypatch.setattr(tries, "answer", again.answer)
    await _start_when_there(consumer, make_breakers(log).kafka, stopping)
    assert log.list_names() == ["kafka.lost", "kafka.lost"]


STUCK_THREAD = """
import asyncio, threading
from worker import shutdown
from worker.telemetry.logs import configure_log

async def resolve_for_ever():
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    await asyncio.sleep(0)

shutdown.EXIT_SECONDS = 0.2
shutdown.end_process_later(configure_log("json"))
asyncio.run(resolve_for_ever())
"""


def test_a_thread_that_nothing_can_cancel_does_not_keep_the_process_and_the_log_says_so() -> None:
    # asyncio waits five minutes for such a thread when its loop ends, and Python for ever when the process does.
    ended = subprocess.run([sys.executable, "-c", STUCK_THREAD], timeout=30, check=False, capture_output=True)
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert json.loads(ended.stdout)["event"] == "process.ended_by_force"

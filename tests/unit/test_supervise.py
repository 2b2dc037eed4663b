"""The supervisor, outcome by outcome: nothing that a task does can end the process or pass unseen."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.fakes import Log, wait_for, wait_no_time
from worker import supervise
from worker.supervise import Supervisor
from worker.telemetry.metrics import TASK_FAILURES

Work = Callable[[asyncio.Event], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "back_off", wait_no_time)


def fail_first(*failures: BaseException) -> tuple[Work, list[int]]:
    """Work that raises these, one a run, and then waits for the stop."""
    runs: list[int] = []

    async def work(stopping: asyncio.Event) -> None:
        runs.append(len(runs))
        await asyncio.sleep(0)
        if len(runs) <= len(failures):
            raise failures[len(runs) - 1]
        await stopping.wait()

    return work, runs


@pytest.fixture
def log() -> Log:
    return Log()


async def test_work_that_runs_until_the_stop_is_left_alone(log: Log) -> None:
    stopping = asyncio.Event()
    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    work, runs = fail_first()
    task = supervisor.start("any", work)
    await wait_for(lambda: runs)
    assert supervisor.list_failing() == []
    stopping.set()
    await supervisor.end(1.0)
    assert (task.done(), task.exception(), log.events) == (True, None, [])


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("a bug"), UnicodeDecodeError("utf-8", b"", 0, 1, "odd"), asyncio.CancelledError(), TimeoutError()],
    ids=lambda failure: type(failure).__name__,
)
async def test_whatever_it_raises_is_logged_counted_shown_and_it_starts_again(
    failure: BaseException, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "STEADY_SECONDS", 0.05)
    stopping = asyncio.Event()
    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    counter = TASK_FAILURES.labels("shaky")
    before = counter._value.get()
    work, runs = fail_first(failure)
    supervisor.start("shaky", work)
    await wait_for(lambda: len(runs) == 2)
    assert supervisor.list_failing() == ["shaky"]
    [(level, event, fields)] = log.events
    assert (level, event, fields["task"], fields["exc_info"]) == ("error", "task.failed", "shaky", failure)
    assert counter._value.get() - before == 1
    await wait_for(lambda: supervisor.list_failing() == [])
    stopping.set()
    await supervisor.end(1.0)


async def test_work_that_ends_without_being_asked_to_starts_again(log: Log) -> None:
    stopping = asyncio.Event()
    runs: list[int] = []

    async def work(stopping: asyncio.Event) -> None:
        runs.append(1)
        if len(runs) > 2:
            await stopping.wait()

    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    supervisor.start("short", work)
    await wait_for(lambda: len(runs) == 3)
    assert log.list_names() == ["task.failed", "task.failed"]
    assert "without being asked" in str(log.events[0][2]["exc_info"])
    stopping.set()
    await supervisor.end(1.0)


async def test_one_task_that_fails_leaves_the_others_alone(log: Log) -> None:
    stopping = asyncio.Event()
    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    shaky, shaky_runs = fail_first(*[ValueError(str(number)) for number in range(5)])
    steady, steady_runs = fail_first()
    supervisor.start("shaky", shaky)
    supervisor.start("steady", steady)
    await wait_for(lambda: len(shaky_runs) == 6)
    assert (steady_runs, supervisor.list_failing()) == ([0], ["shaky"])
    stopping.set()
    await supervisor.end(1.0)


async def test_a_stop_of_its_own_ends_one_task(log: Log) -> None:
    stopping, own = asyncio.Event(), asyncio.Event()
    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    work, runs = fail_first()
    task = supervisor.start("lane", work, own)
    await wait_for(lambda: runs)
    own.set()
    await task
    assert not stopping.is_set()


async def test_what_does_not_end_in_time_is_cancelled_and_said(log: Log) -> None:
    stopping = asyncio.Event()

    async def never(_: asyncio.Event) -> None:
        await asyncio.Event().wait()

    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    task = supervisor.start("stuck", never)
    await asyncio.sleep(0)
    stopping.set()
    await supervisor.end(0.01)
    assert task.cancelled()
    assert [(event, fields["task"]) for _, event, fields in log.events] == [("task.cancelled", "stuck")]


async def test_the_wait_before_a_restart_ends_with_the_stop(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_long() -> Any:
        while True:
            yield 1000.0

    monkeypatch.setattr(supervise, "back_off", wait_long)
    stopping = asyncio.Event()
    supervisor = Supervisor(stopping, log)  # type: ignore[arg-type]
    work, runs = fail_first(RuntimeError())
    task = supervisor.start("shaky", work)
    await wait_for(lambda: log.events)
    stopping.set()
    await supervisor.end(1.0)
    assert (task.done(), runs) == (True, [0])

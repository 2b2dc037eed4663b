"""Runs background tasks as long as the worker runs: whatever one raises is reported, and never ends the process.

Intake, lanes, timer, health and every check are started here and nowhere else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from worker.cancellation import is_ending
from worker.resilience.backoff import back_off, wait_unless
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import TASK_FAILURES

STEADY_SECONDS: Final = 10.0
"""How long a task must run after a restart to count as recovered: twice the longest back-off."""

Work = Callable[[asyncio.Event], Awaitable[None]]
"""The work of a task: it runs until the event is set, and returns soon after."""


class _EndedError(Exception):
    """A task returned although nobody had asked it to stop."""


class Supervisor:
    """The background tasks of one worker.

    Args:
        stopping: set once the worker is to stop.
        log: where failures are logged, each with its traceback.
    """

    def __init__(self, stopping: asyncio.Event, log: Logger) -> None:
        self._stopping = stopping
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovered_at: dict[asyncio.Task[None], float] = {}

    def start(self, name: str, work: Work, stopping: asyncio.Event | None = None) -> asyncio.Task[None]:
        """Run work until the stop; whatever it raises is logged and counted, and it is started again after a back-off.

        Args:
            name: what the task is called in the log, in metrics and by readiness.
            work: what it does.
            stopping: the task's own stop, where it may end before the worker does.

        Returns:
            The task, which ends after the stop and raises nothing but its own cancellation.
        """
        task = asyncio.create_task(self._supervise(name, work, stopping or self._stopping), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def list_failing(self) -> list[str]:
        """List the tasks that failed and have not run steadily since."""
        now = monotonic()
        return sorted({task.get_name() for task, at in self._recovered_at.items() if now < at})

    async def end(self, within: float) -> None:
        """Wait for every task to end, and cancel those that have not ended in time.

        Args:
            within: longest wait, in seconds.
        """
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=within)
        for task in late:
            self._log.warning("task.cancelled", task=task.get_name(), waited_seconds=within)
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _supervise(self, name: str, work: Work, stopping: asyncio.Event) -> None:
        waits = back_off()
        while not stopping.is_set():
            started = monotonic()
            try:
                await _do(work, stopping)
            except asyncio.CancelledError as given_up:
                if is_ending():
                    raise
                # A library gave up a call of its own, which would silently end this task.
                failure: BaseException = given_up
            except Exception as error:  # noqa: BLE001 - everything unforeseen ends up here
                failure = error
            else:
                return
            if monotonic() - started > STEADY_SECONDS:
                waits = back_off()
            await self._note(name, failure, next(waits), stopping)

    async def _note(self, name: str, failure: BaseException, seconds: float, stopping: asyncio.Event) -> None:
        if task := asyncio.current_task():
            self._recovered_at[task] = monotonic() + seconds + STEADY_SECONDS
        TASK_FAILURES.labels(name).inc()
        self._log.error("task.failed", task=name, exc_info=failure, next=f"starting it again in {seconds:.1f} s")
        await wait_unless(stopping, seconds)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._recovered_at.pop(task, None)


async def _do(work: Work, stopping: asyncio.Event) -> None:
    await work(stopping)
    if not stopping.is_set():
        raise _EndedError("it ended without being asked to")

"""Ends a worker within one time limit, whatever its parts do when they are asked to end."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable
from typing import Final

from worker.telemetry.logs import Logger

STOP_SECONDS: Final = 8.0
"""Longest from the request to stop until every step of the stop is over; no step can add to it."""

EXIT_SECONDS: Final = 9.5
"""The process is ended by force this long after a signal: it may have a thread that nothing can cancel."""

LAST_LINE_SECONDS: Final = 0.2
"""How long the last line of the log has until the process is ended by force."""

CANCEL_SECONDS: Final = 0.1
"""How long a step that is cancelled may take to end; after that it is left behind."""


class Shutdown:
    """The stop of one worker: a request, and steps that share the time limit.

    Args:
        log: the worker's.
    """

    def __init__(self, log: Logger) -> None:
        self.requested = asyncio.Event()
        self._log = log
        self._until = 0.0

    def request(self) -> None:
        """Ask the worker to stop; the time limit begins with the first request."""
        if not self.requested.is_set():
            self._until = asyncio.get_running_loop().time() + STOP_SECONDS
            self.requested.set()

    async def run(self, at_most: float, **steps: Awaitable[object]) -> None:
        """Run steps of the stop at the same time. Raises nothing: the steps after these must run too.

        Args:
            at_most: longest that they may take, in seconds; less is left once others took longer.
            **steps: what each does, by its name.
        """
        self.request()
        tasks = [asyncio.create_task(_await(step), name=name) for name, step in steps.items()]
        _, late = await asyncio.wait(tasks, timeout=self._limit(at_most))
        for task in late:
            self._log.warning("task.cancelled", task=task.get_name(), next="ending without it")
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self._limit(CANCEL_SECONDS))
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                self._log.error("task.failed", task=task.get_name(), exc_info=error, next="ending without it")

    def _limit(self, seconds: float) -> float:
        return max(min(seconds, self._until - asyncio.get_running_loop().time()), 0.0)


async def _await(step: Awaitable[object]) -> None:
    await step


def end_process_later(log: Logger) -> None:
    """End the process after ``EXIT_SECONDS`` if it still runs then; nothing is lost, as with any crash."""
    limit = threading.Timer(EXIT_SECONDS, _end_process, (log,))
    limit.daemon = True
    limit.start()


def _end_process(log: Logger) -> None:
    why = "something that nothing can cancel has not ended, such as a thread that waits for DNS"
    log.error("process.ended_by_force", why=why, next="nothing: what is stored is published after the next start")
    # For the thread that writes the log.
    time.sleep(LAST_LINE_SECONDS)
    os._exit(1)

"""The lanes of one worker take turns to decide and store their batches.

They share one event loop, and so one core. Where all are in their database transactions at once, each transaction waits
while the others decide, so that every batch takes longer and nothing is gained; publishing, which waits as well, falls
behind with it.
"""

import asyncio
from types import TracebackType
from typing import Final

AT_ONCE: Final = 2
"""How many lanes have a turn: one of them decides while the other waits for Postgres."""

WAIT_SECONDS: Final = 1.0
"""Longest that a lane waits for its turn; then it goes on without. So lanes whose sessions hang, even as many as have
turns, stop no other. Much less would do away with turns on a machine so busy that storing a batch takes as long."""


class Turns:
    """The turns of one worker."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    def make_turn(self, stopping: asyncio.Event) -> "Turn":
        """Create the turn of one lane, which ends its waiting at the stop."""
        return Turn(self._free, stopping)


class Turn:
    """The turn of one lane, taken for each batch; as a context, it is given back in any case."""

    def __init__(self, free: asyncio.Semaphore, stopping: asyncio.Event) -> None:
        self._free = free
        self._stopping = stopping
        self._asked: asyncio.Task[bool] | None = None

    async def take(self) -> None:
        """Wait for the turn, unless the lane has it; if it does not come in time, the lane gets it while it works."""
        if self._asked:
            return
        self._asked = asyncio.create_task(self._free.acquire())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({self._asked, stop}, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()

    def give_back(self) -> None:
        """Let another lane have it; harmless without a turn."""
        asked, self._asked = self._asked, None
        if asked and not asked.cancel():
            self._free.release()

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.give_back()

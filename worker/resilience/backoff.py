"""How long to wait before trying again, and waiting and working until a stop."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 5.0
_CANCEL_SECONDS: Final = 1.0

Result = TypeVar("Result")


def back_off() -> Iterator[float]:
    """Yield ever longer waits in seconds, up to five, each with jitter so that lanes do not all return at once."""
    longest = _FIRST_SECONDS
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - jitter, nothing secret
        longest = min(longest * 2, _LONGEST_SECONDS)


async def wait_unless(stopping: asyncio.Event, seconds: float) -> None:
    """Wait for so many seconds, or until the stop if that comes first."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return


async def run_unless(stopping: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Run work and return its result; at the stop it is cancelled, and ``None`` is returned.

    Work that cannot be cancelled within a second is abandoned.
    """
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_SECONDS)
        return None
    finally:
        stop.cancel()
        task.cancel()

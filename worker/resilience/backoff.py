"""How long to wait before a thing is tried again, and waiting that a stop ends at once."""

import asyncio
import random
from collections.abc import Iterator
from typing import Final

_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 5.0


def back_off() -> Iterator[float]:
    """Give ever longer waits, each with jitter so that lanes do not come back all at once."""
    longest = _FIRST_SECONDS
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - jitter, nothing secret
        longest = min(longest * 2, _LONGEST_SECONDS)


async def wait_unless(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until the stop."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return


def is_ending() -> bool:
    """Tell, on a ``CancelledError``, whether this task is meant: a library may give up a call of its own by one."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

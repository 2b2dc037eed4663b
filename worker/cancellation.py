"""Distinguishes a task that is being stopped from a library that cancels a call of its own."""

import asyncio


def is_ending() -> bool:
    """Return whether this task is being stopped; otherwise a library has cancelled a call of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""Tells a stop of a task from a library that cancels a call of its own."""

import asyncio


def is_ending() -> bool:
    """Whether a ``CancelledError`` is meant for this task: a library may cancel a call of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

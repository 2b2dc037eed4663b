"""The callback by which a long task reports its progress."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is in total (0: unknown)."""


def ignore_progress(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""

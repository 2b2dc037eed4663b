"""Writes the log to the standard output in a thread of its own, so that nothing that happens to it stops the worker.

A pipe that nobody reads blocks whoever writes to it forever. So the event loop only hands lines over; those that do
not fit, or cannot be written, are dropped and counted.
"""

import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from prometheus_client import Counter

LOST_LINES: Final = Counter("budget_bridge_log_lines_lost", "Lines of the log that could not be written.")

WAITING_CHARACTERS: Final = 16 * 1024 * 1024
"""How much may wait until it is written: some seconds of a busy worker, while whoever reads the log is slow."""

_WRITE_CHARACTERS: Final = 64 * 1024
"""Lines are written together up to here, which costs less than one by one."""

_LINE_END: Final = ord("\n")


class LogWriter:
    """An output for lines of the log, which never waits and never raises.

    Args:
        descriptor: the file descriptor that is written to. Not a stream: one that is blocked cannot be closed either.
        encoding: the encoding of what is written.
        describe_lost: renders the line that says how many lines were lost, once others can be written again.
    """

    def __init__(self, descriptor: int, encoding: str, describe_lost: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._describe_lost = describe_lost
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._is_torn = False
        # Each is changed by one thread alone: those who log, one at a time, and the thread that writes.
        self._accepted = self._taken = self._refused = self._failed = self._reported = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Hand text over, or drop and count it."""
        if self._accepted - self._taken > WAITING_CHARACTERS:
            self._refused += 1
            LOST_LINES.inc()
        else:
            self._accepted += len(text)
            self._lines.put(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: everything is written as soon as possible."""

    def close(self, within: float) -> None:
        """Wait until everything is written, at most ``within`` seconds; nothing is written after that."""
        self._lines.put(None)
        self._thread.join(within)

    def _write_all(self) -> None:
        is_over = False
        while not is_over:
            lines = [self._lines.get()]
            size = len(lines[0] or "")
            while size < _WRITE_CHARACTERS and not self._lines.empty():
                lines.append(self._lines.get())
                size += len(lines[-1] or "")
            is_over = None in lines
            kept = [line for line in lines if line is not None]
            if not self._write("".join(kept)):
                self._failed += len(kept)
                LOST_LINES.inc(len(kept))
            self._taken += size
            self._report_lost()

    def _report_lost(self) -> None:
        lost = self._refused + self._failed
        if lost > self._reported and self._write(self._describe_lost(lost - self._reported)):
            self._reported = lost

    def _write(self, text: str) -> bool:
        # What follows half a line, such as how many are lost, must still be a line of its own.
        whole = left = memoryview(("\n" * self._is_torn + text).encode(self._encoding, "backslashreplace"))
        try:
            while left:
                left = left[self._write_some(left) :]
        except (OSError, ValueError):
            written = len(whole) - len(left)
            self._is_torn = whole[written - 1] != _LINE_END if written else self._is_torn
            return False
        self._is_torn = False
        return True

    def _write_some(self, text: memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, text)
            except BlockingIOError:
                # Another process that shares the output has made it so that it refuses instead of waiting.
                select.select([], [self._descriptor], [])

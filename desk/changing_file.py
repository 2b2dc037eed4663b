"""Reads a file again when it has changed, so that a list counts at the next click, without a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

_Content = TypeVar("_Content")


class ChangingFile(Generic[_Content]):
    """A file and what was last read from it."""

    def __init__(self, path: Path, read: Callable[[Path], _Content]) -> None:
        """Take the file, and how it is read; what ``read`` raises comes out of ``get``."""
        self._path = path
        self._read = read
        self._seen: tuple[int, int, int] | None = None
        self._content: _Content | None = None

    def get(self) -> _Content:
        """Return what the file holds now.

        Raises:
            Exception: as ``read``, each time until the file can be read again.
        """
        seen = self._look()
        if self._content is None or seen is None or seen != self._seen:
            self._content = None
            self._content = self._read(self._path)
            self._seen = seen
        return self._content

    def _look(self) -> tuple[int, int, int] | None:
        """Look what would change with the file: also its inode, as orchestrators put another file in its place."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

"""Chains the lines of a trail: each names the digest of the line before, and the last one counts them.

Whoever removes, adds, swaps or changes a line has to write every later line anew; the digest of the last line, which
the export prints, shows that too.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256
from typing import BinaryIO, Final, NamedTuple

from pydantic import ValidationError

from worker.trail.lines import FORMAT, LINES, End, Head, Line

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""Longest line that is read; an export of 2,000 lines takes 2 MB. Of a longer one each piece is no line."""

_SHOWN: Final = 200


class Link(NamedTuple):
    """A line as it was read; ``None`` where it is none, and what is wrong."""

    number: int
    """From 1."""
    line: Line | None
    problem: str | None


class ChainWriter:
    """Writes lines as they follow one another."""

    def __init__(self) -> None:
        self.count = 0
        self.digest: str | None = None
        """Of the last line that was written."""

    def write(self, line: Line) -> bytes:
        """Write a line, in ASCII, with its line feed."""
        chained = line.model_copy(update={"previous": self.digest})
        # Escapes for all that is not ASCII: nothing in it can control a terminal, or be written in two ways.
        text = json.dumps(chained.model_dump(mode="json"), separators=(",", ":")).encode()
        self.count += 1
        self.digest = digest_line(text)
        return text + b"\n"


def digest_line(text: bytes) -> str:
    """Digest a line without its line feed."""
    return sha256(text).hexdigest()


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Read the lines of a file, in little memory whatever it is."""
    return iter(partial(file.readline, MAX_LINE_BYTES), b"")


class ChainReader:
    """Reads lines, and compares each with the one before."""

    def __init__(self) -> None:
        self.count = 0
        self.digest: str | None = None
        """Of the last line that was read."""
        self._last: Line | None = None

    def read(self, lines: Iterable[bytes]) -> Iterator[Link]:
        """Read the lines of a file in binary form."""
        for raw in lines:
            text = raw.removesuffix(b"\n")
            self.count += 1
            line, problem = _parse(text)
            yield Link(self.count, line, self._find_break(line) if line else problem)
            self.digest, self._last = digest_line(text), line

    def check_end(self) -> str | None:
        """Say what is wrong with the end of the file, if anything is; asked when every line has been read."""
        if not isinstance(self._last, End):
            return "the file does not end with its last line: it was cut off, or is still being written; export again"
        if self._last.lines != self.count - 1:
            return (
                f"the last line counts {self._last.lines} lines before it, and there are {self.count - 1}: "
                "lines were removed or added"
            )
        return None

    def _find_break(self, line: Line) -> str | None:
        if isinstance(line, Head) != (self.count == 1):
            return "the head is the first line of a trail, and only that: lines were removed, added or swapped"
        if isinstance(line, Head) and line.format != FORMAT:
            return f"the file has format {line.format}, this program knows {FORMAT}: use the version that wrote it"
        if isinstance(self._last, End):
            return "a line follows the last one: lines were added"
        if line.previous != self.digest:
            return (
                f"it does not follow line {self.count - 1} as that is here: line {self.count - 1} was changed, "
                "or lines were removed, added or swapped"
            )
        return None


def _parse(text: bytes) -> tuple[Line | None, str | None]:
    try:
        return LINES.validate_json(text), None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        return None, f"it is no line of a trail: {where or 'the line'}: {first['msg']}"[:_SHOWN]

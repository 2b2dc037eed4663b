"""Prints to the terminal; nothing in the text is interpreted, whoever wrote it.

Ids, names and reasons come from other people's messages. No markup, emoji code or control character in them may
change what an operator sees, so every command prints through this console.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.text import Text

# Control characters (ESC and C1 among them), and format characters that reorder or hide text: soft hyphen,
# bidirectional marks and overrides, zero-width characters, separators of lines and paragraphs, tags; and surrogates,
# which no encoding holds.
_HARMFUL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_COLUMN_GAP: Final = "  "


def escape_text(text: str, keep: str = "") -> str:
    r"""Write characters that could control a terminal or hide text as escapes, such as ``\x1b``.

    Args:
        text: what somebody else wrote.
        keep: characters that stay as they are, such as the line breaks of a text of several lines.

    Returns:
        Text that prints as it reads.
    """
    return _HARMFUL.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Console(RichConsole):
    """Prints lines, texts and tables; nothing in them is interpreted, wrapped by width or cut."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make every string harmless before it is printed, also in a table of rich's."""
        return super().render_str(escape_text(text, keep="\n\t"), **options)

    def print_line(self, text: str = "", style: str = "") -> None:
        """Print one line, whatever the text holds."""
        self.print(escape_text(text), style=style)

    def print_text(self, text: str) -> None:
        """Print a text of several lines, such as JSON."""
        self.print(text)

    def print_table(self, header: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "") -> None:
        """Print columns side by side; a row that is wider than the terminal continues on the next line.

        Args:
            header: the names of the columns; empty where a table needs none.
            rows: the cells of each row; a row may have fewer than the header.
            indent: put in front of every line.
        """
        lines = [[escape_text(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
        widths = [max(map(cell_len, column)) for column in zip_longest(*lines, fillvalue="")]
        for number, line in enumerate(lines):
            cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=False))
            self.print((indent + _COLUMN_GAP.join(cells)).rstrip(), style="bold" if header and number == 0 else "")


def open_closed_streams() -> None:
    """Open the null device for each standard stream that is closed, as ``>&-`` and some supervisors leave it.

    Python has ``None`` in its place, and the next connection would get its descriptor, and whatever is printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - stays open


def never_fail_to_encode() -> None:
    """Let the standard streams write characters outside their encoding as escapes, so that no output can fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")

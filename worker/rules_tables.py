"""The folder that rules are read from: its tables row by row, and every problem found so far, with file and row."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contracts.fields import MAX_INT64


@dataclass(slots=True)
class RulesReading:
    """The folder that is being read, and the problems found so far."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is no problem, and may not be what was meant."""
    preferred: dict[tuple[str, str], int] = field(default_factory=dict)
    """The preferred row of each phase and cost type, by file."""

    def complain(self, file: str, row: int | None, what: str) -> None:
        """Add a problem of a file, or of one of its rows."""
        self.problems.append(f"{file}, row {row}: {what}" if row else f"{file}: {what}")


def read_rows(
    reading: RulesReading, file: str, columns: tuple[str, ...], optional: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a table with the line number of each; blank ones are skipped.

    Args:
        reading: the folder.
        file: the table's name.
        columns: of the table, in this order.
        optional: how many of the last columns may be left out; their cells are then empty.
    """
    try:
        table = csv.reader(read_text(reading.folder / file).splitlines(keepends=True), strict=True)
        rows = [(table.line_num, [cell.strip() for cell in row]) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reading.complain(file, None, describe_error(error))
        return
    filled = [(number, row) for number, row in rows if any(row)]
    found = tuple(filled[0][1]) if filled else ()
    required = len(columns) - optional
    if found != columns[: max(len(found), required)]:
        also = f"; {','.join(columns[required:])} may be left out" if optional else ""
        reading.complain(file, 1, f"the columns {','.join(columns)} are expected{also}")
        return
    for number, row in filled[1:]:
        if len(row) == len(found):
            yield number, [*row, *[""] * (len(columns) - len(row))]
        else:
            reading.complain(file, number, f"{len(found)} cells are expected, not {len(row)}")


def read_id(reading: RulesReading, file: str, row: int, column: str, cell: str) -> int:
    """Read an id of the project side; a cell that holds none is a problem, and 0."""
    if re.fullmatch(r"[0-9]{1,19}", cell, re.ASCII) and 1 <= int(cell) <= MAX_INT64:
        return int(cell)
    reading.complain(file, row, f"{column}: a positive whole number is expected, not {cell!r}")
    return 0


def read_text(file: Path) -> str:
    """Read a file with a byte-order mark, as spreadsheets and Windows editors save it, or without."""
    return file.read_text(encoding="utf-8-sig")


def describe_error(error: Exception) -> str:
    """Describe why a file could not be read, and what to do."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8: save it as UTF-8"
    return f"it cannot be read: {error}"

"""Writes CSV that a spreadsheet opens as it is: no cell of text can be taken for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.responses import Response

from desk.page import NO_STORE

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With what a spreadsheet lets a formula begin (OWASP, CSV Injection)."""


def protect_text(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula; amounts are never given here."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_csv(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Response:
    """Write rows as a file to download.

    Args:
        name: of the file.
        header: the names of the columns.
        rows: cells as they are to be written: amounts plain, text protected.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"'}
    # Without the mark a spreadsheet reads UTF-8 as something else.
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)

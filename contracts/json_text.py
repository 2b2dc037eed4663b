"""Reads JSON so that no number is rounded, and within bounds: a hostile text costs neither minutes nor gigabytes.

It is written compactly, in UTF-8.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final

from pydantic_core import to_json

_LONGEST_INTEGER: Final = len(str(2**63)) + 1
"""Characters of the longest integer that a field can have, with its sign."""

_SHOWN: Final = 40

MAX_VALUES: Final = 750_000
"""Values in one text; ours. A budget of 50,000 lines has about 500,000; so many keys of numbers take 2 s and 200 MB."""


write_json: Final = to_json
"""Write a value of plain types as compact JSON in UTF-8."""


def name_values(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Give the values of rows their names, as a JSON object has them; all of it is done in C.

    Args:
        names: in the order of the values.
        rows: each as long as ``names``.
    """
    return list(map(dict, map(zip, repeat(names), rows)))


class JsonNumber:
    """A number in a JSON text that is no short integer, kept as it was written so that nothing is rounded."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def parse_json(text: bytes) -> object:
    """Parse a JSON text.

    Raises:
        ValueError: it is not UTF-8, no JSON, nested too deeply, or has too many values; the message says which and
            where.
    """
    return _parse(text)


def parse_unique_json(text: bytes) -> object:
    """Parse a JSON text of which no two readers can think differently.

    Raises:
        ValueError: as for ``parse_json``, or an object names a member twice, or a number is ``NaN`` or infinite; the
            message says which.
    """
    return _parse(text, object_pairs_hook=_make_unique, parse_constant=_refuse_constant)


def _parse(text: bytes, **hooks: Any) -> object:
    if may_have_more_values(text, MAX_VALUES):
        too_many = f"it has more than {MAX_VALUES:,} commas and opening brackets"
        raise ValueError(too_many)
    try:
        return json.loads(text.decode(), parse_float=JsonNumber, parse_int=_read_integer, **hooks)
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        message = f"no JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        message = "the JSON is nested too deeply"
    raise ValueError(message)


def may_have_more_values(text: bytes, limit: int) -> bool:
    """Check cheaply whether a JSON text may have more values than ``limit``, also where it is no valid JSON.

    Every value but the first follows a comma or an opening bracket; those in strings are counted as well.

    Args:
        text: of any size.
        limit: number of values.
    """
    # A value takes at least two bytes, so most texts need not be counted.
    return len(text) > 2 * limit and text.count(b",") + text.count(b"[") + text.count(b"{") > limit


def _read_integer(text: str) -> int | JsonNumber:
    return int(text) if len(text) <= _LONGEST_INTEGER else JsonNumber(text)


def _make_unique(members: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(members)
    if len(made) < len(members):
        names = [name for name, _ in members]
        repeated = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"an object names its member {repeated[:_SHOWN]!r} twice")
    return made


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON number")

"""Reads JSON so that no number is rounded."""

import json
from typing import Final

_LONGEST_INTEGER: Final = len(str(2**63)) + 1
"""Characters of the longest integer that a field can have, with its sign."""


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
        ValueError: it is not UTF-8, no JSON, or nested too deeply; the message says which and where.
    """
    try:
        return json.loads(text.decode(), parse_float=JsonNumber, parse_int=_read_integer)
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        message = f"no JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        message = "the JSON is nested too deeply"
    raise ValueError(message)


def _read_integer(text: str) -> int | JsonNumber:
    return int(text) if len(text) <= _LONGEST_INTEGER else JsonNumber(text)

"""Describes, field by field, how a stored budget differs from what it should be. Pure."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import zip_longest
from typing import Any, Final

from handlers.budget import Budget

_SHOWN: Final = 5
"""How many differing fields of one budget are described; the others are counted."""


def describe_differences(stored: Budget | None, expected: Budget | None) -> str:
    """Describe how a stored budget differs from the expected one, as a sentence; empty where it does not."""
    if stored == expected:
        return ""
    if stored is None:
        return f"it has no row in budgets, but its messages produce {_name(expected)}"
    if expected is None:
        return f"it is {_name(stored)}, but no message of it was applied"
    found = list(_compare("", stored, expected))
    more = f"; and {len(found) - _SHOWN} more fields" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _name(budget: Budget | None) -> str:
    return f"{budget.status or 'no status'}, sequence {budget.sequence}" if budget else "nothing"


def _compare(path: str, stored: Any, expected: Any) -> Iterator[str]:
    if stored == expected:
        return
    names = _list_names(stored)
    if names and type(stored) is type(expected):
        for name in names:
            yield from _compare(f"{path}.{name}".lstrip("."), getattr(stored, name), getattr(expected, name))
    elif isinstance(stored, tuple) and isinstance(expected, tuple):
        for number, (one, other) in enumerate(zip_longest(stored, expected)):
            yield from _compare(f"{path}[{number}]", one, other)
    else:
        yield f"{path} is {_show(stored)}, and should be {_show(expected)}"


def _list_names(value: Any) -> tuple[str, ...]:
    if is_dataclass(value):
        return tuple(field.name for field in fields(value))
    named: tuple[str, ...] = getattr(value, "_fields", ()) or tuple(getattr(type(value), "model_fields", ()))
    return named


def _show(value: Any) -> str:
    if value is None:
        return "missing"
    return str(value) if isinstance(value, (int, str)) else repr(value)[:200]

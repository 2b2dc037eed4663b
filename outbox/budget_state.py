"""How a budget is written to ``budgets.state``, and how states that older versions of this program wrote are read.

A state is one JSON object. Every value in it has a name, and the number ``format`` says how it is written. A state of
an older format is upgraded when it is read, and stored in the current one when its budget next changes. A new format
needs its number, its upgrade and a golden file in ``tests/unit/stored_states``; a new field with a default needs none
of them.

``readings.content`` is written in the same formats, since ``NamedJson`` knows one form only. Before format 4 it had no
number.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from contracts.named_json import NamedJson
from handlers.budget import Budget
from handlers.readings import Readings

FORMAT: Final = 4
"""The format that this program writes."""

_START: Final = f'{{"format":{FORMAT},'
_BUDGETS: Final = NamedJson(Budget)
# What nobody has read back or imported takes no room in a state. In the order in which they end it, the last first.
_LEFT_OUT: Final = (',"readings":null', ',"imports":null', ',"read_back":null')
_READINGS: Final = NamedJson(Readings)

T = TypeVar("T")
Json = dict[str, Any]
Upgrades = Mapping[int, Callable[[Json], Json]]
"""By the format that each of them upgrades from."""
Rows = Mapping[tuple[str, ...], tuple[str, ...]]
"""The names of the fields of rows, by the path to those rows."""


class UnreadableStateError(ValueError):
    """A stored state has a newer format, or is no state at all; the message says which."""


def write_state(budget: Budget) -> str:
    """Write a budget as ``budgets.state`` holds it, without its readings."""
    bare = budget if budget.readings is None else budget._replace(readings=None)
    written = _BUDGETS.write(bare).decode()[1:].removesuffix("}")
    for nothing in _LEFT_OUT:
        written = written.removesuffix(nothing)
    return _START + written + "}"


def write_readings(readings: Readings) -> str:
    """Write readings as ``readings.content`` holds them."""
    return _START + _READINGS.write(readings).decode()[1:]


def read_readings(stored: str) -> Readings:
    """Read readings from ``readings.content``, in any format up to the current one; raises ``UnreadableStateError``."""
    return _read("readings", _READINGS, _READINGS_UPGRADES, stored)


def read_state(stored: str) -> Budget:
    """Read a budget from ``budgets.state``, in any format up to the current one.

    Raises:
        UnreadableStateError: it was written by a newer program, or is no state at all.
    """
    return _read("state", _BUDGETS, _UPGRADES, stored)


def _read(what: str, codec: NamedJson[T], upgrades: Upgrades, stored: str) -> T:
    try:
        # The current format begins like this, so the common case is parsed only once.
        return codec.read(stored if stored.startswith(_START) else _upgrade(upgrades, stored))
    except UnreadableStateError as error:
        message = f"the stored {what} cannot be read: {error}"
        raise UnreadableStateError(message) from error
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        message = f"the stored {what} cannot be read: {codec.describe(error)}"
        raise UnreadableStateError(message) from error


def _upgrade(upgrades: Upgrades, stored: str) -> str:
    value = json.loads(stored)
    if not isinstance(value, dict):
        message = f"a JSON object is expected, not {type(value).__name__}"
        raise UnreadableStateError(message)
    oldest = min(upgrades)
    found = value.get("format", oldest)
    if found not in range(oldest, FORMAT + 1):
        message = f"format {found!r} is unknown; this program reads {oldest} to {FORMAT}"
        raise UnreadableStateError(message)
    for older in range(found, FORMAT):
        value = upgrades[older](value)
    return json.dumps(value)


# What follows describes older formats, and stays as it is when the types change.

_KEY_0: Final = ("company_id", "project_id", "budget_id")
_TARGET_0: Final = ("company_code", "job_number", "currency")
_LINE_0: Final = (
    "phase_code",
    "cost_type",
    "item_id",
    "description",
    "original",
    "revision",
    "price_method_code",
    "quantity",
    "unit",
    "gone",
)
_SENT_LINES_0: Final = ("company_code", "job_number", "lines")
_SENT_LINE_0: Final = ("phase_code", "cost_type", "item_id", "description", "price_method_code", "unit", "at_zero")
_TRY_0: Final = ("version", "attempt")


def _name_values(state: Json) -> Json:
    """Upgrade from format 0, in which named tuples are arrays and there is no ``format``."""
    version = state["version"]
    if version and version["proposal"]:
        version = version | {"proposal": _name_lines(version["proposal"])}
    sent = [_name(_SENT_LINES_0, job) for job in state["sent"]]
    return state | {
        "key": _name(_KEY_0, state["key"]),
        "version": version,
        "unanswered": state["unanswered"] and _name_lines(state["unanswered"]),
        "base": state["base"] and _name_lines(state["base"]),
        "sent": [job | {"lines": [_name(_SENT_LINE_0, line) for line in job["lines"]]} for job in sent],
        "tries": [_name(_TRY_0, sent_try) for sent_try in state["tries"]],
    }


def _name_lines(holder: Json) -> Json:
    lines = [_name(_LINE_0, line) for line in holder["lines"]]
    return holder | {"target": _name(_TARGET_0, holder["target"]), "lines": lines}


def _name(names: tuple[str, ...], values: Iterable[Any]) -> Json:
    return dict(zip(names, values, strict=True))


def _add_references(state: Json) -> Json:
    """Upgrade from format 1, in which the number of an export was also the number in its change reference."""
    exports = {name: state.get(name) for name in ("unanswered", "base")}
    numbered = {name: export and export | {"reference": export["number"]} for name, export in exports.items()}
    return state | numbered | {"last_reference": len(state.get("tries", ()))}


def _leave_unsigned(state: Json) -> Json:
    """Upgrade from format 2, in which nothing was signed: a program of that time would drop what is."""
    return state


_APPROVAL_3: Final = ("by", "at")
_ADOPTED_LINE_3: Final = (
    "phase_code",
    "cost_type",
    "item_id",
    "description",
    "original",
    "revision",
    "price_method_code",
)
_READ_LINE_3: Final = (
    "phase_code",
    "cost_type",
    "description",
    "status",
    "original",
    "bridge_revision",
    "other_revision",
    "current",
    "job_to_date_cost",
    "price_method_code",
)
_ROWS_3: Final[Rows] = {
    ("version", "proposal", "lines"): _LINE_0,
    ("unanswered", "lines"): _LINE_0,
    ("unanswered", "approved_again"): _APPROVAL_3,
    ("base", "lines"): _LINE_0,
    ("base", "approved_again"): _APPROVAL_3,
    ("sent", "lines"): _SENT_LINE_0,
    ("tries",): _TRY_0,
    ("imports", "adopted", "lines"): _ADOPTED_LINE_3,
}
_READINGS_ROWS_3: Final[Rows] = {
    ("last", "pages", "lines"): _READ_LINE_3,
    ("collecting", "pages", "lines"): _READ_LINE_3,
}


def _name_columns(rows: Rows, value: Json) -> Json:
    """Upgrade from format 3, in which rows are an array of objects; readings of that time have no ``format``."""
    for path, names in rows.items():
        value = _turn_rows(value, path, names)
    return value


def _turn_rows(holder: Any, path: Sequence[str], names: tuple[str, ...]) -> Any:
    if isinstance(holder, list):
        return [_turn_rows(part, path, names) for part in holder]
    first, *rest = path
    if holder is None or first not in holder:
        return holder
    held = holder[first]
    turned = _turn_rows(held, rest, names) if rest else {name: [row[name] for row in held] for name in names}
    return holder | {first: turned}


_UPGRADES: Final[Upgrades] = {
    0: _name_values,
    1: _add_references,
    2: _leave_unsigned,
    3: partial(_name_columns, _ROWS_3),
}
_READINGS_UPGRADES: Final[Upgrades] = {3: partial(_name_columns, _READINGS_ROWS_3)}

"""What people fill in besides a click: reasons, dates, ticks. What cannot be taken is said at its field."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from starlette.datastructures import FormData

from contracts.fields import check_currency, read_date

MAX_REASON: Final = 1000
"""Characters. The contract cuts what is longer; the desk refuses it, so that nobody says what nobody reads."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What somebody has filled in, as far as the act asks for it."""

    reason: str = ""
    effective_date: date | None = None
    currency: str = ""
    unlocked: bool = False
    lines: tuple[tuple[str, str], ...] = ()
    """Phase and cost type of each chosen line."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A form that was sent: what it says, and what is wrong with it."""

    fields: Fields
    problems: Mapping[str, str]
    """A sentence by the name of the field."""
    typed: Mapping[str, str]
    """As it was typed, to be shown again."""


def read_fields(form: FormData, asks: frozenset[str], key: str) -> Filled:
    """Read what an act asks for; a form may have other fields, which say nothing.

    Args:
        form: as it was sent.
        asks: which fields the act asks for.
        key: of the budget, as it must be typed where the act asks for that.
    """
    typed = {name: str(form.get(name, "")).replace("\r\n", "\n").strip() for name in asks}
    if "line" in asks:
        typed["line"] = "\n".join(map(str, form.getlist("line")))
    problems: dict[str, str] = {}
    if "reason" in asks and not typed["reason"]:
        problems["reason"] = "Say why: whoever reads it has to act on it."
    elif "reason" in asks and (length := len(typed["reason"])) > MAX_REASON:
        problems["reason"] = f"This reason has {length:,} characters; at most {MAX_REASON:,} can be sent."
    effective_date = None
    if typed.get("effective_date"):
        try:
            effective_date = read_date(typed["effective_date"])
        except ValueError as error:
            problems["effective_date"] = f"A date: {error}"
    if "currency" in asks:
        try:
            check_currency(typed["currency"])
        except ValueError as error:
            problems["currency"] = f"The currency of the job: {error}"
    if "key" in asks and typed["key"] != key:
        problems["key"] = f"Type the key of the budget, {key}, so that it is this one that you mean."
    if "tick" in asks and not typed["tick"]:
        problems["tick"] = "Tick this once it is true."
    fields = Fields(
        typed.get("reason", ""),
        effective_date,
        typed.get("currency", ""),
        bool(typed.get("unlocked")),
        tuple(_read_line(str(one)) for one in form.getlist("line")) if "line" in asks else (),
    )
    return Filled(fields, problems, typed)


def _read_line(text: str) -> tuple[str, str]:
    phase, _, cost_type = text.partition("|")
    return phase, cost_type

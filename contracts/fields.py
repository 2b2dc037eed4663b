"""The field types of the contract, each with its limit and its form.

Reading is tolerant where the contract says so (integers as numeric strings, people's text cut at its limit) and exact
everywhere else; what is wrong is described in words that an upstream engineer can act on. What a line has many of is
read by pydantic's own parser where it has its usual form (``JsonForm``).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema

from contracts.json_text import JsonNumber
from contracts.text import has_format_character, is_blank

MAX_INT64: Final = 2**63 - 1
MAX_AMOUNT_CHARACTERS: Final = 40
"""Characters of an amount or quantity; ours, far above any that Spectrum takes, so that adding up stays cheap."""

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Largest message of the contract; topics and producers are set up for it."""

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MAX_TIME_CHARACTERS: Final = 64
_SHOWN: Final = 40


def describe_value(value: object) -> str:
    """Describe a refused value in an error message: short, on one line, and at little cost whatever the value is."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, JsonNumber):
        text = value.text
    else:
        text = repr(value[: _SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def read_decimal(value: object) -> str:
    """Read an amount or quantity as its text: an optional minus, digits, and perhaps a point and digits.

    Args:
        value: what ``parse_json`` made of the field.

    Returns:
        The text, as it was written.

    Raises:
        ValueError: it is none, or longer than ``MAX_AMOUNT_CHARACTERS``; the message says what one looks like.
    """
    if type(value) is int:
        return str(value)
    text = value.text if type(value) is JsonNumber else value
    if isinstance(text, str) and len(text) <= MAX_AMOUNT_CHARACTERS and _DECIMAL.fullmatch(text):
        return text
    expected = f'a decimal such as "1250.00" of at most {MAX_AMOUNT_CHARACTERS} characters'
    message = f"{expected} is expected, not {describe_value(value)}"
    raise ValueError(message)


def read_integer(value: object) -> int:
    """Read an integer, also from a numeric string.

    Raises:
        ValueError: it is none; the message says so.
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    message = f"an integer is expected, not {describe_value(value)}"
    raise ValueError(message)


def read_time(value: object) -> datetime:
    """Read an RFC 3339 time with its offset, as UTC; digits beyond microseconds are dropped.

    Raises:
        ValueError: it is none, or one that no calendar has; the message says what one looks like.
    """
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value) <= _MAX_TIME_CHARACTERS and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            message = f"{describe_value(value)} is no time: {error}"
            raise ValueError(message) from error
    message = f'an RFC 3339 time with offset such as "2026-11-24T08:00:00Z" is expected, not {describe_value(value)}'
    raise ValueError(message)


def read_date(value: object) -> date:
    """Read a date without a time.

    Raises:
        ValueError: it is none, or one that no calendar has; the message says what one looks like.
    """
    if type(value) is date:
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            message = f"{describe_value(value)} is no date: {error}"
            raise ValueError(message) from error
    message = f'a date such as "2026-12-01" is expected, not {describe_value(value)}'
    raise ValueError(message)


@lru_cache(maxsize=1024)
def write_time(value: datetime) -> str:
    """Write a time as UTC with ``Z``."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def check_user(user: str) -> str:
    """Refuse a user whom people could mistake for another: blank, or with invisible characters.

    Raises:
        ValueError: it is such a user; the message says why.
    """
    if has_format_character(user):
        message = f"a user without control or format characters is expected, not {describe_value(user)}"
        raise ValueError(message)
    if is_blank(user):
        message = "a user is expected, not a blank"
        raise ValueError(message)
    return user


def check_currency(value: object) -> str:
    """Check a currency code's form; which currencies there are is not checked.

    Raises:
        ValueError: it is not of the form; the message says what one looks like.
    """
    if isinstance(value, str) and _CURRENCY.fullmatch(value):
        return value
    message = f'a currency of three capital letters such as "USD" is expected, not {describe_value(value)}'
    raise ValueError(message)


def drop_blank(text: str) -> str | None:
    """Take a text of which nothing can be seen for none."""
    return None if is_blank(text) else text


def cut_at(limit: int) -> BeforeValidator:
    """Cut text for people at ``limit`` characters instead of refusing it."""

    def cut(value: object) -> object:
        return value[:limit] if isinstance(value, str) else value

    return BeforeValidator(cut)


@lru_cache(maxsize=4096)
def write_cents(cents: int) -> str:
    """Write hundredths as a decimal with two places, never ``-0.00``."""
    if cents < 0:
        return "-" + write_cents(-cents)
    return f"{cents // 100}.{cents % 100:02d}"


class Words(NamedTuple):
    """What the published contract calls a type; for readers, pydantic passes it over."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class JsonForm:
    """The usual form of a type in JSON, which pydantic's parser checks by itself, at a tenth of the cost.

    The other forms, and the words for what has none, are left to the type's own function: it gets values that
    ``parse_json`` has parsed (``contracts.cloudevents.reading``).
    """

    usual: CoreSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(self.usual, handler(source))


Amount = Annotated[
    str,
    BeforeValidator(read_decimal),
    JsonForm(
        core_schema.str_schema(strict=True, max_length=MAX_AMOUNT_CHARACTERS, pattern=f"^(?:{_DECIMAL.pattern})$")
    ),
    Words("decimal"),
]
"""Money or a quantity as it came in, with any number of places: its text, so that nothing is rounded."""

Identifier = Annotated[int, BeforeValidator(read_integer), Field(ge=1, le=MAX_INT64), Words("positive 64-bit integer")]
ItemId = Annotated[
    int,
    BeforeValidator(read_integer),
    Field(ge=-MAX_INT64 - 1, le=MAX_INT64),
    JsonForm(core_schema.int_schema(strict=True, ge=-MAX_INT64 - 1, le=MAX_INT64)),
    Words("64-bit integer"),
]
Count = Annotated[int, BeforeValidator(read_integer), Field(ge=1, le=MAX_INT64), Words("integer from 1")]
Time = Annotated[datetime, BeforeValidator(read_time), PlainSerializer(write_time), Words("time")]
Date = Annotated[date, BeforeValidator(read_date), Words("date")]
Text = Annotated[str, StringConstraints(strict=True)]
TrimmedText = Annotated[str, StringConstraints(strict=True, strip_whitespace=True)]
"""A key as other systems have it: Spectrum pads its own with spaces."""
SpectrumCode = Annotated[str, StringConstraints(strict=True, strip_whitespace=True), AfterValidator(drop_blank)] | None
"""A code of Spectrum's that the upstream already has: trimmed, and none where nothing of it can be seen."""
Hash = Annotated[str, StringConstraints(strict=True, max_length=255)]
User = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=255),
    AfterValidator(check_user),
    Words("user, text of 1 to 255"),
]
"""A person by the name or address that the systems around us share; compared by ``contracts.text.fold_text``."""

Currency = Annotated[str, BeforeValidator(check_currency), Words("three capital letters (ISO 4217)")]
PeopleText = Annotated[str, StringConstraints(strict=True), cut_at(1000), Words("text, cut at 1,000")]
"""Text for people; longer than 1,000 characters it is cut, never refused."""

Cents = Annotated[str, StringConstraints(strict=True, pattern=r"^-?[0-9]+\.[0-9]{2}\z"), Words("decimal, 2 places")]
"""Money or a quantity as it goes out, as ``write_cents`` writes whole hundredths."""

PriceMethod = Literal["F", "T", "C", "U", "J"]
"""How Spectrum prices a phase's cost type."""


class Value(BaseModel):
    """A frozen value of the contract; fields that it does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)

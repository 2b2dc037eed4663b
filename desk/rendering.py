"""Renders templates: everything that is put into one is escaped, and money and times are written in one place."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from contracts.fields import write_cents, write_time
from desk.money import read_cents, write_money
from desk.settings import Numbers
from desk.static_files import name_static
from desk.times import write_age, write_moment, write_utc

_NONE: Final = "–"
"""Where there is no amount, in tables that say so for all their rows."""


@pass_context
def _money(context: Context, cents: int) -> str:
    return write_money(cents, context["numbers"])


@pass_context
def _moment(context: Context, at: datetime) -> str:
    return write_moment(at, context["zone"])


@pass_context
def _age(context: Context, at: datetime) -> str:
    return write_age(context["now"] - at)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _split_code(text: str) -> list[tuple[bool, str]]:
    """Split a text at what is written as code between backticks, so that a template can mark it."""
    return [(place % 2 == 1, piece) for place, piece in enumerate(text.split("`")) if piece]


def _make_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("desk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "money": _money,
        "cents": write_cents,
        "to_cents": read_cents,
        "moment": _moment,
        "age": _age,
        "code_pieces": _split_code,
        "rfc3339": write_time,
        "utc": write_utc,
        "counted": _count,
    }
    environment.globals["static"] = name_static
    return environment


_ENVIRONMENT: Final = _make_environment()


def render(template: str, values: Mapping[str, Any]) -> str:
    """Render a template.

    Args:
        template: the name of a file in ``templates/``.
        values: what it shows.
    """
    numbers: Numbers = values["numbers"]

    def write_amount(cents: int | None) -> str:
        return _NONE if cents is None else write_money(cents, numbers)

    return _ENVIRONMENT.get_template(template).render(values, money=write_amount)

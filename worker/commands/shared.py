"""What the commands share: exit codes, how problems are told, how a budget is named and found."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.console import Console

from handlers.budget import BudgetKey
from outbox.database import DatabaseBusy, DatabaseDown, close, connect
from outbox.deployment import Story, read_story
from outbox.migrate import SchemaUnfit, check_schema
from worker.deployment import Scene, connect_kafka
from worker.kafka.errors import KafkaDown
from worker.settings import ConfigurationBroken, DatabaseSettings, ServerSettings

ANSWER_IS_NO: Final = 1
BROKEN: Final = 2

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}

Key = Annotated[str, typer.Argument(metavar="COMPANY/PROJECT/BUDGET", help="Which budget, e.g. 4211/90071/55210.")]


@contextmanager
def tell_problems() -> Iterator[None]:
    """Print every problem to the error output and end with the exit code for it."""
    try:
        yield
    except ConfigurationBroken as broken:
        _print_problems(broken.problems)
    except (DatabaseBusy, DatabaseDown, KafkaDown, SchemaUnfit) as down:
        _print_problems((f"{type(down).__name__}: {down}",))


def _print_problems(problems: tuple[str, ...]) -> None:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    errors.print(f"{count}; nothing was started:", markup=False)
    for problem in problems:
        errors.print(f"  - {problem}", markup=False)
    raise typer.Exit(BROKEN)


async def find_story(settings: DatabaseSettings, key: BudgetKey) -> Story:
    """Find a budget's story; ends with exit code 1 where nothing is known of it."""
    connection = await connect(settings.database_url.get_secret_value())
    try:
        await check_schema(connection)
        story = await read_story(connection, key)
    finally:
        await close(connection, 1.0)
    if story is None:
        typer.echo(f"nothing is known of budget {key}", err=True)
        raise typer.Exit(ANSWER_IS_NO)
    return story


def make_console() -> Console:
    """Make the console for what a person reads; wide where it goes to a file or another program."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def set_scene(settings: ServerSettings) -> Scene:
    """Set the scene that the settings name."""
    return Scene(
        connect_kafka(settings),
        settings.database_url.get_secret_value(),
        settings.kafka_group_id,
        settings.topic_prefix,
    )


def read_key(text: str) -> BudgetKey:
    """Read a budget key as people write it."""
    parts = text.split("/")
    if len(parts) != len(BudgetKey._fields) or not all(part.isascii() and part.isdigit() for part in parts):
        message = f"{text!r} is no budget key; COMPANY/PROJECT/BUDGET is expected, such as 4211/90071/55210"
        raise typer.BadParameter(message)
    return BudgetKey(*map(int, parts))


def read_age(text: str) -> timedelta:
    """Read an age as people write it."""
    found = re.fullmatch(r"([0-9]{1,5})([dhms])", text)
    if not found:
        message = f"{text!r} is no age; a number of days, hours, minutes or seconds is expected, such as 400d or 12h"
        raise typer.BadParameter(message)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})

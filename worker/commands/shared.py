"""What the commands share: exit codes, how problems are told, how a budget is named and found."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.console import Console

from contracts.budget_key import BudgetKey, parse_budget_key
from outbox.database import DatabaseBusy, DatabaseDown
from outbox.deployment import BudgetRecord, read_story
from outbox.migrate import SchemaMismatch, open_checked_session
from worker.deployment import Deployment
from worker.durations import parse_duration
from worker.kafka.connection import connect_kafka
from worker.kafka.errors import KafkaDown
from worker.settings import ConfigurationError, DatabaseSettings, ServerSettings

ANSWER_IS_NO: Final = 1
BROKEN: Final = 2


Key = Annotated[str, typer.Argument(metavar="COMPANY/PROJECT/BUDGET", help="Which budget, e.g. 4211/90071/55210.")]


@contextmanager
def tell_problems() -> Iterator[None]:
    """Print every problem to the error output and end with the exit code for it."""
    try:
        yield
    except ConfigurationError as broken:
        _print_problems(broken.problems)
    except (DatabaseBusy, DatabaseDown, KafkaDown, SchemaMismatch) as down:
        _print_problems((f"{type(down).__name__}: {down}",))


def _print_problems(problems: tuple[str, ...]) -> None:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    errors.print(f"{count}; nothing was started:", markup=False)
    for problem in problems:
        errors.print(f"  - {problem}", markup=False)
    raise typer.Exit(BROKEN)


async def find_story(settings: DatabaseSettings, key: BudgetKey) -> BudgetRecord:
    """Find a budget's story; ends with exit code 1 where nothing is known of it."""
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        story = await read_story(connection, key)
    if story is None:
        typer.echo(f"nothing is known of budget {key}", err=True)
        raise typer.Exit(ANSWER_IS_NO)
    return story


def make_console() -> Console:
    """Make the console for what a person reads; wide where it goes to a file or another program."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def set_scene(settings: ServerSettings) -> Deployment:
    """Set the scene that the settings name."""
    return Deployment(
        connect_kafka(settings),
        settings.database_url.get_secret_value(),
        settings.kafka_group_id,
        settings.topics,
    )


def read_key(text: str) -> BudgetKey:
    """Read a budget key as people write it."""
    try:
        return parse_budget_key(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def read_age(text: str) -> timedelta:
    """Read an age as people write it."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

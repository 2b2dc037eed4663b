"""Ends commands that fail: prints why to the error output, and chooses the exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer

from outbox.database import DatabaseBusy, DatabaseDown
from outbox.rules import RulesUnavailable
from outbox.server import DatabaseUnfit
from worker.console import Console
from worker.database_errors import describe_database_error
from worker.kafka.errors import KafkaDown, MessageTooLarge, NotPermitted
from worker.kafka.server_errors import ServerDown
from worker.settings import ConfigurationError, DatabaseSettings, read_settings

ANSWER_IS_NO: Final = 1
"""The exit code when the command worked and the answer is no, such as an unknown budget."""
BROKEN: Final = 2
"""The exit code when the environment, the rules or a server keeps the command from working."""


@contextmanager
def report_problems() -> Iterator[None]:
    """Print every problem to the error output, worded as in ``doctor``, and end with exit code 2."""
    try:
        yield
    except ConfigurationError as broken:
        _print_problems(broken.problems)
    except (DatabaseBusy, RulesUnavailable, DatabaseUnfit) as unfit:
        _print_problems((str(unfit),))
    except DatabaseDown as down:
        url = read_settings(DatabaseSettings).database_url.get_secret_value()
        _print_problems((str(describe_database_error(url, down)),))
    except MessageTooLarge as large:
        _print_problems((str(large),))
    except ServerDown as down:
        _print_problems(tuple(map(str, down.problems)))
    except NotPermitted as refused:
        _print_problems((str(refused),))
    except KafkaDown as down:
        _print_problems((f"Kafka failed: {down}",))


def refuse(answer: str) -> NoReturn:
    """Print why the answer is no to the error output and end with exit code 1."""
    Console(stderr=True).print_line(answer)
    raise typer.Exit(ANSWER_IS_NO)


def _print_problems(problems: tuple[str, ...]) -> NoReturn:
    errors = Console(stderr=True)
    errors.print_line("1 problem:" if len(problems) == 1 else f"{len(problems)} problems:")
    for problem in problems:
        errors.print_line(f"  - {problem}")
    raise typer.Exit(BROKEN)

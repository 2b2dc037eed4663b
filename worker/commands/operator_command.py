"""Sends the message of an operator and waits for its verdict; shared by every command that acts on a budget."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from contracts.budget_key import BudgetKey
from outbox.budget_record import BudgetRecord, read_verdict
from outbox.migrate import open_checked_session
from worker.commands.arguments import read_key
from worker.commands.budget_record import read_known_budget
from worker.commands.operator_name import name_operator, read_operator_key, refuse_another_name
from worker.commands.problems import ANSWER_IS_NO, refuse, report_problems
from worker.console import Console
from worker.deployment import check_names, make_deployment
from worker.kafka.connection import connect_kafka
from worker.operator_messages import OperatorMessage, SentMessage, send_operator_message
from worker.settings import ServerSettings, read_settings

VERDICT_SECONDS: Final = 15.0

By = Annotated[
    str,
    typer.Option(
        default_factory=name_operator,
        callback=refuse_another_name,
        show_default=False,
        help="Your name; the history keeps it. Without OPERATOR_KEY_FILE it is asked for; with it, the key says it.",
    ),
]
Why = Annotated[str, typer.Option(prompt="Why", help="Your reason; the history keeps it.")]


def send_and_report(key: str, write: Callable[[BudgetKey, BudgetRecord], OperatorMessage]) -> None:
    """Send a message about a known budget and print its verdict; exit code 1 unless it is applied.

    Args:
        key: the budget, as on the command line.
        write: makes the message from the budget's record; may ask for confirmation.
    """
    with report_problems():
        settings = read_settings(ServerSettings)
        budget = read_key(key)
        # Another deployment may have topics with another prefix, and a budget with this key.
        asyncio.run(check_names(make_deployment(settings)))
        _send(settings, write(budget, asyncio.run(read_known_budget(settings, budget))))


def send_about_any_budget(message: OperatorMessage) -> None:
    """Send a message about a budget that need not be known yet and print its verdict, as ``send_and_report`` does."""
    with report_problems():
        settings = read_settings(ServerSettings)
        asyncio.run(check_names(make_deployment(settings)))
        _send(settings, message)


def _send(settings: ServerSettings, message: OperatorMessage) -> None:
    console, budget = Console(), message.key
    now = datetime.now(UTC)  # noqa: TID251 - when a person asked
    sending = send_operator_message(connect_kafka(settings), settings.topics, message, now, read_operator_key())
    sent = asyncio.run(sending)
    console.print_line(f"sent {message.type} {sent.id}")
    found = asyncio.run(_wait_for_verdict(settings, budget, sent))
    if found is None:
        refuse(f"no verdict within {VERDICT_SECONDS:.0f} s; is a worker running? `budget-bridge status {budget}`")
    verdict, detail = found
    console.print_line(f"{verdict}: {detail}")
    if verdict != "applied":
        raise typer.Exit(ANSWER_IS_NO)


def find_current_version(record: BudgetRecord) -> int:
    """Find the version that an operator means: the current one or, before there is one, that of the latest message."""
    if record.status:
        return record.status.budget_version
    # Not every message names one; without any, the lowest that there can be.
    return next((row.budget_version for row in reversed(record.history) if row.budget_version), 1)


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation unless ``--yes`` was given; end the command with exit code 1 if the answer is no."""
    if not yes and not typer.confirm(question):
        raise typer.Exit(ANSWER_IS_NO)


async def _wait_for_verdict(settings: ServerSettings, budget: BudgetKey, sent: SentMessage) -> tuple[str, str] | None:
    until = time.monotonic() + VERDICT_SECONDS
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        while time.monotonic() < until:
            if found := await read_verdict(connection, budget, *sent):
                return found
            await asyncio.sleep(0.2)
    return None

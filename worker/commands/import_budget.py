"""``budget-bridge import``: asks for an import, that is, for a budget as Spectrum holds it."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from contracts.fields import check_currency
from worker.commands.arguments import Key, read_key
from worker.commands.budget_record import read_known_budget
from worker.commands.operator_command import By, send_about_any_budget
from worker.commands.problems import report_problems
from worker.console import Console
from worker.operator_messages import make_import_request
from worker.reports.import_report import format_import
from worker.settings import DatabaseSettings, read_settings


def import_budget(
    key: Key,
    by: By,
    currency: Annotated[str, typer.Option(prompt="Currency", help="Of the job, such as USD.")],
    *,
    mode: Annotated[
        Literal["take", "link"],
        typer.Option(help="take: the project side gets the lines; link: it has them already, they are only adopted."),
    ] = "take",
    locked: Annotated[bool, typer.Option("--locked", help="The budget is locked on the project side.")] = False,
) -> None:
    """Ask, as an approver of the project, for the budget as Spectrum holds it; `status` shows how far the import is."""
    try:
        check_currency(currency)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    budget = read_key(key)
    now = datetime.now(UTC)  # noqa: TID251 - when a person asked
    send_about_any_budget(make_import_request(budget, by, mode, currency, at=now, unlocked=not locked))
    with report_problems():
        record = asyncio.run(read_known_budget(read_settings(DatabaseSettings), budget))
    for line in format_import(record.budget) if record.budget else ():
        Console().print_line(line.strip())

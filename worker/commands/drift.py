"""``budget-bridge drift``: the budgets whose figures in Spectrum differ, or one of them line by line."""

import asyncio
import json
from typing import Annotated

import typer

from worker.commands.arguments import AsJson, read_key
from worker.commands.budget_record import read_known_budget
from worker.commands.database import open_database
from worker.commands.problems import report_problems
from worker.console import Console
from worker.reports.drift_list import DriftList, print_drift_list, read_drift_list, write_drift_list
from worker.reports.drift_report import print_budget_drift, write_budget_drift
from worker.settings import DatabaseSettings, read_settings


def print_drift(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMPANY/PROJECT/BUDGET]",
            help="The budget, such as 4211/90071/55210; without it, all that differ.",
        ),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Without a budget: how many to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Print where Spectrum, as it was last read, differs from what was exported. Exit code 1 if KEY is unknown.

    Without a budget: those that differ, the worst first, then those of which nothing certain is known. With a budget:
    line by line what was expected and what was found, and who has kept it and why.
    """
    with report_problems():
        if key is None:
            _print_list(limit, as_json=as_json)
        else:
            _print_budget(key, as_json=as_json)


def _print_list(limit: int, *, as_json: bool) -> None:
    async def read() -> DriftList:
        async with open_database() as connection:
            return await read_drift_list(connection, limit)

    found = asyncio.run(read())
    if as_json:
        typer.echo(json.dumps(write_drift_list(found), indent=2))
    else:
        print_drift_list(found, Console())


def _print_budget(key: str, *, as_json: bool) -> None:
    record = asyncio.run(read_known_budget(read_settings(DatabaseSettings), read_key(key), 1))
    if as_json:
        typer.echo(json.dumps(write_budget_drift(record), indent=2))
    else:
        print_budget_drift(record, Console())

"""``budget-bridge status``: one budget, or an overview of all."""

import asyncio
import json
from typing import Annotated, Final, get_args
from uuid import UUID

import typer

from contracts.budget_key import BudgetKey
from contracts.outbound import StatusName
from worker.commands.arguments import AsJson, read_key
from worker.commands.budget_record import read_known_budget
from worker.commands.database import open_database
from worker.commands.problems import report_problems
from worker.console import Console
from worker.deployment import make_deployment
from worker.kafka.errors import KafkaDown
from worker.reports.budget_list import (
    BEFORE_ALL,
    BudgetPage,
    print_budget_page,
    read_budget_page,
    write_budget_page,
)
from worker.reports.budget_report import MOST_MESSAGES, print_budget, write_budget
from worker.reports.message_locations import Location, find_locations
from worker.reports.overview import print_overview, read_overview, write_overview
from worker.settings import ConfigurationError, DatabaseSettings, HttpSettings, ServerSettings, read_settings

_STATUSES: Final = (*get_args(StatusName), "ON_HOLD")


def print_status(  # noqa: PLR0913 - each is an option
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMPANY/PROJECT/BUDGET]", help="The budget, such as 4211/90071/55210; without it, all budgets."
        ),
    ] = None,
    *,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help=f"List the budgets with this status: {', '.join(_STATUSES)}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="With --status: how many budgets to list.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="KEY", help="With --status: list the budgets after this one.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Print every message of the budget, not only the latest {MOST_MESSAGES}.")
    ] = False,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT", help="The HTTP address of a worker to ask; repeatable.", show_default="HTTP_PORT here"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the status of a budget, whom it waits for, and its history. Exit code 1 if the budget is unknown.

    Without a budget: how many budgets have which status, which have waited longest for a person, and how far the lanes
    are behind. With --status: the budgets with that status and, for INVALID, what is wrong with them.
    """
    if status is not None and status.upper() not in _STATUSES:
        raise typer.BadParameter(f"{status!r} is not a status; the statuses are {', '.join(_STATUSES)}")
    if status is not None and key is not None:
        raise typer.BadParameter("give either a budget or --status")
    with report_problems():
        if status is not None:
            _print_page(status.upper(), read_key(after) if after else BEFORE_ALL, limit, as_json=as_json)
        elif key is None:
            _print_overview(worker or _list_local_workers(), as_json=as_json)
        else:
            _print_budget(key, None if everything else MOST_MESSAGES, as_json=as_json)


def _print_page(status: str, after: BudgetKey, limit: int, *, as_json: bool) -> None:
    async def read() -> BudgetPage:
        async with open_database() as connection:
            return await read_budget_page(connection, status, after, limit)

    page = asyncio.run(read())
    if as_json:
        typer.echo(json.dumps(write_budget_page(page), indent=2))
    else:
        print_budget_page(page, Console())


def _print_overview(workers: list[str], *, as_json: bool) -> None:
    overview = asyncio.run(read_overview(make_deployment(read_settings(ServerSettings)), workers))
    if as_json:
        typer.echo(json.dumps(write_overview(overview), indent=2))
    else:
        print_overview(overview, Console())


def _list_local_workers() -> list[str]:
    port = read_settings(HttpSettings).http_port
    return [f"127.0.0.1:{port}"] if port else []


def _print_budget(key: str, at_most: int | None, *, as_json: bool) -> None:
    record = asyncio.run(read_known_budget(read_settings(DatabaseSettings), read_key(key), at_most))
    locations: dict[UUID, Location] = {}
    try:
        locations = asyncio.run(find_locations(make_deployment(read_settings(ServerSettings)), record.sent))
    except (ConfigurationError, KafkaDown) as why:
        # The record is in the database; Kafka is asked only where its messages are.
        Console(stderr=True).print_line(f"it is not known where the messages are in Kafka: {why}")
    if as_json:
        typer.echo(json.dumps(write_budget(record, locations), indent=2))
    else:
        print_budget(record, locations, Console())

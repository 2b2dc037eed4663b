"""``budget-bridge status``: one budget, or an overview of all."""

import asyncio
import json
from typing import Annotated
from uuid import UUID

import typer

from worker.commands.arguments import AsJson, read_key
from worker.commands.budget_record import read_known_budget
from worker.commands.problems import report_problems
from worker.console import Console
from worker.deployment import make_deployment
from worker.kafka.errors import KafkaDown
from worker.reports.budget_report import print_budget, write_budget
from worker.reports.message_locations import Location, find_locations
from worker.reports.overview import print_overview, read_overview, write_overview
from worker.settings import ConfigurationError, DatabaseSettings, HttpSettings, ServerSettings, read_settings


def print_status(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMPANY/PROJECT/BUDGET]", help="The budget, such as 4211/90071/55210; without it, all budgets."
        ),
    ] = None,
    *,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT", help="The HTTP address of a worker to ask; repeatable.", show_default="HTTP_PORT here"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the status of a budget, whom it waits for, and its history. Exit code 1 if nothing is known of it.

    Without a budget: how many budgets have which status, which wait longest for a person, and how far the lanes are
    behind.
    """
    with report_problems():
        if key is None:
            _print_overview(worker or _list_local_workers(), as_json=as_json)
        else:
            _print_budget(key, as_json=as_json)


def _print_overview(workers: list[str], *, as_json: bool) -> None:
    overview = asyncio.run(read_overview(make_deployment(read_settings(ServerSettings)), workers))
    if as_json:
        typer.echo(json.dumps(write_overview(overview), indent=2))
    else:
        print_overview(overview, Console())


def _list_local_workers() -> list[str]:
    port = read_settings(HttpSettings).http_port
    return [f"127.0.0.1:{port}"] if port else []


def _print_budget(key: str, *, as_json: bool) -> None:
    record = asyncio.run(read_known_budget(read_settings(DatabaseSettings), read_key(key)))
    locations: dict[UUID, Location] = {}
    try:
        locations = asyncio.run(find_locations(make_deployment(read_settings(ServerSettings)), record.sent))
    except (ConfigurationError, KafkaDown) as why:
        # The database has the record; Kafka only knows where its messages are.
        Console(stderr=True).print_line(f"where the messages are in Kafka is not known: {why}")
    if as_json:
        typer.echo(json.dumps(write_budget(record, locations), indent=2))
    else:
        print_budget(record, locations, Console())

"""``budget-bridge status``: one budget, or all of them on one screen."""

import asyncio
import json
from typing import Annotated
from uuid import UUID

import typer

from worker.commands.shared import find_story, make_console, read_key, set_scene, tell_problems
from worker.kafka.errors import KafkaDown
from worker.reports.budget_report import show_story, write_story
from worker.reports.message_locations import Location, find_locations
from worker.reports.overview import look_over, show_overview, write_overview
from worker.settings import (
    ConfigurationError,
    DatabaseSettings,
    HttpSettings,
    ServerSettings,
    read_settings,
)


def show_status(
    key: Annotated[
        str | None,
        typer.Argument(metavar="COMPANY/PROJECT/BUDGET", help="Which budget, e.g. 4211/90071/55210; without it, all."),
    ] = None,
    *,
    worker: Annotated[
        list[str] | None,
        typer.Option(help="The HTTP address of a worker to ask how it is; repeatable.", show_default="HTTP_PORT here"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Where is this budget, since when, and why; its history. Exit code 1 if nothing is known of it.

    Without a budget: how many stand where, which wait longest for a person, and how far the lanes are behind.
    """
    console = make_console()
    with tell_problems():
        if key is None:
            port = read_settings(HttpSettings).http_port
            workers = worker or ([f"http://127.0.0.1:{port}"] if port else [])
            overview = asyncio.run(look_over(set_scene(read_settings(ServerSettings)), workers))
            if as_json:
                typer.echo(json.dumps(write_overview(overview), indent=2))
            else:
                show_overview(overview, console)
            return
        budget = read_key(key)
        story = asyncio.run(find_story(read_settings(DatabaseSettings), budget))
        places: dict[UUID, Location] = {}
        try:
            places = asyncio.run(find_locations(set_scene(read_settings(ServerSettings)), story.sent))
        except (ConfigurationError, KafkaDown) as why:
            # The database has the story; Kafka only knows where things stand.
            typer.echo(f"where in Kafka things stand is not known: {why}", err=True)
        if as_json:
            typer.echo(json.dumps(write_story(story, places), indent=2))
        else:
            show_story(story, places, console)

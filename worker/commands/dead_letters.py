"""``budget-bridge dead-letters``: lists and shows records that were set aside, and sends them back to their topic."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import typer

from contracts.fields import write_time
from contracts.records import Outgoing
from outbox.audit import Snapshot
from outbox.database import Connection
from outbox.dead_letters import (
    REASONS,
    DeadLetterCount,
    DeadLetterFilter,
    ListedDeadLetter,
    StoredDeadLetter,
    count_dead_letters,
    find_dead_letter,
    list_dead_letters,
    read_dead_letter,
)
from outbox.migrate import open_checked_session
from outbox.replay import REPLAYABLE, find_obstacle
from worker.commands.arguments import AsJson, Yes, read_key
from worker.commands.problems import ANSWER_IS_NO, refuse, report_problems
from worker.console import Console
from worker.kafka.connection import connect_kafka
from worker.kafka.errors import MessageTooLarge
from worker.kafka.producer import Appender
from worker.reports.dead_letter_report import print_dead_letter, print_dead_letters, write_dead_letters
from worker.settings import ServerSettings, read_settings

_REPORT_EVERY: Final = 100

dead_letters_app: Final = typer.Typer(
    no_args_is_help=True, help="List, print and replay records that could not be read or do not fit."
)

Id = Annotated[UUID, typer.Argument(metavar="ID", help="As `dead-letters list` prints it.")]
Reason = Annotated[str | None, typer.Option(help=f"Only those of this reason: {', '.join(REASONS)}.")]
Budget = Annotated[str | None, typer.Option(help="Only those of this budget: COMPANY/PROJECT/BUDGET.")]
Since = Annotated[datetime | None, typer.Option(help="Only those received since this time, UTC.")]


class Replayed(NamedTuple):
    """The result of sending dead letters back."""

    sent: int
    refused: tuple[str, ...]
    """One sentence for each that was not sent."""


@dead_letters_app.command("list")
def print_list(
    *,
    reason: Reason = None,
    budget: Budget = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, latest first, and count them by reason."""
    wanted = _read_filter(reason, budget, since)
    with report_problems():
        letters, counts = asyncio.run(_list_and_count(wanted, limit))
        if as_json:
            typer.echo(json.dumps(write_dead_letters(letters, counts), indent=2))
        else:
            print_dead_letters(letters, counts, Console())


@dead_letters_app.command("show")
def print_one(letter: Id, *, full: Annotated[bool, typer.Option("--full", help="Print every byte.")] = False) -> None:
    """Print one dead letter: what is wrong, where it was received, and its bytes, decoded as far as possible."""
    with report_problems():
        found = asyncio.run(_read(letter))
        if isinstance(found, str):
            refuse(found)
        print_dead_letter(found, Console(), full=full)


@dead_letters_app.command("replay")
def replay(
    letters: Annotated[
        list[UUID] | None, typer.Argument(metavar="[ID]...", help="As `dead-letters list` prints them.")
    ] = None,
    *,
    reason: Reason = None,
    budget: Budget = None,
    since: Since = None,
    yes: Yes = False,
) -> None:
    """Send dead letters back to their topics once the cause is fixed. Each is accepted once, however often it is sent.

    Takes ids, or every dead letter that the options select. Exit code 1 if one of them was not sent.
    """
    wanted = _read_filter(reason, budget, since)
    if bool(letters) == (wanted != DeadLetterFilter()):
        raise typer.BadParameter("give either ids, or --reason, --budget or --since")
    with report_problems():
        places: dict[UUID, tuple[int, int] | None] = dict.fromkeys(letters or ())
        if not letters:
            places = {one.id: one.inbox for one in asyncio.run(_list(wanted)) if one.reason in REPLAYABLE}
            if places and not yes and not typer.confirm(f"Send {len(places)} dead letters back?", err=True):
                raise typer.Exit(ANSWER_IS_NO)
        replayed = asyncio.run(_replay(places))
        errors = Console(stderr=True)
        for why in replayed.refused:
            errors.print_line(why)
        Console().print_line(
            f"sent {replayed.sent} of {len(places)} back; those that still cannot be read become new dead letters"
        )
        if replayed.refused or not places:
            raise typer.Exit(ANSWER_IS_NO)


def _read_filter(reason: str | None, budget: str | None, since: datetime | None) -> DeadLetterFilter:
    if reason is not None and reason not in REASONS:
        raise typer.BadParameter(f"{reason!r} is not a reason; the reasons are {', '.join(REASONS)}")
    return DeadLetterFilter(
        reason, since.replace(tzinfo=since.tzinfo or UTC) if since else None, read_key(budget) if budget else None
    )


async def _list_and_count(
    wanted: DeadLetterFilter, limit: int
) -> tuple[Sequence[ListedDeadLetter], Sequence[DeadLetterCount]]:
    settings = read_settings(ServerSettings)
    topic = settings.topics.dead_letters
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        counts = await count_dead_letters(connection, topic, wanted)
        return await list_dead_letters(connection, topic, wanted, limit), counts


async def _list(wanted: DeadLetterFilter) -> Sequence[ListedDeadLetter]:
    settings = read_settings(ServerSettings)
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        return await list_dead_letters(connection, settings.topics.dead_letters, wanted, None)


async def _read(letter: UUID) -> StoredDeadLetter | str:
    settings = read_settings(ServerSettings)
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        return await _read_one(connection, settings.topics.dead_letters, letter, None)


async def _read_one(
    connection: Connection, topic: str, letter: UUID, inbox: tuple[int, int] | None
) -> StoredDeadLetter | str:
    """Read a dead letter, or describe why there is none."""
    place = inbox or await find_dead_letter(connection, topic, letter)
    if place and (found := await read_dead_letter(connection, topic, letter, place)):
        return found
    before = await Snapshot(connection).read_pruned_before()
    return f"there is no dead letter {letter}" + (
        f"; those received before {write_time(before)} are pruned" if before else ""
    )


async def _replay(places: Mapping[UUID, tuple[int, int] | None]) -> Replayed:
    """Send dead letters back one by one, so that only one is in memory, however many there are.

    Args:
        places: their ids, each with its place in the inbox if that is known.
    """
    settings = read_settings(ServerSettings)
    appender = Appender(connect_kafka(settings))
    errors, sent, refused = Console(stderr=True), 0, []
    try:
        async with open_checked_session(settings.database_url.get_secret_value()) as connection:
            for letter, inbox in places.items():
                found = await _read_one(connection, settings.topics.dead_letters, letter, inbox)
                if isinstance(found, str):
                    refused.append(found)
                elif why := find_obstacle(found, settings.topics.sources):
                    refused.append(f"{letter}: {why}")
                else:
                    topic = found.listed.origin.topic
                    try:
                        await appender.append([Outgoing(topic, found.key, found.value, found.headers)])
                    except MessageTooLarge as large:
                        # The others are still sent.
                        refused.append(f"{letter}: {large}")
                        continue
                    sent += 1
                    if sent % _REPORT_EVERY == 0:
                        errors.print_line(f"sent {sent} of {len(places)}")
    finally:
        await appender.close(2.0)
    return Replayed(sent, tuple(refused))

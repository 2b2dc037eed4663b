"""``budget-bridge dead-letters``: lists and shows records that were set aside, and sends them back to their topic."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import typer

from contracts.fields import write_time
from contracts.records import Outgoing
from outbox.audit import Snapshot
from outbox.database import open_session
from outbox.dead_letters import SetAside, Wanted, read_dead_letters
from outbox.migrate import open_checked_session
from worker.commands.arguments import AsJson, read_key
from worker.commands.problems import refuse, report_problems
from worker.console import Console
from worker.kafka.connection import connect_kafka
from worker.kafka.producer import Appender
from worker.settings import ServerSettings, read_settings

_SHOWN_BYTES: Final = 4000
_WITHOUT_IDENTITY: Final = frozenset({"unreadable", "unknown_type"})
"""The reasons for which a record has not used up the id that it carries, so that it can be admitted later."""

dead_letters_app: Final = typer.Typer(no_args_is_help=True, help="Records that could not be read or do not fit.")

Id = Annotated[UUID, typer.Argument(metavar="ID", help="As `dead-letters list` prints it.")]


@dead_letters_app.command("list")
def list_dead_letters(
    *,
    reason: Annotated[str | None, typer.Option(help="Only those of this reason, such as unreadable.")] = None,
    budget: Annotated[str | None, typer.Option(help="Only those of this budget: COMPANY/PROJECT/BUDGET.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only those that came in since this time, UTC.")] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, latest first."""
    with report_problems():
        wanted = Wanted(
            since=since.replace(tzinfo=since.tzinfo or UTC) if since else None,
            budget=read_key(budget) if budget else None,
        )
        found = [one for one in asyncio.run(_read(wanted)) if reason in {None, one.reason}]
        if as_json:
            typer.echo(json.dumps([_write(one) for one in found], indent=2))
        elif found:
            rows = [(str(one.id), write_time(one.at), one.reason, one.detail) for one in found]
            Console().print_table(("id", "at", "reason", "detail"), rows)
        else:
            Console().print_line("there are no dead letters")


@dead_letters_app.command("show")
def show_dead_letter(letter: Id) -> None:
    """Show one dead letter: what is wrong, where it came in, and its bytes, decoded as far as possible."""
    with report_problems():
        one = _find(letter)
        console = Console()
        topic, partition, offset = one.origin
        console.print_line(f"{one.reason}: {one.detail}", style="bold")
        console.print_line(f"came in at {write_time(one.at)} on {topic}, partition {partition}, offset {offset}")
        console.print_line(f"in the inbox at partition {one.inbox[0]}, offset {one.inbox[1]}")
        if one.budget:
            console.print_line(f"budget {one.budget}, message {one.message_id}")
        console.print_line(f"key: {_decode(one.key)}")
        for name, value in one.headers:
            console.print_line(f"header {name}: {_decode(value)}")
        console.print_line(f"value, {len(one.value or b'')} bytes:")
        console.print_text(_decode(one.value))


@dead_letters_app.command("replay")
def replay_dead_letter(letter: Id) -> None:
    """Send a dead letter back to its topic once its cause is gone; it is admitted once, however often you do this."""
    with report_problems():
        one = _find(letter)
        if one.reason not in _WITHOUT_IDENTITY:
            refuse(
                f"message {one.message_id} was read and decided ({one.reason}): the same message again would be a "
                f"repeat. Have it sent again under a new id."
            )
        asyncio.run(_append(Outgoing(one.origin.topic, one.key, one.value, one.headers)))
        Console().print_line(f"sent to {one.origin.topic}; if it still cannot be read, it becomes a new dead letter")


def _find(letter: UUID) -> SetAside:
    found = asyncio.run(_read(Wanted(id=letter)))
    if not found:
        before = asyncio.run(_read_pruned_before())
        pruned = f"; those that came in before {write_time(before)} are pruned" if before else ""
        refuse(f"there is no dead letter {letter}{pruned}")
    return found[0]


async def _read(wanted: Wanted) -> list[SetAside]:
    settings = read_settings(ServerSettings)
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        return await read_dead_letters(connection, settings.topics.dead_letters, wanted)


async def _read_pruned_before() -> datetime | None:
    async with open_session(read_settings(ServerSettings).database_url.get_secret_value()) as connection:
        return await Snapshot(connection).read_pruned_before()


async def _append(record: Outgoing) -> None:
    appender = Appender(connect_kafka(read_settings(ServerSettings)))
    try:
        await appender.append([record])
    finally:
        await appender.close(2.0)


def _decode(value: bytes | None) -> str:
    """Decode bytes as JSON or as text, or write them in hexadecimal."""
    if value is None:
        return "null"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value[:_SHOWN_BYTES].hex(" ") + (" …" if len(value) > _SHOWN_BYTES else "")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    more = len(text) - _SHOWN_BYTES
    return text[:_SHOWN_BYTES] + (f"\n… and {more} more characters" if more > 0 else "")


def _write(one: SetAside) -> dict[str, object]:
    return {
        "id": str(one.id),
        "at": write_time(one.at),
        "reason": one.reason,
        "detail": one.detail,
        "budget": one.budget._asdict() if one.budget else None,
        "message_id": one.message_id,
        "origin": one.origin._asdict(),
    }

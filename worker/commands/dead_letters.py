"""The commands for what was set aside: list it, look at one, send one back to where it came from."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from contracts.fields import write_time
from contracts.records import Outgoing
from outbox.audit import Snapshot
from outbox.database import open_session
from outbox.dead_letters import SetAside, Wanted, read_dead_letters
from outbox.migrate import open_checked_session
from worker.commands.shared import ANSWER_IS_NO, read_key, tell_problems
from worker.kafka.connection import connect_kafka
from worker.kafka.producer import Appender
from worker.settings import ServerSettings, read_settings

_SHOWN_BYTES: Final = 4000
_WITHOUT_IDENTITY: Final = frozenset({"unreadable", "unknown_type"})
"""The reasons for which a record has not used up the id that it carries, so that it can be admitted later."""

dead_letters_app: Final = typer.Typer(no_args_is_help=True, help="What could not be read or does not fit.")

Id = Annotated[UUID, typer.Argument(metavar="ID", help="As `dead-letters list` shows it.")]


@dead_letters_app.command("list")
def list_them(
    *,
    reason: Annotated[str | None, typer.Option(help="Only of this reason, such as unreadable.")] = None,
    budget: Annotated[str | None, typer.Option(help="Only of this budget: COMPANY/PROJECT/BUDGET.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only what came in since, UTC.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List what was set aside, latest first."""
    with tell_problems():
        wanted = Wanted(
            since=since.replace(tzinfo=since.tzinfo or UTC) if since else None,
            budget=read_key(budget) if budget else None,
        )
        found = [one for one in asyncio.run(_read(wanted)) if reason in {None, one.reason}]
        if as_json:
            typer.echo(json.dumps([_write(one) for one in found], indent=2))
            return
        table = Table("id", "at", "reason", "what is wrong", box=None)
        for one in found:
            table.add_row(str(one.id), write_time(one.at), one.reason, one.detail)
        Console(highlight=False, soft_wrap=True).print(table if found else "nothing was set aside")


@dead_letters_app.command("show")
def show_one(letter: Id) -> None:
    """Show one: what is wrong, where it came in, and its bytes, decoded as far as possible."""
    with tell_problems():
        one = _find(letter)
        console = Console(highlight=False, soft_wrap=True)
        topic, partition, offset = one.origin
        console.print(f"{one.reason}: {one.detail}", style="bold", markup=False)
        console.print(f"came in at {write_time(one.at)} on {topic}, partition {partition}, offset {offset}")
        console.print(f"stands in the inbox at partition {one.inbox[0]}, offset {one.inbox[1]}")
        if one.budget:
            console.print(f"budget {one.budget}, message {one.message_id}")
        console.print(f"key: {_decode(one.key)}", markup=False)
        for name, value in one.headers:
            console.print(f"header {name}: {_decode(value)}", markup=False)
        console.print(f"value, {len(one.value or b'')} bytes:", markup=False)
        console.print(_decode(one.value), markup=False)


@dead_letters_app.command("replay")
def replay_one(letter: Id) -> None:
    """Send one back to its topic as it came, once its cause is gone: it is admitted once, however often you do this."""
    with tell_problems():
        one = _find(letter)
        if one.reason not in _WITHOUT_IDENTITY:
            typer.echo(
                f"message {one.message_id} was read and decided ({one.reason}): the same message again would be a "
                f"repeat. Have it sent again under a new id.",
                err=True,
            )
            raise typer.Exit(ANSWER_IS_NO)
        asyncio.run(_append(Outgoing(one.origin.topic, one.key, one.value, one.headers)))
        typer.echo(f"sent to {one.origin.topic}; if it still cannot be read, it becomes a new dead letter")


def _find(letter: UUID) -> SetAside:
    found = asyncio.run(_read(Wanted(id=letter)))
    if not found:
        before = asyncio.run(_read_pruned_before())
        pruned = f"; those that came in before {write_time(before)} are pruned" if before else ""
        typer.echo(f"there is no dead letter {letter}{pruned}", err=True)
        raise typer.Exit(ANSWER_IS_NO)
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
    """Show bytes as JSON, as text, or as they are."""
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

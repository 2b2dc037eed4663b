"""Brings the schema up to date by numbered migrations, forward only; any number of processes may do so at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Final

from outbox.database import Connection, open_session, translate_errors
from outbox.server import DatabaseUnfit, check_server

# Any number that nothing else uses for an advisory lock in this database.
_LOCK: Final = 4_211_90_071


class SchemaMismatch(DatabaseUnfit):
    """The schema is older or newer than this program needs; the message names both versions and what to do."""


def list_migrations() -> dict[int, str]:
    """List the names of the migrations by number."""
    names = (entry.name for entry in (files(__package__) / "migrations").iterdir())
    return {int(name.partition("_")[0]): name for name in sorted(names) if name.endswith(".sql")}


async def migrate(connection: Connection) -> list[str]:
    """Apply the missing migrations, each in a transaction of its own.

    Returns:
        The names of the migrations that were applied.

    Raises:
        DatabaseUnfit: this program cannot work with the server; nothing was applied.
        SchemaMismatch: the schema belongs to a newer version of this program.
    """
    applied: list[str] = []
    await check_server(connection)
    async with translate_errors(connection):
        await connection.execute("set transaction_timeout = 0")
        # Other migrators queue here. Postgres releases the lock when its session ends, also when its process dies.
        await connection.execute("select pg_advisory_lock($1)", _LOCK, timeout=600)
        try:
            await connection.execute(
                "create table if not exists migrations ("
                "number integer primary key, name text not null, applied_at timestamptz not null default now())"
            )
            for number, name in list_migrations().items():
                if await _apply(connection, number, name):
                    applied.append(name)
        finally:
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)
            await connection.execute("reset transaction_timeout")
    await check_schema(connection)
    return applied


async def check_schema(connection: Connection) -> None:
    """Check that the schema is the one that this program needs.

    Raises:
        SchemaMismatch: it is older or newer.
    """
    async with translate_errors(connection):
        applied: set[int] = set()
        # With its schema, because a role that may not use that is refused, rather than told that there is no table.
        if await connection.fetchval("select to_regclass('public.migrations')") is not None:
            applied = {row["number"] for row in await connection.fetch("select number from migrations")}
    known = list_migrations().keys()
    there, newest = max(applied, default=0), max(known)
    if there > newest:
        message = f"the database has schema {there}, this program only knows {newest}: use a newer budget-bridge"
        raise SchemaMismatch(message)
    if there < newest:
        message = f"the database has schema {there}, this program needs {newest}: run `budget-bridge migrate`"
        raise SchemaMismatch(message)
    if missing := sorted(known - applied):
        message = f"the database lacks migration {', '.join(map(str, missing))}: run `budget-bridge migrate`"
        raise SchemaMismatch(message)


@asynccontextmanager
async def open_checked_session(url: str) -> AsyncIterator[Connection]:
    """Open a session, and check that this program can work with the server and with the schema.

    Raises:
        DatabaseDown: there is no session.
        DatabaseUnfit: this program cannot work with the server.
        SchemaMismatch: the schema belongs to another version of this program.
    """
    async with open_session(url) as connection:
        await check_server(connection)
        await check_schema(connection)
        yield connection


async def _apply(connection: Connection, number: int, name: str) -> bool:
    if await connection.fetchval("select 1 from migrations where number = $1", number):
        return False
    async with connection.transaction():
        await connection.execute((files(__package__) / "migrations" / name).read_text(), timeout=3600)
        await connection.execute("insert into migrations (number, name) values ($1, $2)", number, name)
    return True

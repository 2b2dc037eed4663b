"""Checks that the server, the database and the role are as this program needs them."""

from datetime import datetime
from typing import Final, NamedTuple

from outbox.database import OLDEST_VERSION, SEARCH_PATH, Connection, translate_errors
from outbox.missing_rights import RoleRights, read_role_rights
from outbox.queries import QUERIES

_ENCODING: Final = "UTF8"


class DatabaseUnfit(Exception):  # noqa: N818 - a state of the database, not a fault of the program
    """This program cannot work with the server, the session or the schema; the message says what to do."""


class DatabaseState(NamedTuple):
    """What the server reports about itself, and how this session is set up."""

    version: str
    major: int
    is_standby: bool
    is_read_only: bool
    now: datetime
    connections_left: int
    encoding: str
    transaction_timeout: str
    search_path: str
    is_durable: bool
    """Whether what was committed survives a power cut: ``fsync`` and ``full_page_writes`` are on."""


async def read_server(connection: Connection) -> DatabaseState:
    """Read what the server reports about itself and about this session."""
    async with translate_errors(connection):
        [row] = await connection.fetch(QUERIES["read_server"])
    return DatabaseState(*row)


def list_server_problems(state: DatabaseState) -> list[str]:
    """List the reasons why this program cannot work with a server, each with what to do.

    A server that accepts no writes is not among them, because it may accept them later.
    """
    problems = []
    if state.major < OLDEST_VERSION:
        problems.append(f"PostgreSQL {state.version} is too old: use PostgreSQL {OLDEST_VERSION} or later")
    if state.encoding != _ENCODING:
        problems.append(f"the database has encoding {state.encoding}: create it with encoding {_ENCODING}")
    if state.transaction_timeout == "0" or state.search_path != SEARCH_PATH:
        problems.append(
            "the session lacks the settings that were requested, as happens behind a pooler that drops them: "
            "let DATABASE_URL name the server itself"
        )
    return problems


async def check_server(connection: Connection) -> None:
    """Check that this program can work with the server.

    Raises:
        DatabaseUnfit: it cannot; the message lists all problems.
    """
    if problems := list_server_problems(await read_server(connection)):
        raise DatabaseUnfit("; ".join(problems))


async def read_rights(connection: Connection) -> RoleRights:
    """Read which rights the role of this session lacks."""
    async with translate_errors(connection):
        return await read_role_rights(connection)

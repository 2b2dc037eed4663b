"""Opens sessions on Postgres, with their time limits, and turns errors into exceptions that the worker acts on."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import asyncpg

from outbox.database_url import DatabaseUrlError, check_tls_files, parse_database_url
from outbox.missing_rights import explain_refusal
from outbox.sqlstates import describe_error, is_refusal, is_wrong_data

Connection = asyncpg.Connection

TRANSACTION_SECONDS: Final = 6
"""A worker that is frozen inside a transaction blocks its successor no longer than this.

Shorter than the session timeout of the group, so the transaction is over before a successor starts."""

CONNECT_SECONDS: Final = 5.0
NEXT_HOST_SECONDS: Final = 1.0
"""How long a host of several in ``DATABASE_URL`` is waited for alone, before the next is tried at the same time."""

CLOSE_SECONDS: Final = 1.0
ROLLBACK_SECONDS: Final = 1.0
EXPLAIN_SECONDS: Final = 1.0
"""How long it may take to find out which right is missing."""

SEARCH_PATH: Final = "public, pg_temp"
"""Where our tables are. The schema named after the role is left out: others may have tables of the same names there."""

OLDEST_VERSION: Final = 17
"""The first PostgreSQL with ``transaction_timeout``, which lanes rely on."""

# What asyncpg raises for wrong calls and for its own bugs.
_CLIENT_ERRORS: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_ERRORS: Final = (asyncpg.PostgresError, *_CLIENT_ERRORS, OSError, TimeoutError)


class DatabaseDown(Exception):  # noqa: N818 - a state of the world, not a fault of the program
    """The database does not answer, or accepts nothing at present; the outcome of a commit is unknown."""


class DatabaseRefused(DatabaseDown):
    """The server answers, but refuses the role, its password, its database, or what the role wants to do."""


class RightMissing(DatabaseRefused):
    """The role lacks a right; ``found`` names it, and ``to_do`` says how to grant it."""

    def __init__(self, found: str, to_do: str) -> None:
        super().__init__(f"{found}: {to_do}")
        self.found = found
        self.to_do = to_do


class DataRefusedError(Exception):
    """Postgres refuses a value or a row, and always will: this data is wrong."""


class DatabaseMisusedError(Exception):
    """The driver refuses a call on a working session: a bug of this program."""


class DatabaseBusy(Exception):  # noqa: N818 - a state of the world, not a fault of the program
    """Another command is running, and this one must not run at the same time."""


@asynccontextmanager
async def translate_errors(connection: Connection) -> AsyncIterator[None]:
    """Turn errors of Postgres and its driver into those that the worker acts on.

    Raises:
        DataRefusedError: this data is wrong.
        DatabaseRefused: the role may not do this.
        DatabaseMisusedError: the session works, but the call is wrong.
        DatabaseDown: anything else.
    """
    try:
        yield
    except _ERRORS as error:
        said = describe_error(error)
        if is_wrong_data(error):
            message = f"Postgres refuses the data: {said}"
            raise DataRefusedError(message) from error
        if is_refusal(error):
            # Which right it was is asked when the session ends: a transaction that has failed answers nothing.
            message = f"Postgres refuses this role: {said}: grant it the right, or correct DATABASE_URL"
            raise DatabaseRefused(message) from error
        if isinstance(error, _CLIENT_ERRORS) and not connection.is_closed():
            message = f"the database driver refuses a call: {said}"
            raise DatabaseMisusedError(message) from error
        raise DatabaseDown(said) from error


async def connect(url: str, transaction_seconds: float | None = TRANSACTION_SECONDS) -> Connection:
    """Open a session for one lane or command.

    Args:
        url: where the database is, as a URL of libpq's.
        transaction_seconds: how long a transaction may take, in seconds. ``None`` sets no limit, and is only for
            transactions that nobody waits for.

    Raises:
        DatabaseRefused: the server refuses the role, its password or its database, or the URL cannot be used.
        DatabaseDown: there is no session for another reason.
    """
    try:
        address = parse_database_url(url)
    except DatabaseUrlError as error:
        message = f"DATABASE_URL: {error}"
        raise DatabaseRefused(message) from error
    attempts = [
        partial(_connect_to, one, server, address.connect_seconds or CONNECT_SECONDS, transaction_seconds)
        for one, server in zip(address.urls, address.servers, strict=True)
    ]
    try:
        return await _race(attempts, NEXT_HOST_SECONDS)
    except DatabaseDown:
        try:
            check_tls_files(address, {})
        except DatabaseUrlError as broken:
            message = f"DATABASE_URL: {broken}"
            raise DatabaseRefused(message) from broken
        raise


async def _connect_to(url: str, server: str, seconds: float, transaction_seconds: float | None) -> Connection:
    """Open a session on one host; raises ``DatabaseDown``."""
    try:
        session = await asyncpg.connect(
            url,
            timeout=seconds,
            command_timeout=None if transaction_seconds is None else transaction_seconds + 2,
            server_settings=_set_up(transaction_seconds),
        )
    except _ERRORS as error:
        raise _describe_no_session(server, error) from error
    except ValueError as error:
        # urllib accepts the URL and asyncpg does not; the text of the error may hold the password.
        message = f"DATABASE_URL for {server} cannot be used: {type(error).__name__}"
        raise DatabaseRefused(message) from None
    _let_copy_never_wait(session)
    return session


def _let_copy_never_wait(session: Any) -> None:
    """Buffer whatever is written, as for other statements; what a COPY writes is in memory already.

    Where a COPY waits until it may write, asyncpg waits without a limit, and even after the connection is lost.
    """
    session._transport.set_write_buffer_limits(high=sys.maxsize)  # noqa: SLF001 - there is no other way to it


async def _race(attempts: Sequence[Callable[[], Coroutine[Any, Any, Connection]]], head_start: float) -> Connection:
    """Open a session on the first host that answers. Each has a head start of some seconds before the next.

    Raises:
        DatabaseDown: none answers; the error of the host, or one with the problem of each.
    """
    waiting: set[asyncio.Task[Connection]] = set()
    started: list[asyncio.Task[Connection]] = []
    try:
        for attempt in attempts:
            started.append(asyncio.create_task(attempt()))
            done, waiting = await asyncio.wait(
                {*waiting, started[-1]}, timeout=head_start, return_when=asyncio.FIRST_COMPLETED
            )
            if session := _take_one(done):
                return session
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if session := _take_one(done):
                return session
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)
    problems = [error for task in started if (error := task.exception())]
    if len(problems) == 1 or not all(isinstance(error, DatabaseDown) for error in problems):
        raise problems[0]
    kind = DatabaseRefused if all(isinstance(error, DatabaseRefused) for error in problems) else DatabaseDown
    raise kind("; ".join(map(str, problems)))


def _take_one(done: Iterable[asyncio.Task[Connection]]) -> Connection | None:
    """Take one of the sessions that were opened, if any, and drop the others."""
    sessions = [task.result() for task in done if not task.exception()]
    for other in sessions[1:]:
        other.terminate()
    return sessions[0] if sessions else None


def _set_up(transaction_seconds: float | None) -> dict[str, str]:
    """List every setting that this program relies on, whatever the defaults of server, database and role are."""
    return {
        "application_name": "budget-bridge",
        "search_path": SEARCH_PATH,
        "transaction_timeout": f"{transaction_seconds or 0}s",
        # A shorter limit set elsewhere would end statements that are within ours.
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        # What was published after a commit must survive a power cut.
        "synchronous_commit": "on",
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        "standard_conforming_strings": "on",
        "timezone": "UTC",
    }


def _describe_no_session(server: str, error: BaseException) -> DatabaseDown:
    said = describe_error(error)
    if isinstance(error, asyncpg.UndefinedObjectError) and "transaction_timeout" in said:
        return DatabaseRefused(f"Postgres at {server} is too old: PostgreSQL {OLDEST_VERSION} or later is needed")
    if is_refusal(error) or isinstance(error, asyncpg.ClientConfigurationError):
        what = "the user or password" if isinstance(error, asyncpg.InvalidPasswordError) else "the connection"
        return DatabaseRefused(f"Postgres at {server} refuses {what}: {said}: correct DATABASE_URL")
    if isinstance(error, ssl.SSLError):
        return DatabaseDown(f"no TLS connection to Postgres at {server}: {said}: check sslmode and sslrootcert")
    if isinstance(error, asyncpg.PostgresError):
        return DatabaseDown(f"Postgres at {server} does not accept a connection: {said}")
    return DatabaseDown(f"Postgres at {server} does not answer: {said}: start it, or correct DATABASE_URL")


@asynccontextmanager
async def open_session(url: str, transaction_seconds: float | None = TRANSACTION_SECONDS) -> AsyncIterator[Connection]:
    """Open a session, and close it at the end; takes and raises what ``connect`` does.

    Raises:
        RightMissing: the role may not do something that was done with the session.
    """
    connection = await connect(url, transaction_seconds)
    try:
        yield connection
    except DatabaseDown as down:
        raise await _name_right(connection, down) from down.__cause__
    finally:
        await close(connection, CLOSE_SECONDS)


async def _name_right(connection: Connection, down: DatabaseDown) -> DatabaseDown:
    """Name the right that is missing, if that is why; the session is not used for anything else afterwards."""
    refused = down.__cause__
    if not isinstance(refused, (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError)):
        return down
    try:
        async with asyncio.timeout(EXPLAIN_SECONDS):
            if connection.is_in_transaction():
                await connection.execute("rollback")
            explained = await explain_refusal(connection, refused)
    except _ERRORS:
        return down
    return RightMissing(*explained) if explained else down


@asynccontextmanager
async def open_frozen_session(url: str) -> AsyncIterator[Connection]:
    """Open a session that sees the database as of now and only reads, for as long as it takes.

    Raises what ``connect`` does.
    """
    async with open_session(url, transaction_seconds=None) as connection:
        async with translate_errors(connection):
            await connection.execute("begin isolation level repeatable read, read only")
        yield connection


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """Run one transaction: committed if nothing is raised inside, else rolled back.

    A session that cannot be rolled back at once, or whose caller is stopped, is dropped: Postgres then rolls back by
    itself, and whoever uses the session again gets an error.
    """
    try:
        await connection.execute("begin")
        yield
        ended = await connection.execute("commit")
    except Exception:
        await _roll_back(connection)
        raise
    except BaseException:
        connection.terminate()
        raise
    if ended != "COMMIT":
        # Postgres answers the commit of a failed transaction with a rollback, without an error.
        message = f"the transaction ended with {ended}"
        raise DatabaseDown(message)


async def _roll_back(connection: Connection) -> None:
    try:
        # Not by a time limit of its own: before that begins, asyncpg waits until a cancelled statement has ended.
        async with asyncio.timeout(ROLLBACK_SECONDS):
            await connection.execute("rollback")
    except _ERRORS:
        # The error that led here says more.
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise


async def close(connection: Connection, within: float) -> None:
    """Close a session; drop the connection if that takes longer than ``within`` seconds."""
    try:
        await connection.close(timeout=within)
    except _ERRORS:
        connection.terminate()

"""Opens sessions on Postgres, with their time limits, and turns errors into exceptions that the worker acts on."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from outbox.database_url import DatabaseUrlError, parse_database_url
from outbox.sqlstates import describe_error, is_refusal, is_wrong_data

Connection = asyncpg.Connection

TRANSACTION_SECONDS: Final = 6
"""A worker that is frozen inside a transaction blocks its successor no longer than this.

Shorter than the session timeout of the group, so the transaction is over before a successor starts."""

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0

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
    try:
        return await asyncpg.connect(
            address.url,
            timeout=address.connect_seconds or CONNECT_SECONDS,
            command_timeout=None if transaction_seconds is None else transaction_seconds + 2,
            server_settings=_set_up(transaction_seconds),
        )
    except _ERRORS as error:
        raise _describe_no_session(address.server, error) from error
    except ValueError as error:
        # urllib accepts the URL and asyncpg does not; the text of the error may hold the password.
        message = f"DATABASE_URL for {address.server} cannot be used: {type(error).__name__}"
        raise DatabaseRefused(message) from None


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
    """Open a session, and close it at the end; takes and raises what ``connect`` does."""
    connection = await connect(url, transaction_seconds)
    try:
        yield connection
    finally:
        await close(connection, CLOSE_SECONDS)


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """Run one transaction, which is committed if nothing is raised inside and rolled back otherwise.

    Raises:
        DatabaseDown: Postgres rolled the transaction back instead of committing it.
    """
    await connection.execute("begin")
    try:
        yield
        ended = await connection.execute("commit")
    except BaseException:
        if not connection.is_closed():
            await connection.execute("rollback")
        raise
    if ended != "COMMIT":
        # Postgres answers the commit of a failed transaction with a rollback, without an error.
        message = f"the transaction ended with {ended}"
        raise DatabaseDown(message)


async def close(connection: Connection, within: float) -> None:
    """Close a session; drop the connection if that takes longer than ``within`` seconds."""
    try:
        await connection.close(timeout=within)
    except _ERRORS:
        connection.terminate()

"""Connections to Postgres, and what can go wrong with them in words that the worker acts on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

Connection = asyncpg.Connection

TRANSACTION_SECONDS: Final = 6
"""A worker stopped inside a transaction blocks its successor no longer than this; below the group's session timeout."""

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0

OLDEST_VERSION: Final = 17
"""The first PostgreSQL that ends a transaction by itself (``transaction_timeout``), which a lane relies on."""

# Everything that says "the world is down", nothing that says "this data is wrong".
_DOWN: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
    OSError,
    TimeoutError,
)


class DatabaseDown(Exception):  # noqa: N818 - a state of the world, not a fault of the program
    """The database does not answer, or cannot take anything now; whether a commit came through is not known."""


class DatabaseBusy(Exception):  # noqa: N818 - a state of the world, not a fault of the program
    """Somebody does something meanwhile that must not go on beside this."""


@asynccontextmanager
async def tell_outages() -> AsyncIterator[None]:
    """Turn whatever says that the database is away into ``DatabaseDown``."""
    try:
        yield
    except _DOWN as error:
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        raise DatabaseDown(message) from error


async def connect(url: str, transaction_seconds: float | None = TRANSACTION_SECONDS) -> Connection:
    """Open a session for one lane or command; raises ``DatabaseDown``.

    Only what nobody waits for takes longer in a transaction than the default: ``None`` is without limit.
    """
    async with tell_outages():
        try:
            return await asyncpg.connect(
                url,
                timeout=CONNECT_SECONDS,
                command_timeout=None if transaction_seconds is None else transaction_seconds + 2,
                server_settings={
                    "application_name": "budget-bridge",
                    "transaction_timeout": f"{transaction_seconds or 0}s",
                    # What Kafka is told after a commit must be there after a power cut, whatever the server's default.
                    "synchronous_commit": "on",
                    "timezone": "UTC",
                },
            )
        except asyncpg.UndefinedObjectError as error:
            message = f"PostgreSQL {OLDEST_VERSION} or later is needed: {error}"
            raise DatabaseDown(message) from error


@asynccontextmanager
async def open_session(url: str, transaction_seconds: float | None = TRANSACTION_SECONDS) -> AsyncIterator[Connection]:
    """Open a session and close it again when this ends; raises ``DatabaseDown``.

    Args:
        url: where the database is, as libpq writes it.
        transaction_seconds: longest that a transaction may take, in seconds; ``None`` is without limit, and only for
            what nobody waits for.

    Yields:
        The session.
    """
    connection = await connect(url, transaction_seconds)
    try:
        yield connection
    finally:
        await close(connection, CLOSE_SECONDS)


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """Run what is inside in one transaction; it is committed when this ends without an error, and only then."""
    await connection.execute("begin")
    try:
        yield
        ended = await connection.execute("commit")
    except BaseException:
        if not connection.is_closed():
            await connection.execute("rollback")
        raise
    if ended != "COMMIT":
        # Postgres answers the commit of a failed transaction with a rollback, and no error.
        message = f"the transaction ended with {ended}"
        raise DatabaseDown(message)


async def close(connection: Connection, within: float) -> None:
    """Close a session; one that does not let itself be closed in time is dropped."""
    try:
        await connection.close(timeout=within)
    except (*_DOWN, TimeoutError):
        connection.terminate()

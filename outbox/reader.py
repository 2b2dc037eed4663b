"""Reads the database for people: each page in one transaction that sees one moment and can change nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from outbox.database import CLOSE_SECONDS, Connection, DatabaseDown, close, connect, transaction, translate_errors
from outbox.migrate import check_schema
from outbox.server import check_server

STATEMENT_SECONDS: Final = 5
"""How long one statement of a page may take, in seconds."""

SESSIONS: Final = 8
"""How many pages read at the same time; others wait for one of them."""

WAIT_SECONDS: Final = 5.0
"""How long a page may wait for a session, in seconds."""

_SET_UP: Final = f"""
set statement_timeout = '{STATEMENT_SECONDS}s';
set default_transaction_read_only = on;
set default_transaction_isolation = 'repeatable read';
"""


class Reader:
    """The sessions on which pages are read; they are opened as they are needed, and kept.

    Args:
        url: where the database is; a role that may only read is enough.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(SESSIONS)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Open a transaction that only reads, as of one moment.

        Raises:
            DatabaseDown: Postgres does not answer, or not in time.
            DatabaseUnfit: this program cannot work with the server or with the schema.
        """
        try:
            await asyncio.wait_for(self._places.acquire(), WAIT_SECONDS)
        except TimeoutError as late:
            message = f"all {SESSIONS} sessions of the desk were in use for {WAIT_SECONDS:.0f} s"
            raise DatabaseDown(message) from late
        try:
            connection = await self._find_session()
            try:
                async with translate_errors(connection), transaction(connection):
                    yield connection
            finally:
                if not connection.is_closed():
                    self._idle.append(connection)
        finally:
            self._places.release()

    async def _find_session(self) -> Connection:
        """Find a session that was used before, or open one; those that were lost meanwhile are dropped."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        connection = await connect(self._url)
        async with translate_errors(connection):
            await connection.execute(_SET_UP)
        await check_server(connection)
        await check_schema(connection)
        return connection

    async def close(self) -> None:
        """Close the sessions that nobody uses."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(close(session, CLOSE_SECONDS) for session in idle))

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from outbox.database import Connection, connect
from outbox.migrate import migrate
from outbox.store import Position, start_position


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A session on a database whose schema is there."""
    session = await connect(database_url)
    await migrate(session)
    yield session
    await session.close()


@pytest.fixture
async def position(connection: Connection) -> Position:
    """A lane that begins."""
    return await start_position(connection, 0, 0, uuid4())

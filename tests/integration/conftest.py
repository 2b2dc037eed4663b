from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from outbox.database import Connection, connect
from outbox.migrate import migrate
from outbox.position import Position, start_position
from outbox.rules import put_in_force
from tests.unit.builders import RULES


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A session on a database whose schema is there."""
    session = await connect(database_url)
    await migrate(session)
    yield session
    await session.close()


@pytest.fixture
async def rules(connection: Connection) -> None:
    """The rules of the unit tests are in force; a module may put others in force."""
    await put_in_force(connection, RULES, "test", "test")


@pytest.fixture
async def position(connection: Connection, rules: None) -> Position:  # noqa: ARG001
    """A lane that begins."""
    return await start_position(connection, 0, 0, uuid4())

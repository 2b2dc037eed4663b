"""What a database is like that the bridge is to work with: its version, its clock, its room, and what it permits."""

from datetime import datetime
from typing import NamedTuple

from outbox.database import Connection, tell_outages
from outbox.queries import QUERIES


class DatabaseState(NamedTuple):
    """What the database says of itself."""

    version: str
    major: int
    is_standby: bool
    is_read_only: bool
    now: datetime
    connections_left: int


async def read_state(connection: Connection) -> DatabaseState:
    """Read what the database says of itself."""
    async with tell_outages():
        [row] = await connection.fetch(QUERIES["read_server"])
    return DatabaseState(*row)


async def list_missing_rights(connection: Connection) -> list[str]:
    """List what this role may not do, of what the bridge does: such as ``insert on history``."""
    async with tell_outages():
        return [row["missing"] for row in await connection.fetch(QUERIES["list_missing_rights"])]

"""Facts about the deployment as a whole: the id of this database, and how many partitions the inbox has."""

from uuid import UUID

from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES


async def read_deployment_id(connection: Connection) -> UUID:
    """Read the id that distinguishes this database from all others."""
    async with translate_errors(connection):
        found: UUID = await connection.fetchval(QUERIES["read_deployment"])
    return found


async def fix_inbox_partitions(connection: Connection, partitions: int) -> int:
    """Record how many partitions the inbox has, unless that was recorded before.

    Returns:
        The number that was recorded first.
    """
    async with translate_errors(connection):
        recorded: int = await connection.fetchval(QUERIES["fix_inbox_partitions"], partitions)
    return recorded


async def read_inbox_partitions(connection: Connection) -> int | None:
    """Read how many partitions the inbox has; ``None`` where no worker ever ran."""
    async with translate_errors(connection):
        found: int | None = await connection.fetchval(QUERIES["read_inbox_partitions"])
    return found

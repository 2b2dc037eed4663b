"""What belongs to the deployment as a whole: which database this is, its consumer group and its inbox."""

from typing import NamedTuple
from uuid import UUID

from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES


class InboxNames(NamedTuple):
    """The consumer group and the inbox that a database belongs to."""

    group_id: str
    inbox: str
    """The topic, with its prefix."""


class FirstStart(NamedTuple):
    """What the first start has recorded."""

    names: InboxNames | None
    """``None`` where no worker ever started."""
    partitions: int | None
    """How many partitions the inbox has, for good."""


async def read_deployment_id(connection: Connection) -> UUID:
    """Read the id that distinguishes this database from all others."""
    async with translate_errors(connection):
        found: UUID = await connection.fetchval(QUERIES["read_deployment"])
    return found


async def read_first_start(connection: Connection) -> FirstStart:
    """Read what the first start has recorded."""
    async with translate_errors(connection):
        [row] = await connection.fetch(QUERIES["read_first_start"])
    group_id, inbox, partitions = row
    return FirstStart(InboxNames(group_id, inbox) if group_id else None, partitions)


async def record_first_start(connection: Connection, names: InboxNames, partitions: int) -> FirstStart:
    """Record the names and the number of partitions, if no start has done so before.

    Returns:
        What was recorded first.
    """
    async with translate_errors(connection):
        await connection.execute(QUERIES["record_first_start"], *names, partitions)
    return await read_first_start(connection)


async def rename_inbox(connection: Connection, names: InboxNames) -> None:
    """Record other names."""
    async with translate_errors(connection):
        await connection.execute(QUERIES["rename_inbox"], *names)

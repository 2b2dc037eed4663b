"""Lets go of what is old in a deployment; what may go of each lane, Kafka tells: how far it is published.

A lane without an offset, or with one of another database, keeps everything.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from outbox.database import Connection, open_session
from outbox.deployment import read_deployment_id
from outbox.migrate import open_checked_session
from outbox.prune import Old, Pruned, find_cutoff, lock_pruning, prune
from worker.deployment import Deployment, read_lane_offsets


async def count_old(deployment: Deployment, age: timedelta) -> tuple[datetime, Pruned]:
    """Count what is older than an age, and tell since when it is; raises ``KafkaDown`` or ``DatabaseDown``."""
    async with open_checked_session(deployment.database_url) as connection:
        before = await find_cutoff(connection, age)
        found = Pruned(0, 0)
        async for step in _go_through(connection, deployment, before, dry_run=True):
            found = found.add(step)
        return before, found


async def prune_old(deployment: Deployment, before: datetime, tell: Callable[[Pruned], None]) -> Pruned:
    """Drop what came in before a time, telling with each step how much is gone; raises also ``DatabaseBusy``."""
    async with open_session(deployment.database_url) as connection:
        # Before the offsets are read: from here on nothing moves them back.
        await lock_pruning(connection)
        gone = Pruned(0, 0)
        async for step in _go_through(connection, deployment, before, dry_run=False):
            gone = gone.add(step)
            tell(gone)
        return gone


async def _go_through(
    connection: Connection, deployment: Deployment, before: datetime, *, dry_run: bool
) -> AsyncIterator[Pruned]:
    deployment_id = str(await read_deployment_id(connection))
    offsets = await read_lane_offsets(deployment)
    for number, offset in sorted(offsets.items()):
        if offset.metadata.startswith(deployment_id):
            async for step in prune(connection, Old(number, offset.offset, before), dry_run=dry_run):
                yield step

"""Prunes a deployment: for each lane, whatever is old and below the lane's published offset.

A lane without an offset, or with the offset of another database, keeps everything.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from outbox.database import Connection, open_session
from outbox.deployment import read_deployment_id
from outbox.migrate import open_checked_session
from outbox.prune import Old, Pruned, find_cutoff, lock_pruning, prune
from worker.deployment import Deployment, read_lane_offsets


async def count_old(deployment: Deployment, age: timedelta) -> tuple[datetime, Pruned]:
    """Count what is older than an age.

    Returns:
        The time that was so long ago, and how much arrived before it.

    Raises:
        KafkaDown, DatabaseDown: a server does not answer.
    """
    async with open_checked_session(deployment.database_url) as connection:
        before = await find_cutoff(connection, age)
        found = Pruned(0, 0)
        async for step in _prune_lanes(connection, deployment, before, dry_run=True):
            found = found.add(step)
        return before, found


async def prune_old(deployment: Deployment, before: datetime, report: Callable[[Pruned], None]) -> Pruned:
    """Delete what arrived before a time.

    Args:
        deployment: what to prune.
        before: nothing that arrived later is deleted.
        report: called after each step with how much is deleted so far.

    Returns:
        How much was deleted.

    Raises:
        DatabaseBusy: another prune or a recovery is running.
        KafkaDown, DatabaseDown: a server does not answer.
    """
    async with open_session(deployment.database_url) as connection:
        # Before the offsets are read: from here on nothing moves them back.
        await lock_pruning(connection)
        gone = Pruned(0, 0)
        async for step in _prune_lanes(connection, deployment, before, dry_run=False):
            gone = gone.add(step)
            report(gone)
        return gone


async def _prune_lanes(
    connection: Connection, deployment: Deployment, before: datetime, *, dry_run: bool
) -> AsyncIterator[Pruned]:
    deployment_id = str(await read_deployment_id(connection))
    offsets = await read_lane_offsets(deployment)
    for number, offset in sorted(offsets.items()):
        if offset.metadata.startswith(deployment_id):
            async for step in prune(connection, Old(number, offset.offset, before), dry_run=dry_run):
                yield step

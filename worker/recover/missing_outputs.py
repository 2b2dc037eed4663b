"""Repairs an output topic that has lost messages: they are published again, piece by piece."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Final

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from contracts.topics import COMPACTED, OUTPUTS
from outbox.audit import RowPlace, Snapshot
from outbox.recovery import open_recovery
from worker.reconcile.topic_comparison import MissingRow, TopicComparison, compare_topic
from worker.recover.lane_publisher import LanePublisher, open_lane_publisher
from worker.recover.lane_state import RecoveredLane
from worker.recover.repair import RecoveryInputs, Repair

PIECE_ROWS: Final = 500
PIECE_BYTES: Final = 4 * 1024 * 1024
"""Limits of one transaction: a fraction of what a lane publishes within its ten seconds."""


async def plan_missing_outputs(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> list[Repair]:
    """Plan, topic by topic, to publish again the messages that the topic lacks.

    Args:
        inputs: what every repair is planned from.
        lanes: all lanes.
    """
    published = {lane.number: lane.offset.offset for lane in lanes if lane.offset}
    repairs = []
    async with open_recovery(inputs.deployment.database_url) as recovery:
        held = await recovery.read_held()
        pruned = describe_pruned(await recovery.snapshot.read_pruned_before())
        for name in OUTPUTS:
            async with compare_topic(
                inputs.deployment, name, recovery.snapshot, progress=inputs.progress
            ) as comparison:
                count, budgets = _count(_list_lost(comparison, published, held))
            if count:
                found = f"{name} lacks {count} messages of {budgets} budgets that were published to it"
                way_out = (
                    "`budget-bridge recover --publish-again` publishes them again, with the same ids and bytes, each "
                    "budget's in order and none after a later one. Readers that saw them before must drop repeats by "
                    f"id; if no reader needs them, leave it{pruned}"
                )
                act = partial(_publish_again, inputs, name, published)
                repairs.append(Repair(found, way_out, act if inputs.choices.publish_again else None))
    return repairs


def _list_lost(
    comparison: TopicComparison, published: Mapping[int, int], held: Collection[BudgetKey]
) -> Iterator[MissingRow]:
    """List what was lost, in the order in which it was published.

    Budgets on hold are left out: a recovery decided their messages again with another result, which was never
    published.
    """
    for row in comparison.list_missing():
        is_published = row.place.inbox_offset < published.get(row.place.inbox_partition, 0)
        if is_published and row.budget not in held and not row.is_outdated and not row.is_gone:
            yield row


def _count(rows: Iterable[MissingRow]) -> tuple[int, int]:
    count, budgets = 0, set()
    for row in rows:
        count += 1
        budgets.add(row.budget)
    return count, len(budgets)


async def _publish_again(inputs: RecoveryInputs, name: str, published: Mapping[int, int]) -> None:
    async with AsyncExitStack() as stack:
        # Before the topic is read: from here on no transaction of an earlier attempt can still appear in it.
        publishers = {
            number: await stack.enter_async_context(open_lane_publisher(inputs, number)) for number in published
        }
        async with open_recovery(inputs.deployment.database_url) as recovery:
            held = await recovery.read_held()
            async with compare_topic(
                inputs.deployment, name, recovery.snapshot, progress=inputs.progress
            ) as comparison:
                total, _ = _count(_list_lost(comparison, published, held))
                done = 0
                for piece in cut_into_pieces(_list_lost(comparison, published, held)):
                    number = piece[0].inbox_partition
                    await _publish_piece(recovery.snapshot, publishers[number], published[number], piece)
                    done += len(piece)
                    inputs.progress(f"publishing to {name}", done, total)


async def _publish_piece(snapshot: Snapshot, publisher: LanePublisher, offset: int, places: Sequence[RowPlace]) -> None:
    await publisher.publish(offset, await snapshot.read_records(places))


def cut_into_pieces(rows: Iterable[MissingRow]) -> Iterator[list[RowPlace]]:
    """Cut rows into pieces for one transaction each: of one lane, and within ``PIECE_ROWS`` and ``PIECE_BYTES``."""
    piece: list[RowPlace] = []
    size = 0
    for row in rows:
        is_full = len(piece) == PIECE_ROWS or size + row.bytes > PIECE_BYTES
        if piece and (is_full or row.place.inbox_partition != piece[0].inbox_partition):
            yield piece
            piece, size = [], 0
        piece.append(row.place)
        size += row.bytes
    if piece:
        yield piece


def is_explained(row: MissingRow, name: str) -> bool:
    """Return whether age or compaction may have removed a row's message from a topic, named without the prefix."""
    return row.is_gone or (name in COMPACTED and row.is_outdated)


def describe_pruned(before: datetime | None) -> str:
    """Describe what pruning has made impossible, as the end of a text; empty where nothing was pruned."""
    return (
        f". What messages before {write_time(before)} caused is pruned and cannot be published again" if before else ""
    )

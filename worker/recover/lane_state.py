"""Reads the state of each lane in the database, the group and the log, and finds what does not fit."""

from dataclasses import dataclass

from outbox.position import Position, describe_record
from outbox.recovery import open_recovery
from worker.kafka.group_offsets import GroupOffset, read_group_offsets
from worker.kafka.topic_log import TopicLog, open_topic_log
from worker.pipeline.lane_check import LaneRefused, LaneState, Mismatch, check_lane
from worker.recover.repair import RecoveryInputs


@dataclass(frozen=True, slots=True)
class RecoveredLane:
    """One lane as a recovery finds it."""

    number: int
    position: Position | None
    offset: GroupOffset | None
    start: int
    """The first offset that the inbox partition still holds."""
    end: int
    """The offset after its last record."""
    refusal: LaneRefused | None
    """Why the lane would refuse to start; ``None`` if everything fits."""

    @property
    def mismatch(self) -> Mismatch | None:
        """The way in which the lane does not fit; ``None`` if it does."""
        return self.refusal.mismatch if self.refusal else None

    @property
    def first(self) -> int:
        """The first offset that the database has not decided."""
        return self.position.next_offset if self.position else self.start

    @property
    def is_behind_offset(self) -> bool:
        """Whether the group has an offset that the database has not passed."""
        return self.position is None or (self.offset is not None and self.position.next_offset <= self.offset.offset)

    def describe(self) -> str:
        """Describe what does not fit."""
        return f"lane {self.number}: {self.refusal.found if self.refusal else 'everything fits'}"


async def read_lanes(inputs: RecoveryInputs) -> list[RecoveredLane]:
    """Read the state of every lane; raises ``KafkaDown`` or ``DatabaseDown``.

    The offsets are read before the positions and those before the log, so that a running lane never appears to be
    inconsistent.
    """
    deployment = inputs.deployment
    inbox = deployment.topics.inbox
    places = [(inbox, number) for number in range(inputs.partitions)]
    offsets = await read_group_offsets(deployment.kafka, deployment.group_id, places)
    async with open_recovery(deployment.database_url) as recovery:
        positions = await recovery.read_positions()
    async with open_topic_log(deployment.kafka, inbox) as log:
        return [
            await _read_lane(inputs, number, positions.get(number), offsets.get((inbox, number)), log)
            for number in range(inputs.partitions)
        ]


async def _read_lane(
    inputs: RecoveryInputs, number: int, position: Position | None, offset: GroupOffset | None, log: TopicLog
) -> RecoveredLane:
    start, end = log.bounds.get(number, (0, 0))
    committed, metadata = (offset.offset, offset.metadata) if offset else (None, "")
    refusal: LaneRefused | None = None
    try:
        check_lane(LaneState(inputs.deployment_id, committed, metadata, start, end, position))
    except LaneRefused as refused:
        refusal = refused
    if (refusal is None or refusal.mismatch is Mismatch.OLDER_BACKUP) and not await _remembers(position, start, log):
        found = f"record {position.next_offset - 1 if position else 0} of the inbox is not the one that was read there"
        refusal = LaneRefused(Mismatch.INBOX_CHANGED, found)
    return RecoveredLane(number, position, offset, start, end, refusal)


async def _remembers(position: Position | None, start: int, log: TopicLog) -> bool:
    """Return whether the record before the position is the one that the position remembers."""
    if position is None or position.last is None or position.last.offset < start:
        return True
    record = await log.get(position.inbox_partition, position.last.offset)
    return record is not None and describe_record(record) == position.last

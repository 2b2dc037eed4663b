"""The way out that a lane names when its parts do not fit: what was found, what can be done, and doing it.

Every step is planned first and only told. A fold of messages that a restored database has lost publishes nothing;
budgets for which it gives other messages than Kafka holds are put on hold for a person to look at.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Literal, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey, parse_budget_key, write_project_key
from contracts.fields import write_time
from contracts.inbox import open_arrival
from contracts.records import Outgoing
from contracts.topics import OUTPUTS
from handlers.rules import Rules
from outbox.audit import RowPlace, Snapshot
from outbox.database import open_session
from outbox.deployment import keep_rules, read_deployment_id
from outbox.migrate import open_checked_session
from outbox.recovery import Recovery, open_recovery, read_inbox_partitions
from outbox.rules_codec import encode_rules
from outbox.store import Position, describe_record, read_backlog
from worker.deployment import Deployment
from worker.kafka.admin import describe_group
from worker.kafka.group_offsets import GroupOffset, commit_group_offsets, read_group_offsets
from worker.kafka.producer import Publisher
from worker.kafka.topic_log import TopicLog, choose_partition, open_topic_log
from worker.pipeline.lane import PUBLISH_SECONDS, name_producer
from worker.pipeline.lane_check import ANEW, LaneRefused, LaneState, Mismatch, check_lane, sign_offset
from worker.pipeline.source_topics import look_at_sources, name_intake_group
from worker.reconcile.topic_comparison import ExpectedRow, TopicComparison, read_topic
from worker.settings import ConfigurationError

_STATUS: Final = "bridge.status"
_SHOWN: Final = 20

TreatAs = Literal["published", "unpublished"]


@dataclass(frozen=True, slots=True)
class Choices:
    """What only a person can know."""

    adopt: bool = False
    """This database takes the place of the one that carried the group before."""
    treat_as: TreatAs | None = None
    """What to take stored messages for where Kafka holds none of them: sent long ago, or never sent."""
    publish_again: bool = False
    """Send what an output topic has lost once more; whoever reads it must drop repeats by id."""


class Repair(NamedTuple):
    """One thing that is out of place, the way out, and the doing of it; without ``act`` only a person can do it."""

    found: str
    way_out: str
    act: Callable[[], Awaitable[None]] | None


@dataclass(frozen=True, slots=True)
class _Lane:
    """What is there of one lane."""

    number: int
    position: Position | None
    offset: GroupOffset | None
    start: int
    end: int
    trouble: LaneRefused | None
    knows_its_place: bool
    """Whether the record before the position is the one that the position remembers."""


@dataclass(frozen=True, slots=True)
class Recoverer:
    """Plans the way out of whatever is out of place in a deployment."""

    scene: Deployment
    rules: Rules
    choices: Choices
    deployment_id: UUID
    partitions: int

    @property
    def _inbox(self) -> str:
        return self.scene.topics.inbox

    async def plan(self) -> list[Repair]:
        """Find what is out of place and say what can be done; nothing is changed."""
        await self._refuse_while_carried()
        lanes = await self._look_at_lanes()
        steps: list[Repair] = []
        changed = [lane for lane in lanes if lane.trouble and lane.trouble.trouble is Mismatch.INBOX_CHANGED]
        lost = [lane for lane in lanes if lane.trouble and self._lacks_offset(lane)]
        behind = [lane for lane in lanes if lane.trouble and self._is_behind(lane)]
        foreign = [lane for lane in lanes if lane.trouble and lane.trouble.trouble is Mismatch.FOREIGN]
        if foreign and not self.choices.adopt:
            steps.append(_explain_foreign(foreign, self.scene.group_id))
        if changed:
            steps.append(self._plan_another_log(changed))
        if lost:
            steps.extend(await self._plan_offsets(lost))
        if behind:
            steps.append(await self._plan_fold(behind))
        if not any(lane.trouble for lane in lanes):
            steps.extend(await self._plan_outputs(lanes))
        return steps

    async def _refuse_while_carried(self) -> None:
        group_id = self.scene.group_id
        for group in (group_id, name_intake_group(group_id)):
            if members := (await describe_group(self.scene.kafka, group)).members:
                problem = (
                    f"consumer group {group} has {members} members: stop every worker first (one that was killed "
                    f"leaves its group after 10 s)"
                )
                raise ConfigurationError((problem,))

    def _lacks_offset(self, lane: _Lane) -> bool:
        """Tell whether what is published must be found out from Kafka."""
        if lane.trouble and lane.trouble.trouble is Mismatch.FOREIGN:
            return self.choices.adopt and not _lies_before_offset(lane)
        return lane.trouble is not None and lane.trouble.trouble is Mismatch.NO_OFFSET

    def _is_behind(self, lane: _Lane) -> bool:
        """Tell whether the database must be folded up to the group's offset."""
        if lane.trouble and lane.trouble.trouble is Mismatch.FOREIGN:
            return self.choices.adopt and _lies_before_offset(lane)
        return lane.trouble is not None and lane.trouble.trouble is Mismatch.OLDER_BACKUP

    async def _look_at_lanes(self) -> list[_Lane]:
        places = [(self._inbox, number) for number in range(self.partitions)]
        offsets = await read_group_offsets(self.scene.kafka, self.scene.group_id, places)
        async with open_recovery(self.scene.database_url) as recovery:
            positions = await recovery.read_positions()
        async with open_topic_log(self.scene.kafka, self._inbox) as log:
            return [
                await self._look_at_lane(number, positions.get(number), offsets.get((self._inbox, number)), log)
                for number in range(self.partitions)
            ]

    async def _look_at_lane(
        self, number: int, position: Position | None, offset: GroupOffset | None, log: TopicLog
    ) -> _Lane:
        start, end = log.bounds.get(number, (0, 0))
        at, metadata = (offset.offset, offset.metadata) if offset else (None, "")
        trouble: LaneRefused | None = None
        knows_its_place = True
        if position and position.last and start <= position.last.offset:
            record = await log.get(number, position.last.offset)
            knows_its_place = record is not None and describe_record(record) == position.last
        try:
            check_lane(LaneState(self.deployment_id, at, metadata, start, end, position))
        except LaneRefused as unsafe:
            trouble = unsafe
        if position and not knows_its_place and (trouble is None or trouble.trouble is Mismatch.OLDER_BACKUP):
            found = f"record {position.next_offset - 1} of the inbox is not the one that was read there"
            trouble = LaneRefused(Mismatch.INBOX_CHANGED, found)
        return _Lane(number, position, offset, start, end, trouble, knows_its_place)

    # --- the inbox is another log

    def _plan_another_log(self, lanes: Sequence[_Lane]) -> Repair:
        found = "; ".join(f"lane {lane.number}: {lane.trouble.found}" for lane in lanes if lane.trouble)
        way_out = (
            "publish what is stored and not yet published; then read the inbox from where it begins now, and copy "
            "every source topic to it again from its start. What is known already is dropped as a repeat; what the "
            "old inbox held and the source topics no longer hold is lost"
        )
        return Repair(found, way_out, partial(self._begin_another_log, lanes))

    async def _begin_another_log(self, lanes: Sequence[_Lane]) -> None:
        # First the sources: whatever comes after, their records will come again.
        seen = await look_at_sources(self.scene.kafka, self.scene.group_id, self.scene.topics)
        starts = {place: GroupOffset(start, "") for place, start in seen.starts.items()}
        await commit_group_offsets(self.scene.kafka, name_intake_group(self.scene.group_id), starts)
        for lane in lanes:
            if lane.position is None:
                continue
            publisher = await self._make_publisher(lane.number)
            try:
                if lane.offset and lane.offset.metadata != sign_offset(self.deployment_id, ANEW):
                    await self._publish_backlog(publisher, lane.number, lane.offset.offset, lane.position.next_offset)
                # Before the position moves: a second run must not take the new beginning for the old offset.
                await self._publish(publisher, lane.number, lane.start, (), ANEW)
                async with open_recovery(self.scene.database_url) as recovery:
                    if lane.start < lane.position.next_offset:
                        await recovery.forget_log(lane.number)
                    await recovery.put_position(lane.number, lane.start)
                    await recovery.keep()
            finally:
                await publisher.close(2.0)

    # --- the group has no offset

    async def _plan_offsets(self, lanes: Sequence[_Lane]) -> list[Repair]:
        async with open_recovery(self.scene.database_url) as recovery:
            ledgers = [await self._read(name, recovery.snapshot) for name in OUTPUTS]
            pruned = _tell_pruned(await recovery.snapshot.read_pruned_before())
        steps = []
        for lane in lanes:
            found = f"lane {lane.number}: {lane.trouble.found if lane.trouble else ''}"
            met, missing = _sort_out(ledgers, lane.number)
            at = lane.position.next_offset if lane.position else lane.start
            if missing and not met and self.choices.treat_as is None:
                way_out = (
                    f"Kafka holds none of the {len(missing)} messages that are stored for this lane. If this is the "
                    f"wrong KAFKA_GROUP_ID, TOPIC_PREFIX or cluster, put that right. Otherwise say which it is: "
                    f"`--treat-as published` (they were sent, and have been removed since) or "
                    f"`--treat-as unpublished` (they were never sent: they will be){pruned}"
                )
                steps.append(Repair(found, way_out, None))
                continue
            if missing and not met and self.choices.treat_as == "published":
                missing = []
            published = min((entry.place.inbox_offset for entry in missing), default=at)
            if any(entry.place.inbox_offset >= published for entry in met):
                way_out = (
                    "Kafka lacks messages that come before others which it holds, so no offset fits: "
                    "`budget-bridge reconcile` lists them. Nothing can be done by itself here"
                )
                steps.append(Repair(found, way_out, None))
                continue
            way_out = (
                f"{len(met)} of its stored messages are in Kafka, up to record {published - 1} of the inbox, and "
                f"{len(missing)} are not: commit offset {published}, so that the worker goes on from there"
            )
            steps.append(Repair(found, way_out, partial(self._commit_offset, lane.number, published)))
        return steps

    async def _commit_offset(self, number: int, offset: int) -> None:
        publisher = await self._make_publisher(number)
        try:
            await self._publish(publisher, number, offset, ())
        finally:
            await publisher.close(2.0)

    # --- the database is older than what was published

    async def _plan_fold(self, lanes: Sequence[_Lane]) -> Repair:
        found = "; ".join(f"lane {lane.number}: {lane.trouble.found}" for lane in lanes if lane.trouble)
        for lane in lanes:
            first = lane.position.next_offset if lane.position else lane.start
            if lane.offset is None or not lane.start <= first <= lane.offset.offset <= lane.end:
                way_out = (
                    f"the inbox holds records {lane.start} to {lane.end - 1} of lane {lane.number}, not all from "
                    f"{first} on: what is missing cannot be decided again. Restore a newer backup"
                )
                return Repair(found, way_out, None)
        async with open_recovery(self.scene.database_url) as recovery:
            folded, differing = await self._fold(recovery, lanes)
        way_out = (
            f"decide the {folded} messages again that the database has lost, by the rules in RULES_DIR, publishing "
            f"nothing; {_tell_holds(differing)}"
        )
        return Repair(found, way_out, partial(self._fold_and_keep, lanes))

    async def _fold_and_keep(self, lanes: Sequence[_Lane]) -> None:
        publishers = {lane.number: await self._make_publisher(lane.number) for lane in lanes}
        try:
            async with open_recovery(self.scene.database_url) as recovery:
                await self._fold(recovery, lanes)
                await recovery.keep()
            for lane in lanes:
                if lane.offset:
                    await self._publish(publishers[lane.number], lane.number, lane.offset.offset, ())
        finally:
            for publisher in publishers.values():
                await publisher.close(2.0)

    async def _fold(self, recovery: Recovery, lanes: Sequence[_Lane]) -> tuple[int, dict[BudgetKey, str]]:
        """Decide again what came in after the backup; gives how many, and the budgets that come out otherwise."""
        rules = await keep_rules(recovery.connection, self.rules, *encode_rules(self.rules))
        folded, spans = 0, {}
        for lane in lanes:
            first = lane.position.next_offset if lane.position else lane.start
            after = lane.offset.offset if lane.offset else first
            spans[lane.number] = range(first, after)
            position = await recovery.put_position(lane.number, first)
            async with open_topic_log(self.scene.kafka, self._inbox) as log:
                async for records in log.read({lane.number: first}):
                    arrivals = [
                        open_arrival(record, self.scene.topics) for record in records if record.place.offset < after
                    ]
                    if arrivals:
                        position = await recovery.fold(position, arrivals, rules, self.scene.topics)
                        folded += len(arrivals)
        differing = await self._compare(recovery.snapshot, spans)
        partitions = {key: choose_partition(write_project_key(*key.project), self.partitions) for key in differing}
        await recovery.hold(differing, partitions)
        return folded, differing

    async def _compare(self, snapshot: Snapshot, spans: Mapping[int, range]) -> dict[BudgetKey, str]:
        """Compare what was decided again with what Kafka holds, by id and bytes."""
        differing: dict[BudgetKey, str] = {}
        for name in OUTPUTS:
            ledger = await self._read(name, snapshot)
            for unknown in ledger.unknown:
                if key := _read_key(unknown.key):
                    differing.setdefault(
                        key, f"recovery: {name} holds message {unknown.id}, which history does not give"
                    )
            for entry in ledger.list_missing():
                number, offset, _ = entry.place
                if entry.budget and offset in spans.get(number, ()) and not _is_explained(ledger, entry, name):
                    differing.setdefault(entry.budget, f"recovery: history gives a message that {name} does not hold")
        return differing

    # --- an output topic has lost messages

    async def _plan_outputs(self, lanes: Sequence[_Lane]) -> list[Repair]:
        published = {lane.number: lane.offset.offset for lane in lanes if lane.offset}
        steps = []
        async with open_recovery(self.scene.database_url) as recovery:
            # What was decided again and came out otherwise is not what was lost.
            held = await recovery.read_held()
            pruned = _tell_pruned(await recovery.snapshot.read_pruned_before())
            for name in OUTPUTS:
                ledger = await self._read(name, recovery.snapshot)
                missing = [
                    entry
                    for entry in ledger.list_missing()
                    if entry.budget not in held
                    and entry.place.inbox_offset < published.get(entry.place.inbox_partition, 0)
                    and not ledger.is_outdated(entry)
                    and not ledger.is_gone(entry)
                ]
                if missing:
                    budgets = len({entry.budget for entry in missing})
                    found = f"{name} lacks {len(missing)} messages of {budgets} budgets that were published to it"
                    way_out = (
                        "`budget-bridge recover --publish-again` publishes them once more, with the same ids and "
                        "bytes, each budget's in order and none behind a later one. Readers that saw them before must "
                        f"drop repeats by id; if none needs them, leave it{pruned}"
                    )
                    places = [entry.place for entry in missing]
                    act = partial(self._publish_again, name, places, published)
                    steps.append(Repair(found, way_out, act if self.choices.publish_again else None))
        return steps

    async def _publish_again(self, name: str, places: Sequence[RowPlace], published: Mapping[int, int]) -> None:
        wanted: dict[int, set[RowPlace]] = defaultdict(set)
        for place in places:
            wanted[place.inbox_partition].add(place)
        for number, of_lane in wanted.items():
            async with open_recovery(self.scene.database_url) as recovery:
                rows = [row async for row in recovery.snapshot.read_rows(self.scene.topics.full(name))]
            publisher = await self._make_publisher(number)
            try:
                records = [row.record for row in sorted(rows, key=lambda row: row.place) if row.place in of_lane]
                await self._publish(publisher, number, published[number], records)
            finally:
                await publisher.close(2.0)

    # --- what all of them need

    async def _read(self, name: str, snapshot: Snapshot) -> TopicComparison:
        topic = self.scene.topics.full(name)
        return await read_topic(self.scene.kafka, topic, snapshot)

    async def _make_publisher(self, number: int) -> Publisher:
        publisher = Publisher(self.scene.kafka, name_producer(self.scene.group_id, self._inbox, number))
        await publisher.start()
        return publisher

    async def _publish_backlog(self, publisher: Publisher, number: int, start: int, stop: int) -> None:
        async with open_session(self.scene.database_url) as connection:
            async for following, rows in read_backlog(connection, number, start, stop):
                await self._publish(publisher, number, following, [row.record for row in rows])

    async def _publish(
        self, publisher: Publisher, number: int, offset: int, records: Sequence[Outgoing], mark: str = ""
    ) -> None:
        signature = sign_offset(self.deployment_id, mark)
        place = (self._inbox, number)
        await publisher.publish(self.scene.group_id, place, offset, signature, records, within=PUBLISH_SECONDS)


async def open_recoverer(scene: Deployment, rules: Rules, choices: Choices) -> Recoverer:
    """Look at the database; raises ``ConfigurationBroken`` where there is nothing to recover."""
    async with open_checked_session(scene.database_url) as connection:
        partitions = await read_inbox_partitions(connection)
        if partitions is None:
            async with open_topic_log(scene.kafka, scene.topics.inbox) as log:
                partitions = len(log.bounds)
        return Recoverer(scene, rules, choices, await read_deployment_id(connection), partitions)


def _lies_before_offset(lane: _Lane) -> bool:
    return lane.position is None or (lane.offset is not None and lane.position.next_offset <= lane.offset.offset)


def _explain_foreign(lanes: Sequence[_Lane], group_id: str) -> Repair:
    metadata = Counter(lane.offset.metadata for lane in lanes if lane.offset)
    found = f"consumer group {group_id} was carried by another database ({', '.join(metadata)})"
    way_out = (
        "if another deployment uses this group, give this one a KAFKA_GROUP_ID of its own. If this database takes the "
        "place of the other, which is never used again, run `budget-bridge recover --adopt --dry-run`"
    )
    return Repair(found, way_out, None)


def _sort_out(ledgers: Sequence[TopicComparison], number: int) -> tuple[list[ExpectedRow], list[ExpectedRow]]:
    """Sort out what a lane has stored: what Kafka holds, or held once, and what it does not."""
    met: list[ExpectedRow] = []
    missing: list[ExpectedRow] = []
    for name, ledger in zip(OUTPUTS, ledgers, strict=True):
        for found, entry in ledger.rows.items():
            if entry.place.inbox_partition == number:
                (met if found in ledger.met or _is_explained(ledger, entry, name) else missing).append(entry)
    return met, missing


def _is_explained(ledger: TopicComparison, entry: ExpectedRow, name: str) -> bool:
    return ledger.is_gone(entry) or (name == _STATUS and ledger.is_outdated(entry))


def _read_key(key: bytes | None) -> BudgetKey | None:
    with suppress(ValueError):
        return parse_budget_key((key or b"").decode())
    return None


def _tell_pruned(before: datetime | None) -> str:
    return f". What is pruned, of messages before {write_time(before)}, cannot be published again" if before else ""


def _tell_holds(differing: Mapping[BudgetKey, str]) -> str:
    if not differing:
        return "all of it comes to what Kafka holds, so no budget is held"
    shown = "; ".join(f"{key} ({reason})" for key, reason in sorted(differing.items())[:_SHOWN])
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return f"{len(differing)} budgets come to something else than Kafka holds and are put on hold: {shown}{more}"

"""A lane: one inbox partition, read batch by batch in order, stored in Postgres and published to Kafka.

A lane takes the restart path when it is assigned, and again after anything whose outcome is unknown, such as a
connection that was lost during a commit: it becomes the only producer and the only owner of the position, checks that
offset, position and log fit one another, publishes from the database what Kafka lacks, and continues reading.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

from contracts.cloudevents.message import Message, Unproven
from contracts.inbox import Arrival, open_arrival
from contracts.records import Record
from contracts.topics import TopicNames
from handlers.decision import Verdict
from outbox.batch import DecidedBatch, DecisionFailedError
from outbox.database import DatabaseDown, DataRefusedError
from outbox.identity import Identity, identify
from outbox.position import Position, PositionLost
from outbox.rules import RulesUnavailable, RulesVersion
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown, LaneLost, MessageTooLarge
from worker.kafka.group_offsets import Partition
from worker.pipeline.lane_check import NEW, LaneRefused, LaneState, check_lane, check_last_record
from worker.pipeline.lane_ports import InboxReader, LanePorts, LaneStore
from worker.pipeline.publication import Publication
from worker.pipeline.turns import Turn, Turns
from worker.resilience.backoff import back_off, wait_unless
from worker.resilience.breaker import Breaker, Breakers
from worker.resilience.outage import Outage
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import (
    LANE_LOSSES,
    LANE_STARTS,
    LANES_REFUSED,
    PRODUCER_INITIALISATIONS,
    UNPUBLISHED,
    count_batch,
    measure,
    record_lag,
    set_rules_in_force,
)
from worker.telemetry.tracing import Traces

BATCH_RECORDS: Final = 150
"""Records in a batch: enough to spread the cost of two commits, few enough that a turn is short."""

POLL_SECONDS: Final = 0.2
"""Longest that one fetch waits for a record."""

FIND_SECONDS: Final = 10.0
"""Longest that reading the record before the position may take."""

CLOSE_SECONDS: Final = 2.0

RECHECK_SECONDS: Final = 30.0
"""How often a lane that refuses to publish checks again."""

_WARNED_ABOUT: Final = frozenset({Verdict.DEAD_LETTERED, Verdict.HELD})


@dataclass(frozen=True, slots=True)
class LaneContext:
    """What all lanes of a worker share."""

    ports: LanePorts
    kafka: KafkaConnection
    database_url: str
    deployment_id: UUID
    group_id: str
    topics: TopicNames
    inbox_partitions: int
    breakers: Breakers
    traces: Traces
    turns: Turns = field(default_factory=Turns)


class Lane:
    """One assigned inbox partition.

    Args:
        number: the partition.
        reader: reads the inbox; shared with the other lanes.
        context: what all lanes share.
        log: the worker's.
    """

    def __init__(self, number: int, reader: InboxReader, context: LaneContext, log: Logger) -> None:
        self._number = number
        self._reader = reader
        self._context = context
        self._log = log.bind(lane=number)
        self._outage = Outage(self._log, "lane")
        self._stopping = asyncio.Event()
        self._breakers = context.breakers
        self._waits = back_off()
        self._has_sought = False
        self._rules: RulesVersion | None = None
        self.refusal = ""
        """Why the lane refuses to publish; empty if it does not."""

    @property
    def _place(self) -> Partition:
        return self._context.topics.inbox, self._number

    async def run(self, stopping: asyncio.Event) -> None:
        """Process messages until the stop, then finish the batch and publish it; a fault restarts the lane."""
        self._stopping = stopping
        try:
            while not stopping.is_set():
                seconds = await self._attempt() if self._breakers.admits(self) else POLL_SECONDS
                await self._wait(seconds)
        finally:
            # Another worker has the lane now, and waits for it if necessary.
            self._outage.forget()
            self._breakers.forget(self)
            self._context.traces.drop(self._number)

    async def _attempt(self) -> float:
        """Take the restart path and process; returns how many seconds to wait before the next time."""
        try:
            async with AsyncExitStack() as stack:
                await self._start_and_process(stack)
        except KafkaDown as down:
            self._note_loss(down, self._breakers.kafka)
        except DatabaseDown as down:
            self._note_loss(down, self._breakers.database)
        except (LaneLost, PositionLost, MessageTooLarge) as lost:
            self._note_loss(lost, None)
            return next(self._waits)
        except (LaneRefused, RulesUnavailable) as refused:
            self._note_refusal(str(refused))
            return RECHECK_SECONDS
        finally:
            self._breakers.give_back(self)
            self._context.traces.drop(self._number)
        return 0.0

    def _note_loss(self, why: BaseException, breaker: Breaker | None) -> None:
        """Note that this lane has to restart, and which dependency it waits for, if any."""
        LANE_LOSSES.labels(type(why).__name__).inc()
        if breaker:
            breaker.trip(self, why)
        else:
            # Where somebody has to act, the sentence says it all.
            self._outage.note(why if hasattr(why, "to_do") else f"{type(why).__name__}: {why}".rstrip(": "))

    def _note_refusal(self, why: str) -> None:
        self._breakers.close(self)
        LANES_REFUSED.inc()
        if self.refusal != why:
            self.refusal = why
            self._log.error("lane.refused", why=why, next=f"checking again every {RECHECK_SECONDS:.0f} s")

    # --- the restart path

    async def _start_and_process(self, stack: AsyncExitStack) -> None:
        ports = self._context.ports
        publisher = ports.make_publisher(self._place)
        stack.push_async_callback(publisher.close, CLOSE_SECONDS)
        await publisher.start()
        PRODUCER_INITIALISATIONS.inc()
        publication = Publication(publisher, self._number, self._context.deployment_id, self._context.traces, self._log)
        store = await stack.enter_async_context(ports.open_store(self._number))
        sys.audit("budget-bridge.lane.connected")
        position = await self._restart(store, publication)
        self._rules = await store.read_rules()
        set_rules_in_force(self._rules.id, self._rules.digest)
        self._breakers.close(self)
        self._outage.clear()
        self.refusal = ""
        self._waits = back_off()
        LANE_STARTS.inc()
        record_lag(self._number, self._reader.count_waiting(self._place, position.next_offset), None)
        self._log.info("lane.started", position=position.next_offset, rules=str(self._rules))
        await self._process(store, publication, position)

    async def _restart(self, store: LaneStore, publication: Publication) -> Position:
        """Take the position, check that everything fits, and publish what the database has and Kafka lacks."""
        owner = uuid4()
        position = await store.take_position(owner)
        sys.audit("budget-bridge.lane.position-taken")
        # Only after this lane's own InitProducerId: before that, the group's offset may be out of date.
        offset = await self._context.ports.read_offset(self._place)
        sys.audit("budget-bridge.lane.offset-read")
        start, end = await self._reader.bounds(self._place)
        committed = offset.offset if offset else None
        metadata = offset.metadata if offset else ""
        check_lane(LaneState(self._context.deployment_id, committed, metadata, start, end, position))
        sys.audit("budget-bridge.lane.checked")
        if committed is None:
            committed = start
            await publication.publish(committed, (), mark=NEW)
            sys.audit("budget-bridge.lane.first-offset-committed")
        if position is None:
            position = await store.start_position(committed, owner)
            sys.audit("budget-bridge.lane.position-written")
        await self._seek_position(position, start)
        self._has_sought = True
        sys.audit("budget-bridge.lane.position-found")
        async for following, rows in store.read_backlog(committed, position.next_offset):
            await publication.publish(following, [row.record for row in rows])
        sys.audit("budget-bridge.lane.backlog-published")
        UNPUBLISHED.labels(str(self._number)).set(0)
        return position

    async def _seek_position(self, position: Position, log_start: int) -> None:
        """Go to the position in the log, after checking that the record before it is the one that was read there."""
        if position.last is None or position.last.offset < log_start:
            await self._reader.seek(self._place, position.next_offset)
            return
        await self._reader.seek(self._place, position.last.offset)
        deadline = asyncio.get_running_loop().time() + FIND_SECONDS
        found: list[Record] = []
        while not found:
            if asyncio.get_running_loop().time() >= deadline:
                message = f"record {position.last.offset} of the inbox could not be read in {FIND_SECONDS:.0f} s"
                raise KafkaDown(message)
            found = await self._reader.fetch(self._place, 1, POLL_SECONDS)
        check_last_record(position, found[0])
        await self._reader.seek(self._place, position.next_offset)

    # --- batch by batch

    async def _process(self, store: LaneStore, publication: Publication, position: Position) -> None:
        """Store batch after batch; each is sent while it is stored, and committed while the next is decided."""
        turn = self._context.turns.make_turn(self._stopping)
        try:
            while not self._stopping.is_set():
                records = await self._reader.fetch(self._place, BATCH_RECORDS, POLL_SECONDS)
                if records:
                    await turn.take()
                    records += await self._fetch_rest(records)
                    sys.audit("budget-bridge.lane.fetched", records)
                    self._check_start(records[0], position)
                    with measure("decode"):
                        arrivals = [open_arrival(record, self._context.topics) for record in records]
                    sys.audit("budget-bridge.lane.decoded", arrivals)
                    async for part in store.split_batch(self._context.traces.begin(arrivals)):
                        if self._stopping.is_set():
                            break
                        position = await self._store(store, publication, turn, position, part)
                    continue
                record_lag(self._number, self._reader.count_waiting(self._place, position.next_offset), None)
                await publication.check()
        finally:
            turn.give_back()
            await publication.close()

    async def _fetch_rest(self, records: Sequence[Record]) -> list[Record]:
        """Fetch what has come behind the first records of a batch while it waited for its turn."""
        if len(records) >= BATCH_RECORDS:
            return []
        following = records[-1].place.offset + 1
        rest = await self._reader.fetch(self._place, BATCH_RECORDS - len(records), 0.0)
        if rest and rest[0].place.offset != following:
            # Only the next batch, which then begins there, finds out whether something was skipped.
            await self._reader.seek(self._place, following)
            return []
        return rest

    def _check_start(self, first: Record, position: Position) -> None:
        """Check that a batch begins at the position: a fetch may have skipped something.

        Right after the lane went to its position itself, a gap is real: the marker of a transaction that somebody
        wrote into the inbox.
        """
        has_sought, self._has_sought = self._has_sought, False
        offset = first.place.offset
        if offset < position.next_offset or (offset > position.next_offset and not has_sought):
            message = f"the lane is at {position.next_offset} of the inbox, but received record {offset}"
            raise LaneLost(message)

    async def _store(
        self,
        store: LaneStore,
        publication: Publication,
        turn: Turn,
        position: Position,
        arrivals: Sequence[Arrival],
        failing: frozenset[Identity] = frozenset(),
    ) -> Position:
        """Store a batch and start publishing it; a message that cannot be decided or stored is isolated and held.

        The turn ends once it is stored: what waits for Kafka from then on keeps no other lane from working.
        Any other error is of the world or of this program, and says nothing about a message: it restarts the lane.
        """

        def send(decided: DecidedBatch) -> None:
            publication.send([row.record for row in decided.rows])

        publication.begin(arrivals[-1].inbox.place.offset + 1)
        try:
            async with turn:
                with measure("store"):
                    after, decided = await store.store_batch(position, arrivals, failing, send)
        except (DecisionFailedError, DataRefusedError) as wrong:
            self._log.exception("batch.failed", messages=len(arrivals))
            await publication.abort()
            if isinstance(wrong, DecisionFailedError) or len(arrivals) == 1:
                found = identify(wrong.arrival if isinstance(wrong, DecisionFailedError) else arrivals[0])
                if found in failing:
                    raise
                return await self._store(store, publication, turn, position, arrivals, failing | {found})
            middle = len(arrivals) // 2
            position = await self._store(store, publication, turn, position, arrivals[:middle], failing)
            return await self._store(store, publication, turn, position, arrivals[middle:], failing)
        self._note_rules(decided.rules)
        try:
            await publication.commit(arrivals)
        finally:
            # This batch is stored, and not decided again, also where the one before it could not be committed.
            self._log_verdicts(decided)
            self._context.traces.end(decided)
            count_batch(decided)
        record_lag(self._number, self._reader.count_waiting(self._place, after.next_offset), arrivals[-1])
        return after

    def _note_rules(self, rules: RulesVersion) -> None:
        if rules != self._rules:
            self._log.info("rules.changed", rules=str(rules), before=str(self._rules))
            self._rules = rules
            set_rules_in_force(rules.id, rules.digest)

    async def _wait(self, seconds: float) -> None:
        """Wait, but keep polling: a member that does not poll is removed from its group."""
        self._reader.pause(self._place)
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while not self._stopping.is_set() and (left := until - clock()) > 0:
            try:
                await self._reader.fetch(self._place, 1, min(left, POLL_SECONDS))
            except KafkaDown:
                await wait_unless(self._stopping, min(left, POLL_SECONDS))

    def _log_verdicts(self, decided: DecidedBatch) -> None:
        for entry in decided.entries:
            message = entry.arrival.message
            log = self._log.warning if entry.warning or entry.verdict in _WARNED_ABOUT else self._log.info
            about = {"source": entry.identity.source, "id": entry.identity.id, "detail": entry.detail}
            message = message.message if isinstance(message, Unproven) else message
            if isinstance(message, Message):
                about["budget"] = str(message.body.key)
                about["type"] = message.body.type
            log(f"message.{entry.verdict}", **about)
        for repeat in decided.repeats:
            self._log.info("message.duplicate", **identify(repeat)._asdict(), detail="the same message again")

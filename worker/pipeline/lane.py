"""A lane: one inbox partition, read batch by batch in order, stored in Postgres and published to Kafka.

There is one way in, taken at assignment and after everything whose outcome is not known: become the only
producer, become the only one who moves the position, check, publish from the database what is missing, read on.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import time_ns
from typing import Final
from uuid import UUID, uuid4

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.inbox import Arrival, open_arrival
from contracts.records import Outgoing, Record
from contracts.topics import TopicNames
from handlers.decision import Verdict
from outbox.batch import DecidedBatch, DecisionFailedError, Identity, Suspects, identify
from outbox.database import Connection, DatabaseDown, close, connect
from outbox.store import (
    Position,
    PositionLost,
    RulesVersion,
    find_holds_to_come,
    read_backlog,
    start_position,
    store_batch,
    take_position,
)
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown, LaneLost, MessageTooLarge
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.producer import Publisher
from worker.pipeline.lane_check import NEW, LaneRefused, LaneState, check_lane, check_last_record, sign_offset
from worker.resilience.backoff import back_off, is_ending, wait_unless
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
    measure_latency,
    tell_lag,
)
from worker.telemetry.tracing import Traces

AT_MOST: Final = 150
"""Records in a batch: enough to share the cost of two commits, few enough that lanes take turns."""

WITHIN_SECONDS: Final = 0.2
PUBLISH_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0
RECHECK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class LaneContext:
    """What all lanes of a worker share."""

    kafka: KafkaConnection
    database_url: str
    deployment_id: UUID
    group_id: str
    topics: TopicNames
    inbox_topic: str
    inbox_partitions: int
    rules: RulesVersion
    breakers: Breakers
    traces: Traces


def name_producer(group_id: str, inbox_topic: str, partition: int) -> str:
    """Name the transactional producer of a lane: whoever starts it is the only one from then on."""
    return f"{group_id}-{inbox_topic}-{partition}"


class Lane:
    """One assigned inbox partition."""

    def __init__(self, partition: int, reader: Consumer, surroundings: LaneContext, log: Logger) -> None:
        self._partition = partition
        self._reader = reader
        self._around = surroundings
        self._log = log.bind(lane=partition)
        self._outage = Outage(self._log, "lane")
        self._stopping = asyncio.Event()
        self._breakers = surroundings.breakers
        self._refused = ""
        self._waits = back_off()
        self._publishing: asyncio.Task[None] | None = None
        self._to_hold: dict[BudgetKey, str] = {}

    @property
    def _place(self) -> tuple[str, int]:
        return self._around.inbox_topic, self._partition

    async def run(self, stopping: asyncio.Event) -> None:
        """Carry messages until the stop, then finish the batch and publish it; a fault starts the lane again."""
        self._stopping = stopping
        try:
            await self._run()
        finally:
            # Another worker carries it now, and waits itself if it must.
            self._outage.forget()
            self._breakers.forget(self)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            seconds = await self._attempt() if self._breakers.admits(self) else WITHIN_SECONDS
            await self._wait(seconds)

    async def _attempt(self) -> float:
        """Come in and carry; returns how long to wait before the next time."""
        try:
            async with AsyncExitStack() as stack:
                await self._come_in_and_carry(stack)
        except KafkaDown as down:
            self._lose(down, self._breakers.kafka)
        except DatabaseDown as down:
            self._lose(down, self._breakers.database)
        except (LaneLost, PositionLost, MessageTooLarge) as lost:
            self._lose(lost, None)
            return next(self._waits)
        except asyncio.CancelledError as given_up:
            if is_ending():
                raise
            self._lose(given_up, None)
            return next(self._waits)
        except LaneRefused as unsafe:
            self._breakers.close(self)
            LANES_REFUSED.inc()
            if self._refused != str(unsafe):
                self._refused = str(unsafe)
                self._log.error("lane.refused", why=self._refused, next=f"looking again every {RECHECK_SECONDS:.0f} s")
            return RECHECK_SECONDS
        finally:
            self._breakers.give_back(self)
        return 0.0

    def _lose(self, why: BaseException, breaker: Breaker | None) -> None:
        """Note that this lane has to come in anew, and for which dependency it waits if for one."""
        LANE_LOSSES.labels(type(why).__name__).inc()
        if breaker:
            breaker.trip(self, why)
        else:
            self._outage.note(f"{type(why).__name__}: {why}".rstrip(": "))

    async def _come_in_and_carry(self, stack: AsyncExitStack) -> None:
        publisher = Publisher(self._around.kafka, name_producer(self._around.group_id, *self._place))
        stack.push_async_callback(publisher.close, CLOSE_SECONDS)
        await publisher.start()
        PRODUCER_INITIALISATIONS.inc()
        connection = await connect(self._around.database_url)
        stack.push_async_callback(close, connection, CLOSE_SECONDS)
        position = await self._come_in(connection, publisher)
        self._breakers.close(self)
        self._outage.clear()
        self._refused = ""
        self._waits = back_off()
        LANE_STARTS.inc()
        tell_lag(self._partition, self._reader.count_waiting(self._place, position.next_offset), None)
        self._log.info("lane.started", position=position.next_offset)
        await self._carry(connection, publisher, position)

    async def _come_in(self, connection: Connection, publisher: Publisher) -> Position:
        """Take the position, check that everything fits, and publish what the database has and Kafka lacks."""
        around, owner = self._around, uuid4()
        position = await take_position(connection, self._partition, owner)
        # Only after this lane's own InitProducerId: before it the group's offset may be an old one.
        offsets = await read_group_offsets(around.kafka, around.group_id, [self._place], CHECK_SECONDS)
        offset = offsets.get(self._place)
        start, end = await self._reader.bounds(self._place)
        at = offset.offset if offset else None
        metadata = offset.metadata if offset else ""
        check_lane(LaneState(around.deployment_id, at, metadata, start, end, position))
        if at is None:
            at = start
            await self._publish(publisher, at, (), new=True)
        if position is None:
            position = await start_position(connection, self._partition, at, owner)
        await self._find_place(position, start)
        self._to_hold = await find_holds_to_come(connection, self._partition)
        await self._publish_stored(connection, publisher, at, position.next_offset)
        UNPUBLISHED.labels(str(self._partition)).set(0)
        return position

    async def _find_place(self, position: Position, log_start: int) -> None:
        """Go to the position in the log, past the record before it, which must be the one that was read there."""
        if position.last is None or position.last.offset < log_start:
            await self._reader.seek(self._place, position.next_offset)
            return
        await self._reader.seek(self._place, position.last.offset)
        deadline = asyncio.get_running_loop().time() + CHECK_SECONDS
        found: list[Record] = []
        while not found and asyncio.get_running_loop().time() < deadline:
            found = await self._reader.fetch(self._place, 1, WITHIN_SECONDS)
        if not found:
            message = f"record {position.last.offset} of the inbox could not be read in {CHECK_SECONDS:.0f} s"
            raise KafkaDown(message)
        check_last_record(position, found[0])
        await self._reader.seek(self._place, position.next_offset)

    async def _publish_stored(self, connection: Connection, publisher: Publisher, start: int, stop: int) -> None:
        """Publish from the database what records from ``start`` to below ``stop`` caused."""
        async for following, rows in read_backlog(connection, self._partition, start, stop):
            await self._publish(publisher, following, [row.record for row in rows])

    async def _carry(self, connection: Connection, publisher: Publisher, position: Position) -> None:
        """Store batch after batch; each is published while the next is decided."""
        try:
            while not self._stopping.is_set():
                records = await self._reader.fetch(self._place, AT_MOST, WITHIN_SECONDS)
                if records:
                    with measure("decode"):
                        arrivals = [open_arrival(record, self._around.topics) for record in records]
                    arrivals = self._around.traces.begin(arrivals)
                    position = await self._process(connection, publisher, position, arrivals)
                    continue
                tell_lag(self._partition, self._reader.count_waiting(self._place, position.next_offset), None)
                if self._publishing and self._publishing.done():
                    await self._land()
        finally:
            await self._land()

    async def _process(
        self,
        connection: Connection,
        publisher: Publisher,
        position: Position,
        arrivals: Sequence[Arrival],
        stumbling: frozenset[Identity] = frozenset(),
    ) -> Position:
        """Store a batch and start publishing it; a message on which that fails is isolated and held."""
        around = self._around
        try:
            suspects = Suspects(stumbling, self._to_hold)
            with measure("store"):
                after, decided = await store_batch(
                    connection, position, arrivals, around.rules, around.topics, suspects
                )
        except (DatabaseDown, PositionLost):
            raise
        except Exception as bug:
            self._log.exception("batch.stumbled", messages=len(arrivals))
            if isinstance(bug, DecisionFailedError) or len(arrivals) == 1:
                found = identify(bug.arrival if isinstance(bug, DecisionFailedError) else arrivals[0])
                if found in stumbling:
                    raise
                return await self._process(connection, publisher, position, arrivals, stumbling | {found})
            middle = len(arrivals) // 2
            position = await self._process(connection, publisher, position, arrivals[:middle], stumbling)
            return await self._process(connection, publisher, position, arrivals[middle:], stumbling)
        for held in decided.holds:
            self._to_hold.pop(held.budget, None)
        await self._land()
        self._publishing = asyncio.create_task(self._publish_batch(publisher, after.next_offset, decided, arrivals))
        self._tell(decided)
        around.traces.end(decided)
        count_batch(decided)
        tell_lag(self._partition, self._reader.count_waiting(self._place, after.next_offset), arrivals[-1])
        return after

    async def _publish_batch(
        self, publisher: Publisher, offset: int, decided: DecidedBatch, arrivals: Sequence[Arrival]
    ) -> None:
        unpublished = UNPUBLISHED.labels(str(self._partition))
        unpublished.set(len(decided.rows))
        with measure("publish"):
            await self._publish(publisher, offset, [row.record for row in decided.rows])
        unpublished.set(0)
        measure_latency(arrivals)

    async def _land(self) -> None:
        """Wait until what is in flight is published; at most one batch ever is."""
        publishing, self._publishing = self._publishing, None
        if publishing:
            await publishing

    async def _publish(
        self, publisher: Publisher, offset: int, records: Sequence[Outgoing], *, new: bool = False
    ) -> None:
        metadata, started_ns = sign_offset(self._around.deployment_id, NEW if new else ""), time_ns()
        await publisher.publish(self._around.group_id, self._place, offset, metadata, records, within=PUBLISH_SECONDS)
        if records:
            self._around.traces.tell_sent(records, started_ns)
            self._log.info("outbox.published", messages=len(records), offset=offset)

    async def _wait(self, seconds: float) -> None:
        """Wait, polling all the while: a member that does not poll is put out of its group."""
        self._reader.pause(self._place)
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while not self._stopping.is_set() and (left := until - clock()) > 0:
            try:
                await self._reader.fetch(self._place, 1, min(left, WITHIN_SECONDS))
            except KafkaDown:
                await wait_unless(self._stopping, min(left, WITHIN_SECONDS))

    def _tell(self, decided: DecidedBatch) -> None:
        for entry in decided.entries:
            message = entry.arrival.message
            told = self._log.warning if entry.warning or entry.verdict in _WORTH_A_WARNING else self._log.info
            about = {"source": entry.identity.source, "id": entry.identity.id, "detail": entry.detail}
            if isinstance(message, Message):
                body = message.body
                about["budget"] = str(body.key)
                about["type"] = body.type
            told(f"message.{entry.verdict}", **about)
        for repeat in decided.repeats:
            self._log.info("message.duplicate", **identify(repeat)._asdict(), detail="the same message again")


_WORTH_A_WARNING: Final = frozenset({Verdict.DEAD_LETTERED, Verdict.HELD})

"""The real worker with one thing planted in it: a point at which it dies by SIGKILL, or a fault that loses or doubles.

``python -m tests.exactly_once.planted run`` with ``CRASH_AT="name"`` or ``FAULT="name"`` in the environment. The
points are put around the worker's own functions from here, so that they cost it nothing when it runs as it is.
"""

import asyncio
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiokafka
import asyncpg
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.transaction import EndTxnRequest

from contracts.outbound import SpectrumExport
from contracts.records import Outgoing
from contracts.topics import SOURCES
from handlers.decision import Outcome
from outbox import batch, store
from outbox.queries import QUERIES
from worker import app
from worker.__main__ import app as command_line
from worker.kafka import consumer, producer
from worker.kafka.group_offsets import GroupOffset
from worker.pipeline import deadlines, intake, lane
from worker.pipeline.lanes import Lanes

# What is changed from here is no type checker's business.
CORE: Any = batch
LANE: Any = lane
CONSUMER: Any = consumer
PRODUCING: Any = producer
SESSION: Any = asyncpg.Connection

Condition = Callable[..., bool]


def always(*_: Any, **__: Any) -> bool:
    return True


@dataclass(frozen=True)
class Point:
    """Where the worker dies: around which function, and at which of its calls."""

    says: str
    owner: Any
    function: str
    after: bool = True
    at_call: int = 1
    counts: Condition = always
    """Which calls count; given the result (``None`` before the call), then the call's own arguments."""
    needs: str = ""
    """What must be brought about: ``backlog``, ``parked``, ``second worker``, ``stop`` or ``deadline``."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(point: Point) -> None:
    original = getattr(point.owner, point.function)
    calls = 0

    def hit(result: object, *arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += point.counts(result, *arguments, **named)
        if calls == point.at_call:
            die()

    @functools.wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if not point.after:
            hit(None, *arguments, **named)
        result = await original(*arguments, **named)
        if point.after:
            hit(result, *arguments, **named)
        return result

    @functools.wraps(original)
    def wrapped_plain(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        hit(result, *arguments, **named)
        return result

    setattr(point.owner, point.function, wrapped if asyncio.iscoroutinefunction(original) else wrapped_plain)


def has_result(result: object, *_: Any, **__: Any) -> bool:
    return bool(result)


def is_query(name: str) -> Condition:
    return lambda _, __, query, *___, **____: query == QUERIES.get(name, name)


def is_transactional(_: object, producer: Any, *__: Any) -> bool:
    return producer._txn_manager is not None and producer._txn_manager.transactional_id is not None


def is_ending(_: object, __: object, request: object, *___: Any, **____: Any) -> bool:
    return isinstance(request, EndTxnRequest)


def to_inbox(_: object, __: object, records: list[Outgoing]) -> bool:
    return records[0].topic.endswith("bridge.inbox")


def with_records(_: object, __: object, *arguments: Any, **___: Any) -> bool:
    return bool(arguments[4])


def is_new(_: object, *__: Any, new: bool = False) -> bool:
    return new


def of_lanes(_: object, __: object, partitions: list[object]) -> bool:
    return bool(partitions)


def of_batch(result: Any, *arguments: Any) -> bool:
    # In the middle of carrying, not where the record before the position is looked at.
    return bool(result) and arguments[2] == lane.AT_MOST


PRODUCER = aiokafka.AIOKafkaProducer
POINTS = [
    Point("worker: rules kept", app, "keep_rules"),
    Point("worker: inbox partitions fixed", app, "fix_inbox_partitions"),
    Point("intake: fetched", consumer.Consumer, "fetch_any", counts=has_result),
    Point("intake: about to append", producer.Appender, "append", after=False, counts=to_inbox),
    Point("intake: some appended, some not", producer, "_send", at_call=7, counts=lambda *a: not is_transactional(*a)),
    Point("intake: appended, offset not committed", producer.Appender, "append", counts=to_inbox),
    Point("intake: offset committed", consumer.Consumer, "commit"),
    Point("lane start: producer made", producer.Publisher, "start"),
    Point("lane start: connected to the database", lane, "connect"),
    Point("lane start: position taken", lane, "take_position", at_call=2),
    Point("lane start: group's offset read", lane, "read_group_offsets"),
    Point("lane start: checked", lane, "check_lane", at_call=2),
    Point("lane start: first offset committed", lane.Lane, "_publish", counts=is_new),
    Point("lane start: position written", lane, "start_position"),
    Point("lane start: place in the log found", lane.Lane, "_find_place", needs="backlog"),
    Point(
        "lane start: backlog about to be published",
        producer.Publisher,
        "publish",
        after=False,
        counts=with_records,
        needs="backlog",
    ),
    Point("lane start: backlog published", lane.Lane, "_publish_stored", needs="backlog"),
    Point("lane: fetched", consumer.Consumer, "fetch", at_call=2, counts=of_batch),
    Point("lane: decoded", lane, "open_arrival", at_call=11),
    Point("store: transaction begun", store, "_move_position", after=False, at_call=3),
    Point("store: position moved", store, "_move_position", at_call=3),
    Point("store: budgets loaded", store, "_load", at_call=3),
    Point("store: decided", store, "decide_batch", at_call=3),
    Point("store: history written", asyncpg.Connection, "execute", at_call=3, counts=is_query("add_history")),
    Point("store: verdicts changed", asyncpg.Connection, "execute", counts=is_query("resolve_history"), needs="parked"),
    Point("store: budgets added", asyncpg.Connection, "execute", at_call=2, counts=is_query("add_budgets")),
    Point("store: budgets changed", asyncpg.Connection, "execute", at_call=2, counts=is_query("change_budgets")),
    Point("store: outbox written", asyncpg.Connection, "execute", at_call=3, counts=is_query("add_outbox")),
    Point("store: before the commit", asyncpg.Connection, "execute", after=False, at_call=3, counts=is_query("commit")),
    Point("store: commit sent, not answered", asyncpg.Connection, "_commit_sent", at_call=3),
    Point("store: after the commit", asyncpg.Connection, "execute", at_call=3, counts=is_query("commit")),
    Point("publish: about to", producer.Publisher, "publish", after=False, at_call=3, counts=with_records),
    Point("publish: transaction begun", PRODUCER, "begin_transaction", at_call=4),
    Point("publish: offset sent", PRODUCER, "send_offsets_to_transaction", at_call=4),
    Point("publish: first row handed over", producer, "_send", at_call=9, counts=is_transactional),
    Point("publish: rows sent", producer, "_send_all", at_call=2, counts=is_transactional),
    Point("publish: before the commit", PRODUCER, "commit_transaction", after=False, at_call=5),
    Point("publish: commit sent, not answered", AIOKafkaConnection, "send", at_call=5, counts=is_ending),
    Point("publish: after the commit", PRODUCER, "commit_transaction", at_call=5),
    Point("revoke: told", Lanes, "_stop", after=False, counts=of_lanes, needs="second worker"),
    Point("revoke: lanes stopped", Lanes, "_stop", counts=of_lanes, needs="second worker"),
    Point("stop: asked for", Lanes, "close", after=False, needs="stop"),
    Point("stop: group left", Lanes, "close", needs="stop"),
    Point("timer: deadline found", deadlines, "find_due", counts=has_result, needs="deadline"),
    Point("timer: deadline said", producer.Appender, "append", counts=lambda *a: not to_inbox(*a), needs="deadline"),
]
"""In the order of a message's way. Small numbers of calls, so that something came before and something comes after."""


async def _commit_sent(*_: Any) -> None:
    """Stand for the moment in which Postgres has been sent a commit and has not answered."""


def mark_commit_sent() -> None:
    original = SESSION.execute

    async def execute(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        if query != "commit":
            return await original(self, query, *arguments, **named)
        answer = asyncio.create_task(original(self, query))
        # Its first step writes to the socket.
        await asyncio.sleep(0)
        await self._commit_sent()
        return await answer

    SESSION._commit_sent = _commit_sent
    SESSION.execute = execute


Publish = Callable[..., Awaitable[None]]


def has_two_rows(records: list[Outgoing]) -> bool:
    return len(records) > 1


def has_two_of_a_budget(records: list[Outgoing]) -> bool:
    return len({(record.topic, record.key) for record in records}) < len(records)


def spoil_publish(
    change: Callable[[list[Outgoing]], list[Outgoing]], fits: Callable[[list[Outgoing]], bool] = has_two_rows
) -> None:
    """Let the relay do something else with the first batch that fits."""
    original: Publish = producer.Publisher.publish
    done = False

    async def publish(
        self: Any, group: str, place: Any, offset: int, metadata: str, records: Any, **named: Any
    ) -> None:
        nonlocal done
        changed = list(records)
        if fits(changed) and not done:
            done, changed = True, change(changed)
        await original(self, group, place, offset, metadata, changed, **named)

    PRODUCING.Publisher.publish = publish


def skip_a_row() -> None:
    spoil_publish(lambda records: records[1:])


def double_a_row() -> None:
    spoil_publish(lambda records: [*records, records[0]])


def turn_rows_round() -> None:
    spoil_publish(lambda records: records[::-1], has_two_of_a_budget)


def change_a_cent() -> None:
    spoil_publish(
        lambda records: [replace(record, value=(record.value or b"").replace(b".00", b".01")) for record in records]
    )


def commit_the_offset_before_sending() -> None:
    original: Publish = producer.Publisher.publish

    async def publish(
        self: Any, group: str, place: Any, offset: int, metadata: str, records: Any, **named: Any
    ) -> None:
        await original(self, group, place, offset, metadata, (), **named)
        if records:
            die()

    PRODUCING.Publisher.publish = publish


def commit_the_intake_before_appending() -> None:
    async def copy(self: Any, records: Any) -> None:
        places = {(one.place.topic, one.place.partition): one.place.offset + 1 for one in records}
        await self.reader.commit({place: GroupOffset(offset, "") for place, offset in places.items()})
        die()

    intake.Intake._copy = copy  # type: ignore[method-assign]


def send_exports_twice() -> None:
    original = CORE.decide

    def decide(*arguments: Any) -> Outcome:
        outcome: Outcome = original(*arguments)
        exports = tuple(send for send in outcome.step.sends if isinstance(send, SpectrumExport))
        return outcome._replace(step=outcome.step.send(*exports))

    CORE.decide = decide


def pass_over_a_record() -> None:
    original = LANE.store_batch
    done = False

    async def store_batch(connection: Any, position: Any, arrivals: Any, *more: Any) -> Any:
        nonlocal done
        if len(arrivals) > 1 and not done:
            done, arrivals = True, arrivals[1:]
        return await original(connection, position, arrivals, *more)

    LANE.store_batch = store_batch


FAULTS: dict[str, Callable[[], None]] = {
    "the relay skips a row": skip_a_row,
    "the relay sends a row twice": double_a_row,
    "the relay sends rows in another order": turn_rows_round,
    "the relay sends a cent less": change_a_cent,
    "the relay commits the offset before sending": commit_the_offset_before_sending,
    "the intake commits before appending": commit_the_intake_before_appending,
    "the core sends an export twice": send_exports_twice,
    "the lane passes over a record": pass_over_a_record,
}


def stumble_over(project: int) -> None:
    """Plant a bug: deciding on any acceptance of this project fails."""
    original = CORE.decide

    def decide(budget: Any, message: Any, situation: Any) -> Outcome:
        held = [other.body for other in situation.held]
        if any(body.project_id == project and body.type == "approval.decision.v1" for body in (message.body, *held)):
            raise RuntimeError("planted")
        outcome: Outcome = original(budget, message, situation)
        return outcome

    CORE.decide = decide


def forget_type(kind: str) -> None:
    """Be an older code, which does not know a type yet."""
    sources: Any = SOURCES
    for topic, models in SOURCES.items():
        sources[topic] = tuple(model for model in models if model.type != kind)


def set_clock_off(hours: int) -> None:
    """Let the clock be wrong that stamps what is sent to Kafka; the worker asks for the time nowhere else."""
    right: Callable[[], float] = time.time
    clock: Any = time
    clock.time = lambda: right() + hours * 3600


def go_silent(sign: Path, *, deaf: bool) -> None:
    """Let every consumer that there is when the sign appears hand out nothing more, and stay a member.

    A deaf one is not answered either when it asks for the ends of its partitions.

    It is what aiokafka does when the task that fetches ends, which nothing in it looks after.
    """
    original: Callable[..., Awaitable[object]] = CONSUMER.Consumer._get

    async def give_no_answer(_: object) -> None:
        raise aiokafka.errors.KafkaTimeoutError

    before: set[int] = set()
    silenced: set[int] = set()

    async def get(reader: Any, *arguments: Any) -> object:
        consumer = reader._consumer
        if not sign.exists():  # noqa: ASYNC240 - one look at a file of the test
            before.add(id(consumer))
        elif id(consumer) in before:
            for task in (consumer._fetcher._fetch_task, *consumer._fetcher._pending_tasks):
                task.cancel()
            if deaf:
                consumer.end_offsets = give_no_answer
            silenced.add(id(consumer))
            sign.write_text(str(len(silenced)))  # noqa: ASYNC240 - the same
        return await original(reader, *arguments)

    CONSUMER.Consumer._get = get


def prepare() -> None:
    LANE.AT_MOST = 5  # many batches, so that there is a middle
    if hours := os.environ.get("CLOCK_IS_OFF_BY_HOURS"):
        set_clock_off(int(hours))
    if kind := os.environ.get("KNOWS_NOT"):
        forget_type(kind)
    if project := os.environ.get("STUMBLES_OVER_PROJECT"):
        stumble_over(int(project))
    if sign := os.environ.get("GOES_SILENT_AT_SIGN"):
        go_silent(Path(sign), deaf="IS_DEAF" in os.environ)
    if name := os.environ.get("CRASH_AT"):
        mark_commit_sent()
        plant(next(point for point in POINTS if point.says == name))
    if name := os.environ.get("FAULT"):
        FAULTS[name]()


if __name__ == "__main__":
    prepare()
    command_line()

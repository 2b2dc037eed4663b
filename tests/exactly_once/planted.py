"""The real worker with one thing planted in it: a point at which it dies by SIGKILL, or a fault that loses or doubles.

``python -m tests.exactly_once.planted run`` with ``CRASH_AT="name"`` or ``FAULT="name"`` in the environment. The points
are audit events (``sys.audit``) that the worker raises on its way; without a hook they cost it next to nothing.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiokafka
import asyncpg
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.transaction import EndTxnRequest

from contracts.outbound import SpectrumExport
from contracts.records import Outgoing, Record
from contracts.topics import SOURCES
from handlers.decision import Outcome
from outbox import batch
from worker.__main__ import app as command_line
from worker.kafka.consumer import Consumer
from worker.kafka.group_offsets import GroupOffset
from worker.kafka.producer import Appender, Publisher
from worker.pipeline import lane
from worker.pipeline.lane_store import PostgresLaneStore

# What is changed from here is no type checker's business.
CORE: Any = batch
LANE: Any = lane
CONSUMER: Any = Consumer
APPENDER: Any = Appender
PUBLISHER: Any = Publisher
STORE: Any = PostgresLaneStore
SESSION: Any = asyncpg.Connection
SOCKET: Any = AIOKafkaConnection

PREFIX: Final = "budget-bridge."
Condition = Callable[..., bool]


def always(*_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Point:
    """Where the worker dies: at which of its audit events, and at which one of those that count."""

    says: str
    event: str
    at_call: int = 1
    counts: Condition = always
    """Which of them count, given the event's arguments."""
    needs: str = ""
    """What must be brought about: ``backlog``, ``parked``, ``second worker``, ``stop`` or ``deadline``."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(point: Point) -> None:
    calls = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if event == PREFIX + point.event:
            calls += point.counts(*arguments)
            if calls == point.at_call:
                die()

    sys.addaudithook(hook)


def is_transactional(producer: Any) -> bool:
    return producer._txn_manager is not None and producer._txn_manager.transactional_id is not None


def is_plain(producer: Any) -> bool:
    return not is_transactional(producer)


def is_any(found: Sequence[object]) -> bool:
    return bool(found)


POINTS = [
    Point("worker: inbox partitions fixed", "worker.inbox-partitions-fixed"),
    Point("worker: rules kept", "worker.rules-kept"),
    Point("intake: fetched", "intake.fetched"),
    Point("intake: about to append", "intake.about-to-append"),
    Point("intake: some appended, some not", "producer.record-handed-over", at_call=7, counts=is_plain),
    Point("intake: appended, offset not committed", "intake.appended"),
    Point("intake: offset committed", "intake.committed"),
    Point("lane start: producer made", "publisher.started"),
    Point("lane start: connected to the database", "lane.connected"),
    Point("lane start: position taken", "lane.position-taken", at_call=2),
    Point("lane start: group's offset read", "lane.offset-read"),
    Point("lane start: checked", "lane.checked", at_call=2),
    Point("lane start: first offset committed", "lane.first-offset-committed"),
    Point("lane start: position written", "lane.position-written"),
    Point("lane start: place in the log found", "lane.position-found", needs="backlog"),
    Point("lane start: backlog about to be published", "publisher.about-to-publish", counts=is_any, needs="backlog"),
    Point("lane start: backlog published", "lane.backlog-published", needs="backlog"),
    Point("lane: fetched", "lane.fetched", at_call=2),
    Point("lane: decoded", "lane.decoded", at_call=2),
    Point("store: transaction begun", "store.transaction-begun", at_call=3),
    Point("store: position moved", "store.position-moved", at_call=3),
    Point("store: budgets loaded", "store.budgets-loaded", at_call=3),
    Point("store: decided", "store.decided", at_call=3),
    Point("store: history written", "store.history-written", at_call=3),
    Point("store: verdicts changed", "store.verdicts-changed", needs="parked"),
    Point("store: budgets added", "store.budgets-added", at_call=2),
    Point("store: budgets changed", "store.budgets-changed", at_call=2),
    Point("store: outbox written", "store.outbox-written", at_call=3),
    Point("store: before the commit", "store.before-commit", at_call=3),
    Point("store: commit sent, not answered", "planted.commit-sent", at_call=3),
    Point("store: after the commit", "store.after-commit", at_call=3),
    Point("publish: about to", "publisher.about-to-publish", at_call=3, counts=is_any),
    Point("publish: transaction begun", "publisher.transaction-begun", at_call=4),
    Point("publish: offset sent", "publisher.offset-sent", at_call=4),
    Point("publish: first row handed over", "producer.record-handed-over", at_call=9, counts=is_transactional),
    Point("publish: rows sent", "publisher.records-sent", at_call=2, counts=is_any),
    Point("publish: before the commit", "publisher.records-sent", at_call=5),
    Point("publish: commit sent, not answered", "planted.transaction-ending", at_call=5),
    Point("publish: after the commit", "publisher.published", at_call=5),
    Point("revoke: requested", "lanes.about-to-revoke", needs="second worker"),
    Point("revoke: lanes stopped", "lanes.stopped", needs="second worker"),
    Point("stop: requested", "lanes.about-to-stop", needs="stop"),
    Point("stop: group left", "lanes.group-left", needs="stop"),
    Point("timer: deadline found", "deadlines.found", counts=is_any, needs="deadline"),
    Point("timer: deadline sent", "deadlines.sent", needs="deadline"),
]
"""In the order of a message's way. Small numbers of calls, so that something came before and something comes after."""


def mark_commits_sent() -> None:
    """Raise events for the moments in which Postgres or Kafka has been sent a commit and has not answered."""
    execute: Callable[..., Awaitable[Any]] = SESSION.execute
    send = SOCKET.send

    async def execute_and_mark(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        if query != "commit":
            return await execute(self, query, *arguments, **named)
        answer = asyncio.ensure_future(execute(self, query))
        # Its first step writes to the socket.
        await asyncio.sleep(0)
        sys.audit(f"{PREFIX}planted.commit-sent")
        return await answer

    def send_and_mark(self: Any, request: Any, *arguments: Any, **named: Any) -> Any:
        answer = send(self, request, *arguments, **named)
        if isinstance(request, EndTxnRequest):
            sys.audit(f"{PREFIX}planted.transaction-ending")
        return answer

    SESSION.execute = execute_and_mark
    SOCKET.send = send_and_mark


Publish = Callable[..., Awaitable[None]]


def has_two_rows(records: list[Outgoing]) -> bool:
    return len(records) > 1


def has_two_of_a_budget(records: list[Outgoing]) -> bool:
    return len({(record.topic, record.key) for record in records}) < len(records)


def spoil_publish(
    change: Callable[[list[Outgoing]], list[Outgoing]], fits: Callable[[list[Outgoing]], bool] = has_two_rows
) -> None:
    """Let the relay do something else with the first batch that fits."""
    original: Publish = PUBLISHER.publish
    done = False

    async def publish(self: Any, offset: GroupOffset, records: Sequence[Outgoing], *, within: float) -> None:
        nonlocal done
        changed = list(records)
        if fits(changed) and not done:
            done, changed = True, change(changed)
        await original(self, offset, changed, within=within)

    PUBLISHER.publish = publish


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
    original: Publish = PUBLISHER.publish

    async def publish(self: Any, offset: GroupOffset, records: Sequence[Outgoing], *, within: float) -> None:
        await original(self, offset, (), within=within)
        if records:
            die()

    PUBLISHER.publish = publish


def commit_the_intake_before_appending() -> None:
    fetch_any: Callable[..., Awaitable[list[Record]]] = CONSUMER.fetch_any

    async def fetch_and_commit(self: Any, *arguments: Any) -> list[Record]:
        records = await fetch_any(self, *arguments)
        if records:
            places = {(one.place.topic, one.place.partition): one.place.offset + 1 for one in records}
            await self.commit({place: GroupOffset(offset, "") for place, offset in places.items()})
            die()
        return records

    CONSUMER.fetch_any = fetch_and_commit


def send_exports_twice() -> None:
    original = CORE.decide

    def decide(*arguments: Any) -> Outcome:
        outcome: Outcome = original(*arguments)
        exports = tuple(send for send in outcome.step.sends if isinstance(send, SpectrumExport))
        return outcome._replace(step=outcome.step.send(*exports))

    CORE.decide = decide


def pass_over_a_record() -> None:
    original = STORE.store_batch
    done = False

    async def store_batch(self: Any, position: Any, arrivals: Any, failing: Any) -> Any:
        nonlocal done
        if len(arrivals) > 1 and not done:
            done, arrivals = True, arrivals[1:]
        return await original(self, position, arrivals, failing)

    STORE.store_batch = store_batch


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
    before: set[int] = set()
    silenced: set[int] = set()

    async def give_no_answer(*_: object) -> None:
        raise aiokafka.errors.KafkaTimeoutError

    def silence(reader: Any) -> None:
        consumer = reader._consumer
        if not sign.exists():
            before.add(id(consumer))
        elif id(consumer) in before:
            for task in (consumer._fetcher._fetch_task, *consumer._fetcher._pending_tasks):
                task.cancel()
            if deaf:
                consumer.end_offsets = consumer.topics = give_no_answer
            silenced.add(id(consumer))
            sign.write_text(str(len(silenced)))

    for name in ("fetch", "fetch_any"):
        setattr(CONSUMER, name, silence_before(getattr(CONSUMER, name), silence))


def silence_before(fetch: Callable[..., Awaitable[object]], silence: Callable[[Any], None]) -> Any:
    async def fetch_after(reader: Any, *arguments: Any) -> object:
        if reader._consumer:
            silence(reader)
        return await fetch(reader, *arguments)

    return fetch_after


def prepare() -> None:
    LANE.BATCH_RECORDS = 5  # many batches, so that there is a middle
    if hours := os.environ.get("CLOCK_IS_OFF_BY_HOURS"):
        set_clock_off(int(hours))
    if kind := os.environ.get("KNOWS_NOT"):
        forget_type(kind)
    if project := os.environ.get("STUMBLES_OVER_PROJECT"):
        stumble_over(int(project))
    if sign := os.environ.get("GOES_SILENT_AT_SIGN"):
        go_silent(Path(sign), deaf="IS_DEAF" in os.environ)
    if name := os.environ.get("CRASH_AT"):
        mark_commits_sent()
        plant(next(point for point in POINTS if point.says == name))
    if name := os.environ.get("FAULT"):
        FAULTS[name]()


if __name__ == "__main__":
    prepare()
    command_line()

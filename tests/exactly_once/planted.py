"""Runs the real worker with one thing planted in it: a point at which it kills itself, or a fault.

``RunningDeployment.start_planted`` starts it, with ``CRASH_AT="name"`` or ``FAULT="name"`` in the environment. The
points are audit events (``sys.audit``) that the worker raises on its way; without a hook they cost it next to nothing.
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
from handlers import decide, exports, signatures, snapshot_pages
from handlers.decision import Outcome
from handlers.readings import ReadLine
from outbox import batch, prune
from outbox.queries import QUERIES
from worker.kafka.consumer import Consumer
from worker.kafka.group_offsets import GroupOffset
from worker.kafka.producer import Appender, Publisher
from worker.pipeline import lane
from worker.pipeline.lane_store import PostgresLaneStore

# Any, because the type checker would refuse the changes that are made to them here.
CORE: Any = batch
DECIDE: Any = decide
PAGES: Any = snapshot_pages
EXPORTS: Any = exports
SIGNATURES: Any = signatures
LANE: Any = lane
PRUNE: Any = prune
CONSUMER: Any = Consumer
APPENDER: Any = Appender
PUBLISHER: Any = Publisher
STORE: Any = PostgresLaneStore
SESSION: Any = asyncpg.Connection
SOCKET: Any = AIOKafkaConnection

PREFIX: Final = "budget-bridge."
Condition = Callable[..., bool]
RELEASED: Final = "store.verdicts-changed"


def always(*_: Any) -> bool:
    """Count every event."""
    return True


@dataclass(frozen=True)
class Point:
    """Where the worker dies: at which audit event, and at how many of them."""

    name: str
    event: str
    at_call: int = 1
    counts: Condition = always
    """Whether an event counts, given its arguments."""
    needs: str = ""
    """What must be brought about, as ``tests.exactly_once.crashes`` names it; nothing but a load by default."""
    after: str = ""
    """Only what follows this event counts."""


def die() -> None:
    """Die at once, as if by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


def plant(point: Point) -> None:
    calls, is_due = 0, not point.after

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls, is_due
        is_due = is_due or event == PREFIX + point.after
        if is_due and event == PREFIX + point.event:
            calls += point.counts(*arguments)
            if calls == point.at_call:
                die()

    sys.addaudithook(hook)


def is_transactional(producer: Any) -> bool:
    """Return whether a producer of aiokafka's is a lane's."""
    return producer._txn_manager is not None and producer._txn_manager.transactional_id is not None


def is_plain(producer: Any) -> bool:
    """Return whether a producer of aiokafka's is that of the intake or of the timer."""
    return not is_transactional(producer)


def is_any(found: Sequence[object]) -> bool:
    """Return whether there is anything in a sequence."""
    return bool(found)


def is_query(name: str) -> Condition:
    return lambda query: bool(query == QUERIES[name])


POINTS = [
    Point("worker: inbox partitions fixed", "worker.inbox-partitions-fixed"),
    Point("worker: rules kept", "worker.rules-kept"),
    Point("intake: fetched", "intake.fetched"),
    Point("intake: about to append", "intake.about-to-append"),
    Point("intake: some appended, some not", "producer.batch-handed-over", at_call=2, counts=is_plain),
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
    Point("store: readings written", "store.readings-written", at_call=2, needs="readings"),
    Point("store: outbox written", "store.outbox-written", at_call=3),
    Point("store: before the commit", "store.before-commit", at_call=3),
    Point("store: commit sent, not answered", "planted.commit-sent", at_call=3),
    Point("store: after the commit", "store.after-commit", at_call=3),
    Point("publish: transaction begun", "publisher.transaction-begun", at_call=4),
    Point("publish: offset sent", "publisher.offset-sent", at_call=4),
    Point("publish: about to send", "publisher.about-to-publish", at_call=3, counts=is_any),
    Point("publish: first batch handed over", "producer.batch-handed-over", at_call=3, counts=is_transactional),
    Point("publish: rows sent", "publisher.records-sent", at_call=2, counts=is_any),
    Point("publish: before the commit", "publisher.about-to-commit", at_call=3, counts=is_any),
    Point("publish: commit sent, not answered", "planted.transaction-ending", at_call=5),
    Point("publish: after the commit", "publisher.published", at_call=5),
    Point("revoke: requested", "lanes.about-to-revoke", needs="second worker"),
    Point("revoke: lanes stopped", "lanes.stopped", needs="second worker"),
    Point("stop: requested", "lanes.about-to-stop", needs="stop"),
    Point("stop: group left", "lanes.group-left", needs="stop"),
    Point("timer: deadline found", "deadlines.found", counts=is_any, needs="deadline"),
    Point("timer: deadline sent", "deadlines.sent", needs="deadline"),
    Point("hold: budget held, not committed", "store.holds-written", needs="bug"),
    Point("hold: stored, not published", "publisher.about-to-commit", 1, is_any, "bug", "store.holds-written"),
    Point("release: verdicts of held messages changed", "store.verdicts-changed", needs="release"),
    Point("release: stored, not published", "publisher.about-to-commit", 1, is_any, "release", RELEASED),
    Point("release: published", "publisher.published", 1, is_any, "release", RELEASED),
    Point("rules applied: about to commit", "planted.about-to-commit", needs="rules"),
    Point("rules applied: commit sent, not answered", "planted.commit-sent", needs="rules"),
    Point("prune: rows deleted, not committed", "planted.executed", 3, is_query("drop_rows"), needs="prune"),
    Point("prune: bytes deleted, not committed", "planted.executed", 3, is_query("drop_bytes"), needs="prune"),
    Point("recover: decided again, not committed", "planted.about-to-commit", needs="older backup"),
    Point("recover: committed, offsets not moved", "publisher.about-to-publish", needs="older backup"),
    Point("recover: offset of one lane moved", "publisher.published", needs="older backup"),
    Point("recover: published again in part", "publisher.published", needs="lost outputs"),
]
"""In the order of a message's path. The numbers of calls are small, so that messages come before and after."""


def mark_commits() -> None:
    """Raise events for statements, and for commits that Postgres or Kafka has been sent and has not answered."""
    execute: Callable[..., Awaitable[Any]] = SESSION.execute
    send = SOCKET.send

    async def execute_and_mark(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        if query != "commit":
            answered = await execute(self, query, *arguments, **named)
            sys.audit(f"{PREFIX}planted.executed", query)
            return answered
        sys.audit(f"{PREFIX}planted.about-to-commit")
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
    """Return whether a batch has at least two messages."""
    return len(records) > 1


def has_two_of_a_budget(records: list[Outgoing]) -> bool:
    """Return whether a batch has at least two messages of one budget on one topic."""
    return len({(record.topic, record.key) for record in records}) < len(records)


def spoil_publish(
    change: Callable[[list[Outgoing]], list[Outgoing]], fits: Callable[[list[Outgoing]], bool] = has_two_rows
) -> None:
    """Let the lane publish something else in place of one batch.

    Args:
        change: makes the records that are published from those that should be.
        fits: chooses the batch: the first for which it returns true.
    """
    original: Publish = PUBLISHER.send
    done = False

    async def send(self: Any, records: Sequence[Outgoing], *, within: float) -> None:
        nonlocal done
        changed = list(records)
        if fits(changed) and not done:
            done, changed = True, change(changed)
        await original(self, changed, within=within)

    PUBLISHER.send = send


def skip_a_row() -> None:
    """Publish all but the first message of a batch."""
    spoil_publish(lambda records: records[1:])


def double_a_row() -> None:
    """Publish the first message of a batch twice."""
    spoil_publish(lambda records: [*records, records[0]])


def reverse_rows() -> None:
    """Publish a batch in reverse order."""
    spoil_publish(lambda records: records[::-1], has_two_of_a_budget)


def change_a_cent() -> None:
    """Publish amounts that are a cent too high."""
    spoil_publish(
        lambda records: [replace(record, value=(record.value or b"").replace(b".00", b".01")) for record in records]
    )


def commit_the_offset_before_sending() -> None:
    """Commit the lane's offset in a transaction of its own, and die before the messages are sent."""
    original: Publish = PUBLISHER.send
    original_commit: Callable[..., Awaitable[None]] = PUBLISHER.commit
    left_out: dict[Any, Sequence[Outgoing]] = {}

    async def send(self: Any, records: Sequence[Outgoing], *, within: float) -> None:
        left_out[self] = records
        await original(self, (), within=within)

    async def commit(self: Any, *, within: float) -> None:
        await original_commit(self, within=within)
        if left_out[self]:
            die()

    PUBLISHER.send, PUBLISHER.commit = send, commit


def commit_the_intake_before_appending() -> None:
    """Commit the intake's offsets, and die before the records are copied."""
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
    """Let every decision send its exports twice."""
    original = CORE.decide

    def decide(*arguments: Any) -> Outcome:
        outcome: Outcome = original(*arguments)
        exports = tuple(send for send in outcome.step.sends if isinstance(send, SpectrumExport))
        return outcome._replace(step=outcome.step.send(*exports))

    CORE.decide = decide


def read_a_cent_more() -> None:
    """Let every line that is read in Spectrum have a cent more under the bridge's references."""
    original: Callable[[Any], ReadLine] = PAGES._read_line

    def read_line(line: Any) -> ReadLine:
        found = original(line)
        return found._replace(bridge_revision=(found.bridge_revision or 0) + 1)

    PAGES._read_line = read_line


def restate_what_is_kept() -> None:
    """Send once more what an approver has decided to keep."""
    original = DECIDE.decide_drift

    def decide_drift(step: Any, message: Any, decision: Any, situation: Any) -> Outcome:
        restated: Outcome = original(step, message, decision.model_copy(update={"decision": "restate"}), situation)
        return restated

    DECIDE.decide_drift = decide_drift


def ask_for_no_signature() -> None:
    """Decide as if nothing had to be signed."""
    for module in (CORE, SIGNATURES):
        module.must_be_signed = lambda *_: False


def carry_another_acceptance() -> None:
    """Let each export carry what proves something else: the acceptance of an earlier export."""
    original = EXPORTS.find_signed
    carried: list[Any] = []

    def find_signed(message: Any) -> Any:
        carried.append(original(message))
        return carried[0]

    EXPORTS.find_signed = find_signed


def pass_over_a_record() -> None:
    """Skip the first record of a batch."""
    original = STORE.store_batch
    done = False

    async def store_batch(self: Any, position: Any, arrivals: Any, failing: Any, on_decided: Any) -> Any:
        nonlocal done
        if len(arrivals) > 1 and not done:
            done, arrivals = True, arrivals[1:]
        return await original(self, position, arrivals, failing, on_decided)

    STORE.store_batch = store_batch


FAULTS: dict[str, Callable[[], None]] = {
    "the relay skips a row": skip_a_row,
    "the relay sends a row twice": double_a_row,
    "the relay sends rows in another order": reverse_rows,
    "the relay sends a cent less": change_a_cent,
    "the relay commits the offset before sending": commit_the_offset_before_sending,
    "the intake commits before appending": commit_the_intake_before_appending,
    "the core sends an export twice": send_exports_twice,
    "the core reads a cent more than came in": read_a_cent_more,
    "the core restates what is to be kept": restate_what_is_kept,
    "the core asks for no signature": ask_for_no_signature,
    "the core sends the acceptance of another budget": carry_another_acceptance,
    "the lane passes over a record": pass_over_a_record,
}


def fail_on_acceptances(project: int) -> None:
    """Plant a bug: deciding on an approval decision of this project fails."""
    original = CORE.decide

    def decide(budget: Any, message: Any, situation: Any) -> Outcome:
        held = [other.body for other in situation.held]
        if any(body.project_id == project and body.type == "approval.decision.v1" for body in (message.body, *held)):
            raise RuntimeError("planted")
        outcome: Outcome = original(budget, message, situation)
        return outcome

    CORE.decide = decide


def forget_type(kind: str) -> None:
    """Behave like an older version, which does not know a message type yet."""
    sources: Any = SOURCES
    for topic, models in SOURCES.items():
        sources[topic] = tuple(model for model in models if model.type != kind)


def set_clock_off(hours: int) -> None:
    """Set the clock off that stamps what is sent to Kafka; the worker reads this clock for nothing else."""
    right: Callable[[], float] = time.time
    clock: Any = time
    clock.time = lambda: right() + hours * 3600


def stall_consumers(sign: Path, *, deaf: bool) -> None:
    """Let every consumer that exists when a file appears return nothing more, while it stays a member of its group.

    This is what happens when aiokafka's fetching task ends, which nothing in aiokafka notices.
    """
    # The clients themselves: a new one may have the address, and so the id, of one that is gone.
    before: set[Any] = set()
    stalled: set[Any] = set()

    async def give_no_answer(*_: object) -> None:
        raise aiokafka.errors.KafkaTimeoutError

    def stall(reader: Any) -> None:
        consumer = reader._consumer
        if not sign.exists():
            before.add(consumer)
        elif consumer in before:
            for task in (consumer._fetcher._fetch_task, *consumer._fetcher._pending_tasks):
                task.cancel()
            if deaf:
                consumer.end_offsets = consumer.topics = give_no_answer
            stalled.add(consumer)
            sign.write_text(str(len(stalled)))

    for name in ("fetch", "fetch_any"):
        setattr(CONSUMER, name, stall_before(getattr(CONSUMER, name), stall))


def stall_before(fetch: Callable[..., Awaitable[object]], stall: Callable[[Any], None]) -> Any:
    """Make a fetching method that first calls ``stall`` with its consumer."""

    async def fetch_after(reader: Any, *arguments: Any) -> object:
        if reader._consumer:
            stall(reader)
        return await fetch(reader, *arguments)

    return fetch_after


def prepare() -> None:
    """Plant what the environment asks for."""
    LANE.BATCH_RECORDS = PRUNE.AT_ONCE = 5  # many batches, so that there is a middle
    if hours := os.environ.get("CLOCK_IS_OFF_BY_HOURS"):
        set_clock_off(int(hours))
    if kind := os.environ.get("KNOWS_NOT"):
        forget_type(kind)
    if project := os.environ.get("FAILS_ON_PROJECT"):
        fail_on_acceptances(int(project))
    if sign := os.environ.get("STALLS_AT_SIGN"):
        stall_consumers(Path(sign), deaf="IS_DEAF" in os.environ)
    if name := os.environ.get("CRASH_AT"):
        mark_commits()
        plant(next(point for point in POINTS if point.name == name))
    if name := os.environ.get("FAULT"):
        FAULTS[name]()

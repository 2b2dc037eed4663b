"""A lane's error branches, outcome by outcome, on fakes: what restarts it, what holds a budget, what it refuses."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from contracts.inbox import Arrival
from contracts.records import Outgoing
from outbox.backlog import StoredRow
from outbox.batch import DecidedBatch, DecisionFailedError
from outbox.database import DatabaseDown, DatabaseMisusedError, DataRefusedError
from outbox.identity import Identity, identify
from outbox.position import LastRecord, Position, PositionLost, describe_record
from outbox.rules import RulesUnavailable
from tests.integration.records import arrive
from tests.unit.builders import release
from tests.unit.fakes import (
    DEPLOYMENT,
    RULES_VERSION,
    TOPICS,
    FakeInbox,
    FakePorts,
    FakePublisher,
    Log,
    RunningPart,
    Script,
    make_inbox_record,
    wait_for,
    wait_no_time,
)
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown, LaneLost, MessageTooLarge
from worker.kafka.group_offsets import GroupOffset
from worker.pipeline import lane as lane_module
from worker.pipeline.lane import Lane, LaneContext
from worker.pipeline.turns import Turns
from worker.resilience import breaker as breaker_module
from worker.resilience.outage import list_unavailable
from worker.telemetry.metrics import LANE_LOSSES, RULES_IN_FORCE
from worker.telemetry.tracing import Traces

OURS = str(DEPLOYMENT)


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "OTHERS_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(lane_module, "POLL_SECONDS", 0.001)


class Spans(Traces):
    """Whose span was begun, and whose was ended because the record was not stored."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.dropped: list[int] = []

    def begin(self, arrivals: list[Arrival]) -> list[Arrival]:
        self.begun += [arrival.inbox.place.offset for arrival in arrivals]
        return arrivals

    def drop(self, inbox_partition: int) -> None:
        assert inbox_partition == 0
        self.dropped = list(self.begun)


class RunningLane(RunningPart):
    """A lane that runs on fakes."""

    def __init__(self, ports: FakePorts, reader: FakeInbox, turns: Turns | None = None) -> None:
        super().__init__()
        self.ports, self.reader, self.spans = ports, reader, Spans()
        log: Any = self.log
        context = LaneContext(
            ports=ports,
            kafka=KafkaConnection(""),
            database_url="",
            deployment_id=DEPLOYMENT,
            group_id="group",
            topics=TOPICS,
            inbox_partitions=1,
            breakers=self.breakers,
            traces=self.spans,
            turns=turns or Turns(),
        )
        self.lane = Lane(0, reader, context, log)
        self.task = asyncio.create_task(self.lane.run(self.stopping))

    def count_starts(self) -> int:
        return self.log.list_names().count("lane.started")


def fail_once(failure: Exception) -> Callable[[Position], Awaitable[None]]:
    """Write nothing of the first batch, a moment after it was decided."""
    failures = [failure]

    async def write(_after: Position) -> None:
        await asyncio.sleep(0.01)
        if failures:
            raise failures.pop()

    return write


async def test_a_batch_is_stored_then_published_with_the_offset_after_it() -> None:
    ports, reader = FakePorts(), FakeInbox(0, 1)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.published)
    await running.stop()
    assert (ports.batches, ports.published) == ([[0, 1]], [(2, OURS, 0)])
    assert (running.count_starts(), reader.sought) == (1, [0])
    assert all(publisher.closed for publisher in ports.publishers)


async def test_the_stop_publishes_what_is_stored_first() -> None:
    ports, reader = FakePorts(), FakeInbox(0)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.batches)
    await running.stop()
    assert ports.published == [(1, OURS, 0)]


@pytest.mark.parametrize("where", ["starts", "opens", "offsets", "positions", "publishes"])
@pytest.mark.parametrize("failure", [KafkaDown("gone"), DatabaseDown("gone")], ids=["kafka", "database"])
async def test_a_dependency_that_is_down_opens_its_breaker_and_the_lane_restarts(
    where: str, failure: Exception
) -> None:
    ports, reader = FakePorts(), FakeInbox(0)
    script = getattr(ports, where)
    script._answers.insert(0, failure)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.published)
    name = "kafka" if isinstance(failure, KafkaDown) else "database"
    assert f"{name}.lost" in running.log.list_names()
    assert f"{name}.regained" in running.log.list_names()
    assert (len(ports.publishers), ports.published) == (2, [(1, OURS, 0)])
    await running.stop()
    assert not list_unavailable()


@pytest.mark.parametrize(
    "failure",
    [LaneLost("fenced"), PositionLost("taken"), MessageTooLarge("large")],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_is_not_known_to_have_happened_restarts_the_lane(failure: BaseException) -> None:
    ports, reader = FakePorts(), FakeInbox(0)
    failures = [failure]

    def store(*_: object) -> DecidedBatch:
        if failures and isinstance(failure, PositionLost):
            raise failures.pop()
        return DecidedBatch(RULES_VERSION)

    ports.store = store
    if not isinstance(failure, PositionLost):
        ports.publishes._answers.insert(0, failure)
    before = LANE_LOSSES.labels(type(failure).__name__)._value.get()
    running = RunningLane(ports, reader)
    await running.until(lambda: running.count_starts() == 2 and ports.published)
    assert LANE_LOSSES.labels(type(failure).__name__)._value.get() == before + 1
    assert ports.published[-1] == (1, OURS, 0)
    await running.stop()


async def test_the_spans_of_a_batch_that_is_not_stored_are_ended_before_it_is_decided_again() -> None:
    ports = FakePorts()
    ports.write = fail_once(DatabaseDown("gone"))
    running = RunningLane(ports, FakeInbox(0))
    await running.until(lambda: ports.published)
    assert (running.spans.begun, running.spans.dropped) == ([0, 0], [0])
    await running.stop()


async def test_a_batch_is_sent_while_it_is_stored_and_committed_only_then() -> None:
    ports, stored = FakePorts(), asyncio.Event()

    async def write(_after: Position) -> None:
        await stored.wait()

    ports.write = write
    running = RunningLane(ports, FakeInbox(0))
    await running.until(lambda: "send 1" in ports.happened)
    for _ in range(10):
        await asyncio.sleep(0)
    assert ports.happened == ["send 1"]
    stored.set()
    await running.until(lambda: ports.published)
    assert ports.happened == ["send 1", "store 1", "commit 1"]
    await running.stop()


async def test_the_transaction_of_a_batch_begins_before_it_is_decided() -> None:
    ports, begun = FakePorts(), list[int]()

    def store(*_: object) -> DecidedBatch:
        begun.extend(ports.begun)
        return DecidedBatch(RULES_VERSION)

    ports.store = store
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: ports.published)
    assert begun == [2]
    await running.stop()


async def test_what_begins_for_a_batch_that_cannot_be_decided_is_taken_back() -> None:
    ports = FakePorts()
    ports.store = Bug(1, in_deciding=True)
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: ports.published)
    assert (ports.begun, ports.happened[-3:]) == ([2, 2], ["send 2", "store 2", "commit 2"])
    assert "abort 2" in ports.happened
    await running.stop()


def slow_down(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a call of the producer take ten turns of the loop more."""
    call = getattr(FakePublisher, name)

    async def call_slowly(*arguments: Any, **named: Any) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        await call(*arguments, **named)

    monkeypatch.setattr(FakePublisher, name, call_slowly)


async def test_the_next_batch_is_sent_only_after_the_commit_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "BATCH_RECORDS", 1)
    slow_down(monkeypatch, "commit")
    ports = FakePorts()
    running = RunningLane(ports, FakeInbox(0, 1, 2))
    await running.until(lambda: len(ports.published) == 3)
    sent_and_committed = [step for step in ports.happened if not step.startswith("store")]
    assert sent_and_committed == [f"{step} {offset}" for offset in (1, 2, 3) for step in ("send", "commit")]
    await running.stop()


@pytest.mark.parametrize("failure", [DatabaseDown("gone"), PositionLost("taken")], ids=["unknown", "not stored"])
async def test_what_was_sent_of_a_batch_that_may_not_be_stored_is_never_committed(failure: Exception) -> None:
    ports = FakePorts()
    ports.write = fail_once(failure)
    running = RunningLane(ports, FakeInbox(0))
    await running.until(lambda: ports.published)
    assert ports.happened == ["send 1", "send 1", "store 1", "commit 1"]
    assert (len(ports.publishers), ports.publishers[0].closed) == (2, True)
    await running.stop()


@pytest.mark.parametrize(("step", "first"), [("begins", ["store 1"]), ("sends", ["send 1", "store 1"])])
async def test_what_kafka_does_not_take_is_stored_and_the_lane_restarts(step: str, first: list[str]) -> None:
    ports = FakePorts()
    getattr(ports, step)._answers.insert(0, LaneLost("fenced"))
    running = RunningLane(ports, FakeInbox(0))
    await running.until(lambda: running.count_starts() == 2 and ports.published)
    assert ports.happened[: len(first)] == first
    assert ports.publishers[0].closed
    await running.stop()


@pytest.mark.parametrize("step", ["begins", "sends"])
@pytest.mark.parametrize("failure", [DatabaseDown, PositionLost])
async def test_what_neither_kafka_nor_the_database_takes_is_reported_by_the_lane_alone(
    failure: type[Exception], step: str
) -> None:
    ports, failures = FakePorts(), [failure]
    forgotten: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
    setattr(ports, step, Script(LaneLost("fenced"), None))

    async def write(_after: Position) -> None:
        await asyncio.sleep(0.01)
        if failures:
            raise failures.pop()("gone")

    ports.write = write
    running = RunningLane(ports, FakeInbox(0))
    await running.until(lambda: ports.published)
    await running.stop()
    gc.collect()
    assert not forgotten


async def test_a_batch_that_is_refused_while_it_is_sent_is_taken_back_once_all_of_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow_down(monkeypatch, "send")
    ports, refused = FakePorts(), [DataRefusedError("not UTF-8")]

    async def write(_after: Position) -> None:
        if refused:
            raise refused.pop()

    ports.write = write
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: len(ports.published) == 2)
    assert [step for step in ports.happened if not step.startswith("store")] == [
        *("send 2", "abort 2"),
        *("send 1", "commit 1", "send 2", "commit 2"),
    ]
    assert running.count_starts() == 1
    await running.stop()


@pytest.mark.parametrize("failure", [LaneLost("fenced"), KafkaDown("gone")], ids=["lost", "down"])
async def test_a_batch_that_cannot_be_taken_back_restarts_the_lane(failure: Exception) -> None:
    ports = FakePorts()
    ports.aborts._answers.insert(0, failure)
    ports.write = fail_once(DataRefusedError("not UTF-8"))
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: ports.published)
    assert ports.happened == ["send 2", "send 2", "store 2", "commit 2"]
    assert running.count_starts() == 2
    await running.stop()


async def test_the_verdicts_of_a_stored_batch_are_logged_also_if_the_commit_before_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_module, "BATCH_RECORDS", 1)
    ports = FakePorts()
    ports.positions._answers = [Position(0, 0, UUID(int=1)), Position(0, 2, UUID(int=1))]
    ports.publishes._answers.insert(0, LaneLost("fenced"))
    decided: list[Arrival] = []

    def store(arrivals: Sequence[Arrival], *_: object) -> DecidedBatch:
        decided.extend(arrivals)
        return DecidedBatch(RULES_VERSION, repeats=list(arrivals))

    ports.store = store
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: running.count_starts() == 2)
    await running.stop()
    assert ports.happened == ["send 1", "store 1", "store 2", "send 2", "commit 2"]
    logged = [fields["id"] for _, name, fields in running.log.events if name == "message.duplicate"]
    assert logged == [identify(arrival).id for arrival in decided]
    assert len(decided) == 2


async def test_a_batch_that_is_refused_while_it_is_written_is_taken_back_before_its_halves_are_sent() -> None:
    ports = FakePorts()
    ports.write = fail_once(DataRefusedError("not UTF-8"))
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: len(ports.published) == 2)
    halves = [f"{step} {offset}" for offset in (1, 2) for step in ("send", "store", "commit")]
    assert ports.happened[:2] == ["send 2", "abort 2"]
    assert sorted(ports.happened[2:]) == sorted(halves)
    assert running.count_starts() == 1
    await running.stop()


async def test_what_the_database_has_and_kafka_lacks_is_published_first() -> None:
    ports, reader = FakePorts(), FakeInbox(bounds=(0, 9))
    ports.positions._answers = [Position(0, 9, UUID(int=1))]
    ports.offsets._answers = [GroupOffset(4, OURS)]
    ports.backlog = [StoredRow(5, Outgoing("x.bridge.status", b"", b"", ()))]
    running = RunningLane(ports, reader)
    await running.until(running.count_starts)
    assert (ports.published, reader.sought) == ([(9, OURS, 1)], [9])
    await running.stop()


async def test_a_new_lane_commits_where_it_starts_before_it_has_a_position() -> None:
    ports, reader = FakePorts(), FakeInbox(bounds=(3, 9))
    ports.positions._answers = [None]
    ports.offsets._answers = [None]
    running = RunningLane(ports, reader)
    await running.until(running.count_starts)
    assert (ports.published, reader.sought) == ([(3, f"{OURS} new", 0)], [3])
    await running.stop()


async def test_a_lane_whose_parts_do_not_fit_refuses_once_and_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_module, "RECHECK_SECONDS", 0.01)
    ports, reader = FakePorts(), FakeInbox(bounds=(0, 9))
    ports.offsets._answers = [GroupOffset(5, "another database")]
    running = RunningLane(ports, reader)
    await running.until(lambda: len(ports.publishers) >= 3)
    assert running.log.list_names().count("lane.refused") == 1
    assert ("another database" in running.lane.refusal, ports.published) == (True, [])
    ports.offsets._answers = [GroupOffset(0, OURS)]
    await running.until(running.count_starts)
    assert running.lane.refusal == ""
    await running.stop()


async def test_another_record_before_the_position_is_another_inbox() -> None:
    ports = FakePorts()
    ports.positions._answers = [Position(0, 1, UUID(int=1), LastRecord(0, 5, b"other"))]
    reader = FakeInbox(0)
    running = RunningLane(ports, reader)
    await running.until(lambda: running.lane.refusal)
    assert "recreated" in running.lane.refusal
    await running.stop()


async def test_the_record_before_the_position_is_passed_over() -> None:
    ports, last = FakePorts(), make_inbox_record(0)
    ports.positions._answers = [Position(0, 1, UUID(int=1), describe_record(last))]
    reader = FakeInbox(0, 1)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.batches)
    assert (reader.sought, ports.batches) == ([0, 1], [[1]])
    await running.stop()


async def test_a_record_before_the_position_that_does_not_come_is_kafka_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "FIND_SECONDS", 0.01)
    ports = FakePorts()
    ports.positions._answers = [Position(0, 1, UUID(int=1), LastRecord(0, 5, b""))]
    running = RunningLane(ports, FakeInbox(bounds=(0, 1)))
    await running.until(lambda: "kafka.lost" in running.log.list_names())
    assert "could not be read" in running.log.events[0][2]["why"]
    await running.stop()


async def test_a_fetch_that_has_passed_something_over_restarts_the_lane() -> None:
    ports = FakePorts()
    ports.positions._answers = [Position(0, 0, UUID(int=1)), Position(0, 1, UUID(int=1))]
    inbox = FakeInbox(0)
    running = RunningLane(ports, inbox)
    await running.until(lambda: ports.published)
    inbox.skip_to = 5
    inbox.records |= {offset: make_inbox_record(offset) for offset in range(1, 8)}
    await running.until(lambda: len(ports.batches) == 2)
    assert (ports.batches, running.count_starts()) == ([[0], [1, 2, 3, 4, 5, 6, 7]], 2)
    await running.stop()


async def test_a_gap_right_behind_the_position_is_real() -> None:
    ports, reader = FakePorts(), FakeInbox(2)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.batches)
    assert (ports.batches, running.count_starts()) == ([[2]], 1)
    await running.stop()


async def test_the_lane_names_the_rules_it_starts_with_and_those_that_take_their_place() -> None:
    ports, reader = FakePorts(), FakeInbox(0)
    applied = replace(RULES_VERSION, id=2, digest="abcdef01" * 8)
    ports.store = lambda *_: DecidedBatch(RULES_VERSION if len(ports.batches) == 1 else applied)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.published)
    for offset in (1, 2):
        reader.records[offset] = make_inbox_record(offset)
        await running.until(lambda offset=offset: ports.published[-1][0] == offset + 1)
    [started] = [fields for _, name, fields in running.log.events if name == "lane.started"]
    assert started["rules"] == "1 (1f2e3d4c)"
    changed = [fields for _, name, fields in running.log.events if name == "rules.changed"]
    assert changed == [{"rules": "2 (abcdef01)", "before": "1 (1f2e3d4c)"}]
    [shown] = [sample for metric in RULES_IN_FORCE.collect() for sample in metric.samples]
    assert (shown.labels, shown.value) == ({"id": "2", "digest": "abcdef01"}, 1)
    await running.stop()


@pytest.mark.parametrize("at_start", [True, False])
async def test_rules_that_cannot_be_read_are_no_bug_of_a_message(
    at_start: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_module, "RECHECK_SECONDS", 0.01)
    ports, reader = FakePorts(), FakeInbox(0, 1)
    unavailable = RulesUnavailable("no version of the rules is in force: run `budget-bridge rules apply`")
    failures: list[Exception] = [] if at_start else [unavailable]

    def store(*_: object) -> DecidedBatch:
        if failures:
            raise failures.pop()
        return DecidedBatch(RULES_VERSION)

    ports.store = store
    if at_start:
        ports.rules._answers.insert(0, unavailable)
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.published)
    refusals = [fields["why"] for _, name, fields in running.log.events if name == "lane.refused"]
    assert len(refusals) == 1
    assert "`budget-bridge rules apply`" in refusals[0]
    assert all(not failing for failing in ports.failing)
    assert (ports.published, "batch.failed" in running.log.list_names()) == ([(2, OURS, 0)], False)
    await running.stop()


class Bug:
    """Storing that fails on one record: because it cannot be decided, or what it comes to cannot be stored."""

    def __init__(self, offset: int, *, in_deciding: bool, always: bool = False) -> None:
        self._offset, self._in_deciding, self._always = offset, in_deciding, always
        self.held: list[int] = []

    def __call__(self, arrivals: Sequence[Arrival], failing: frozenset[Identity]) -> DecidedBatch:
        for arrival in arrivals:
            offset = arrival.inbox.place.offset
            if identify(arrival) in failing and not self._always:
                self.held.append(offset)
            elif offset == self._offset:
                if self._in_deciding:
                    raise DecisionFailedError(arrival, ValueError("a bug"))
                message = "Postgres refuses the data"
                raise DataRefusedError(message)
        return DecidedBatch(RULES_VERSION)


@pytest.mark.parametrize("in_deciding", [True, False])
async def test_a_bug_holds_the_message_it_is_about_and_no_other(in_deciding: bool) -> None:  # noqa: FBT001
    ports, reader = FakePorts(), FakeInbox(*range(6))
    bug = Bug(4, in_deciding=in_deciding)
    ports.store = bug
    running = RunningLane(ports, reader)
    await running.until(lambda: ports.published and ports.published[-1][0] == 6)
    assert bug.held == [4]
    assert running.count_starts() == 1
    await running.stop()


@pytest.mark.parametrize(
    "failure",
    [ValueError("a bug"), MemoryError(), DatabaseMisusedError("a wrong call"), OSError("no space left")],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_says_nothing_about_a_message_holds_none_and_restarts_the_lane(failure: Exception) -> None:
    ports, reader = FakePorts(), FakeInbox(*range(4))
    failures = [failure, failure]

    def store(*_: object) -> DecidedBatch:
        if failures:
            raise failures.pop()
        return DecidedBatch(RULES_VERSION)

    ports.store = store
    running = RunningLane(ports, reader)
    for _ in range(2):
        with pytest.raises(type(failure)):
            await asyncio.wait_for(running.task, 5)
        # What the supervisor does, after a back-off.
        running.task = asyncio.create_task(running.lane.run(running.stopping))
    await running.until(lambda: ports.published)
    assert ports.failing == [frozenset()] * 3
    assert (ports.batches, ports.published) == ([[0, 1, 2, 3]] * 3, [(4, OURS, 0)])
    await running.stop()


async def test_a_batch_ends_at_a_release_and_stops_between_the_parts() -> None:
    ports, reader = FakePorts(), FakeInbox(0)
    reader.records |= {offset: arrive(offset, release()).inbox for offset in (1, 2, 4)} | {3: make_inbox_record(3)}
    running = RunningLane(ports, reader)

    def store(*_: object) -> DecidedBatch:
        if len(ports.batches) == 2:
            running.stopping.set()
        return DecidedBatch(RULES_VERSION)

    ports.store = store
    await asyncio.wait_for(running.task, 5)
    assert (ports.batches, ports.published[-1]) == ([[0, 1], [2]], (3, OURS, 0))


async def test_a_bug_that_holding_does_not_end_leaves_the_lane_to_the_supervisor() -> None:
    ports, reader = FakePorts(), FakeInbox(0)
    ports.store = Bug(0, in_deciding=True, always=True)
    running = RunningLane(ports, reader)
    with pytest.raises(DecisionFailedError):
        await asyncio.wait_for(running.task, 5)


async def test_while_a_breaker_is_open_the_lane_polls_and_does_nothing_else() -> None:
    ports, reader = FakePorts(), FakeInbox(bounds=(0, 1))
    log: Any = Log()
    running = RunningLane(ports, reader)
    await running.stop()
    running.breakers.database.trip("somebody else", "gone")
    running.breakers.database.admits("somebody else")
    lane = Lane(0, reader, running.lane._context, log)
    before = len(ports.publishers)
    stopping = asyncio.Event()
    task = asyncio.create_task(lane.run(stopping))
    polls = reader.polls
    await wait_for(lambda: reader.polls > polls + 3)
    assert (len(ports.publishers), reader.paused) == (before, True)
    stopping.set()
    await task
    running.breakers.database.forget("somebody else")


async def test_a_lane_that_is_given_up_does_not_wait_for_what_it_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    ports, never = FakePorts(), asyncio.Event()
    storing: list[Position] = []

    async def hang(*_: Any, **__: Any) -> Any:
        await never.wait()

    async def write_once(after: Position) -> None:
        if len(ports.batches) > 1:
            storing.append(after)
            await never.wait()

    ports.write = write_once
    monkeypatch.setattr(FakePublisher, "commit", hang)
    monkeypatch.setattr(lane_module, "BATCH_RECORDS", 1)
    running = RunningLane(ports, FakeInbox(0, 1))
    await running.until(lambda: storing)
    running.task.cancel()
    _, late = await asyncio.wait({running.task}, timeout=1.0)
    assert not late

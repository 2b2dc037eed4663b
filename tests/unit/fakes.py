"""Small fakes behind the pipeline's protocols: they return what a test sets, and record how they were called."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.inbox import Arrival, copy_to_inbox
from contracts.records import Outgoing, Place, Record
from contracts.topics import TopicNames
from handlers.rules import Rules
from outbox.backlog import StoredRow
from outbox.batch import DecidedBatch, split_at_releases
from outbox.due import Due
from outbox.identity import Identity
from outbox.position import Position
from outbox.rules import RulesVersion
from outbox.store import OnDecided
from worker.kafka.group_offsets import GroupOffset, Partition
from worker.resilience.breaker import make_breakers

TOPICS = TopicNames("x.")
INBOX: Partition = ("x.bridge.inbox", 0)
DEPLOYMENT = UUID(int=7)
RULES_VERSION = RulesVersion(1, "1f2e3d4c" * 8, Rules())


class Log:
    """A logger that keeps its events: level, name, fields."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def bind(self, **_: Any) -> "Log":
        return self

    def list_names(self) -> list[str]:
        return [name for _, name, _ in self.events]

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level.startswith("_"):
            raise AttributeError(level)
        return lambda event, **fields: self.events.append((level, event, fields))


class Script:
    """What a call answers, one after the other: a value, or an exception to raise; the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.calls = 0

    def answer(self) -> Any:
        self.calls += 1
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(found, BaseException):
            raise found
        return found


def make_record(offset: int, *, topic: str = "x.procore.budgets", value: bytes = b"{}", partition: int = 0) -> Record:
    return Record(Place(topic, partition, offset), 1000 + offset, b"key", value, ())


def make_inbox_record(offset: int) -> Record:
    copy = copy_to_inbox(make_record(offset), INBOX[0])
    return Record(Place(*INBOX, offset), 2000 + offset, copy.key, copy.value, copy.headers)


class FakeInbox:
    """The inbox as a lane reads it: the records of one partition, and where the lane is in it."""

    def __init__(self, *offsets: int, bounds: tuple[int, int] | None = None) -> None:
        self.records = {offset: make_inbox_record(offset) for offset in offsets}
        self.limits = bounds or (0, max(offsets, default=-1) + 1)
        self.at = 0
        self.sought: list[int] = []
        self.paused = False
        self.polls = 0
        self.skip_to: int | None = None
        """Where the next fetch wrongly continues, once."""

    async def fetch(self, _partition: Partition, at_most: int, _within: float) -> list[Record]:
        await asyncio.sleep(0)
        self.polls += 1
        if self.paused:
            return []
        if self.skip_to is not None:
            self.at, self.skip_to = self.skip_to, None
        found = [self.records[offset] for offset in sorted(self.records) if offset >= self.at][:at_most]
        if found:
            self.at = found[-1].place.offset + 1
        return found

    async def seek(self, _partition: Partition, offset: int) -> None:
        self.sought.append(offset)
        self.at, self.paused = offset, False

    async def bounds(self, _partition: Partition) -> tuple[int, int]:
        return self.limits

    def pause(self, _partition: Partition) -> None:
        self.paused = True

    def count_waiting(self, _partition: Partition, _offset: int) -> int:
        return 0


class FakeReader:
    """The source topics as the intake reads them: what each fetch returns, one after the other."""

    def __init__(self, *fetches: Any) -> None:
        self.fetches = Script(*fetches, [])
        self.sought: list[int] = []
        self.paused: list[Partition] = []
        self.resumed: list[Partition] = []
        self.polls = Script(None)
        self.asks = Script(None)
        self.commits = Script(None)
        self.committed: list[Mapping[Partition, GroupOffset]] = []

    async def fetch_any(self, _at_most: int, _within: float) -> list[Record]:
        await asyncio.sleep(0)
        found: list[Record] = self.fetches.answer()
        return found

    async def seek(self, _partition: Partition, offset: int) -> None:
        self.sought.append(offset)

    def pause(self, partition: Partition) -> None:
        self.paused.append(partition)

    def resume(self, partition: Partition) -> None:
        self.resumed.append(partition)

    async def poll(self, _within: float) -> None:
        await asyncio.sleep(0)
        self.polls.answer()

    async def ask(self) -> None:
        self.asks.answer()

    async def commit(self, offsets: Mapping[Partition, GroupOffset]) -> None:
        self.commits.answer()
        self.committed.append(offsets)


class FakeAppender:
    """Takes records, or fails as scripted."""

    def __init__(self, *answers: Any) -> None:
        self.script = Script(*answers, None)
        self.appended: list[Sequence[Outgoing]] = []
        self.broker_time: datetime | None = None
        self.reconnects = 0

    async def reconnect(self) -> None:
        self.reconnects += 1

    def read_broker_time(self) -> datetime | None:
        return self.broker_time

    async def append(self, records: Sequence[Outgoing]) -> None:
        await asyncio.sleep(0)
        self.script.answer()
        self.appended.append(records)


class FakePublisher:
    """A lane's producer; what it publishes is kept with the offset it goes with."""

    def __init__(self, ports: "FakePorts") -> None:
        self._ports = ports
        self._begun: GroupOffset | None = None
        self._sent: tuple[int, str, int] | None = None
        self.closed = False

    async def start(self) -> None:
        self._ports.starts.answer()

    async def publish(self, offset: GroupOffset, records: Sequence[Outgoing], *, within: float) -> None:
        await self.begin(offset, within=within)
        await self.send(records, within=within)
        await self.commit(within=within)

    async def begin(self, offset: GroupOffset, *, within: float) -> None:
        assert within > 0
        assert not self.closed
        assert self._begun is None, "one transaction at a time"
        self._ports.begun.append(offset.offset)
        await asyncio.sleep(0)
        self._ports.begins.answer()
        self._begun = offset

    async def send(self, records: Sequence[Outgoing], *, within: float) -> None:
        assert within > 0
        assert not self.closed
        assert self._begun is not None, "nothing was begun"
        assert self._sent is None, "one transaction at a time"
        self._ports.happened.append(f"send {self._begun.offset}")
        await asyncio.sleep(0)
        self._ports.sends.answer()
        self._sent = self._begun.offset, self._begun.metadata, len(records)

    async def commit(self, *, within: float) -> None:
        assert within > 0
        assert self._sent is not None, "nothing was sent"
        await asyncio.sleep(0)
        assert not self.closed
        self._ports.publishes.answer()
        self._ports.published.append(self._sent)
        self._ports.happened.append(f"commit {self._sent[0]}")
        self._begun = self._sent = None

    async def abort(self, *, within: float) -> None:
        assert within > 0
        assert self._sent is not None, "nothing was sent"
        self._ports.aborts.answer()
        self._ports.happened.append(f"abort {self._sent[0]}")
        self._begun = self._sent = None

    async def close(self, within: float) -> None:
        assert within > 0
        self.closed = True


class FakeStore:
    """A lane's session with the database."""

    def __init__(self, ports: "FakePorts") -> None:
        self._ports = ports

    async def take_position(self, owner: UUID) -> Position | None:
        found: Position | None = self._ports.positions.answer()
        return found and Position(found.inbox_partition, found.next_offset, owner, found.last)

    async def start_position(self, next_offset: int, owner: UUID) -> Position:
        return Position(0, next_offset, owner)

    async def read_rules(self) -> RulesVersion:
        found: RulesVersion = self._ports.rules.answer()
        return found

    async def read_backlog(self, start: int, stop: int) -> AsyncIterator[tuple[int, list[StoredRow]]]:
        if start < stop:
            yield stop, self._ports.backlog

    async def split_batch(self, arrivals: Sequence[Arrival]) -> AsyncIterator[Sequence[Arrival]]:
        for part in split_at_releases(arrivals):
            yield part

    async def store_batch(
        self, position: Position, arrivals: Sequence[Arrival], failing: frozenset[Identity], on_decided: OnDecided
    ) -> tuple[Position, DecidedBatch]:
        await asyncio.sleep(0)
        self._ports.batches.append([arrival.inbox.place.offset for arrival in arrivals])
        self._ports.failing.append(failing)
        decided: DecidedBatch = self._ports.store(arrivals, failing)
        after = Position(position.inbox_partition, arrivals[-1].inbox.place.offset + 1, position.owner)
        on_decided(decided)
        await self._ports.write(after)
        self._ports.happened.append(f"store {after.next_offset}")
        return after, decided


async def _write_at_once(_after: Position) -> None:
    await asyncio.sleep(0)


class FakePorts:
    """Where a lane under test gets its producer and its session."""

    def __init__(self) -> None:
        self.starts = Script(None)
        self.begins = Script(None)
        self.sends = Script(None)
        self.publishes = Script(None)
        self.aborts = Script(None)
        self.opens = Script(None)
        self.offsets = Script(GroupOffset(0, str(DEPLOYMENT)))
        self.rules = Script(RULES_VERSION)
        self.positions = Script(Position(0, 0, UUID(int=1)))
        self.backlog: list[StoredRow] = []
        self.batches: list[list[int]] = []
        self.failing: list[frozenset[Identity]] = []
        self.store: Callable[[Sequence[Arrival], frozenset[Identity]], DecidedBatch] = lambda *_: DecidedBatch(
            RULES_VERSION
        )
        self.publishers: list[FakePublisher] = []
        self.write: Callable[[Position], Awaitable[None]] = _write_at_once
        """What happens between deciding a batch and having stored it."""
        self.published: list[tuple[int, str, int]] = []
        self.begun: list[int] = []
        self.happened: list[str] = []
        """What was sent, stored, committed and aborted, in order, each with the offset after it."""

    def make_publisher(self, _partition: Partition) -> FakePublisher:
        self.publishers.append(FakePublisher(self))
        return self.publishers[-1]

    @asynccontextmanager
    async def open_store(self, _inbox_partition: int) -> AsyncIterator[FakeStore]:
        self.opens.answer()
        yield FakeStore(self)

    async def read_offset(self, _partition: Partition) -> GroupOffset | None:
        found: GroupOffset | None = self.offsets.answer()
        return found


class FakeDue:
    """Where the timer finds what is due."""

    def __init__(self, *answers: Any) -> None:
        self.script = Script(*answers)

    async def find_due(self, _lanes: Sequence[int]) -> list[Due]:
        await asyncio.sleep(0)
        found: list[Due] = self.script.answer()
        return found


async def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, without an event of its own
            await asyncio.sleep(0.001)


def wait_no_time() -> Iterator[float]:
    """Stand in for ``back_off``."""
    while True:
        yield 0.0


class RunningPart:
    """A part of the worker that runs on fakes in a task, until it is stopped."""

    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.log = Log()
        log: Any = self.log
        self.breakers = make_breakers(log)
        self.stopping = asyncio.Event()

    async def until(self, condition: Any) -> None:
        await wait_for(lambda: condition() or self.task.done())
        assert not self.task.done(), self.task.exception()

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(self.task, 5)

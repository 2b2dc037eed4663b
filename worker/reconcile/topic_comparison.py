"""Compares one output topic with the outbox rows that were to be sent to it, by all their bytes.

The trace context is left out, because a message that is decided again gets another one. What is compared is kept in a
temporary database, about 100 bytes per message, so that memory does not grow with the topic.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.trace_context import drop_trace
from contracts.cloudevents.writing import SOURCE
from contracts.records import Outgoing, Place, Record, digest_record, measure_record
from outbox.audit import RowPlace, SentRow, Snapshot
from worker.deployment import Deployment
from worker.kafka.topic_log import open_topic_log
from worker.reconcile.progress import Progress, ignore_progress
from worker.reconcile.temporary_database import open_temporary_database

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_INT32: Final = range(2**31)
_INT64: Final = range(2**63)
_PIECE: Final = 1000
"""How many unknown records are looked up in history at once."""

# 0/0/0 stands for no budget, as of a dead letter whose record could not be read.
TABLES: Final = """
create table expected (
    digest blob primary key, inbox_partition integer, inbox_offset integer, ordinal integer, at_ms integer,
    company_id integer, project_id integer, budget_id integer, bytes integer, is_met integer
) without rowid;
create table latest (
    company_id integer, project_id integer, budget_id integer,
    inbox_partition integer, inbox_offset integer, ordinal integer,
    primary key (company_id, project_id, budget_id)
) without rowid;
create table pruned (digest blob primary key) without rowid;
create table doubled (company_id integer, project_id integer, budget_id integer, partition integer, offset integer);
create table reordered (company_id integer, project_id integer, budget_id integer, partition integer, offset integer);
create table unknown (
    digest blob, partition integer, offset integer, key blob, id text, at_ms integer,
    origin_topic text, origin_partition integer, origin_offset integer
);
create index unknown_by_digest on unknown (digest);
"""


class MisplacedRecord(NamedTuple):
    """A record that is repeated, or comes after one that it must precede."""

    budget: BudgetKey | None
    place: Place


class MissingRow(NamedTuple):
    """An outbox row that the topic does not hold."""

    place: RowPlace
    budget: BudgetKey | None
    bytes: int
    """Size of its key, headers and value."""
    is_outdated: bool
    """Whether the topic holds a later row of the same budget, so that compaction may have removed this one."""
    is_gone: bool
    """Whether it is older than what the topic still holds, so that it may have been removed by age."""


class UnknownRecord(NamedTuple):
    """A record that no outbox row accounts for."""

    place: Place
    key: bytes | None
    id: str


@dataclass(frozen=True, slots=True)
class LaneCount:
    """How many of the rows that one lane has stored for a topic are in it."""

    met: int
    last_met: int
    """The greatest inbox offset of those rows."""


class TopicComparison:
    """Compares what one topic holds with what it should hold according to the outbox.

    Args:
        database: an empty temporary database with ``TABLES``.
        topic: the topic's full name.
        pruned_before: rows of messages before this time may be pruned; ``None`` if none are.
    """

    def __init__(self, database: sqlite3.Connection, topic: str, pruned_before: datetime | None) -> None:
        self.database = database
        self.topic = topic
        self._pruned_before = pruned_before
        self._gone_before_ms = -1

    def expect(self, row: SentRow) -> None:
        """Add an outbox row."""
        record = row.record
        about = (*row.place, _count_ms(row.at), *(row.budget or (0, 0, 0)))
        values = (_sign(record), *about, measure_record(record))
        self.database.execute("insert or replace into expected values (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", values)

    def meet(self, record: Record) -> bool:
        """Note a record of the topic; those of one partition must be noted in order.

        Returns:
            Whether it is a record that we sent, and not a repeat.
        """
        digest, (_, partition, offset) = _sign(record), record.place
        found = self.database.execute(
            "select inbox_partition, inbox_offset, ordinal, company_id, project_id, budget_id, is_met "
            "from expected where digest = ?",
            (digest,),
        ).fetchone()
        if found is None:
            return self._meet_unknown(record, digest)
        place, budget, is_met = found[:3], found[3:6], found[6]
        if is_met:
            self._note("doubled", budget, partition, offset)
            return False
        self.database.execute("update expected set is_met = 1 where digest = ?", (digest,))
        if budget != (0, 0, 0):
            query = (
                "select inbox_partition, inbox_offset, ordinal from latest "
                "where (company_id, project_id, budget_id) = (?, ?, ?)"
            )
            last = self.database.execute(query, budget).fetchone()
            if last and place < last:
                self._note("reordered", budget, partition, offset)
            else:
                self.database.execute("insert or replace into latest values (?, ?, ?, ?, ?, ?)", (*budget, *place))
        return True

    def _meet_unknown(self, record: Record, digest: bytes) -> bool:
        if self._is_pruned(digest):
            self._note("doubled", (0, 0, 0), record.place.partition, record.place.offset)
            return False
        at, origin = _read_origin(record)
        if self._pruned_before and at and at < self._pruned_before:
            self.database.execute("insert into pruned values (?)", (digest,))
            return True
        _, partition, offset = record.place
        about = (digest, partition, offset, record.key, read_id(record), None if at is None else _count_ms(at))
        origin_columns = origin or (None, None, None)
        self.database.execute("insert into unknown values (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*about, *origin_columns))
        return False

    def _is_pruned(self, digest: bytes) -> bool:
        return self.database.execute("select 1 from pruned where digest = ?", (digest,)).fetchone() is not None

    def _note(self, table: str, budget: Sequence[int], partition: int, offset: int) -> None:
        self.database.execute(f"insert into {table} values (?, ?, ?, ?, ?)", (*budget, partition, offset))  # noqa: S608

    def explain(self, row: SentRow) -> None:
        """Remove the unknown record that belongs to this row, which was stored after the others had been read."""
        self.database.execute("delete from unknown where digest = ?", (_sign(row.record),))

    async def explain_pruned(self, snapshot: Snapshot) -> None:
        """Remove the unknown records that were caused by older messages, whose rows may be pruned."""
        before = await snapshot.read_pruned_before()
        if before is None:
            return
        last = 0
        query = (
            "select rowid, digest, partition, offset, at_ms, origin_topic, origin_partition, origin_offset "
            "from unknown where rowid > ? order by rowid limit ?"
        )
        while piece := self.database.execute(query, (last, _PIECE)).fetchall():
            last = piece[-1][0]
            # A dead letter only names the record that it was made from; history knows when that arrived.
            origins = {Place(*row[5:]) for row in piece if row[5] is not None}
            old = await snapshot.find_old_origins(origins, before) if origins else set()
            for number, digest, partition, offset, at_ms, *origin in piece:
                is_old = at_ms is not None and at_ms < _count_ms(before)
                if not is_old and (origin[0] is None or Place(*origin) not in old):
                    continue
                self.database.execute("delete from unknown where rowid = ?", (number,))
                if self._is_pruned(digest):
                    self._note("doubled", (0, 0, 0), partition, offset)
                else:
                    self.database.execute("insert into pruned values (?)", (digest,))

    def remember_removed(self, before: datetime) -> None:
        """Remember that messages from before a time may have been removed by age."""
        self._gone_before_ms = _count_ms(before)

    # --- results

    def count_met(self) -> int:
        """Count the rows that the topic holds."""
        return self._count("expected where is_met")

    def count_unknown(self) -> int:
        """Count the records that no row accounts for."""
        return self._count("unknown")

    def count_pruned(self) -> int:
        """Count the records whose rows were pruned."""
        return self._count("pruned")

    def _count(self, what: str) -> int:
        found: int = self.database.execute(f"select count(*) from {what}").fetchone()[0]  # noqa: S608
        return found

    def count_by_lane(self) -> dict[int, LaneCount]:
        """Count, lane by lane, the rows that the topic holds."""
        query = (
            "select inbox_partition, count(*), max(inbox_offset) from expected where is_met group by inbox_partition"
        )
        return {lane: LaneCount(met, last) for lane, met, last in self.database.execute(query)}

    def list_doubled(self) -> Iterator[MisplacedRecord]:
        """List the records that repeat an earlier one."""
        return self._list_misplaced("doubled")

    def list_reordered(self) -> Iterator[MisplacedRecord]:
        """List the records that come after a later message of the same budget."""
        return self._list_misplaced("reordered")

    def _list_misplaced(self, table: str) -> Iterator[MisplacedRecord]:
        for *budget, partition, offset in self.database.execute(f"select * from {table} order by rowid"):  # noqa: S608
            yield MisplacedRecord(_read_budget(budget), Place(self.topic, partition, offset))

    def list_unknown(self) -> Iterator[UnknownRecord]:
        """List the records that no row accounts for."""
        query = "select partition, offset, key, id from unknown order by rowid"
        for partition, offset, key, found_id in self.database.execute(query):
            yield UnknownRecord(Place(self.topic, partition, offset), key, found_id)

    def list_missing(self) -> Iterator[MissingRow]:
        """List the rows that the topic does not hold, in the order in which they are sent."""
        query = (
            "select e.inbox_partition, e.inbox_offset, e.ordinal, e.company_id, e.project_id, e.budget_id, e.bytes, "
            "coalesce((l.inbox_partition, l.inbox_offset, l.ordinal) > (e.inbox_partition, e.inbox_offset, e.ordinal), "
            "0), e.at_ms < ? from expected as e left join latest as l using (company_id, project_id, budget_id) "
            "where not e.is_met order by 1, 2, 3"
        )
        for *place, company_id, project_id, budget_id, size, is_outdated, is_gone in self.database.execute(
            query, (self._gone_before_ms,)
        ):
            budget = _read_budget((company_id, project_id, budget_id))
            yield MissingRow(RowPlace(*place), budget, size, bool(is_outdated), bool(is_gone))


@asynccontextmanager
async def compare_topic(
    deployment: Deployment,
    name: str,
    snapshot: Snapshot,
    take: Callable[[Record], None] | None = None,
    progress: Progress = ignore_progress,
) -> AsyncIterator[TopicComparison]:
    """Read a whole topic, and compare it with the rows that were to be sent to it.

    Args:
        deployment: the deployment that the topic belongs to.
        name: the topic's name, without the prefix.
        snapshot: the database as of one moment.
        take: called with each record that we sent, but not with repeats.
        progress: called with what is being read, how much of it, and how much there is.

    Yields:
        The comparison, whose temporary database is dropped at the end.
    """
    topic = deployment.topics.full(name)
    with open_temporary_database(TABLES) as database:
        comparison = TopicComparison(database, topic, await snapshot.read_pruned_before())
        async for row in snapshot.read_rows(topic):
            comparison.expect(row)
        first: dict[int, int] = {}
        async with open_topic_log(deployment.kafka, topic) as log:
            total, done = sum(end - start for start, end in log.bounds.values()), 0
            async for records in log.read():
                for record in records:
                    first.setdefault(record.place.partition, record.timestamp_ms)
                    if comparison.meet(record) and take:
                        take(record)
                done += len(records)
                progress(f"reading {name}", done, total)
        cut = [number for number, (start, _) in log.bounds.items() if start > 0]
        if any(number not in first for number in cut):
            comparison.remember_removed(datetime.max.replace(tzinfo=UTC))
        elif cut:
            comparison.remember_removed(_EPOCH + timedelta(milliseconds=max(first[number] for number in cut)))
        await comparison.explain_pruned(snapshot)
        yield comparison


def read_id(record: Record) -> str:
    """Read the id of one of our records; a dead letter has that of the original, if any."""
    value = dict(record.headers).get("ce_id")
    return value.decode(errors="replace") if value else ""


def _sign(record: Record | Outgoing) -> bytes:
    return digest_record(replace(record, headers=drop_trace(record.headers)))


def _count_ms(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


def _read_budget(columns: Iterable[int]) -> BudgetKey | None:
    key = BudgetKey(*columns)
    return key if any(key) else None


def _read_origin(record: Record) -> tuple[datetime | None, Place | None]:
    """Read from a record's headers when the message that caused it arrived, or which record it is a dead letter of."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    with suppress(KeyError, ValueError, OverflowError):
        if "dead_letter_topic" in headers:
            number, offset = int(headers["dead_letter_partition"]), int(headers["dead_letter_offset"])
            # Others may have written the record: only a possible place is looked up in the database.
            if number in _INT32 and offset in _INT64 and "\0" not in headers["dead_letter_topic"]:
                return None, Place(headers["dead_letter_topic"], number, offset)
        if headers["ce_source"] == SOURCE:
            return datetime.fromisoformat(headers["ce_time"]).astimezone(UTC), None
    return None, None

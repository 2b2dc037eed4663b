"""One output topic beside the outbox rows that were to be sent to it, told apart by all their bytes.

But for the trace context: whoever decides a message again puts it into another span.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.trace_context import drop_trace
from contracts.cloudevents.writing import SOURCE
from contracts.records import Outgoing, Place, Record, digest_record
from outbox.audit import RowPlace, SentRow, Snapshot
from worker.kafka.connection import KafkaConnection
from worker.kafka.topic_log import open_topic_log

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ExpectedRow(NamedTuple):
    """A row without its bytes."""

    place: RowPlace
    at: datetime
    budget: BudgetKey | None


class Unknown(NamedTuple):
    """A record that no row of the outbox gives."""

    place: Place
    key: bytes | None
    id: str
    digest: bytes
    at: datetime | None
    """When what caused it came in, as it says itself."""
    origin: Place | None
    """What it is a dead letter of."""


@dataclass(slots=True)
class TopicComparison:
    """What was met of a topic so far."""

    rows: dict[bytes, ExpectedRow] = field(default_factory=dict)
    met: dict[bytes, Place] = field(default_factory=dict)
    doubled: list[tuple[BudgetKey | None, Place]] = field(default_factory=list)
    reordered: list[tuple[ExpectedRow, Place]] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    pruned_before: datetime | None = None
    """Rows before this time may have been pruned; ``None`` where none were."""
    pruned: set[bytes] = field(default_factory=set)
    """Records of ours whose rows were pruned."""
    gone_before: datetime | None = None
    """Messages before this time may have been removed by age; ``None`` where none were."""
    _last: dict[BudgetKey, RowPlace] = field(default_factory=dict)

    def add(self, row: SentRow) -> None:
        """Take down one row."""
        self.rows[_sign(row.record)] = ExpectedRow(row.place, row.at, row.budget)

    def meet(self, record: Record) -> bool:
        """Meet a record of the topic, each partition in order; tells whether it is one of ours, and not a repeat."""
        found = _sign(record)
        entry = self.rows.get(found)
        if found in self.met or found in self.pruned:
            self.doubled.append((entry.budget if entry else None, record.place))
            return False
        if entry is None:
            unknown = _describe(record, found)
            if self.pruned_before and unknown.at and unknown.at < self.pruned_before:
                self.pruned.add(found)
                return True
            self.unknown.append(unknown)
            return False
        self.met[found] = record.place
        if entry.budget:
            last = self._last.get(entry.budget)
            if last and entry.place < last:
                self.reordered.append((entry, record.place))
            else:
                self._last[entry.budget] = entry.place
        return True

    def meet_again(self, rows: Iterable[SentRow]) -> None:
        """Take rows that came into the database after the first were taken down, and strike out what they explain."""
        later = {_sign(row.record) for row in rows}
        self.unknown = [one for one in self.unknown if one.digest not in later]

    async def explain_pruned(self, snapshot: Snapshot) -> None:
        """Strike out what came of messages that are so old that its rows may have been pruned."""
        before = await snapshot.read_pruned_before()
        if before is None or not self.unknown:
            return
        # A dead letter says only what it is one of; history knows when that came in.
        origins = {one.origin for one in self.unknown if one.origin}
        old = await snapshot.find_old_origins(origins, before)
        unknown, self.unknown = self.unknown, []
        for one in unknown:
            if one.origin not in old and (one.at is None or one.at >= before):
                self.unknown.append(one)
            elif one.digest in self.pruned:
                self.doubled.append((None, one.place))
            else:
                self.pruned.add(one.digest)

    def list_missing(self) -> list[ExpectedRow]:
        """List the rows that were not met, in the order in which they are sent."""
        return sorted(entry for found, entry in self.rows.items() if found not in self.met)

    def is_outdated(self, entry: ExpectedRow) -> bool:
        """Tell whether a later row of the same budget was met: then compaction may have removed this one."""
        return bool(entry.budget and self._last.get(entry.budget, entry.place) > entry.place)

    def is_gone(self, entry: ExpectedRow) -> bool:
        """Tell whether a row that was not met may have been removed by age."""
        return self.gone_before is not None and entry.at < self.gone_before


async def read_topic(
    kafka: KafkaConnection, topic: str, snapshot: Snapshot, take: Callable[[Record], None] | None = None
) -> TopicComparison:
    """Read a topic through beside the rows that were to be sent to it; records of ours are also given to ``take``."""
    comparison = TopicComparison(pruned_before=await snapshot.read_pruned_before())
    async for row in snapshot.read_rows(topic):
        comparison.add(row)
    first: dict[int, int] = {}
    async with open_topic_log(kafka, topic) as log:
        async for records in log.read():
            for record in records:
                first.setdefault(record.place.partition, record.timestamp_ms)
                if comparison.meet(record) and take:
                    take(record)
    cut = [number for number, (start, _) in log.bounds.items() if start > 0]
    if any(number not in first for number in cut):
        comparison.gone_before = datetime.max.replace(tzinfo=UTC)
    elif cut:
        comparison.gone_before = _EPOCH + timedelta(milliseconds=max(first[number] for number in cut))
    await comparison.explain_pruned(snapshot)
    return comparison


def _sign(record: Record | Outgoing) -> bytes:
    return digest_record(replace(record, headers=drop_trace(record.headers)))


def _describe(record: Record, found: bytes) -> Unknown:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    at, origin = None, None
    with suppress(KeyError, ValueError):
        if "dead_letter_topic" in headers:
            number, offset = headers["dead_letter_partition"], headers["dead_letter_offset"]
            origin = Place(headers["dead_letter_topic"], int(number), int(offset))
        elif headers["ce_source"] == SOURCE:
            at = datetime.fromisoformat(headers["ce_time"]).astimezone(UTC)
    return Unknown(record.place, record.key, read_id(record), found, at, origin)


def read_id(record: Record) -> str:
    """Read the id that a record of ours carries; dead letters carry that of the original, if any."""
    value = dict(record.headers).get("ce_id")
    return value.decode(errors="replace") if value else ""

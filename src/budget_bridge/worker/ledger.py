"""One output topic beside the outbox rows that were to be sent to it, told apart by all their bytes."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from budget_bridge.contracts.records import Outgoing, Place, Record
from budget_bridge.handlers.budget import BudgetKey
from budget_bridge.outbox.audit import RowPlace, SentRow
from budget_bridge.worker.kafka import Connection, open_log

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(NamedTuple):
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


@dataclass(slots=True)
class Ledger:
    """What was met of a topic so far."""

    rows: dict[bytes, Entry] = field(default_factory=dict)
    met: dict[bytes, Place] = field(default_factory=dict)
    doubled: list[tuple[Entry, Place]] = field(default_factory=list)
    reordered: list[tuple[Entry, Place]] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    gone_before: datetime | None = None
    """Messages before this time may have been removed by age; ``None`` where none were."""
    _last: dict[BudgetKey, RowPlace] = field(default_factory=dict)

    def add(self, row: SentRow) -> None:
        """Take down one row."""
        self.rows[digest(row.record)] = Entry(row.place, row.at, row.budget)

    def meet(self, record: Record) -> Entry | None:
        """Meet a record of the topic, each partition in order; gives the row that it is."""
        found = digest(record)
        entry = self.rows.get(found)
        if entry is None:
            self.unknown.append(Unknown(record.place, record.key, read_id(record), found))
            return None
        if found in self.met:
            self.doubled.append((entry, record.place))
            return None
        self.met[found] = record.place
        if entry.budget:
            last = self._last.get(entry.budget)
            if last and entry.place < last:
                self.reordered.append((entry, record.place))
            else:
                self._last[entry.budget] = entry.place
        return entry

    def meet_again(self, rows: Iterable[SentRow]) -> None:
        """Take rows that came into the database after the first were taken down, and strike out what they explain."""
        later = {digest(row.record) for row in rows}
        self.unknown = [one for one in self.unknown if one.digest not in later]

    def list_missing(self) -> list[Entry]:
        """List the rows that were not met, in the order in which they are sent."""
        return sorted(entry for found, entry in self.rows.items() if found not in self.met)

    def is_outdated(self, entry: Entry) -> bool:
        """Tell whether a later row of the same budget was met: then compaction may have removed this one."""
        return bool(entry.budget and self._last.get(entry.budget, entry.place) > entry.place)

    def is_gone(self, entry: Entry) -> bool:
        """Tell whether a row that was not met may have been removed by age."""
        return self.gone_before is not None and entry.at < self.gone_before


async def read_topic(
    kafka: Connection, topic: str, rows: AsyncIterator[SentRow], take: Callable[[Record], None] | None = None
) -> Ledger:
    """Read a topic through beside the rows that were to be sent to it; known records are also given to ``take``."""
    ledger = Ledger()
    async for row in rows:
        ledger.add(row)
    first: dict[int, int] = {}
    async with open_log(kafka, topic) as log:
        async for records in log.read():
            for record in records:
                first.setdefault(record.place.partition, record.timestamp_ms)
                if ledger.meet(record) and take:
                    take(record)
    cut = [number for number, (start, _) in log.bounds.items() if start > 0]
    if any(number not in first for number in cut):
        ledger.gone_before = datetime.max.replace(tzinfo=UTC)
    elif cut:
        ledger.gone_before = _EPOCH + timedelta(milliseconds=max(first[number] for number in cut))
    return ledger


def digest(record: Record | Outgoing) -> bytes:
    """Digest everything that a reader sees of a record: key, headers and value."""
    found = hashlib.blake2b(digest_size=16)
    parts = [record.key, record.value]
    for name, value in record.headers:
        parts += [name.encode(), value]
    for part in parts:
        found.update(b"-" if part is None else b"%d:" % len(part) + part)
    return found.digest()


def read_id(record: Record) -> str:
    """Read the id that a record of ours carries; dead letters carry that of the original, if any."""
    value = dict(record.headers).get("ce_id")
    return value.decode(errors="replace") if value else ""

"""Checks that everything that arrived is in the inbox, and that everything in the inbox was decided once."""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unproven, Unreadable
from contracts.inbox import Arrival, open_arrival
from contracts.records import Place, Record, digest_record
from contracts.stubs import cut_to_fit
from contracts.topics import SOURCES
from outbox.identity import list_identities
from worker.kafka.group_offsets import Partition, read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.source_topics import name_intake_group
from worker.reconcile.findings import Claim, DifferenceKind
from worker.reconcile.reconciliation import Reconciliation, describe_place
from worker.reconcile.temporary_database import open_temporary_database

_BEYOND_ALL: Final = 2**63 - 1
_TABLES: Final = """
create table sources (
    topic text, partition integer, offset integer, timestamp_ms integer, digest blob, is_copied integer,
    primary key (topic, partition, offset, timestamp_ms)
) without rowid
"""


@dataclass(slots=True)
class _Inputs:
    """What is known of the source topics, and how far the inbox is read."""

    database: sqlite3.Connection
    """The records of the source topics that are still there, by place and time, with a digest of their bytes."""
    committed: dict[Partition, int] = field(default_factory=dict)
    """The offsets of the intake's group: everything below them should have been copied."""
    read_to: dict[int, int] = field(default_factory=dict)
    """For each lane, the inbox offset up to which its verdicts are checked."""


async def check_inputs(reconciliation: Reconciliation) -> None:
    """Compare the sources with the inbox, and the inbox with history; each is read once."""
    findings, deployment = reconciliation.findings, reconciliation.deployment
    copies = findings.claim("sources", "every source record is in the inbox, untouched")
    verdicts = findings.claim("verdicts", "every inbox record below the position has one verdict in history")
    with open_temporary_database(_TABLES) as database:
        inputs = _Inputs(database)
        await _read_sources(reconciliation, inputs)
        async with open_topic_log(deployment.kafka, deployment.topics.inbox) as inbox:
            inputs.read_to = {number: inbox.bounds.get(number, (0, 0))[0] for number in reconciliation.positions}
            await _check_removed(reconciliation, verdicts, inputs.read_to)
            total, done = sum(end - start for start, end in inbox.bounds.values()), 0
            async for records in inbox.read():
                arrivals = [open_arrival(record, deployment.topics) for record in records]
                for arrival in arrivals:
                    _check_copy(reconciliation, copies, database, arrival.original)
                await _check_verdicts(reconciliation, verdicts, arrivals, inputs.read_to)
                done += len(records)
                reconciliation.progress("reading the inbox", done, total)
        for number, start in inputs.read_to.items():
            await _report_absent(reconciliation, verdicts, number, range(start, _BEYOND_ALL), set())
        _check_sources(reconciliation, copies, inputs)


async def _read_sources(reconciliation: Reconciliation, inputs: _Inputs) -> None:
    deployment = reconciliation.deployment
    for name in SOURCES:
        topic = deployment.topics.full(name)
        async with open_topic_log(deployment.kafka, topic) as log:
            places = [(topic, number) for number in log.bounds]
            offsets = await read_group_offsets(deployment.kafka, name_intake_group(deployment.group_id), places)
            inputs.committed |= {place: offset.offset for place, offset in offsets.items()}
            total, done = sum(end - start for start, end in log.bounds.values()), 0
            async for records in log.read():
                # As the intake copies it: what is too large for the inbox is cut there.
                rows = [(*record.place, record.timestamp_ms, digest_record(cut_to_fit(record))) for record in records]
                inputs.database.executemany("insert or replace into sources values (?, ?, ?, ?, ?, 0)", rows)
                done += len(records)
                reconciliation.progress(f"reading {name}", done, total)


def _check_copy(reconciliation: Reconciliation, claim: Claim, database: sqlite3.Connection, original: Record) -> None:
    # With its time, because a topic that was recreated has other records at the same places.
    source = (*original.place, original.timestamp_ms)
    where = "where (topic, partition, offset, timestamp_ms) = (?, ?, ?, ?)"
    found = None
    # A record that somebody else wrote into the inbox may name numbers that are no offsets.
    with suppress(OverflowError):
        found = database.execute(f"select digest, is_copied from sources {where}", source).fetchone()  # noqa: S608
    if found is None:
        claim.notes["copies whose source record does not exist (any more)"] += 1
        return
    digest, is_copied = found
    if digest != digest_record(original):
        what = f"the inbox has other bytes of {describe_place(original.place)}"
        reconciliation.findings.differ(claim, DifferenceKind.ALTERED, what)
    elif is_copied:
        claim.notes["copied again after a crash (history drops repeats)"] += 1
    if not is_copied:
        database.execute(f"update sources set is_copied = 1 {where}", source)  # noqa: S608


def _check_sources(reconciliation: Reconciliation, claim: Claim, inputs: _Inputs) -> None:
    """Find the source records that were not copied although they are below the offset of the intake's group."""
    query = "select topic, partition, offset from sources where not is_copied"
    for topic, partition, offset in inputs.database.execute(query):
        if offset < inputs.committed.get((topic, partition), 0):
            what = f"{describe_place(Place(topic, partition, offset))} is not in the inbox"
            reconciliation.findings.differ(claim, DifferenceKind.LOST, what)
        else:
            claim.waiting += 1
    claim.checked = inputs.database.execute("select count(*) from sources").fetchone()[0] - claim.waiting


async def _check_removed(reconciliation: Reconciliation, claim: Claim, starts: Mapping[int, int]) -> None:
    """Count the verdicts on records that the inbox no longer holds."""
    for number, start in starts.items():
        async for _ in reconciliation.snapshot.read_places(number, 0, start):
            claim.notes["verdicts on records that the inbox does not hold any more"] += 1


async def _check_verdicts(
    reconciliation: Reconciliation, claim: Claim, arrivals: Sequence[Arrival], read_to: dict[int, int]
) -> None:
    positions = reconciliation.positions
    below = [one for one in arrivals if one.inbox.place.offset < positions.get(one.inbox.place.partition, 0)]
    claim.waiting += len(arrivals) - len(below)
    if not below:
        return
    stored = await reconciliation.snapshot.find_stored(
        # A record that repeats an identity with other fields is known by its origin, as is one that nobody has proven.
        {identity for arrival in below for identity in list_identities(arrival)}
    )
    seen: set[int] = set()
    for arrival in below:
        claim.checked += 1
        _, number, offset = arrival.inbox.place
        place = f"record {offset} of inbox partition {number}"
        budget = _find_budget(arrival.message)
        found = next((stored[identity] for identity in list_identities(arrival) if identity in stored), None)
        differ = reconciliation.findings.differ
        if found is None:
            differ(claim, DifferenceKind.LOST, f"{place} has no verdict", budget)
        elif (found.inbox_partition, found.inbox_offset) == (number, offset):
            seen.add(offset)
            if found.pruned:
                claim.notes["records whose bytes are pruned from history, so that only their place was compared"] += 1
                continue
            original = arrival.original
            digests = tuple(hashlib.sha256(part or b"").digest() for part in (original.key, original.value))
            if (found.key_digest, found.body_digest, found.headers) != (*digests, original.headers):
                differ(claim, DifferenceKind.ALTERED, f"history has other bytes of {place}", budget)
        elif found.inbox_partition == number and found.inbox_offset < offset:
            claim.notes["repeats of a message"] += 1
        else:
            differ(claim, DifferenceKind.UNEXPLAINED, f"{place} is recorded as a repeat of a later one", budget)
    last = below[-1].inbox.place
    await _report_absent(reconciliation, claim, last.partition, range(read_to[last.partition], last.offset + 1), seen)
    read_to[last.partition] = last.offset + 1


async def _report_absent(
    reconciliation: Reconciliation, claim: Claim, number: int, offsets: range, seen: set[int]
) -> None:
    """Find the verdicts on records that the inbox does not hold, among these offsets of one partition."""
    async for offset in reconciliation.snapshot.read_places(number, offsets.start, offsets.stop):
        if offset not in seen:
            what = f"history has a verdict on record {offset} of inbox partition {number}, which is not there"
            reconciliation.findings.differ(claim, DifferenceKind.UNEXPLAINED, what)


def _find_budget(message: Message | Unreadable | Unproven) -> BudgetKey | None:
    return message.body.key if isinstance(message, Message) else None

"""Checks that everything that came in is in the inbox, and everything in the inbox decided once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unreadable
from contracts.inbox import Arrival, open_arrival
from contracts.records import Place, Record, digest_record
from contracts.topics import SOURCES
from outbox.identity import identify, identify_origin
from worker.deployment import Deployment
from worker.kafka.group_offsets import Partition, read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.source_topics import name_intake_group
from worker.reconcile.findings import Claim, DifferenceKind
from worker.reconcile.reconciliation import Reconciliation, describe_place


@dataclass(slots=True)
class _Sources:
    """The records of the source topics that are still there, by place and time, with their bytes by digest."""

    records: dict[tuple[Place, int], bytes] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    """What the intake says that it has copied."""
    copied: set[tuple[Place, int]] = field(default_factory=set)


async def check_inputs(reconciliation: Reconciliation) -> None:
    """Read the sources and the inbox once, beside each other and beside history."""
    copies = reconciliation.findings.claim("sources", "every source record is in the inbox, untouched")
    verdicts = reconciliation.findings.claim(
        "verdicts", "every inbox record below the position has one verdict in history"
    )
    sources = await _read_sources(reconciliation.deployment)
    places = {number: await reconciliation.snapshot.read_places(number) for number in reconciliation.positions}
    async with open_topic_log(reconciliation.deployment.kafka, reconciliation.deployment.topics.inbox) as inbox:
        async for records in inbox.read():
            arrivals = [open_arrival(record, reconciliation.deployment.topics) for record in records]
            for arrival in arrivals:
                _check_copy(reconciliation, copies, sources, arrival.original)
            await _check_verdicts(reconciliation, verdicts, arrivals, places)
    for key in sources.records.keys() - sources.copied:
        place = key[0]
        if place.offset < sources.committed.get((place.topic, place.partition), 0):
            reconciliation.findings.differ(copies, DifferenceKind.LOST, f"{describe_place(place)} is not in the inbox")
        else:
            copies.waiting += 1
    copies.checked = len(sources.records) - copies.waiting
    for number, left in places.items():
        for offset in sorted(left):
            if offset < inbox.bounds[number][0]:
                verdicts.notes["verdicts on records that the inbox does not hold any more"] += 1
            else:
                what = f"history has a verdict on record {offset} of inbox partition {number}, which is not there"
                reconciliation.findings.differ(verdicts, DifferenceKind.UNEXPLAINED, what)


async def _read_sources(deployment: Deployment) -> _Sources:
    found = _Sources()
    for name in SOURCES:
        async with open_topic_log(deployment.kafka, deployment.topics.full(name)) as log:
            places = [(deployment.topics.full(name), number) for number in log.bounds]
            offsets = await read_group_offsets(deployment.kafka, name_intake_group(deployment.group_id), places)
            found.committed |= {place: offset.offset for place, offset in offsets.items()}
            async for records in log.read():
                found.records |= {(record.place, record.timestamp_ms): digest_record(record) for record in records}
    return found


def _check_copy(reconciliation: Reconciliation, claim: Claim, sources: _Sources, original: Record) -> None:
    # With its time, because a topic that was made anew has other records at the same places.
    source = original.place, original.timestamp_ms
    if source not in sources.records:
        claim.notes["copies whose source record is not there (any more)"] += 1
    elif sources.records[source] != digest_record(original):
        reconciliation.findings.differ(
            claim, DifferenceKind.ALTERED, f"the inbox has other bytes of {describe_place(original.place)}"
        )
    elif source in sources.copied:
        claim.notes["copied again after a crash (history drops repeats)"] += 1
    sources.copied.add(source)


async def _check_verdicts(
    reconciliation: Reconciliation, claim: Claim, arrivals: Sequence[Arrival], places: dict[int, set[int]]
) -> None:
    positions = reconciliation.positions
    below = [one for one in arrivals if one.inbox.place.offset < positions.get(one.inbox.place.partition, 0)]
    claim.waiting += len(arrivals) - len(below)
    stored = await reconciliation.snapshot.find_stored(
        # A record that repeats an identity with other fields is known by its origin.
        {named(arrival) for arrival in below for named in (identify, identify_origin)}
    )
    for arrival in below:
        claim.checked += 1
        _, number, offset = arrival.inbox.place
        place = f"record {offset} of inbox partition {number}"
        budget = _find_budget(arrival.message)
        found = stored.get(identify_origin(arrival)) or stored.get(identify(arrival))
        if found is None:
            reconciliation.findings.differ(claim, DifferenceKind.LOST, f"{place} has no verdict", budget)
        elif (found.inbox_partition, found.inbox_offset) == (number, offset):
            places[number].discard(offset)
            if found.pruned:
                claim.notes["records whose bytes are pruned from history, so that only their place was compared"] += 1
                continue
            original = arrival.original
            digests = tuple(hashlib.sha256(part or b"").digest() for part in (original.key, original.value))
            if (found.key_digest, found.body_digest, found.headers) != (*digests, original.headers):
                reconciliation.findings.differ(
                    claim, DifferenceKind.ALTERED, f"history has other bytes of {place}", budget
                )
        elif found.inbox_partition == number and found.inbox_offset < offset:
            claim.notes["repeats of a message"] += 1
        else:
            reconciliation.findings.differ(
                claim, DifferenceKind.UNEXPLAINED, f"{place} is taken for a repeat of a later one", budget
            )


def _find_budget(message: Message | Unreadable) -> BudgetKey | None:
    if isinstance(message, Unreadable):
        return None
    return message.body.key

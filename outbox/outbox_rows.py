"""Writes the rows of the outbox: every message that a decision sends, as the final bytes of a record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.writing import write_headers
from contracts.fields import MAX_MESSAGE_BYTES
from contracts.inbox import Arrival
from contracts.records import Headers, Outgoing, Record, measure_headers, measure_record
from contracts.topics import TopicNames
from handlers.decision import DeadLetter, Outcome
from handlers.ids import name_effect, name_send
from outbox.held_messages import HeldMessage, name_held
from outbox.identity import Identity

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, the last year that Python knows."""

_DEAD_LETTER_BYTES: Final = MAX_MESSAGE_BYTES + 512 * 1024
"""How much of the original a dead letter may hold, so that with the added headers it fits the topic's 17 MiB."""

_LONGEST_TEXT: Final = 4000
"""Characters of a reason or topic: more than any of ours has, and less than the 512 KiB that are left for them."""

_RECORD_BYTES: Final = 128
"""The most that Kafka adds to a record that is alone in its batch: 61 bytes for the batch, the rest for lengths."""

_HEADER_BYTES: Final = 10
"""The most that Kafka adds to a header: two lengths of up to five bytes."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to send: its place in the outbox, and its final bytes."""

    inbox_offset: int
    ordinal: int
    id: UUID
    at: datetime
    type: str | None
    """``None`` for a dead letter, which is no message of ours."""
    budget: BudgetKey | None
    record: Outgoing
    dead_letter_of: tuple[int, int] | None = None
    """Partition and offset of the inbox record that is set aside, where a later one, which released it, causes that."""


def inbox_time(record: Record) -> datetime:
    """Convert the time of an inbox record, which is the only clock that deciding sees.

    A time that Python cannot represent becomes the nearest one that it can: where the inbox is not set to use the
    broker's time, whoever writes to it may choose any.
    """
    return _convert_time(max(0, min(record.timestamp_ms, _LAST_MS)))


@lru_cache(maxsize=64)
def _convert_time(timestamp_ms: int) -> datetime:
    # What is appended together has one time.
    return _EPOCH + timedelta(milliseconds=timestamp_ms)


def write_rows(
    arrival: Arrival,
    identity: Identity,
    outcome: Outcome,
    trace: Headers,
    held: Sequence[HeldMessage],
    topics: TopicNames,
) -> Iterator[OutboxRow]:
    """Write the rows of everything that one message sends.

    Args:
        arrival: the message and its inbox record.
        identity: the message's identity, from which the ids of the rows are derived.
        outcome: what was decided.
        trace: headers of the trace context that the message arrived with.
        held: the held messages that were decided with it.
        topics: how the topics of this deployment are named.

    Raises:
        ValueError: what is to be sent is larger than the contract allows.
    """
    at = inbox_time(arrival.inbox)
    for ordinal, send in enumerate(outcome.step.sends):
        if isinstance(send, DeadLetter):
            yield _write_dead_letter_of(arrival, name_effect(identity, ordinal), ordinal, send, held, topics)
            continue
        row_id = name_send(send, identity, ordinal)
        value = send.write()
        headers = write_headers(send, row_id, at, trace)
        record = Outgoing(topics.full(send.topic), str(send.key).encode(), value, headers)
        if (size := measure_in_kafka(record)) > MAX_MESSAGE_BYTES:
            message = (
                f"{send.type} would be a record of {size:,} bytes ({len(value):,} of them its value); "
                f"its topic takes {MAX_MESSAGE_BYTES:,}"
            )
            raise ValueError(message)
        yield OutboxRow(arrival.inbox.place.offset, ordinal, row_id, at, send.type, send.key, record)


def _write_dead_letter_of(
    arrival: Arrival, row_id: UUID, ordinal: int, letter: DeadLetter, held: Sequence[HeldMessage], topics: TopicNames
) -> OutboxRow:
    """Write the dead letter of a message, or of a held message that it released."""
    if letter.held is None:
        return write_dead_letter(arrival, row_id, ordinal, letter, topics)
    [own] = [one for one in held if name_held(one) == letter.held]
    set_aside = replace(arrival, original=own.record, message=own.message)
    return replace(write_dead_letter(set_aside, row_id, ordinal, letter, topics), dead_letter_of=own.inbox)


def write_dead_letter(
    arrival: Arrival, row_id: UUID, ordinal: int, letter: DeadLetter, topics: TopicNames
) -> OutboxRow:
    """Write the dead letter of a record: its key, headers and value, and headers that say why it was set aside.

    What does not fit is cut off, and headers say how much there was; history has the whole record.

    Args:
        arrival: the record.
        row_id: the id of the row.
        ordinal: the row's place among those that the record causes.
        letter: why the record is set aside.
        topics: how the topics of this deployment are named.
    """
    original, message = arrival.original, arrival.message
    record, cut = _cut(Outgoing(topics.dead_letters, original.key, original.value, original.headers))
    reason: Headers = (
        ("dead_letter_reason", letter.reason.encode()),
        ("dead_letter_detail", _write_text(letter.detail)),
        ("dead_letter_topic", _write_text(original.place.topic)),
        ("dead_letter_partition", b"%d" % original.place.partition),
        ("dead_letter_offset", b"%d" % original.place.offset),
    )
    body = message.body if isinstance(message, Message) else None
    return OutboxRow(
        arrival.inbox.place.offset,
        ordinal,
        row_id,
        inbox_time(arrival.inbox),
        None,
        body.key if body else None,
        replace(record, headers=(*record.headers, *reason, *cut)),
    )


def _cut(record: Outgoing) -> tuple[Outgoing, Headers]:
    """Cut off what a dead letter cannot hold: of the value first, then whole headers from the last, then of the key.

    Returns:
        What is left of the record, and headers that describe what was cut off.
    """
    key, value, headers = record.key, record.value, record.headers
    cut: list[tuple[str, bytes | None]] = []
    room = _DEAD_LETTER_BYTES - _RECORD_BYTES
    if key is not None and len(key) > room:
        cut.append(("dead_letter_key_cut_from_bytes", b"%d" % len(key)))
        key = key[:room]
    room -= len(key or b"")
    kept = 0
    for header in headers:
        if (size := _HEADER_BYTES + measure_headers((header,))) > room:
            break
        room -= size
        kept += 1
    if kept < len(headers):
        cut.append(("dead_letter_headers_cut_from", b"%d" % len(headers)))
    if value is not None and len(value) > room:
        cut.append(("dead_letter_cut_from_bytes", b"%d" % len(value)))
        value = value[:room]
    return Outgoing(record.topic, key, value, headers[:kept]), tuple(cut)


def measure_in_kafka(record: Outgoing) -> int:
    """Measure a record as the broker does, in bytes: with the most that Kafka adds to it and to its headers."""
    return _RECORD_BYTES + _HEADER_BYTES * len(record.headers) + measure_record(record)


def _write_text(text: str) -> bytes:
    """Write a text of unknown origin as the value of a header, with a limited size."""
    return text[:_LONGEST_TEXT].encode(errors="replace")

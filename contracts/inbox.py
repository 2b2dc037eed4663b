"""Records on their way through ``bridge.inbox``: copied untouched, with their origin in headers.

The inbox is keyed by project, so that everything that happens to a project is on one partition.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.budget_key import write_project_key
from contracts.cloudevents.message import Message, Unproven, Unreadable
from contracts.cloudevents.reading import read_message, read_project
from contracts.fields import MAX_INT64, write_time
from contracts.inbound import DeadlinePassed, InboundMessage
from contracts.records import Headers, Outgoing, Place, Record
from contracts.stubs import cut_to_fit
from contracts.topics import SOURCES, TopicNames

MAX_INT32: Final = 2**31 - 1
"""Highest partition that Kafka and Postgres can have."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)
"""How far the database's clock, which timers go by, may be ahead of the broker's."""

# What Kafka takes as a topic's name.
_TOPIC: Final = re.compile(rb"[A-Za-z0-9._-]{1,249}")
_NUMBER: Final = re.compile(rb"-?[0-9]{1,19}")
_ORIGIN_HEADERS: Final = ("origin_topic", "origin_partition", "origin_offset", "origin_key", "origin_timestamp")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One inbox record, opened: the record as it was first read, and the message in it."""

    inbox: Record
    original: Record
    message: Message | Unreadable | Unproven
    """Never unproven when it is opened: what must be signed depends on the rules."""


def copy_to_inbox(record: Record, inbox_topic: str) -> Outgoing:
    """Copy a source record for the inbox: value and headers untouched, keyed by its project or else its origin.

    A record that the inbox would not take is copied as a stub.

    Args:
        record: of a source topic.
        inbox_topic: full name of the inbox.
    """
    record = cut_to_fit(record)
    project = read_project(record)
    topic, partition, offset = record.place
    origin: Headers = (
        ("origin_topic", topic.encode()),
        ("origin_partition", b"%d" % partition),
        ("origin_offset", b"%d" % offset),
        ("origin_key", record.key),
        ("origin_timestamp", b"%d" % record.timestamp_ms),
    )
    key = write_project_key(*project) if project else _write_origin_key(record.place)
    return Outgoing(inbox_topic, key, record.value, record.headers + origin)


def open_arrival(inbox: Record, topics: TopicNames) -> Arrival:
    """Open an inbox record; whatever is wrong with it is in the value, nothing raises.

    What is returned can be stored: an origin that no Kafka has counts as none, and the inbox record takes its place.

    Args:
        inbox: the record of the inbox.
        topics: how the topics of this deployment are named.
    """
    original = _read_original(inbox)
    if original is None:
        return Arrival(inbox, inbox, Unreadable("unreadable", "the inbox record does not name its origin"))
    topic = topics.short(original.place.topic)
    if topic not in SOURCES:
        return Arrival(inbox, original, Unreadable("unreadable", f"{original.place.topic} is no topic that we read"))
    message = read_message(topic, original)
    if isinstance(message, Message) and (problem := _check_place_and_time(inbox, message.body)):
        return Arrival(inbox, original, Unreadable("unreadable", problem))
    return Arrival(inbox, original, message)


def _check_place_and_time(inbox: Record, body: InboundMessage) -> str | None:
    company_id, project_id = body.key.project
    if inbox.key != write_project_key(company_id, project_id):
        # Two readings of one record must not put a project on two partitions.
        return f"data: the inbox record has another key than its project, {company_id}/{project_id}"
    if isinstance(body, DeadlinePassed) and body.due_at > _compute_latest_due(inbox.timestamp_ms):
        return f"data.due_at: {write_time(body.due_at)} is later than the record itself"
    return None


def _compute_latest_due(timestamp_ms: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=timestamp_ms) + _CLOCKS_DIFFER_BY
    except OverflowError:
        return _EPOCH


def _read_original(inbox: Record) -> Record | None:
    headers, origin = inbox.headers[: -len(_ORIGIN_HEADERS)], dict(inbox.headers[-len(_ORIGIN_HEADERS) :])
    if tuple(origin) != _ORIGIN_HEADERS:
        return None
    topic = origin["origin_topic"] or b""
    partition = _read_number(origin["origin_partition"], 0, MAX_INT32)
    offset = _read_number(origin["origin_offset"], 0, MAX_INT64)
    timestamp_ms = _read_number(origin["origin_timestamp"], -MAX_INT64 - 1, MAX_INT64)
    if not _TOPIC.fullmatch(topic) or partition is None or offset is None or timestamp_ms is None:
        return None
    return Record(Place(topic.decode(), partition, offset), timestamp_ms, origin["origin_key"], inbox.value, headers)


def _read_number(text: bytes | None, lowest: int, highest: int) -> int | None:
    if text is None or not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if lowest <= number <= highest else None


def _write_origin_key(place: Place) -> bytes:
    return f"{place.topic}/{place.partition}/{place.offset}".encode()

"""Records on their way through ``bridge.inbox``: copied untouched, with their origin in headers.

The inbox is keyed by project, so that everything that happens to a project stands on one partition.
"""

from dataclasses import dataclass
from typing import Final

from contracts.budget_key import write_project_key
from contracts.cloudevents.message import Message, Unreadable
from contracts.cloudevents.reading import read_message, read_project
from contracts.records import Headers, Outgoing, Place, Record
from contracts.stubs import cut_to_fit
from contracts.topics import SOURCES, TopicNames

_ORIGIN_HEADERS: Final = ("origin_topic", "origin_partition", "origin_offset", "origin_key", "origin_timestamp")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One inbox record, opened: the record as it first came in, and the message in it."""

    inbox: Record
    original: Record
    message: Message | Unreadable


def copy_to_inbox(record: Record, inbox_topic: str) -> Outgoing:
    """Copy a source record for the inbox: value and headers untouched, keyed by its project or else its origin.

    A record that the inbox would not take is copied as a stub.
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
    """Open an inbox record; whatever is wrong with it is in the value, nothing raises."""
    original = _find_original(inbox)
    if original is None:
        return Arrival(inbox, inbox, Unreadable("unreadable", "the inbox record does not say where it came from"))
    topic = topics.short(original.place.topic)
    if topic not in SOURCES:
        return Arrival(inbox, original, Unreadable("unreadable", f"{original.place.topic} is no topic that we read"))
    message = read_message(topic, original)
    if isinstance(message, Message):
        body = message.body
        if inbox.key != write_project_key(*body.key.project):
            # Two readings of one record must not put a project on two partitions.
            detail = f"the project could not be told at first sight: {body.company_id}/{body.project_id} or another"
            return Arrival(inbox, original, Unreadable("unreadable", detail))
    return Arrival(inbox, original, message)


def _find_original(inbox: Record) -> Record | None:
    headers, origin = inbox.headers[: -len(_ORIGIN_HEADERS)], dict(inbox.headers[-len(_ORIGIN_HEADERS) :])
    if tuple(origin) != _ORIGIN_HEADERS:
        return None
    topic, partition, offset, key, timestamp = origin.values()
    try:
        place = Place((topic or b"").decode(), int(partition or b""), int(offset or b""))
        return Record(place, int(timestamp or b""), key, inbox.value, headers)
    except ValueError:
        return None


def _write_origin_key(place: Place) -> bytes:
    return f"{place.topic}/{place.partition}/{place.offset}".encode()

"""Kafka bytes with a place: what is read from a topic and what is to be appended to one.

Nothing here knows what the bytes mean; that is left to the rest of the room.
"""

from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes | None], ...]


class Place(NamedTuple):
    """Where a record stands: full topic name, partition and offset."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read, untouched."""

    place: Place
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to append: the broker gives it its place and, where the topic says so, its time."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers

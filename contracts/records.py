"""Kafka bytes with a place: what is read from a topic and what is to be appended to one.

Nothing here knows what the bytes mean; that is left to the rest of the room.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes | None], ...]


class Place(NamedTuple):
    """Where a record is: full topic name, partition and offset."""

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


def fold_headers(headers: Headers) -> dict[str, bytes]:
    """Index headers by name in lower case, without those that are null; of several the last counts."""
    return {name.lower(): value for name, value in headers if value is not None}


def measure_record(record: Record | Outgoing) -> int:
    """Measure a record in bytes: key, value, and headers by name and value."""
    return len(record.key or b"") + len(record.value or b"") + measure_headers(record.headers)


def measure_headers(headers: Headers) -> int:
    """Measure headers in bytes, by name and value."""
    names = "".join([name for name, _ in headers]).encode("utf-8", "surrogatepass")
    return len(names) + sum([len(value) for _, value in headers if value])


def digest_record(record: Record | Outgoing) -> bytes:
    """Digest what a reader sees of a record (key, headers by name and value, value), in 16 bytes.

    The place of the record and its time are not part of it.
    """
    digest = hashlib.blake2b(digest_size=16)
    parts = [record.key, record.value]
    for name, value in record.headers:
        parts += [name.encode("utf-8", "surrogatepass"), value]
    for part in parts:
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.digest()

"""What makes a message the same message again."""

import hashlib
from typing import Final, NamedTuple

from contracts.cloudevents.message import Message
from contracts.inbox import Arrival

_LONGEST: Final = 500
"""Characters of an origin in an identity: no topic of Kafka has more than 249, and a database key takes 2,704 bytes."""


class Identity(NamedTuple):
    """What makes a message the same message for good: its project, its source, its id and its type.

    The type belongs to it, because whoever may write to one topic must not use up the ids of another.
    """

    company_id: int
    project_id: int
    source: str
    id: str
    type: str
    """Empty for what cannot be read."""


def identify(arrival: Arrival) -> Identity:
    """Find the identity of a message; that of an unreadable record is its origin."""
    message = arrival.message
    if isinstance(message, Message):
        body = message.body
        return Identity(body.company_id, body.project_id, message.source, message.id, body.type)
    return identify_origin(arrival)


def identify_origin(arrival: Arrival) -> Identity:
    """Find the identity of a record as such, whatever message is in it.

    The time belongs to it, because a topic that was created again has other records at the same places.
    """
    place, timestamp_ms = arrival.original.place, arrival.original.timestamp_ms
    return Identity(0, 0, _fit(f"{place.topic}/{place.partition}"), _fit(f"{place.offset}@{timestamp_ms}"), "")


def _fit(origin: str) -> str:
    """Make a text that Postgres takes as part of a key: as it is, or by its digest where it cannot be an origin."""
    if origin.isascii() and origin.isprintable() and len(origin) <= _LONGEST:
        return origin
    return f"sha256:{hashlib.sha256(origin.encode(errors='surrogatepass')).hexdigest()}"

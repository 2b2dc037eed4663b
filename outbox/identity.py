"""The identity of a message: two records with the same identity are the same message."""

import hashlib
from typing import Final, NamedTuple

from contracts.cloudevents.message import Message, Unproven
from contracts.inbox import Arrival
from handlers.signers import find_word

_LONGEST: Final = 500
"""Characters of an origin in an identity: Kafka's topic names have at most 249, and Postgres indexes 2,704 bytes."""


class Identity(NamedTuple):
    """What identifies a message for good: its project, its source, its id and its type.

    The type is part of it so that whoever may write to one topic cannot use up the ids of another.
    """

    company_id: int
    project_id: int
    source: str
    id: str
    type: str
    """Empty for a record that is identified by its origin."""


def identify(arrival: Arrival) -> Identity:
    """Find the identity of a message; an unreadable record is identified by its origin.

    So is a message that nobody has proven to have sent, for it must not use up the id of the genuine one. That is of
    its project all the same.
    """
    message = arrival.message
    if isinstance(message, Message):
        return _name_message(message)
    if isinstance(message, Unproven):
        return _identify_in_project(arrival, message.message)
    return identify_origin(arrival)


def find_other_identity(arrival: Arrival) -> Identity | None:
    """Find the identity that the same record has where other rules decide whether it must be signed, and by whom.

    ``None`` for what is never signed.
    """
    message = arrival.message
    if isinstance(message, Unproven):
        return _name_message(message.message)
    return _identify_in_project(arrival, message) if isinstance(message, Message) and find_word(message.body) else None


def list_identities(arrival: Arrival) -> tuple[Identity, ...]:
    """List every identity under which history may have a record, whatever rules it was decided by."""
    message = arrival.message
    in_project = (_identify_in_project(arrival, message),) if isinstance(message, Message) else ()
    return (identify_origin(arrival), *in_project, identify(arrival))


def identify_origin(arrival: Arrival) -> Identity:
    """Find the identity of a record by its origin, whatever message is in it.

    The record's time is part of it, because a topic that was recreated has other records at the same places.
    """
    place, timestamp_ms = arrival.original.place, arrival.original.timestamp_ms
    return Identity(0, 0, _fit(f"{place.topic}/{place.partition}"), _fit(f"{place.offset}@{timestamp_ms}"), "")


def _name_message(message: Message) -> Identity:
    body = message.body
    return Identity(body.company_id, body.project_id, message.source, message.id, body.type)


def _identify_in_project(arrival: Arrival, message: Message) -> Identity:
    company_id, project_id = message.body.key.project
    return identify_origin(arrival)._replace(company_id=company_id, project_id=project_id)


def _fit(origin: str) -> str:
    """Make a text that Postgres accepts in an index: the origin itself, or its digest where it is no plain text."""
    if origin.isascii() and origin.isprintable() and len(origin) <= _LONGEST:
        return origin
    return f"sha256:{hashlib.sha256(origin.encode(errors='surrogatepass')).hexdigest()}"

"""Inbox records for the tests of the store: messages as they arrive on one partition."""

import json

from contracts.body import Inbound
from contracts.cloudevents.writing import write_attributes
from contracts.inbound import InboundMessage
from contracts.inbox import Arrival, copy_to_inbox, open_arrival
from contracts.records import Headers, Place, Record
from contracts.topics import SOURCES, TopicNames

TOPICS = TopicNames("x.")
AT = 1_764_000_000_000


def arrive(
    offset: int,
    body: InboundMessage | bytes | None,
    message_id: str | None = None,
    *,
    partition: int = 0,
    came_from: int | None = None,
) -> Arrival:
    """A message as it is in the inbox at an offset; bytes for a record that is no message."""
    headers: Headers = ()
    topic, value = "procore.budgets", body
    if isinstance(body, Inbound):
        topic = next(name for name, models in SOURCES.items() if type(body) in models)
        headers = write_attributes(body.type, "test", message_id or f"m{offset}")
        value = json.dumps(body.model_dump(mode="json")).encode()
    place = Place(TOPICS.full(topic), partition, offset if came_from is None else came_from)
    assert not isinstance(value, Inbound)
    original = Record(place, AT, b"key", value, headers)
    copy = copy_to_inbox(original, TOPICS.inbox)
    inbox = Record(Place(copy.topic, 0, offset), AT + offset, copy.key, copy.value, copy.headers)
    return open_arrival(inbox, TOPICS)

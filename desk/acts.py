"""The record of what a person does: for whom the desk vouches, signed with its own key, and what the log keeps of it.

History keeps people's messages with all their headers for good. So a message says who the person is to whoever vouches
for them, and nothing else of them; from which address and browser they sent it is in the log alone.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from starlette.requests import Request

from contracts.cloudevents.writing import SOURCE, write_attributes
from contracts.fields import write_time
from contracts.inbound import InboundMessage
from contracts.json_text import write_json
from contracts.records import Headers, Outgoing
from contracts.signature.signing import PrivateKey, sign_headers
from contracts.topics import SOURCES, TopicNames
from desk.identity import Person
from worker.telemetry.logs import Logger

DESK_SOURCE: Final = f"{SOURCE}/desk"
"""The CloudEvents source of what people do at the desk."""

_MAX_LOGGED: Final = 200
"""Characters of a header that somebody else has written."""


def write_act(
    message: InboundMessage, message_id: UUID, person: Person, topics: TopicNames, at: datetime, key: PrivateKey | None
) -> Outgoing:
    """Write the record of a message that a person sends.

    Args:
        message: the message.
        message_id: the id under which history keeps it.
        person: who sends it; for whoever reads the record it is information (CloudEvents Auth Context), no proof.
        topics: how the topics of this deployment are named.
        at: when it is sent.
        key: the desk's; ``None`` leaves it unsigned.
    """
    topic = next(name for name, models in SOURCES.items() if type(message) in models)
    budget, data = str(message.key), write_json(message.model_dump(mode="json"))
    attributes = write_attributes(message.type, DESK_SOURCE, str(message_id), time=write_time(at), subject=budget)
    headers = (*attributes, *_write_author(person))
    signed = sign_headers(headers, data, key) if key else headers
    return Outgoing(topics.full(topic), budget.encode(), data, signed)


def log_act(log: Logger, request: Request, message: InboundMessage, message_id: UUID, person: Person) -> None:
    """Log that a person has sent a message, and from where; what a proxy or a browser says is as they say it."""
    log.info(
        "act.sent",
        message_id=str(message_id),
        type=message.type,
        budget=str(message.key),
        user=person.user,
        issuer=person.issuer,
        subject=person.subject,
        address=request.client.host if request.client else "unix",
        forwarded_for=request.headers.get("x-forwarded-for", "")[:_MAX_LOGGED],
        browser=request.headers.get("user-agent", "")[:_MAX_LOGGED],
    )


def _write_author(person: Person) -> Headers:
    return ("ce_authtype", b"app_user"), ("ce_authid", f"{person.issuer}#{person.subject}".encode())

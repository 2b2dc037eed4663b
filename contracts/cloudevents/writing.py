"""Writes the attributes of an event as headers: binary mode, with JSON data as the record's value."""

from datetime import datetime
from typing import Final
from uuid import UUID

from contracts.fields import write_time
from contracts.outbound import Outbound
from contracts.records import Headers

SOURCE: Final = "budget-bridge"
"""``ce_source`` of every message that the bridge sends."""

DEADLINES_SOURCE: Final = f"{SOURCE}/deadlines"
"""``ce_source`` of the bridge's own timers, which write to ``bridge.commands``."""


def write_headers(message: Outbound, message_id: UUID, at: datetime, trace: Headers) -> Headers:
    """Write the headers of a message that the bridge sends, with the trace of the message that caused it.

    Args:
        message: what is sent.
        message_id: its id; the same cause always gives the same one.
        at: when its cause was appended to the inbox.
        trace: of the message that caused it.

    Returns:
        The headers, in a fixed order, the trace last.
    """
    attributes = write_attributes(message.type, SOURCE, str(message_id), time=write_time(at), subject=str(message.key))
    return attributes + trace


def write_attributes(
    message_type: str, source: str, message_id: str, *, time: str | None = None, subject: str | None = None
) -> Headers:
    """Write the attributes of an event.

    Args:
        message_type: such as ``budget.locked.v1``.
        source: who sends it.
        message_id: unique within the source.
        time: RFC 3339; left out if ``None``.
        subject: what it is about; left out if ``None``.

    Returns:
        The headers, in a fixed order.
    """
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", message_type.encode()),
        *(() if time is None else (("ce_time", time.encode()),)),
        *(() if subject is None else (("ce_subject", subject.encode()),)),
        ("content-type", b"application/json"),
    )

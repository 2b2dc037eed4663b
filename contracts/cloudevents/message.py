"""The result of reading a record: a message, or unreadable bytes."""

from dataclasses import dataclass
from typing import Literal

from contracts.inbound import InboundMessage
from contracts.records import Headers


@dataclass(frozen=True, slots=True)
class Message:
    """One inbound message: its identity within its project, its content, and the trace that it belongs to."""

    source: str
    id: str
    body: InboundMessage
    trace: Headers


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are not a message of their topic: the reason for the dead letter, and what is wrong and where."""

    reason: Literal["unreadable", "unknown_type"]
    detail: str

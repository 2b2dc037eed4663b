"""The result of reading a record: a message, proven or not, or unreadable bytes."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from contracts.inbound import InboundMessage
from contracts.records import Headers, Place
from contracts.signature.event import SignedEvent


class Proof(NamedTuple):
    """That the holder of a listed key has signed a message."""

    kid: str
    event: SignedEvent | None = None
    """The message as an export carries it; ``None`` for a type that no export carries."""


@dataclass(frozen=True, slots=True)
class Message:
    """One inbound message: its identity within its project, its content, and the trace that it belongs to."""

    source: str
    id: str
    body: InboundMessage
    trace: Headers
    place: Place | None = None
    """Where its sender has put it; ``None`` only for one that was parked before the bridge kept places."""
    proof: Proof | None = None
    """``None`` where it did not have to be signed when it arrived."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """A message that must be signed, and is not by anybody who may: a code and one sentence for its sender."""

    message: Message
    code: Literal["signature_missing", "signature_invalid", "signer_not_allowed", "signature_expired"]
    sentence: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are not a message of their topic: the reason for the dead letter, and what is wrong and where."""

    reason: Literal["unreadable", "unknown_type"]
    detail: str

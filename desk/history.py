"""The timeline of a budget in words: what came in, from whom, what became of it, and what was sent because of it."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from contracts.drift import DriftDecision
from contracts.imports import ImportRequested
from contracts.inbound import (
    ApprovalDecision,
    BudgetRelease,
    BudgetReset,
    BudgetRetrieved,
    ExportRetry,
    InboundMessage,
    SnapshotRequest,
)
from handlers.signers import ANYBODY, Signer
from outbox.story import Received, Sent

_WORDS: Final[Mapping[str, str]] = {
    "budget.locked.v1": "version locked",
    "budget.retrieved.v1": "retrieved by the project side",
    "approval.decision.v1": "approval decision",
    "drift.decision.v1": "drift decision",
    "import.requested.v1": "import asked for",
    "import.applied.v1": "import answered by the project side",
    "erp.acknowledgement.v1": "answer of Spectrum",
    "erp.snapshot.v1": "reading of Spectrum",
    "export.retry.v1": "retry",
    "snapshot.request.v1": "reading asked for",
    "budget.reset.v1": "reset",
    "budget.release.v1": "release",
    "deadline.passed.v1": "deadline passed",
}
_SENT_WORDS: Final[Mapping[str | None, str]] = {
    "approval.requested.v1": "approval asked for",
    "spectrum.export.v1": "export",
    "spectrum.resync.v1": "re-sync",
    "spectrum.snapshot_requested.v1": "Spectrum asked what it holds",
    "budget.returned.v1": "returned to the project side",
    "request.refused.v1": "refusal sent",
    "budget.import_ready.v1": "import offered",
    "budget.import_ended.v1": "import ended",
    "erp.drift.v1": "comparison with Spectrum",
    None: "dead letter",
}
_UNMENTIONED: Final = "budget.status.v1"
"""Sent with nearly everything, and says what the rest says."""


_EVERYBODY: Final = "whomever it has signed in"


class Entry(NamedTuple):
    """One line of the timeline."""

    received: Received
    what: str
    who: str
    """The person, where the message has one; otherwise empty."""
    reason: str
    sent_to: tuple[tuple[str, str], ...]
    """What was sent because of it, in words, and to which topic."""
    signer: str
    """For whom the key that has signed it vouches; empty where there is no proof, or the rules no longer know it."""

    @property
    def sent(self) -> tuple[str, ...]:
        """What was sent because of it, in words."""
        return tuple(words for words, _ in self.sent_to)

    @property
    def lacks_signature(self) -> bool:
        """Whether it is of a person, and nobody has proven that it is theirs: the rules did not want it, or refused."""
        return bool(self.who) and self.received.kid is None


def tell(received: Received, signers: Iterable[Signer] = ()) -> Entry:
    """Put a message into words.

    Args:
        received: the message.
        signers: of the rules in force.
    """
    what, who, reason = _describe(received.body)
    sent_to = tuple((_describe_sent(one), one.topic) for one in received.sent if one.type != _UNMENTIONED)
    users = sorted({signer.user for signer in signers if signer.kid == received.kid})
    signer = ", ".join(_EVERYBODY if user == ANYBODY else user for user in users)
    return Entry(received, what or _WORDS.get(received.type, received.type), who, reason, sent_to, signer)


def _describe(body: InboundMessage | None) -> tuple[str, str, str]:  # noqa: PLR0911 - one for each kind
    """Describe what a person did: the act, the person, and the reason."""
    match body:
        case ApprovalDecision():
            return ("accepted" if body.decision == "accept" else "sent back"), body.decided_by, body.reason or ""
        case DriftDecision():
            return ("restated" if body.decision == "restate" else "kept"), body.decided_by, body.reason or ""
        case BudgetRetrieved():
            return "retrieved by the project side", body.retrieved_by, ""
        case ImportRequested():
            return f"import asked for ({body.mode})", body.requested_by, ""
        case BudgetRelease():
            return f"release ({body.action})", body.requested_by, body.reason
        case ExportRetry() | SnapshotRequest() | BudgetReset():
            return "", body.requested_by, body.reason
        case _:
            return "", "", ""


def _describe_sent(one: Sent) -> str:
    words = _SENT_WORDS.get(one.type, one.type or "")
    return f"{words} {one.reference}, attempt {one.attempt}" if one.reference else words

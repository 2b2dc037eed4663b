"""What people can do with a budget: which message each act sends, who may, and what has to be filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.drift import DriftDecision
from contracts.imports import ImportRequested
from contracts.inbound import (
    ApprovalDecision,
    BudgetRelease,
    BudgetReset,
    ErpAcknowledgement,
    ExportRetry,
    InboundMessage,
    SnapshotRequest,
)
from contracts.topics import SOURCES
from desk.act_messages import Make, accept, acknowledge, decide_drift, make_import, read, reject, release, reset, retry


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that people can do."""

    name: str
    """In addresses."""
    title: str
    says: str
    """What it does, for whoever is about to do it."""
    sends: type[InboundMessage]
    make: Make
    asks: frozenset[str]
    """Which fields have to be filled in, or can be."""
    of_approvers: bool = False
    """Else of operators."""
    tick: str = ""
    """What somebody has to say is true."""

    @property
    def topic(self) -> str:
        """The contract's name of the topic that it is sent to."""
        return next(name for name, models in SOURCES.items() if self.sends in models)


_REASON: Final = frozenset({"reason"})
_LOOKED: Final = "I have looked in Spectrum, and this is so."

_ACTS: Final = (
    Act(
        "accept",
        "Accept",
        "The version is exported to Spectrum, exactly as it is shown.",
        ApprovalDecision,
        accept,
        frozenset({"effective_date"}),
        of_approvers=True,
    ),
    Act(
        "reject",
        "Send back",
        "The version goes back to the project side with your reason.",
        ApprovalDecision,
        reject,
        _REASON,
        of_approvers=True,
    ),
    Act(
        "restate",
        "Restate what was exported",
        "The version that Spectrum took is exported once more, and overwrites what differs.",
        DriftDecision,
        decide_drift("restate"),
        frozenset({"effective_date"}),
        of_approvers=True,
    ),
    Act(
        "keep",
        "Keep what Spectrum holds",
        "Spectrum's figures are meant: the lines no longer count as different.",
        DriftDecision,
        decide_drift("keep"),
        _REASON | {"line"},
        of_approvers=True,
    ),
    Act(
        "take-import",
        "Take the budget from Spectrum",
        "Spectrum is read, and the project side is offered what it holds.",
        ImportRequested,
        make_import("take"),
        frozenset({"currency", "unlocked"}),
        of_approvers=True,
    ),
    Act(
        "link-import",
        "Link the budget with Spectrum",
        "The project side has the lines already: they are only adopted as what Spectrum holds.",
        ImportRequested,
        make_import("link"),
        frozenset({"currency", "unlocked"}),
        of_approvers=True,
    ),
    Act(
        "retry",
        "Send the export again",
        "The last export is sent once more; its attempt goes up by one.",
        ExportRetry,
        retry,
        _REASON | {"effective_date"},
    ),
    Act(
        "release",
        "Release the hold",
        "All messages that are held are decided, in their order.",
        BudgetRelease,
        release("retry"),
        _REASON,
    ),
    Act(
        "skip",
        "Release the hold without its first message",
        "The first message that is held is left out for good; those behind it are decided, in their order.",
        BudgetRelease,
        release("skip"),
        _REASON,
    ),
    Act(
        "reset",
        "Reset the budget",
        "Earlier exports no longer count: the job is free, and the next export begins anew.",
        BudgetReset,
        reset,
        _REASON | {"key", "tick"},
        tick="I have looked in Spectrum: it will apply no more of these exports, and what it did apply is cleared by "
        "hand or will be overwritten.",
    ),
    Act(
        "acknowledge-success",
        "Acknowledge: Spectrum has every line",
        "It counts as if Spectrum had answered that it took the export whole.",
        ErpAcknowledgement,
        acknowledge("success"),
        _REASON | {"tick"},
        tick=_LOOKED,
    ),
    Act(
        "acknowledge-failed",
        "Acknowledge: Spectrum has applied nothing",
        "It counts as if Spectrum had answered that it took nothing of the export.",
        ErpAcknowledgement,
        acknowledge("failed"),
        _REASON | {"tick"},
        tick=_LOOKED,
    ),
    Act(
        "read",
        "Read what Spectrum holds",
        "Spectrum's side is asked for what it holds of the budget.",
        SnapshotRequest,
        read,
        _REASON,
    ),
)
ACTS: Final[Mapping[str, Act]] = {act.name: act for act in _ACTS}
"""Everything that people can do with a budget, by name."""

"""The topics of the contract: which types each carries, in which direction, and how it is set up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.body import Inbound
from contracts.drift import DriftDecision, ErpDrift
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import MAX_MESSAGE_BYTES
from contracts.imports import ImportApplied, ImportEnded, ImportReady, ImportRequested
from contracts.inbound import (
    ApprovalDecision,
    BudgetLocked,
    BudgetRelease,
    BudgetReset,
    BudgetRetrieved,
    DeadlinePassed,
    ErpAcknowledgement,
    ExportRetry,
    SnapshotRequest,
)
from contracts.outbound import (
    ApprovalRequested,
    BudgetReturned,
    BudgetStatus,
    Outbound,
    RequestRefused,
    SnapshotRequested,
    SpectrumExport,
    SpectrumResync,
)

INBOX: Final = "bridge.inbox"
DEAD_LETTERS: Final = "bridge.dead-letters"
COMMANDS: Final = "bridge.commands"

SOURCES: Final[Mapping[str, tuple[type[Inbound], ...]]] = {
    "procore.budgets": (BudgetLocked, BudgetRetrieved, ImportRequested, ImportApplied),
    "procore.approvals": (ApprovalDecision, DriftDecision),
    "spectrum.acknowledgements": (ErpAcknowledgement,),
    "spectrum.snapshots": (ErpSnapshot,),
    COMMANDS: (ExportRetry, SnapshotRequest, DeadlinePassed, BudgetRelease, BudgetReset),
}
"""What comes in, by topic."""

OUTPUTS: Final[Mapping[str, tuple[type[Outbound], ...]]] = {
    "bridge.approval-requests": (ApprovalRequested,),
    "spectrum.exports": (SpectrumExport, SpectrumResync),
    "spectrum.requests": (SnapshotRequested,),
    "procore.returns": (BudgetReturned, RequestRefused),
    "procore.imports": (ImportReady, ImportEnded),
    "bridge.status": (BudgetStatus,),
    "bridge.drift": (ErpDrift,),
    DEAD_LETTERS: (),
}
"""What goes out, by topic; dead letters keep the type that they came with."""

COMPACTED: Final = frozenset({"bridge.status", "bridge.drift"})
"""The topics of which the latest message of each budget counts."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """What the topics of the contract are called in one deployment: a prefix of its own, then the contract's name."""

    prefix: str = ""

    def full(self, name: str) -> str:
        """Name a topic of the contract as Kafka knows it."""
        return self.prefix + name

    def short(self, topic: str) -> str:
        """Name a topic as the contract does; what does not have the prefix keeps its name."""
        return topic.removeprefix(self.prefix)

    @property
    def inbox(self) -> str:
        """The log that every lane reads."""
        return self.full(INBOX)

    @property
    def commands(self) -> str:
        """Where operators and timers write."""
        return self.full(COMMANDS)

    @property
    def dead_letters(self) -> str:
        """Where records that cannot be decided go."""
        return self.full(DEAD_LETTERS)

    @property
    def sources(self) -> list[str]:
        """What the intake reads."""
        return [self.full(name) for name in SOURCES]

    @property
    def outputs(self) -> list[str]:
        """What the lanes write."""
        return [self.full(name) for name in OUTPUTS]


_WITH_HEADERS: Final = MAX_MESSAGE_BYTES + 1024 * 1024


@dataclass(frozen=True, slots=True)
class TopicSetup:
    """How one topic is created: its name without prefix and its broker settings."""

    name: str
    settings: Mapping[str, str]


def list_topics() -> tuple[TopicSetup, ...]:
    """Name every topic of the contract with the settings that its use needs.

    Messages can reach 16 MiB. The inbox and the dead letters add headers, so they take 17. The inbox is
    kept without limit of time: it is the log from which the database can be rebuilt.
    """
    return tuple(TopicSetup(name, _settings(name)) for name in (*SOURCES, INBOX, *OUTPUTS))


def _settings(name: str) -> dict[str, str]:
    size = _WITH_HEADERS if name in {INBOX, DEAD_LETTERS} else MAX_MESSAGE_BYTES
    settings = {"max.message.bytes": str(size)}
    if name == COMMANDS or name not in SOURCES:
        # What we append ourselves: a broker refuses a time that is an hour ahead of its own clock.
        settings["message.timestamp.type"] = "LogAppendTime"
    if name in COMPACTED:
        settings["cleanup.policy"] = "compact"
    if name == INBOX:
        settings |= {
            "cleanup.policy": "delete",
            "retention.bytes": "-1",
            "retention.ms": "-1",
        }
    return settings

"""The result of deciding on one message, and the small steps that every handler builds it from."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from budget_bridge.contracts.outbound import BudgetStatus, Outbound
from budget_bridge.handlers.budget import Budget
from budget_bridge.handlers.ids import name_export
from budget_bridge.handlers.rules import Rules


class Verdict(StrEnum):
    """What became of a message; parked, waiting and held give way to what it is in the end."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    STALE = "stale"
    REFUSED = "refused"
    PARKED = "parked"
    WAITING = "waiting"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    DEAD_LETTERED = "dead_lettered"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Situation:
    """What deciding sees beside the budget and the message: the log's time, the rules, the neighbours."""

    at: datetime
    rules: Rules
    job_taken_by: int | None = None
    """Another budget of the project that is under way, synced or in Spectrum, if there is one."""


class DeadLetter(NamedTuple):
    """The message goes to the dead letters untouched, with a reason."""

    reason: Literal["unreadable", "unknown_type", "conflicting_content", "unknown_export"]
    detail: str


Send = Outbound | DeadLetter


class Resolved(NamedTuple):
    """An earlier message, by its identity, whose verdict gives way to what became of it."""

    source: str
    id: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Step:
    """A budget on its way through a decision, with what was sent and resolved so far, in order."""

    budget: Budget
    sends: tuple[Send, ...] = ()
    resolved: tuple[Resolved, ...] = ()

    def send(self, *messages: Send) -> "Step":
        """Add messages to send."""
        return replace(self, sends=self.sends + messages)

    def resolve(self, resolved: Resolved) -> "Step":
        """Give an earlier message its verdict."""
        return replace(self, resolved=(*self.resolved, resolved))

    def change(self, budget: Budget, at: datetime, *messages: Send) -> "Step":
        """Make a transition: its messages, and the budget's status where it shows something new."""
        if _name_place(budget) != _name_place(self.budget):
            budget = replace(budget, since=at)
        shown = show_status(budget)
        if shown is None or shown == show_status(self.budget):
            return replace(self, budget=budget, sends=self.sends + messages)
        budget = replace(budget, sequence=budget.sequence + 1)
        status = shown.model_copy(update={"sequence": budget.sequence})
        return replace(self, budget=budget, sends=(*self.sends, *messages, status))


class Outcome(NamedTuple):
    """What a message comes to: the step that it made, its verdict, and why in words."""

    step: Step
    verdict: Verdict
    detail: str
    warning: bool = False
    """Worth a warning in the log: the outside contradicts itself."""


def show_status(budget: Budget) -> BudgetStatus | None:
    """Show a budget as its status message does; nothing before a version was taken up."""
    if budget.status is None or budget.since is None or budget.version is None:
        return None
    sent = budget.try_of_version
    return BudgetStatus.model_construct(
        **budget.key._asdict(),
        budget_version=budget.version.number,
        status=budget.status.value,
        since=budget.since,
        content_hash=budget.version.content_hash,
        synced_version=budget.synced_version,
        export_id=name_export(budget.key, sent.version) if sent else None,
        attempt=sent.attempt if sent else None,
        overdue=budget.overdue,
        on_hold=budget.on_hold,
        waiting_version=budget.waiting.lock.budget_version if budget.waiting else None,
        failed_lines=budget.failed_lines,
        sequence=budget.sequence,
    )


def _name_place(budget: Budget) -> tuple[str | None, int | None]:
    return budget.status, budget.version.number if budget.version else None

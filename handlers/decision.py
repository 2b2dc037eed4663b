"""The result of deciding on one message, and the small steps that every handler builds it from."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from contracts.cloudevents.message import Message
from contracts.fields import write_cents
from contracts.outbound import BudgetStatus, FailedLine, Outbound, StatusName
from handlers.budget import Budget, ExportTry
from handlers.read_back import ReadBack
from handlers.rules import Rules


class Verdict(StrEnum):
    """What became of a message; parked, waiting and held are later replaced by the final verdict."""

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


class Situation(NamedTuple):
    """What deciding sees besides budget and message: the time in the log, the rules, the project's other budgets."""

    at: datetime
    rules: Rules
    job_taken_by: int | None = None
    """Another budget of the project that is under way, synced or in Spectrum, if there is one."""
    held: tuple[Message, ...] = ()
    """The messages of this budget that are held and that one release, or one piece of it, decides, in their order."""
    more_held: bool = False
    """Whether others are held behind these."""
    last_reference: int = 0
    """The number in the last change reference of the project, whichever of its budgets had it; 0 if none had one."""


class MessageId(NamedTuple):
    """What names a message among those of its project."""

    type: str
    source: str
    id: str


class DeadLetter(NamedTuple):
    """A message goes to the dead letters untouched, with a reason."""

    reason: Literal[
        "unreadable",
        "unknown_type",
        "conflicting_content",
        "unknown_export",
        "snapshot_mismatch",
        "unknown_job",
        "unknown_import",
    ]
    detail: str
    held: MessageId | None = None
    """The held message that it is; ``None`` for the message that is decided."""


Send = Outbound | DeadLetter


class Resolved(NamedTuple):
    """An earlier message, by its identity, and the final verdict that replaces its parked, waiting or held."""

    type: str
    source: str
    id: str
    verdict: Verdict
    detail: str


class Step(NamedTuple):
    """A budget on its way through a decision, with what was sent and resolved so far, in order."""

    budget: Budget
    sends: tuple[Send, ...] = ()
    resolved: tuple[Resolved, ...] = ()

    def send(self, *messages: Send) -> "Step":
        """Add messages to send."""
        return self._replace(sends=self.sends + messages)

    def resolve(self, resolved: Resolved) -> "Step":
        """Give an earlier message its verdict."""
        return self._replace(resolved=(*self.resolved, resolved))

    def follow(self, other: "Step") -> "Step":
        """Take another step after this one, from the budget that this one produced."""
        return Step(other.budget, self.sends + other.sends, self.resolved + other.resolved)

    def change(self, budget: Budget, at: datetime, *messages: Send) -> "Step":
        """Make a transition: its messages, and the budget's status where it shows something new.

        Args:
            budget: after the transition.
            at: the time of the message in the log.
            messages: what the transition sends besides the status.
        """
        before, after = _read_status_fields(self.budget), _read_status_fields(budget)
        if (after.status, after.budget_version) != (before.status, before.budget_version):
            budget = budget._replace(since=at)
        numbered = budget._replace(sequence=budget.sequence + 1)
        status = describe_status(numbered) if after != before else None
        if status is None:
            return self._replace(budget=budget, sends=self.sends + messages)
        return self._replace(budget=numbered, sends=(*self.sends, *messages, status))


class Outcome(NamedTuple):
    """The result of one message: the step that it made, its verdict, and the reason in words."""

    step: Step
    verdict: Verdict
    detail: str
    warning: bool = False
    """Whether it deserves a warning in the log, because another system contradicts itself."""


class ReadBackShown(NamedTuple):
    """What a status message shows of what Spectrum holds."""

    state: Literal["never", "matches", "differs", "unknown", "stale"]
    read_at: datetime | None
    drift_lines: int
    drift_amount: int


_NEVER_READ: Final = ReadBackShown("never", None, 0, 0)


def show_read_back(known: ReadBack | None) -> ReadBackShown:
    """Show how what Spectrum was last read to hold compares with what was exported."""
    if known is None or known.drift is None:
        return _NEVER_READ
    if known.is_stale:
        return ReadBackShown("stale", known.read_to, 0, 0)
    lines = known.open_lines
    return ReadBackShown(known.drift.state, known.read_to, len(lines), sum(line.amount for line in lines))


class _StatusFields(NamedTuple):
    """The fields of a status message whose change causes a new one: all but the time and the sequence number."""

    status: StatusName | None
    budget_version: int | None
    content_hash: str | None
    synced_version: int | None
    sent: ExportTry | None
    overdue: bool
    on_hold: bool
    waiting_version: int | None
    failed_lines: tuple[FailedLine, ...]
    erp_reference: str | None
    read_back: ReadBackShown


def _read_status_fields(budget: Budget) -> _StatusFields:
    version, waiting = budget.version, budget.waiting
    return _StatusFields(
        budget.status.value if budget.status else None,
        version.number if version else None,
        version.content_hash if version else None,
        budget.synced_version,
        budget.try_of_version,
        budget.overdue,
        budget.on_hold,
        waiting.lock.budget_version if waiting else None,
        budget.failed_lines,
        budget.erp_reference,
        show_read_back(budget.read_back),
    )


def describe_status(budget: Budget) -> BudgetStatus | None:
    """Describe a budget as its status message does; ``None`` before a version became current."""
    shown = _read_status_fields(budget)
    if shown.status is None or shown.budget_version is None or budget.since is None:
        return None
    return BudgetStatus(
        **budget.key._asdict(),
        budget_version=shown.budget_version,
        status=shown.status,
        since=budget.since,
        content_hash=shown.content_hash,
        synced_version=shown.synced_version,
        export_id=budget.export_id_of_version,
        attempt=shown.sent.attempt if shown.sent else None,
        overdue=shown.overdue,
        on_hold=shown.on_hold,
        waiting_version=shown.waiting_version,
        failed_lines=shown.failed_lines,
        erp_reference=shown.erp_reference,
        read_back=shown.read_back.state,
        read_at=shown.read_back.read_at,
        drift_lines=shown.read_back.drift_lines,
        drift_amount=write_cents(shown.read_back.drift_amount),
        sequence=budget.sequence,
    )

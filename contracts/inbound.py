"""The messages that come in: from the project side, approvers, Spectrum, operators and timers.

Field by field as the published contract names them; what a message causes is decided in ``handlers``.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import FailFast, Field, StringConstraints

from contracts.body import Inbound, InboundOfVersion
from contracts.drift import DriftDecision
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import (
    Amount,
    Count,
    Currency,
    Date,
    Hash,
    Identifier,
    ItemId,
    PeopleText,
    SpectrumCode,
    Text,
    Time,
    TrimmedText,
    User,
    Value,
    Words,
    cut_at,
)
from contracts.imports import ImportApplied, ImportRequested
from contracts.rows import ReadRows, Row

MAX_READ_LINES: Final = 50_000
"""Lines up to which a message is read at all; ours, so that a hostile record is bounded in time and memory."""


class BudgetLine(Value):
    """One line as the project side knows it, before any mapping."""

    budget_line_item_id: ItemId
    cost_code: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
    cost_type: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=32)]
    sub_job: Text | None = None
    description: Annotated[str, StringConstraints(strict=True, max_length=255)]
    original_amount: Amount
    revision_amount: Amount = "0"
    quantity: Amount | None = None
    unit_of_measure: Text | None = None
    phase_code: SpectrumCode = None
    """Spectrum's own phase, of 1 to 20 characters, where the project side has it: it wins over `phases.csv`. Blank is
    null."""
    spectrum_cost_type: SpectrumCode = None
    """Spectrum's own cost type, of 1 to 3 characters: it wins over `cost_types.csv`. Blank is null."""


BudgetRow = Row
"""The values of a ``BudgetLine``, in the order of its fields."""

_AMOUNTS: Final = ("original_amount", "revision_amount", "quantity")


class BudgetLocked(InboundOfVersion):
    """The project side locked the budget and sent it for acceptance."""

    type = "budget.locked.v1"

    currency: Currency
    total_amount: Amount
    """The sum of original and revision over the lines."""
    created_by: User | None = None
    locked_by: User | None = None
    """Null where the project side does not know it; four eyes need it and `sent_by`, unless the rules say otherwise."""
    sent_by: User | None = None
    locked_at: Time
    lines: Annotated[tuple[BudgetRow, ...], ReadRows(BudgetLine, MAX_READ_LINES), Words("list of lines")]
    """1 to 2,000 are valid; more than 50,000 are unreadable."""

    def list_values(self) -> dict[str, object]:
        """List the fields by value, those of the lines by column: an amount of 1.0 is one of 1.00."""
        # Not strictly: without lines there are no columns.
        columns: dict[str, Iterable[Any]] = dict(
            zip(BudgetLine.model_fields, zip(*self.lines, strict=True), strict=False)
        )
        for name in columns.keys() & _AMOUNTS:
            columns[name] = [None if amount is None else Decimal(amount) for amount in columns[name]]
        return dict(self) | {"total_amount": Decimal(self.total_amount), "lines": columns}


class BudgetRetrieved(InboundOfVersion):
    """The project side pulled the budget back before acceptance."""

    type = "budget.retrieved.v1"

    retrieved_by: User
    retrieved_at: Time


class ApprovalDecision(InboundOfVersion):
    """An approver accepts or rejects one version."""

    type = "approval.decision.v1"

    decision: Literal["accept", "reject"]
    decided_by: User
    decided_at: Time
    reason: PeopleText | None = None
    """A rejection without one is refused."""
    content_hash: Hash | None = None
    """The one from `approval.requested`. It must match if given; an acceptance before the lock always needs it, any
    other unless the rules say otherwise."""
    drift_hash: Hash | None = None
    """For an acceptance: the one that the approver saw in `approval.requested`. It must match if given; the rules may
    require it while Spectrum differs."""
    effective_date: Date | None = None
    """For an acceptance: the date under which Spectrum books the export, such as one in an open period."""


class AcknowledgedLine(Value):
    """Spectrum's answer for one line, in its own words."""

    phase_code: TrimmedText
    cost_type: TrimmedText
    status: Literal["success", "failed"]
    error_code: Annotated[str, StringConstraints(strict=True), cut_at(1), Words("text, cut at 1")] | None = None
    error_description: Annotated[str, StringConstraints(strict=True), cut_at(250), Words("text, cut at 250")] | None = (
        None
    )
    error_column: Annotated[str, StringConstraints(strict=True), cut_at(100), Words("text, cut at 100")] | None = None


class ErpAcknowledgement(InboundOfVersion):
    """Spectrum's answer to one attempt of an export."""

    type = "erp.acknowledgement.v1"

    export_id: UUID
    attempt: Count
    """Which attempt of the export this answers."""
    status: Literal["in_progress", "success", "partial", "failed"]
    """`success`: Spectrum holds every line; `partial`: some of them; `failed`: nothing was applied."""
    acknowledged_at: Time
    erp_reference: PeopleText | None = None
    """Spectrum's own name of what it made of the export; the last one stays in `budget.status`."""
    message: PeopleText | None = None
    lines: Annotated[tuple[AcknowledgedLine, ...], Field(max_length=MAX_READ_LINES), FailFast()] = ()
    """Keys are trimmed. A line that the export does not have is skipped, unless no other has failed; if a line appears
    twice, the last one counts."""


class Requested(InboundOfVersion):
    """A command of an operator: who asks and why."""

    requested_by: User
    reason: PeopleText


class ExportRetry(Requested):
    """Send the last export again; its attempt goes up by one."""

    type = "export.retry.v1"

    effective_date: Date | None = None
    """The date under which Spectrum books it; without one, the date given before stays."""


class SnapshotRequest(Inbound):
    """Somebody asks the ERP side to read what Spectrum holds of the budget."""

    type = "snapshot.request.v1"

    requested_by: User
    reason: PeopleText


class BudgetReset(Requested):
    """An operator has checked Spectrum and releases the job: earlier exports no longer count."""

    type = "budget.reset.v1"


class BudgetRelease(Requested):
    """Decide the held messages of a budget, or all but the first, on which deciding failed."""

    type = "budget.release.v1"

    action: Literal["retry", "skip"]


class DeadlinePassed(Inbound):
    """A timer of the bridge reports passed deadlines, or asks for the next piece of a release."""

    type = "deadline.passed.v1"

    budget_version: Identifier | None = None
    """Null for deadlines of the budget as a whole: `snapshot`, `read_back`, `import`."""
    deadline: Literal["acknowledgement", "parked", "release", "snapshot", "read_back", "import"]
    """`release`: held messages of a release are left, and the next of them are to be decided. `snapshot`: Spectrum's
    side has not answered a request for a snapshot in time. `read_back`: it is time to ask again, or the last reading is
    too old. `import`: an import has waited too long."""
    due_at: Time
    """Every deadline of this kind and version up to this time has passed."""

    @property
    def version(self) -> int | None:
        """The version that it is about."""
        return self.budget_version


InboundMessage = (
    BudgetLocked
    | BudgetRetrieved
    | ApprovalDecision
    | DriftDecision
    | ImportRequested
    | ImportApplied
    | ErpAcknowledgement
    | ErpSnapshot
    | ExportRetry
    | SnapshotRequest
    | BudgetReset
    | BudgetRelease
    | DeadlinePassed
)

"""The messages that we send, strict in every limit: Spectrum cuts silently, so nothing too long may be sent.

Amounts are decimal strings with two places, so their limits are digits.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import StringConstraints

from contracts.budget_key import BudgetKey
from contracts.export_lines import ApprovalLines, ExportLines, ExportRow, write_lines
from contracts.fields import Cents, Date, Time, Value
from contracts.signature.event import SignedEvent

Code = Annotated[str, StringConstraints(min_length=1)]
RefusalCode = Literal[
    "stale_version",
    "unknown_version",
    "already_exported",
    "already_returned",
    "invalid_version",
    "not_authorised",
    "same_person",
    "sender_unknown",
    "no_reason",
    "content_mismatch",
    "not_failed",
    "parked_limit",
    "expired",
    "nothing_held",
    "drift_open",
    "drift_changed",
    "no_drift",
    "not_synced",
    "import_under_way",
    "unmapped_project",
    "job_taken",
    "version_under_way",
    "budget_locked",
    "no_reference_left",
    "signature_missing",
    "signature_invalid",
    "signer_not_allowed",
    "signature_expired",
]
ReturnCause = Literal["rejected", "retrieved", "invalid", "export_failed", "reset"]
StatusName = Literal["INVALID", "PENDING_APPROVAL", "EXPORTING", "EXPORT_FAILED", "RETURNED", "SYNCED"]


class Outbound(Value):
    """What every outbound message carries: the budget that it is about."""

    type: ClassVar[str]
    topic: ClassVar[str]

    company_id: int
    project_id: int
    budget_id: int

    @property
    def key(self) -> BudgetKey:
        """The budget that it is about."""
        return BudgetKey(self.company_id, self.project_id, self.budget_id)

    @property
    def own_id(self) -> UUID | None:
        """The id that it names in its data; ``None`` where it gets one by its cause."""
        return None

    def write(self) -> bytes:
        """Write the data of the event: compact JSON in UTF-8."""
        return self.__pydantic_serializer__.to_json(self)


class OutboundOfVersion(Outbound):
    """A message about one version of a budget."""

    budget_version: int


class Notice(Value):
    """What an approver should know about one line."""

    budget_line_item_id: int | None
    code: Code
    message: str


class ApprovalRequested(OutboundOfVersion):
    """A version waits for an approver: the figures that are approved, and what would be sent now."""

    type = "approval.requested.v1"
    topic = "bridge.approval-requests"

    content_hash: str
    kind: Literal["export", "resync"]
    """What an acceptance would cause: `resync` once there is a base."""
    base_version: int | None
    base_import_id: UUID | None
    """The import whose lines the differences are against; null once there is a base, and without one."""
    company_code: str
    job_number: str
    currency: str
    total_amount: Cents
    sent_by: str | None
    locked_at: Time
    drift_hash: str | None
    """Of what the last reading of Spectrum shows; null unless it differs from what was exported."""
    drift_lines: int
    """How many lines count; each has a notice `found_differs`."""
    drift_amount: Cents
    lines: ApprovalLines
    """As they would be sent now; the figures are what is approved, the differences are for information."""
    notices: tuple[Notice, ...]
    """What an approver should know, such as `description_shortened`."""

    def write(self) -> bytes:
        """Write the data of the event: compact JSON in UTF-8."""
        return _write_with_lines(self, self.lines, before=b',"notices":[')


class SpectrumExport(OutboundOfVersion):
    """The whole budget for Spectrum, in absolute figures, with removed lines as zeros."""

    type = "spectrum.export.v1"
    topic = "spectrum.exports"

    export_id: UUID
    """The same for every attempt; another one if the version comes again after a reset."""
    attempt: int
    """1, 2, …; everything else but `effective_date` is the same in every attempt that one acceptance causes."""
    export_number: int
    """1, 2, 3, … over the exports of this budget; a reset does not start it again."""
    base_export_id: UUID | None
    """The last export that Spectrum acknowledged with success: what the differences are against. Null also where
    Spectrum was found to differ, or may, so that no line may be skipped."""
    base_version: int | None
    base_import_id: UUID | None
    """Before the first success: the import whose lines, taken from Spectrum, the differences are against; null
    without one. No line may be skipped because of it."""
    restatement: int
    """1, 2, … over the restatements of this version; 0 for an export that was accepted."""
    change_reference: Annotated[str, StringConstraints(pattern=r"^B[0-9]{7}\z")]
    """`B` and seven digits, such as `B0000002`: it rises with each export of the project, and no two exports of a
    project have the same, also not after a reset. The same for every attempt."""
    content_hash: str
    company_code: Annotated[str, StringConstraints(min_length=1, max_length=3)]
    job_number: Annotated[str, StringConstraints(min_length=1, max_length=10)]
    currency: str
    approved_by: str
    """Who has accepted it; `approved_at` says when."""
    approved_at: Time
    """Of the first acceptance, also where another one has sent the export again; with an `approval`, of that one."""
    effective_date: Date | None
    """The last one that an acceptance or a retry gave; the ERP side takes the date of `approved_at` if it is null."""
    line_count: int
    """Of the lines in the message."""
    total_amount: Cents
    """Of the whole budget."""
    approval: SignedEvent | None
    """The acceptance that sends this attempt, as it was signed, in CloudEvents' JSON format: it proves to the ERP side
    who accepted which content. Null where acceptances need not be signed, and for an export accepted before they had to
    be. For a restatement, the acceptance of the same content, perhaps of an earlier version."""
    drift_decision: SignedEvent | None
    """For a restatement: the decision that asked for it, in the same form; null otherwise."""
    lines: ExportLines
    """The whole budget, and removed lines as zeros."""

    def write(self) -> bytes:
        """Write the data of the event: compact JSON in UTF-8."""
        return _write_with_lines(self, self.lines, before=b"}")


class SpectrumResync(SpectrumExport):
    """The same message once there is a base, that is, once Spectrum has applied an earlier export in full."""

    type = "spectrum.resync.v1"


def _write_with_lines(message: Outbound, lines: Sequence[ExportRow], before: bytes) -> bytes:
    """Write a message with its lines in their place: before what follows them, which is found from the end.

    No text after that can be taken for it, because quotes within a text are escaped.
    """
    head, following, tail = message.__pydantic_serializer__.to_json(message, exclude={"lines"}).rpartition(before)
    return b'%s,"lines":[%s]%s%s' % (head, write_lines(lines), following, tail)


class BudgetError(Value):
    """One thing that is wrong, where, and in words; for a failed export in Spectrum's words."""

    budget_line_item_id: int | None
    field: str | None
    code: str | None
    message: str | None


class BudgetReturned(OutboundOfVersion):
    """The budget is returned for editing: why, by whom, and who must be notified."""

    type = "budget.returned.v1"
    topic = "procore.returns"

    cause: ReturnCause
    reason: str | None
    returned_by: str | None
    """Null for `invalid`."""
    returned_at: Time
    notify: tuple[str, ...]
    """The creator and the sender, as far as they are known, once each."""
    errors: tuple[BudgetError, ...]
    """For `invalid` everything that is wrong; for `export_failed` the failing lines in Spectrum's words."""


class RequestRefused(Outbound):
    """A decision, retrieval or command that cannot be honoured, and one sentence that a person can act on."""

    type = "request.refused.v1"
    topic = "procore.returns"

    budget_version: int | None
    """Null where the request was about the budget as a whole."""
    message_id: str
    """The request that is refused."""
    message_source: str
    message_type: str
    message_topic: str | None
    """The topic, partition and offset that Kafka gave the request when it was sent: only a refusal of this place is
    yours, because somebody else may have sent another message under your id. Null only where a request was parked
    before the bridge kept places."""
    message_partition: int | None
    message_offset: int | None
    requested_by: str
    """The person that the request names; of an acknowledgement its `ce_source`. Nobody has proven that, if the code
    begins with `sign`."""
    code: RefusalCode
    message: Code
    """One plain sentence that a person can act on."""


class SnapshotRequested(Outbound):
    """The ERP side is asked to read what a job holds, and to answer with an `erp.snapshot`."""

    type = "spectrum.snapshot_requested.v1"
    topic = "spectrum.requests"

    request_id: UUID
    """The event's own `ce_id`."""
    company_code: Annotated[str, StringConstraints(min_length=1, max_length=3)]
    job_number: Annotated[str, StringConstraints(min_length=1, max_length=10)]
    purpose: Literal["import", "read_back"]
    """`import`: to offer it to the project side; `read_back`: to compare it with what was exported."""
    requested_by: str | None
    """Null where the bridge itself asks."""
    due_at: Time
    """When it is asked again unless there is an answer; three times in all."""

    @property
    def own_id(self) -> UUID:
        """The request's id."""
        return self.request_id


class FailedLine(Value):
    """A line that Spectrum did not accept, in Spectrum's words."""

    phase_code: str | None
    """Null, as is the cost type, where Spectrum named only lines that the export does not have; they are then named in
    `error_description`."""
    cost_type: str | None
    error_code: str | None
    error_description: str | None
    error_column: str | None


class BudgetStatus(OutboundOfVersion):
    """The status of one budget; the latest message per key is its state."""

    type = "budget.status.v1"
    topic = "bridge.status"

    status: StatusName
    since: Time
    """When `status` or the version that it refers to last changed."""
    content_hash: str | None
    """Null unless the last check of the version found it valid."""
    synced_version: int | None
    """The last version that Spectrum is known to have applied in full."""
    export_id: UUID | None
    """Of the export of this version; null before it, and after a reset."""
    attempt: int | None
    overdue: bool
    """Spectrum has not answered the export in time."""
    on_hold: bool
    """Its messages are kept, not decided, until an operator releases them."""
    waiting_version: int | None
    """A newer version that waits behind an export."""
    failed_lines: tuple[FailedLine, ...]
    """The lines that Spectrum did not accept; empty unless EXPORT_FAILED."""
    erp_reference: str | None
    """The last one in an acknowledgement that counted; null after a reset."""
    read_back: Literal["never", "matches", "differs", "unknown", "stale"]
    """What the last reading of Spectrum has shown since a reset; `stale` if it is too old."""
    read_at: Time | None
    """When that was read, by the connector's clock."""
    drift_lines: int
    """How many lines count; 0 unless `differs`."""
    drift_amount: Cents
    """By how much."""
    sequence: int
    """1, 2, 3, … over the status messages of this budget."""

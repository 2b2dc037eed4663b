"""What we store about one budget: its status, its versions, its exports and the lines that Spectrum may hold.

All frozen: a decision returns a new budget. How it is stored is up to ``outbox``.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Proof
from contracts.fields import PriceMethod
from contracts.inbound import ApprovalDecision, BudgetLocked, BudgetRetrieved
from contracts.outbound import BudgetError, FailedLine, Notice
from contracts.records import Place
from contracts.signature.event import SignedEvent
from handlers.ids import name_export
from handlers.import_state import Imports, OpenImport
from handlers.read_back import CountedLine, Drift, OpenRequest, ReadBack
from handlers.readings import Readings, Snapshot


class Status(StrEnum):
    """The status of the current version."""

    INVALID = "INVALID"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    EXPORTING = "EXPORTING"
    EXPORT_FAILED = "EXPORT_FAILED"
    RETURNED = "RETURNED"
    SYNCED = "SYNCED"


class Target(NamedTuple):
    """Where a budget goes in Spectrum, and in which currency."""

    company_code: str
    job_number: str
    currency: str


class SpectrumLine(NamedTuple):
    """One line as Spectrum must hold it; amounts and quantity in hundredths, no quantity while quantities are off."""

    phase_code: str
    cost_type: str
    item_id: int | None
    """``None`` for a line that was imported and is gone, where none is known."""
    description: str
    original: int
    revision: int
    price_method_code: PriceMethod
    quantity: int | None
    unit: str | None
    gone: bool = False
    """Not in this version, but sent by an earlier export: it is now sent as zero."""

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the line in Spectrum, and orders it in a message."""
        return self[:2]

    @property
    def is_zero(self) -> bool:
        """Whether both amounts are zero."""
        return self.original == 0 and self.revision == 0


class SentLine(NamedTuple):
    """A line that some export has sent to a job, as it was last sent."""

    phase_code: str
    cost_type: str
    item_id: int | None
    description: str
    price_method_code: PriceMethod
    unit: str | None
    at_zero: bool
    """Known to be zero in Spectrum: the last export that had it sent it as zero, and was applied in full."""


class SentLines(NamedTuple):
    """Every line ever sent to one job."""

    company_code: str
    job_number: str
    lines: tuple[SentLine, ...]


class ExportTry(NamedTuple):
    """The version of an export that was sent, and its last attempt; its place in the list is its export number."""

    version: int
    attempt: int


class Proposal(NamedTuple):
    """What an approver is asked to accept: the lines as they would be sent, frozen when the version became current."""

    target: Target
    total: int
    lines: tuple[SpectrumLine, ...]
    notices: tuple[Notice, ...] = ()


class Version(NamedTuple):
    """The version that the status refers to: a digest of its content; the proposal while it waits for an approver."""

    number: int
    digest: str
    created_by: str | None
    locked_by: str | None
    sent_by: str | None
    locked_at: datetime
    content_hash: str | None
    errors: tuple[BudgetError, ...] = ()
    proposal: Proposal | None = None


class Approval(NamedTuple):
    """Who accepted, and when, by the acceptance's own time."""

    by: str
    at: datetime


class Export(NamedTuple):
    """One export as it was sent, complete, so that every attempt is the same."""

    id: UUID
    number: int
    reference: int
    """The number in its change reference: it rises with each export of the project."""
    version: int
    attempt: int
    target: Target
    content_hash: str
    total: int
    approved_by: str
    approved_at: datetime
    lines: tuple[SpectrumLine, ...]
    approved_again: tuple[Approval, ...] = ()
    """The acceptances that have sent it again after it had failed."""
    effective_date: date | None = None
    """Under which date Spectrum books it; the only thing beside the attempt that a later attempt can change."""
    follows_base: bool = False
    """Nothing was exported between the base and this export, so the base's descriptions are Spectrum's."""
    restatement: int = 0
    """1, 2, … over the restatements of a version; 0 for an export that was accepted."""
    passes_over: bool = True
    """Whether lines that are the same may be skipped: not where Spectrum was found to differ."""
    approval: SignedEvent | None = None
    """The acceptance that sends this attempt, if it had to be signed."""
    drift_decision: SignedEvent | None = None
    """The decision that asked for a restatement, if it had to be signed."""

    @property
    def approver(self) -> Approval:
        """Who has accepted what is sent: the first one; with a signed acceptance, whoever has signed that."""
        if self.approval and self.approved_again:
            return self.approved_again[-1]
        return Approval(self.approved_by, self.approved_at)


class Waiting(NamedTuple):
    """A newer version that waits behind an export, with the identity of its message."""

    source: str
    id: str
    lock: BudgetLocked


class Parked(NamedTuple):
    """An approval decision or retrieval that arrived before its version became current."""

    source: str
    id: str
    request: ApprovalDecision | BudgetRetrieved
    due_at: datetime
    place: Place | None = None
    """Where its sender has put it; ``None`` if it was parked before the bridge kept places."""
    proof: Proof | None = None
    """``None`` where it did not have to be signed when it arrived."""


class Budget(NamedTuple):
    """Everything that deciding on one budget needs."""

    key: BudgetKey
    status: Status | None = None
    since: datetime | None = None
    sequence: int = 0
    version: Version | None = None
    waiting: Waiting | None = None
    parked: tuple[Parked, ...] = ()
    unanswered: Export | None = None
    """The last export, as long as Spectrum has not answered it with success."""
    base: Export | None = None
    """The last export that Spectrum answered with success, since a reset."""
    due_at: datetime | None = None
    overdue: bool = False
    failed_lines: tuple[FailedLine, ...] = ()
    partly_applied: bool = False
    """Whether the failed export was answered with ``partial``."""
    sent: tuple[SentLines, ...] = ()
    tries: tuple[ExportTry, ...] = ()
    tries_before_reset: int = 0
    """How many of ``tries`` no longer count; their ids and numbers are not used again."""
    last_reference: int = 0
    """The number in the change reference of its last export; 0 if there was none. A reset does not change it."""
    synced_version: int | None = None
    erp_reference: str | None = None
    """Spectrum's own, as the last acknowledgement that counted and named one did, since a reset."""
    on_hold: bool = False
    version_forgotten: bool = False
    """The version was reset: it is still shown, but any version, even the same one, may be locked next."""
    releasing: bool = False
    """A release was begun, and held messages are left: they are decided before any other message."""
    release_due_at: datetime | None = None
    """When the next piece of a release was or is due. It is kept afterwards: no two pieces have the same time."""
    read_back: ReadBack | None = None
    """``None`` as long as nothing was ever asked or read."""
    imports: Imports | None = None
    """``None`` as long as no import was asked for."""
    readings: Readings | None = None
    """What Spectrum was read to hold; ``None`` until a first page came. Not part of the stored state."""

    @property
    def open_request(self) -> OpenRequest | None:
        """The request for a snapshot that no reading has answered yet."""
        return self.read_back.request if self.read_back else None

    @property
    def next_request(self) -> int:
        """The number of the next request for a snapshot."""
        return self.read_back.requests + 1 if self.read_back else 1

    @property
    def last_reading(self) -> Snapshot | None:
        """What Spectrum was last read to hold, if it was read."""
        return self.readings.last if self.readings else None

    @property
    def drift(self) -> Drift | None:
        """What the last comparison of a reading has shown, or why that no longer holds."""
        return self.read_back.drift if self.read_back else None

    @property
    def open_lines(self) -> tuple[CountedLine, ...]:
        """The lines in which Spectrum is known to differ and that nobody has kept."""
        return self.read_back.open_lines if self.read_back else ()

    @property
    def open_import(self) -> OpenImport | None:
        """The import that is ASKED or READY."""
        return self.imports.under_way if self.imports else None

    def change_imports(self, **changes: Any) -> "Budget":
        """Change fields of ``imports``."""
        return self._replace(imports=(self.imports or Imports())._replace(**changes))

    def change_read_back(self, **changes: Any) -> "Budget":
        """Change fields of ``read_back``."""
        return self._replace(read_back=(self.read_back or ReadBack())._replace(**changes))

    @property
    def holds_messages(self) -> bool:
        """Whether messages are held instead of decided: the budget is on hold, or a release is not at its end."""
        return self.on_hold or self.releasing

    @property
    def newest(self) -> int:
        """The waiting version if there is one, else the current; 0 if none was locked, or none since a reset."""
        if self.waiting:
            return self.waiting.lock.budget_version
        return self.version.number if self.version and not self.version_forgotten else 0

    @property
    def spectrum_target(self) -> Target | None:
        """Where Spectrum may hold something of this budget: from its first export on, until a reset."""
        export = self.unanswered or self.base
        return export.target if export else None

    @property
    def claims_job(self) -> bool:
        """Whether this budget has the project's job, and no other may: it is under way, synced or in Spectrum."""
        return self.spectrum_target is not None or self.status in _CLAIMING

    @property
    def try_of_version(self) -> ExportTry | None:
        """The current version's export, if it has one that counts."""
        # The last one: a version that is restated has several.
        for sent in reversed(self.tries[self.tries_before_reset :]):
            if self.version and sent.version == self.version.number:
                return sent
        return None

    @property
    def export_id_of_version(self) -> UUID | None:
        """The id of the current version's export, if it has one that counts."""
        for number, sent in enumerate(self.tries, 1):
            if sent is self.try_of_version:
                return name_export(self.key, sent.version, number)
        return None


_CLAIMING = frozenset({Status.PENDING_APPROVAL, Status.EXPORTING, Status.EXPORT_FAILED, Status.SYNCED})

"""What the ERP side does with an export: the reference for its rules, to be read before building a connector.

There is no Kafka and no clock here, only what Spectrum holds and how an export is applied: line by line, so that it
can be interrupted anywhere and simply be applied again. docs/messages.md has the rules; each is named where it is kept.
"""

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

BRIDGE_REFERENCE: Final = re.compile(r"B[0-9]{7}")
"""The references under which the bridge books revisions; every other revision in a job belongs to others."""

Budget = tuple[int, int, int]
"""Company, project and budget of the project side."""

COMPLETE: Final = "C"
"""The status of a phase that takes no more entries."""


class SpectrumJob(NamedTuple):
    """A job of one of Spectrum's companies."""

    company_code: str
    job_number: str


class LineKey(NamedTuple):
    """What identifies a line of a job."""

    phase_code: str
    cost_type: str


@dataclass(slots=True)
class HeldLine:
    """One line as Spectrum holds it; amounts and quantity in hundredths."""

    original: int = 0
    price_method_code: str = ""
    quantity: int | None = None
    unit: str | None = None
    revisions: dict[str, int] = field(default_factory=dict)
    """The amount booked under each change reference that the site recognises."""
    proposed: dict[str, int] = field(default_factory=dict)
    """Change requests of others that the site does not recognise yet: they do not count in the current estimate."""
    status: str = "A"
    """Active, inactive or complete."""
    cost_center: str = ""
    cost_to_date: int | None = None
    typed_over: int | None = None
    """A current estimate other than the sum of original and revisions, such as one that somebody has typed over it."""

    @property
    def total(self) -> int:
        """The original and all revisions."""
        return self.original + sum(self.revisions.values())

    @property
    def current(self) -> int:
        """The current estimate."""
        return self.total if self.typed_over is None else self.typed_over

    def type_over(self, current: int) -> None:
        """Set the current estimate, whatever original and revisions are."""
        self.typed_over = None if current == self.total else current

    @property
    def booked_by_bridge(self) -> int:
        """The sum of what is booked under the bridge's references."""
        return sum(amount for reference, amount in self.revisions.items() if BRIDGE_REFERENCE.fullmatch(reference))


class ReceivedLine(NamedTuple):
    """One line of an export: what Spectrum must hold; amounts and quantity in hundredths."""

    key: LineKey
    description: str
    original: int
    revision: int
    price_method_code: str
    quantity: int | None
    unit: str | None
    change: str
    keep_description: bool

    @property
    def figures(self) -> tuple[object, ...]:
        """Everything that an approver accepts of a line."""
        return self.description, self.original, self.revision, self.price_method_code, self.quantity, self.unit

    def stands_in(self, held: HeldLine) -> bool:
        """Check whether Spectrum holds the figures of this line."""
        return (held.original, held.booked_by_bridge, held.current) == (self.original, self.revision, held.total)


class ApprovalClaim(NamedTuple):
    """What an export says of its approval: nothing of it counts before it is verified."""

    currency: str
    approved_by: str
    restatement: int
    approval: object
    drift_decision: object


@dataclass(frozen=True, slots=True)
class ReceivedExport:
    """An export or resync as the ERP side reads it."""

    budget: Budget
    version: int
    export_id: str
    base_export_id: str | None
    number: int
    attempt: int
    reference: str
    booked_on: str
    """The date under which Spectrum books it, such as 2026-11-24: the effective one, otherwise that of the approval."""
    job: SpectrumJob
    lines: tuple[ReceivedLine, ...]
    claim: ApprovalClaim


class LineRefusal(NamedTuple):
    """Why Spectrum refused a line, in its own words."""

    code: str
    description: str
    column: str


class ApplyResult(NamedTuple):
    """How an attempt ended, and the lines that Spectrum refused."""

    status: str
    """``success``, ``partial`` or ``failed``."""
    refused: Mapping[LineKey, LineRefusal] = {}
    message: str | None = None


class StartedExport(NamedTuple):
    """The last export started for a budget, and whether it was applied whole."""

    export_id: str
    attempt: int
    whole: bool


class Acceptance(NamedTuple):
    """A verified acceptance: of which version and content, and when it was signed."""

    version: int
    content_hash: str
    signed_at: datetime


class ApprovalCheck(Protocol):
    """Rule 9: an export begins only where an approver has signed it (``demo.spectrum_approvals``)."""

    def verify(self, export: ReceivedExport) -> Acceptance | str:
        """Verify an export before its first line; returns what it rests on, or why it must not be written."""

    def note_lines(self, job: SpectrumJob, keys: Iterable[LineKey]) -> None:
        """Note lines that may be set to zero later, such as those of a snapshot that is given for an import."""

    def note_begun(self, budget: Budget, acceptance: Acceptance) -> None:
        """Note that an export of a budget begins."""


@dataclass(slots=True)
class Spectrum:
    """What Spectrum holds, and what the connector remembers about its exports."""

    jobs: dict[SpectrumJob, dict[LineKey, HeldLine]] = field(default_factory=dict)
    refusals: dict[LineKey, LineRefusal] = field(default_factory=dict)
    """Lines that Spectrum refuses at the moment."""
    descriptions: dict[tuple[SpectrumJob, str], str] = field(default_factory=dict)
    """Of each phase of a job: its cost types share one."""
    complete_jobs: set[SpectrumJob] = field(default_factory=set)
    unposted_jobs: set[SpectrumJob] = field(default_factory=set)
    """Jobs with estimate entries that are not posted yet."""
    open_from: str = ""
    """The first date that is in an open period."""
    current_is_display_only: bool = False
    """Spectrum's installation setting: the current estimate of a line that exists cannot be written."""
    approvals: ApprovalCheck | None = None
    """``None`` where decisions are not signed."""
    _started: dict[Budget, StartedExport] = field(default_factory=dict)
    _started_in_job: dict[SpectrumJob, tuple[str, int]] = field(default_factory=dict)
    """The reference and attempt of the newest export started in each job, whichever budget it was of."""
    _figures: dict[Budget, dict[LineKey, tuple[object, ...]]] = field(default_factory=dict)
    """Its own note of the lines of the last export started for each budget."""
    _applied_whole: set[str] = field(default_factory=set)

    def apply(self, export: ReceivedExport) -> Generator[LineKey, None, ApplyResult]:
        """Apply one attempt.

        Rule 1 begins here: the caller applies the exports of one budget one at a time, in the order of the topic.

        Yields:
            The key of each line after it was written; the attempt may be interrupted between two of them.

        Returns:
            How the attempt ended.
        """
        # Rule 1: an export that was applied whole is not applied again, only acknowledged again.
        if export.export_id in self._applied_whole:
            return ApplyResult("success", message="it was applied before")
        acceptance = self.approvals.verify(export) if self.approvals else None
        if isinstance(acceptance, str):
            return ApplyResult("failed", message=acceptance)
        if self._is_older(export):
            return ApplyResult("failed", message="a newer export has started")
        if export.job in self.complete_jobs:
            return ApplyResult("failed", message=f"Job {export.job.job_number} is complete")
        if self.approvals and acceptance:
            self.approvals.note_begun(export.budget, acceptance)
        before, noted = self._started.get(export.budget), self._figures.get(export.budget, {})
        self._start(export)
        # Rule 2: lines that are `same` may be skipped when the last export that was started for this budget is
        # `base_export_id` and was applied whole. Rule 9.5: and where it had the same figures.
        has_base = before is not None and before.whole and before.export_id == export.base_export_id
        refused: dict[LineKey, LineRefusal] = {}
        for line in export.lines:
            if line.change == "same" and has_base and noted.get(line.key) == line.figures:
                continue
            if refusal := self.refusals.get(line.key) or self._write(export, line):
                refused[line.key] = refusal
            else:
                yield line.key
        if refused:
            return ApplyResult("partial", refused)
        # Rule 4: `success` means that Spectrum holds every line as the message has it.
        self._started[export.budget] = StartedExport(export.export_id, export.attempt, whole=True)
        self._applied_whole.add(export.export_id)
        return ApplyResult("success")

    def read_amounts(self, job: SpectrumJob) -> dict[LineKey, int]:
        """Read the current estimate of each line of a job, in hundredths."""
        return {key: held.current for key, held in self.jobs.get(job, {}).items()}

    def find_started(self, budget: Budget) -> StartedExport | None:
        """Find the last export that was started for a budget."""
        return self._started.get(budget)

    def _is_older(self, export: ReceivedExport) -> bool:
        """Check whether a newer attempt has started.

        Rule 1: once an attempt has started, nothing of an older one is written any more in this job, whichever budget
        it is of. The older one has the lower `change_reference`, then the lower `attempt`.
        """
        started = self._started_in_job.get(export.job)
        return started is not None and (export.reference, export.attempt) < started

    def _start(self, export: ReceivedExport) -> None:
        """Record that an attempt starts, before its first line is written."""
        self._started[export.budget] = StartedExport(export.export_id, export.attempt, whole=False)
        self._started_in_job[export.job] = export.reference, export.attempt
        self._figures[export.budget] = {line.key: line.figures for line in export.lines}

    def _write(self, export: ReceivedExport, line: ReceivedLine) -> LineRefusal | None:
        """Make Spectrum hold one line as the message has it, or return why it does not.

        Rule 2: the original is set to the absolute amount. Of the revision, only what is missing between
        `revision_amount` and what is booked in this job under the bridge's references is booked, under
        `change_reference`. So what others booked stays, and an attempt that was interrupted can be applied again. The
        description is set unless `keep_description` says that Spectrum's own stays.

        Rule 3: a `zero` for a line that Spectrum does not have, or holds at zero, creates nothing and is a success;
        an `add` of a line that it has is a `set`.

        Rule 7: the current estimate is original plus all revisions. Where it cannot be written, it is read, and the
        line has failed if it is anything else. Rule 8: the status stays what it is.
        """
        lines = self.jobs.setdefault(export.job, {})
        before = lines.get(line.key)
        if line.change == "zero" and (before is None or (before.original == 0 and before.booked_by_bridge == 0)):
            return None
        if before and before.status == COMPLETE:
            return None if line.stands_in(before) else LineRefusal("E", "The phase is complete", "Status_Code")
        missing = line.revision - (before.booked_by_bridge if before else 0)
        if missing and export.booked_on < self.open_from:
            return LineRefusal("E", f"{export.booked_on} is in a closed period", "Approved_Date")
        left_alone = before.current + missing if before and self.current_is_display_only else None
        held = lines.setdefault(line.key, HeldLine())
        self._set(held, export, line, missing)
        if left_alone in {None, held.total}:
            return None
        held.typed_over = left_alone
        return LineRefusal("E", "The current estimate is display only", "Current_Est_Cost")

    def _set(self, held: HeldLine, export: ReceivedExport, line: ReceivedLine, missing: int) -> None:
        """Set the figures of a line, and book what is missing of its revision."""
        held.original, held.typed_over = line.original, None
        phase = (export.job, line.key.phase_code)
        if not line.keep_description or phase not in self.descriptions:
            self.descriptions[phase] = line.description
        held.price_method_code = line.price_method_code
        if line.quantity is not None:
            held.quantity, held.unit = line.quantity, line.unit or held.unit
        if missing:
            held.revisions[export.reference] = held.revisions.get(export.reference, 0) + missing


def finish(steps: Generator[LineKey, None, ApplyResult]) -> ApplyResult:
    """Run an attempt to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            answer: ApplyResult = ended.value
            return answer

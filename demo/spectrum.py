"""What the ERP side does with an export: the reference for its rules, to be read before building a connector.

There is no Kafka and no clock here, only what Spectrum holds and how an export is applied: line by line, so that it
can be interrupted anywhere and simply be applied again. docs/messages.md has the rules; each is named where it is kept.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

BRIDGE_REFERENCE: Final = re.compile(r"B[0-9]{7}")
"""The references under which the bridge books revisions; every other revision in a job belongs to others."""


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
    """The amount booked under each change reference."""
    status: str = "A"
    """Active, inactive or complete."""
    typed_over: int | None = None
    """A current estimate that somebody has typed over the sum of original and revisions."""

    @property
    def current(self) -> int:
        """The current estimate."""
        return self.original + sum(self.revisions.values()) if self.typed_over is None else self.typed_over

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


@dataclass(frozen=True, slots=True)
class ReceivedExport:
    """An export or resync as the ERP side reads it."""

    budget: tuple[int, int, int]
    version: int
    export_id: str
    base_export_id: str | None
    number: int
    attempt: int
    reference: str
    job: SpectrumJob
    lines: tuple[ReceivedLine, ...]


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


@dataclass(slots=True)
class Spectrum:
    """What Spectrum holds, and what the connector remembers about its exports."""

    jobs: dict[SpectrumJob, dict[LineKey, HeldLine]] = field(default_factory=dict)
    refusals: dict[LineKey, LineRefusal] = field(default_factory=dict)
    """Lines that Spectrum refuses at the moment."""
    descriptions: dict[tuple[SpectrumJob, str], str] = field(default_factory=dict)
    """Of each phase of a job: its cost types share one."""
    _started: dict[tuple[int, int, int], StartedExport] = field(default_factory=dict)
    _started_in_job: dict[SpectrumJob, tuple[str, int]] = field(default_factory=dict)
    """The reference and attempt of the newest export started in each job, whichever budget it was of."""
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
        if self._is_older(export):
            return ApplyResult("failed", message="a newer export has started")
        before = self._start(export)
        # Rule 2: lines that are `same` may be skipped when the last export that was started for this budget is
        # `base_export_id` and was applied whole.
        has_base = before is not None and before.whole and before.export_id == export.base_export_id
        refused: dict[LineKey, LineRefusal] = {}
        for line in export.lines:
            if line.change == "same" and has_base:
                continue
            if refusal := self.refusals.get(line.key):
                refused[line.key] = refusal
                continue
            self._write(export, line)
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

    def find_started(self, budget: tuple[int, int, int]) -> StartedExport | None:
        """Find the last export that was started for a budget."""
        return self._started.get(budget)

    def _is_older(self, export: ReceivedExport) -> bool:
        """Check whether a newer attempt has started.

        Rule 1: once an attempt has started, nothing of an older one is written any more in this job, whichever budget
        it is of. The older one has the lower `change_reference`, then the lower `attempt`.
        """
        started = self._started_in_job.get(export.job)
        return started is not None and (export.reference, export.attempt) < started

    def _start(self, export: ReceivedExport) -> StartedExport | None:
        """Record that an attempt starts, before its first line is written; returns what was started before it."""
        before = self._started.get(export.budget)
        self._started[export.budget] = StartedExport(export.export_id, export.attempt, whole=False)
        self._started_in_job[export.job] = export.reference, export.attempt
        return before

    def _write(self, export: ReceivedExport, line: ReceivedLine) -> None:
        """Make Spectrum hold one line as the message has it.

        Rule 2: the original is set to the absolute amount. Of the revision, only what is missing between
        `revision_amount` and what is booked in this job under the bridge's references is booked, under
        `change_reference`. So what others booked stays, and an attempt that was interrupted can be applied again. The
        description is set unless `keep_description` says that Spectrum's own stays.

        Rule 3: a `zero` for a line that Spectrum does not have, or holds at zero, creates nothing and is a success;
        an `add` of a line that it has is a `set`.

        Rule 7: the current estimate is original plus all revisions. Rule 8: the status stays what it is.
        """
        lines = self.jobs.setdefault(export.job, {})
        held = lines.get(line.key)
        if line.change == "zero" and (held is None or (held.original == 0 and held.booked_by_bridge == 0)):
            return
        held = lines.setdefault(line.key, HeldLine())
        held.original, held.typed_over = line.original, None
        phase = (export.job, line.key.phase_code)
        if not line.keep_description or phase not in self.descriptions:
            self.descriptions[phase] = line.description
        held.price_method_code = line.price_method_code
        if line.quantity is not None:
            held.quantity, held.unit = line.quantity, line.unit or held.unit
        if missing := line.revision - held.booked_by_bridge:
            held.revisions[export.reference] = held.revisions.get(export.reference, 0) + missing


def read_export(data: Mapping[str, Any]) -> ReceivedExport:
    """Read the data of an export message."""
    return ReceivedExport(
        budget=(data["company_id"], data["project_id"], data["budget_id"]),
        version=data["budget_version"],
        export_id=data["export_id"],
        base_export_id=data["base_export_id"],
        number=data["export_number"],
        attempt=data["attempt"],
        reference=data["change_reference"],
        job=SpectrumJob(data["company_code"], data["job_number"]),
        lines=tuple(_read_line(line) for line in data["lines"]),
    )


def write_acknowledgement(export: ReceivedExport, result: ApplyResult, at: str) -> dict[str, Any]:
    """Write the data of the ``erp.acknowledgement.v1`` that answers an attempt, acknowledged ``at`` that time."""
    company_id, project_id, budget_id = export.budget
    return {
        "company_id": company_id,
        "project_id": project_id,
        "budget_id": budget_id,
        "budget_version": export.version,
        "export_id": export.export_id,
        "attempt": export.attempt,
        "status": result.status,
        "acknowledged_at": at,
        "message": result.message,
        "lines": [
            {
                **line.key._asdict(),
                "status": "failed" if line.key in result.refused else "success",
                **_describe_refusal(result.refused.get(line.key)),
            }
            for line in export.lines
            if result.status != "failed"
        ],
    }


def _describe_refusal(refusal: LineRefusal | None) -> dict[str, str]:
    if refusal is None:
        return {}
    return {
        "error_code": refusal.code,
        "error_description": refusal.description,
        "error_column": refusal.column,
    }


def _read_line(line: Mapping[str, Any]) -> ReceivedLine:
    quantity = line.get("original_estimate_quantity")
    return ReceivedLine(
        LineKey(line["phase_code"], line["cost_type"]),
        line["description"],
        _read_hundredths(line["original_estimate_cost"]),
        _read_hundredths(line["revision_amount"]),
        line["price_method_code"],
        None if quantity is None else _read_hundredths(quantity),
        line.get("unit_of_measure"),
        line["change"],
        line["keep_description"],
    )


def _read_hundredths(amount: str) -> int:
    # There are always two decimals, so dropping the point is exact; a float would not be.
    return int(amount.replace(".", ""))

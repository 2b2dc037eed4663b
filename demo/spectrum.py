"""What the ERP side does with exports: the reference for its four rules, to be read before building a connector.

No Kafka and no clock here, only what stands in Spectrum and how an export is worked: line by line, so that it can
break off anywhere and simply be run again. The rules are quoted where they are kept.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

BRIDGE_REFERENCE: Final = re.compile(r"B[0-9]{7}")
"""The references under which the bridge books revisions; everything else in a job belongs to others."""


class Job(NamedTuple):
    """A job of one of Spectrum's companies."""

    company_code: str
    job_number: str


class LineKey(NamedTuple):
    """What identifies a line of a job."""

    phase_code: str
    cost_type: str


@dataclass(slots=True)
class LineHeld:
    """One line as Spectrum holds it; amounts in hundredths."""

    original: int = 0
    description: str = ""
    price_method_code: str = ""
    quantity: int | None = None
    unit: str | None = None
    revisions: dict[str, int] = field(default_factory=dict)
    """What is booked, by change reference."""

    @property
    def booked_by_bridge(self) -> int:
        """What is booked under the bridge's own references."""
        return sum(amount for reference, amount in self.revisions.items() if BRIDGE_REFERENCE.fullmatch(reference))


class Wanted(NamedTuple):
    """One line of an export: how it shall stand."""

    key: LineKey
    description: str
    original: int
    revision: int
    price_method_code: str
    quantity: int | None
    unit: str | None
    change: str


@dataclass(frozen=True, slots=True)
class Order:
    """An export or re-sync as the ERP side reads it."""

    budget: tuple[int, int, int]
    version: int
    at: datetime
    """The event's time: of two budgets of one project, it tells which export is the older."""
    export_id: str
    base_export_id: str | None
    number: int
    attempt: int
    reference: str
    job: Job
    lines: tuple[Wanted, ...]


class Refusal(NamedTuple):
    """Why Spectrum did not take a line, in its own words."""

    code: str
    description: str
    column: str


class Answer(NamedTuple):
    """How an attempt ended: ``success``, ``partial`` or ``failed``, and the lines that Spectrum refused."""

    status: str
    refused: Mapping[LineKey, Refusal] = {}
    message: str | None = None


class Begun(NamedTuple):
    """The last export begun for a budget, and whether it was applied whole."""

    export_id: str
    place: tuple[int, int]
    whole: bool


@dataclass(slots=True)
class Spectrum:
    """What stands in Spectrum, and what the connector notes beside it."""

    jobs: dict[Job, dict[LineKey, LineHeld]] = field(default_factory=dict)
    refusals: dict[LineKey, Refusal] = field(default_factory=dict)
    """Lines that Spectrum does not take at the moment."""
    _begun: dict[tuple[int, int, int], Begun] = field(default_factory=dict)
    _begun_in_job: dict[Job, tuple[datetime, tuple[int, int, int]]] = field(default_factory=dict)
    _whole: set[str] = field(default_factory=set)

    def work(self, order: Order) -> Generator[LineKey, None, Answer]:
        """Work one attempt; each step writes one line, and the attempt may break off between two of them.

        "It works the exports of one budget one at a time, in the order of the topic": the caller sees to that.
        """
        # Rule 1: "One that was applied whole is not applied again, only acknowledged again."
        if order.export_id in self._whole:
            return Answer("success", message="it stands already")
        if self._is_older(order):
            return Answer("failed", message="a newer export has begun")
        before = self._begin(order)
        # Rule 2: "Lines that are `same` may be passed over when the last export begun for this budget, noted
        # before its first line, is `base_export_id`, and was applied whole."
        base_stands = before is not None and before.whole and before.export_id == order.base_export_id
        refused: dict[LineKey, Refusal] = {}
        for line in order.lines:
            if line.change == "same" and base_stands:
                continue
            if refusal := self.refusals.get(line.key):
                refused[line.key] = refusal
                continue
            self._write(order, line)
            yield line.key
        if refused:
            return Answer("partial", refused)
        # Rule 4: "`success` means that every line stands as the message says."
        self._begun[order.budget] = Begun(order.export_id, (order.number, order.attempt), whole=True)
        self._whole.add(order.export_id)
        return Answer("success")

    def read_amounts(self, job: Job) -> dict[LineKey, int]:
        """Read original plus all revisions of each line of a job, in hundredths."""
        return {key: held.original + sum(held.revisions.values()) for key, held in self.jobs.get(job, {}).items()}

    def _is_older(self, order: Order) -> bool:
        """Tell whether something newer has begun.

        Rule 1: "Once an export or attempt has begun, nothing of an older one of this budget (lower
        `export_number`, then lower `attempt`), nor of another budget in the same job, is written any more."
        """
        begun = self._begun.get(order.budget)
        if begun and (order.number, order.attempt) < begun.place:
            return True
        in_job = self._begun_in_job.get(order.job)
        return in_job is not None and in_job[1] != order.budget and order.at < in_job[0]

    def _begin(self, order: Order) -> Begun | None:
        """Note that an attempt begins, before its first line; returns what was begun before it."""
        before = self._begun.get(order.budget)
        self._begun[order.budget] = Begun(order.export_id, (order.number, order.attempt), whole=False)
        self._begun_in_job[order.job] = order.at, order.budget
        return before

    def _write(self, order: Order, line: Wanted) -> None:
        """Make one line stand as the message says.

        Rule 2: "the original is set to the absolute amount; of the revision it books, under `change_reference`
        and in addition to what is there, what is missing between `revision_amount` and what is booked in that
        job under the bridge's references". So what others booked stays, and a run that broke off can run again.

        Rule 3: "A `zero` for a line that Spectrum does not have, or has at zero, creates nothing and is a
        success; an `add` of one that it has is a `set`."
        """
        lines = self.jobs.setdefault(order.job, {})
        held = lines.get(line.key)
        if line.change == "zero" and (held is None or (held.original == 0 and held.booked_by_bridge == 0)):
            return
        held = lines.setdefault(line.key, LineHeld())
        held.original = line.original
        held.description = line.description
        held.price_method_code = line.price_method_code
        if line.quantity is not None:
            held.quantity, held.unit = line.quantity, line.unit or held.unit
        if missing := line.revision - held.booked_by_bridge:
            held.revisions[order.reference] = held.revisions.get(order.reference, 0) + missing


def read_order(data: Mapping[str, Any], at: datetime) -> Order:
    """Read an export message; ``at`` is its ``ce_time``."""
    return Order(
        budget=(data["company_id"], data["project_id"], data["budget_id"]),
        version=data["budget_version"],
        at=at,
        export_id=data["export_id"],
        base_export_id=data["base_export_id"],
        number=data["export_number"],
        attempt=data["attempt"],
        reference=data["change_reference"],
        job=Job(data["company_code"], data["job_number"]),
        lines=tuple(_read_line(line) for line in data["lines"]),
    )


def write_acknowledgement(order: Order, answer: Answer, at: str) -> dict[str, Any]:
    """Write the data of ``erp.acknowledgement.v1`` that answers an attempt."""
    company_id, project_id, budget_id = order.budget
    return {
        "company_id": company_id,
        "project_id": project_id,
        "budget_id": budget_id,
        "budget_version": order.version,
        "export_id": order.export_id,
        "attempt": order.attempt,
        "status": answer.status,
        "acknowledged_at": at,
        "message": answer.message,
        "lines": [
            {
                **line.key._asdict(),
                "status": "failed" if line.key in answer.refused else "success",
                **_tell_refusal(answer.refused.get(line.key)),
            }
            for line in order.lines
            if answer.status != "failed"
        ],
    }


def _tell_refusal(refusal: Refusal | None) -> dict[str, str]:
    if refusal is None:
        return {}
    return {
        "error_code": refusal.code,
        "error_description": refusal.description,
        "error_column": refusal.column,
    }


def _read_line(line: Mapping[str, Any]) -> Wanted:
    quantity = line.get("original_estimate_quantity")
    return Wanted(
        LineKey(line["phase_code"], line["cost_type"]),
        line["description"],
        _read_hundredths(line["original_estimate_cost"]),
        _read_hundredths(line["revision_amount"]),
        line["price_method_code"],
        None if quantity is None else _read_hundredths(quantity),
        line.get("unit_of_measure"),
        line["change"],
    )


def _read_hundredths(amount: str) -> int:
    # Always two places, so dropping the point is exact; a float would not be.
    return int(amount.replace(".", ""))

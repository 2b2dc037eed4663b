"""Builders for the unit tests: messages, rules, and one budget that is taken through messages step by step."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Literal

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.drift import DriftDecision
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import write_cents
from contracts.imports import ImportApplied, ImportRequested
from contracts.inbound import (
    ApprovalDecision,
    BudgetLocked,
    BudgetRelease,
    BudgetReset,
    BudgetRetrieved,
    DeadlinePassed,
    ErpAcknowledgement,
    ExportRetry,
    InboundMessage,
    SnapshotRequest,
)
from contracts.outbound import Outbound
from handlers.budget import Budget, Export, Status
from handlers.decide import decide
from handlers.decision import DeadLetter, Outcome, Situation, Step
from handlers.ids import name_export, name_request
from handlers.rules import CostType, Job, Phase, Rules
from handlers.validation.amounts import EXACT
from handlers.validation.check import Valid, check_budget
from handlers.validation.columns import read_columns

KEY = BudgetKey(4211, 90071, 55210)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULES = Rules(
    jobs={KEY[:2]: Job("001", "26-1001")},
    phases={
        "01-500": Phase("01500", "General conditions"),
        "03-300": Phase("03300", None),
        "03-301": Phase("03300", None),
        "05-120": Phase("05120", None),
        "09-900": Phase("09900", None),
    },
    cost_types={kind: CostType(kind, "T") for kind in "LMSE"} | {"LAB": CostType("L", "T")},
    approvers={KEY[:2]: frozenset({"ann"}), (KEY.company_id, None): frozenset({"bob"})},
    require_content_hash=False,
    after_success=False,
    every=None,
)
"""Nothing is read back by itself, so that what a message causes is only its own; tests of reading back switch it on."""
STEEL = {
    "budget_line_item_id": 1,
    "cost_code": "05-120",
    "cost_type": "S",
    "description": "Structural steel",
    "original_amount": "640000.00",
}
CONCRETE = {
    "budget_line_item_id": 2,
    "cost_code": "03-300",
    "cost_type": "M",
    "description": "Concrete",
    "original_amount": "312500.50",
    "revision_amount": "-500.25",
}

Line = dict[str, Any]


def hash_of(*lines: Line, **rules: Any) -> str:
    """The ``content_hash`` of a lock of these lines, or of one line of steel."""
    version = lock(1, *lines)
    columns = read_columns(version.lines)
    found = check_budget(version, columns, Budget(KEY), Situation(NOON, replace(RULES, **rules)))
    assert isinstance(found, Valid)
    return found.content_hash


def add_up(lines: Iterable[Line]) -> str:
    """Add up lines as their total must be."""
    total = Decimal(0)
    for line in lines:
        for amount in (line["original_amount"], line.get("revision_amount", "0")):
            total = EXACT.add(total, Decimal(amount))
    return format(total, "f")


def lock(version: int = 1, *lines: Line, key: BudgetKey = KEY, **fields: Any) -> BudgetLocked:
    """A lock of these lines, or of one line of steel."""
    chosen = lines or (STEEL,)
    return BudgetLocked.model_validate(
        {
            **key._asdict(),
            "budget_version": version,
            "currency": "USD",
            "total_amount": add_up(chosen),
            "created_by": "carla",
            "locked_by": "lou",
            "sent_by": "sam",
            "locked_at": "2026-11-24T08:00:00Z",
            "lines": chosen,
        }
        | fields
    )


def accept(version: int = 1, by: str = "ann", key: BudgetKey = KEY, **fields: Any) -> ApprovalDecision:
    """An acceptance by an approver."""
    return ApprovalDecision.model_validate(
        {
            **key._asdict(),
            "budget_version": version,
            "decision": "accept",
            "decided_by": by,
            "decided_at": "2026-11-24T09:00:00Z",
        }
        | fields
    )


def reject(version: int = 1, by: str = "ann", reason: str | None = "too high", **fields: Any) -> ApprovalDecision:
    """A rejection by an approver."""
    return accept(version, by, decision="reject", reason=reason, **fields)


def retrieve(version: int = 1, by: str = "mia") -> BudgetRetrieved:
    """A retrieval by a manager."""
    data = {**KEY._asdict(), "budget_version": version, "retrieved_by": by, "retrieved_at": "2026-11-24T10:00:00Z"}
    return BudgetRetrieved.model_validate(data)


def acknowledge(
    status: str, version: int = 1, attempt: int = 1, key: BudgetKey = KEY, number: int | None = None, **fields: Any
) -> ErpAcknowledgement:
    """Spectrum's answer to an attempt; the export's number is its version, unless it is given."""
    return ErpAcknowledgement.model_validate(
        {
            **key._asdict(),
            "budget_version": version,
            "export_id": str(name_export(key, version, number or version)),
            "attempt": attempt,
            "status": status,
            "acknowledged_at": "2026-11-24T11:00:00Z",
        }
        | fields
    )


def retry(version: int = 1, key: BudgetKey = KEY) -> ExportRetry:
    """An operator's retry."""
    return ExportRetry(**key._asdict(), budget_version=version, requested_by="olga", reason="open again")


def reset(version: int = 1) -> BudgetReset:
    """An operator's reset."""
    return BudgetReset(**KEY._asdict(), budget_version=version, requested_by="olga", reason="checked in Spectrum")


def release(action: Literal["retry", "skip"] = "retry", key: BudgetKey = KEY) -> BudgetRelease:
    """An operator's release."""
    return BudgetRelease(**key._asdict(), budget_version=1, requested_by="olga", reason="fixed", action=action)


def pass_deadline(deadline: str, due_at: datetime, version: int | None = 1) -> DeadlinePassed:
    """A timer's word."""
    data = {**KEY._asdict(), "budget_version": version, "deadline": deadline, "due_at": due_at}
    return DeadlinePassed.model_validate(data)


def request_snapshot(by: str = "olga") -> SnapshotRequest:
    """Somebody asks for a snapshot."""
    return SnapshotRequest(**KEY._asdict(), requested_by=by, reason="the figures look odd")


def request_import(by: str = "ann", **fields: Any) -> ImportRequested:
    """Somebody asks for the budget as Spectrum holds it."""
    data = {"requested_at": "2026-11-24T08:00:00Z", "mode": "take", "budget_unlocked": True, "currency": "USD"}
    return ImportRequested.model_validate(KEY._asdict() | data | {"requested_by": by} | fields)


def apply_import(
    status: str = "whole", number: int = 1, *lines: tuple[str, str, int | None, str], **fields: Any
) -> ImportApplied:
    """What the project side says of an offer; the import is that of a request for a snapshot, by its number.

    Each line is phase, cost type, item id and status, or instead of a status what was wrong.
    """
    names = ("phase_code", "spectrum_cost_type", "budget_line_item_id", "status")
    told = [
        dict(zip(names, line, strict=True))
        | ({} if line[3] in {"success", "failed"} else {"status": "failed", "error": line[3]})
        for line in lines
    ]
    data = {"import_id": str(name_request(KEY, number)), "applied_by": "mia", "applied_at": "2026-11-25T08:05:00Z"}
    return ImportApplied.model_validate(KEY._asdict() | data | {"status": status, "lines": told} | fields)


def read_line(line: Line, **fields: Any) -> dict[str, Any]:
    """A line of a snapshot as Spectrum holds it after it took this line of a budget."""
    phase = RULES.phases[line["cost_code"]]
    amounts = [Decimal(line["original_amount"]), Decimal(line.get("revision_amount", "0"))]
    return {
        "phase_code": phase.phase_code,
        "cost_type": RULES.cost_types[line["cost_type"]].spectrum_cost_type,
        "description": phase.description or line["description"],
        "status": "A",
        "original_estimate_cost": str(amounts[0]),
        "bridge_revision": str(amounts[1]),
        "other_revision": "0",
        "current_estimate_cost": str(sum(amounts)),
        "job_to_date_cost": None,
        "price_method_code": "T",
    } | fields


def decide_drift(decision: str, drift_hash: str, by: str = "ann", **fields: Any) -> DriftDecision:
    """An approver's decision about what differs in Spectrum."""
    data = {"decision": decision, "drift_hash": drift_hash, "decided_by": by, "decided_at": "2026-11-25T09:00:00Z"}
    return DriftDecision.model_validate(KEY._asdict() | data | fields)


def list_held(export: Export, **changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The lines of a snapshot after an export was taken whole, with changes by phase and cost type, such as M03300.

    A line without its own change of the current estimate has the sum of what it holds; ``None`` leaves a line out.
    """
    held: dict[str, dict[str, Any]] = {}
    for line in export.lines:
        held[line.cost_type + line.phase_code] = {
            "phase_code": line.phase_code,
            "cost_type": line.cost_type,
            "description": line.description,
            "status": "A",
            "original_estimate_cost": write_cents(line.original),
            "bridge_revision": write_cents(line.revision),
            "other_revision": "0.00",
            "job_to_date_cost": None,
            "price_method_code": line.price_method_code,
        }
    for name, change in changes.items():
        if change is None:
            held.pop(name, None)
            continue
        kind, phase = name[0], name[1:]
        held[name] = read_line(STEEL, phase_code=phase, cost_type=kind) | held.get(name, {}) | change
        if "current_estimate_cost" not in change:
            held[name].pop("current_estimate_cost", None)
    for line_held in held.values():
        parts = ("original_estimate_cost", "bridge_revision", "other_revision")
        line_held.setdefault("current_estimate_cost", str(sum(Decimal(line_held[part]) for part in parts)))
    return list(held.values())


def snapshot(*lines: dict[str, Any], begun: Export | None = None, **fields: Any) -> ErpSnapshot:
    """A snapshot of one page that has these lines, of ``read_line``; ``begun`` is the export that was begun last."""
    full = fields.get("depth", "full") == "full"
    return ErpSnapshot.model_validate(
        {
            **KEY._asdict(),
            "request_id": None,
            "snapshot_id": "s1",
            "page": 1,
            "pages": 1,
            "company_code": "001",
            "job_number": "26-1001",
            "job_status": "A",
            "read_from": "2026-11-25T08:00:00Z",
            "read_to": "2026-11-25T08:00:07Z",
            "depth": "full",
            "complete": True,
            "last_begun": {"export_id": str(begun.id), "attempt": begun.attempt, "whole": True} if begun else None,
            "unposted": False,
            "line_count": len(lines),
            "total_original": str(sum(Decimal(line["original_estimate_cost"]) for line in lines)) if full else None,
            "total_current": str(sum(Decimal(line["current_estimate_cost"]) for line in lines)),
            "lines": lines,
        }
        | fields
    )


@dataclass
class Scenario:
    """One budget and the messages decided for it; keeps the outcome of the last one."""

    rules: Rules = RULES
    key: BudgetKey = KEY
    budget: Budget = field(init=False)
    now: datetime = NOON
    taken_by: int | None = None
    last: Outcome = field(init=False)
    sent: list[Outbound] = field(default_factory=list)
    _ids: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.budget = Budget(self.key)
        self.last = Outcome(Step(self.budget), None, "")  # type: ignore[arg-type]

    def send(self, *bodies: InboundMessage) -> "Scenario":
        """Decide messages one after another, a minute apart."""
        for body in bodies:
            self.now += timedelta(minutes=1)
            message = Message("test", f"m{next(self._ids)}", body, ())
            self.last = decide(self.budget, message, Situation(self.now, self.rules, self.taken_by))
            self.budget = self.last.step.budget
            self.sent.extend(send for send in self.last.step.sends if not isinstance(send, DeadLetter))
        return self

    def with_rules(self, **changes: Any) -> "Scenario":
        """Change the rules."""
        self.rules = replace(self.rules, **changes)
        return self

    @property
    def status(self) -> Status | None:
        return self.budget.status

    @property
    def verdict(self) -> str:
        return self.last.verdict.value

    @property
    def types(self) -> list[str]:
        """What the last message caused, by type; dead letters by reason."""
        return [send.reason if isinstance(send, DeadLetter) else send.type for send in self.last.step.sends]

    def find(self, kind: str) -> Any:
        """The last message of a type among what the last message caused."""
        return [send for send in self.last.step.sends if not isinstance(send, DeadLetter) and send.type == kind][-1]

    def find_lines(self, kind: str) -> list[dict[str, Any]]:
        """The lines of that message, as they are written."""
        lines: list[dict[str, Any]] = self.find(kind).model_dump()["lines"]
        return lines

    @property
    def refusal(self) -> str:
        code: str = self.find("request.refused.v1").code
        return code


def bring_to(status: Status | None, **rules: Any) -> Scenario:
    """Bring a new budget's version 1 to a status by the shortest way."""
    scenario = Scenario().with_rules(**rules)
    ways: dict[Status | None, tuple[InboundMessage, ...]] = {
        None: (),
        Status.INVALID: (lock(1, STEEL | {"cost_code": "??"}),),
        Status.PENDING_APPROVAL: (lock(),),
        Status.RETURNED: (lock(), reject()),
        Status.EXPORTING: (lock(), accept()),
        Status.EXPORT_FAILED: (lock(), accept(), acknowledge("failed")),
        Status.SYNCED: (lock(), accept(), acknowledge("success")),
    }
    scenario.send(*ways[status])
    assert scenario.status is status
    return scenario

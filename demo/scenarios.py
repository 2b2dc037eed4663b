"""The scenarios of the demo: what people do with one budget, and what the bridge must do in response."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from contracts.budget_key import BudgetKey
from demo.bridge_client import BridgeClient, Data
from demo.timeline import Timeline

COMPANY: Final = 4211
MANAGER: Final = "m.reyes@hillside.example"
ESTIMATOR: Final = "j.okafor@hillside.example"
ACCOUNTANT: Final = "accounting@hillside.example"

COMPANY_CODE: Final = "001"
"""What ``COMPANY`` is called in Spectrum."""
PHASES: Final = {
    "01-500": "01500",
    "01-510": "01510",
    "02-310": "02310",
    "03-300": "03300",
    "05-120": "05120",
    "09-900": "09900",
}
"""The phase of each cost code, as in ``rules/phases.csv``."""
PRICE_METHODS: Final = {"L": "T", "M": "T", "S": "F", "E": "T"}
"""The price method of each cost type, as in ``rules/cost_types.csv``."""


class Line(NamedTuple):
    """One line of a budget."""

    item_id: int
    cost_code: str
    cost_type: str
    description: str
    amount: str


OFFICE: Final = (
    Line(1, "01-500", "L", "General conditions", "48000.00"),
    Line(2, "03-300", "M", "Concrete, cast in place", "312500.00"),
    Line(3, "03-300", "L", "Concrete, cast in place", "187250.50"),
    Line(4, "05-120", "S", "Structural steel", "640000.00"),
)
STEEL: Final = (Line(1, "05-120", "S", "Structural steel", "410000.00"),)


class SpectrumSide(Protocol):
    """What the scenarios need of Spectrum."""

    def read_amounts(self, company_code: str, job_number: str) -> Mapping[tuple[str, str], Decimal]:
        """Read original plus revisions of each phase and cost type."""

    def refuse_once(self, phase_code: str, cost_type: str, description: str) -> None:
        """Refuse this line in the next export that has it."""

    def type_over(self, job: tuple[str, str], line: tuple[str, str], original: Decimal) -> None:
        """Type another original estimate over that of a line of a job."""


class Scene(NamedTuple):
    """Everything that a scenario needs."""

    bridge: BridgeClient
    spectrum: SpectrumSide
    timeline: Timeline


def write_lock(lines: tuple[Line, ...]) -> Data:
    """Write the data of a lock of these lines."""
    return {
        "currency": "USD",
        "total_amount": str(sum((Decimal(line.amount) for line in lines), Decimal(0))),
        "created_by": ESTIMATOR,
        "locked_by": MANAGER,
        "sent_by": MANAGER,
        "locked_at": "2026-11-24T08:00:00Z",
        "lines": [
            {
                "budget_line_item_id": line.item_id,
                "cost_code": line.cost_code,
                "cost_type": line.cost_type,
                "description": line.description,
                "original_amount": line.amount,
            }
            for line in lines
        ],
    }


def write_acceptance(content_hash: str) -> Data:
    """Write the data of the accountant's acceptance of what they saw."""
    return _write_decision("accept") | {"content_hash": content_hash}


def hash_content(job: str, lines: tuple[Line, ...]) -> str:
    """Hash what a job would hold, as docs/messages.md describes ``content_hash``.

    An approval tool that knows a budget before the bridge has asked for its approval computes the hash itself.
    """
    content = sorted(
        (PHASES[line.cost_code], line.cost_type, line.description, _count_cents(line), 0, method, None, None)
        for line in lines
        for method in [PRICE_METHODS[line.cost_type]]
    )
    text = json.dumps([COMPANY_CODE, job, "USD", content], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _count_cents(line: Line) -> int:
    return int(Decimal(line.amount) * 100)


def _write_decision(decision: str, reason: str | None = None) -> Data:
    return {
        "decision": decision,
        "decided_by": ACCOUNTANT,
        "decided_at": "2026-11-24T09:00:00Z",
        "reason": reason,
    }


async def sync_first_budget(scene: Scene) -> None:
    """A budget is locked, approved, exported and synced."""
    budget = BudgetKey(COMPANY, 90071, 55210)
    await _lock(scene, budget, 1, OFFICE)
    request = await _expect_request(scene, budget, 1)
    await _accept(scene, budget, 1, request["content_hash"])
    await _expect_export(scene, budget, 1)
    await _expect_synced(scene, budget, 1)
    _check_amounts(scene, "26-1001", OFFICE)


async def resync_update(scene: Scene) -> None:
    """A new version changes one line, adds one and removes one."""
    budget = BudgetKey(COMPANY, 90071, 55210)
    updated = (
        OFFICE[0],
        OFFICE[1],
        Line(3, "03-300", "L", "Concrete, cast in place", "190000.75"),
        Line(5, "09-900", "S", "Painting", "75400.00"),
    )
    await _lock(scene, budget, 2, updated)
    request = await _expect_request(scene, budget, 2)
    await _accept(scene, budget, 2, request["content_hash"])
    resync = await _expect_export(scene, budget, 2, resync=True)
    for line in resync["lines"]:
        before, after = line["previous_original_estimate_cost"], line["original_estimate_cost"]
        scene.timeline.print_detail(
            f"{line['change']:<4}  {line['phase_code']} {line['cost_type']}  "
            f"{_format_amount(before) if before else '–':>12} → {_format_amount(after):>12}",
            style="dim" if line["change"] == "same" else "yellow",
        )
    changes = {(line["phase_code"], line["cost_type"]): line["change"] for line in resync["lines"]}
    expected = {
        ("01500", "L"): "same",
        ("03300", "L"): "set",
        ("03300", "M"): "same",
        ("05120", "S"): "zero",
        ("09900", "S"): "add",
    }
    scene.timeline.check(
        "one line is changed, one added, one set to zero; two stay the same", holds=changes == expected
    )
    await _expect_synced(scene, budget, 2)
    _check_amounts(scene, "26-1001", updated)


async def reject_and_correct(scene: Scene) -> None:
    """A budget is rejected with a reason, corrected and accepted."""
    budget = BudgetKey(COMPANY, 90072, 55220)
    reason = "Earthwork is 10,000 too high; see the revised quote."
    first = (Line(1, "02-310", "E", "Earthwork and grading", "95000.00"),)
    corrected = (Line(1, "02-310", "E", "Earthwork and grading", "85000.00"),)
    await _lock(scene, budget, 1, first)
    await _expect_request(scene, budget, 1)
    await scene.bridge.send("approval.decision.v1", budget, 1, _write_decision("reject", reason))
    scene.timeline.print_event("→", "approver", f"rejects version 1: {reason}")
    returned = await scene.bridge.expect("budget.returned.v1", budget, cause="rejected")
    scene.timeline.print_event("←", "bridge", f"returns it to {' and '.join(returned['notify'])}")
    scene.timeline.check("the reason reaches them word for word", holds=returned["reason"] == reason)
    await _expect_status(scene, budget, 1, "RETURNED")
    await _lock(scene, budget, 2, corrected)
    request = await _expect_request(scene, budget, 2)
    await _accept(scene, budget, 2, request["content_hash"])
    await _expect_export(scene, budget, 2)
    await _expect_synced(scene, budget, 2)
    _check_amounts(scene, "26-1002", corrected)


async def find_every_error(scene: Scene) -> None:
    """An invalid budget is returned with everything that is wrong with it."""
    budget = BudgetKey(COMPANY, 90073, 55230)
    lines = (
        Line(1, "01-510", "L", "", "1200.00"),
        Line(2, "77-777", "L", "Not in the rules", "10.00"),
        Line(3, "02-310", "M", "Gravel", "10.005"),
        Line(4, "03-300", "M", "Concrete", "100000000.00"),
        Line(5, "03-300", "L", "Formwork", "1.00"),
    )
    await _lock(scene, budget, 1, lines)
    returned = await scene.bridge.expect("budget.returned.v1", budget, cause="invalid")
    scene.timeline.print_event("←", "bridge", f"returns it: {returned['reason']}")
    for error in returned["errors"]:
        item = error["budget_line_item_id"]
        scene.timeline.print_detail(f"{f'line {item}' if item else 'budget'}: {error['message']} [{error['code']}]")
    found = {error["code"] for error in returned["errors"]}
    expected = {
        "description_missing",
        "unmapped_cost_code",
        "too_many_decimals",
        "amount_out_of_range",
        "description_conflict",
    }
    scene.timeline.check("one message names all five kinds of error", holds=found == expected)
    await _expect_status(scene, budget, 1, "INVALID")


async def accept_before_lock(scene: Scene) -> None:
    """An acceptance arrives before the lock that it is about."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    early = await _accept(scene, budget, 1, hash_content("26-1004", STEEL))
    await scene.bridge.wait_for_verdict(budget, early, "parked")
    scene.timeline.print_event(" ", "bridge", "does not know that version yet, and parks the acceptance")
    await _lock(scene, budget, 1, STEEL)
    await _expect_request(scene, budget, 1)
    await _expect_export(scene, budget, 1)
    await _expect_synced(scene, budget, 1)
    _check_amounts(scene, "26-1004", STEEL)


async def send_twice(scene: Scene) -> None:
    """A lock is delivered twice and then sent again: nothing changes."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    lock = write_lock(STEEL)
    repeated = await scene.bridge.send("budget.locked.v1", budget, 1, lock)
    await scene.bridge.send("budget.locked.v1", budget, 1, lock, repeated)
    scene.timeline.print_event("→", "manager", "sends the lock again under a new id, which is delivered twice")
    again = await _accept(scene, budget, 1, hash_content("26-1004", STEEL))
    await scene.bridge.wait_for_verdict(budget, again, "duplicate")
    await scene.bridge.wait_for_verdict(budget, repeated, "duplicate")
    # On the same topic and visibly answered, so everything before it has been decided.
    retrieval = {"retrieved_by": MANAGER, "retrieved_at": "2026-11-24T10:00:00Z"}
    await scene.bridge.send("budget.retrieved.v1", budget, 1, retrieval)
    scene.timeline.print_event("→", "manager", "tries to pull the budget back")
    refused = await scene.bridge.expect("request.refused.v1", budget, code="already_exported")
    scene.timeline.print_event("←", "bridge", f"refuses: {refused['message']}")
    unexpected = [one for one in scene.bridge.sent if one.key == str(budget) and not one.was_expected]
    scene.timeline.check("the repeats caused no message at all", holds=not unexpected)
    _check_amounts(scene, "26-1004", STEEL)


async def retry_partial(scene: Scene) -> None:
    """Spectrum takes only part of an export, and an operator retries it."""
    budget = BudgetKey(COMPANY, 90075, 55250)
    lines = (
        Line(1, "03-300", "M", "Foundations", "52000.00"),
        Line(2, "09-900", "L", "Painting", "18500.25"),
    )
    scene.spectrum.refuse_once("09900", "L", "Cost type is closed for the period")
    await _lock(scene, budget, 1, lines)
    request = await _expect_request(scene, budget, 1)
    await _accept(scene, budget, 1, request["content_hash"])
    await _expect_export(scene, budget, 1)
    scene.timeline.print_event("→", "Spectrum", "acknowledges it as partial")
    status = await _expect_status(scene, budget, 1, "EXPORT_FAILED")
    for line in status["failed_lines"]:
        scene.timeline.print_detail(f"{line['phase_code']} {line['cost_type']}: {line['error_description']}")
    retry = {"requested_by": "ops@hillside.example", "reason": "the period is open again"}
    await scene.bridge.send("export.retry.v1", budget, 1, retry)
    scene.timeline.print_event("→", "operator", f"asks for a retry: {retry['reason']}")
    export = await _expect_export(scene, budget, 1)
    scene.timeline.check("it is the second attempt of the same export", holds=export["attempt"] == 2)  # noqa: PLR2004
    await _expect_synced(scene, budget, 1)
    _check_amounts(scene, "26-1005", lines)


async def find_and_restate_drift(scene: Scene) -> None:
    """Somebody types a figure over in Spectrum: it is found, and the accountant has it restated."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    scene.spectrum.type_over((COMPANY_CODE, "26-1004"), ("05120", "S"), Decimal("410000.01"))
    scene.timeline.print_event(" ", "Spectrum", "holds a cent more than was exported: somebody typed it over")
    asking = {"requested_by": ACCOUNTANT, "reason": "the figures look odd"}
    await scene.bridge.send("snapshot.request.v1", budget, 1, asking)
    await scene.bridge.expect("spectrum.snapshot_requested.v1", budget, requested_by=ACCOUNTANT)
    scene.timeline.print_event("←", "bridge", "asks what the job holds")
    drift = await scene.bridge.expect("erp.drift.v1", budget, state="differs")
    await scene.bridge.expect("budget.status.v1", budget, read_back="differs")
    for line in drift["lines"]:
        figures = f"{line['expected_original']} was sent, {line['found_original']} is there"
        scene.timeline.print_detail(f"{line['phase_code']} {line['cost_type']}: {figures} {line['kinds']}")
    found = (drift["drift_lines"], drift["drift_amount"])
    scene.timeline.check("one line differs, by exactly a cent", holds=found == (1, "0.01"))
    decision = {"decision": "restate", "drift_hash": drift["drift_hash"]}
    by = {"decided_by": ACCOUNTANT, "decided_at": "2026-11-25T09:00:00Z"}
    await scene.bridge.send("drift.decision.v1", budget, 1, decision | by)
    scene.timeline.print_event("→", "approver", f"has version 1 restated, drift {drift['drift_hash'][:12]}…")
    export = await _expect_export(scene, budget, 1, resync=True)
    scene.timeline.check("it is a restatement of the same content", holds=export["restatement"] == 1)
    await _expect_synced(scene, budget, 1)
    _check_amounts(scene, "26-1004", STEEL)


SCENARIOS: Final[tuple[Callable[[Scene], Awaitable[None]], ...]] = (
    sync_first_budget,
    resync_update,
    reject_and_correct,
    find_every_error,
    accept_before_lock,
    send_twice,
    retry_partial,
    find_and_restate_drift,
)


async def _lock(scene: Scene, budget: BudgetKey, version: int, lines: tuple[Line, ...]) -> None:
    lock = write_lock(lines)
    await scene.bridge.send("budget.locked.v1", budget, version, lock)
    total = _format_amount(lock["total_amount"])
    what = f"locks version {version}: {_count_lines(len(lines))}, {total} USD"
    scene.timeline.print_event("→", "manager", what)


async def _accept(scene: Scene, budget: BudgetKey, version: int, content_hash: str) -> str:
    message_id = await scene.bridge.send("approval.decision.v1", budget, version, write_acceptance(content_hash))
    scene.timeline.print_event("→", "approver", f"accepts version {version}, content {content_hash[:12]}…")
    return message_id


async def _expect_request(scene: Scene, budget: BudgetKey, version: int) -> Data:
    request = await scene.bridge.expect("approval.requested.v1", budget, budget_version=version)
    what = f"asks for approval of version {version} ({request['kind']}), content {request['content_hash'][:12]}…"
    scene.timeline.print_event("←", "bridge", what)
    await _expect_status(scene, budget, version, "PENDING_APPROVAL")
    return request


async def _expect_export(scene: Scene, budget: BudgetKey, version: int, *, resync: bool = False) -> Data:
    kind = "spectrum.resync.v1" if resync else "spectrum.export.v1"
    export = await scene.bridge.expect(kind, budget, budget_version=version)
    scene.timeline.print_event(
        "←",
        "bridge",
        f"sends {kind} {export['change_reference']}, attempt {export['attempt']}: "
        f"{_count_lines(export['line_count'])}, {_format_amount(export['total_amount'])} {export['currency']} "
        f"to job {export['job_number']}",
    )
    if resync:
        # What was read before says nothing about what this export leaves.
        await scene.bridge.expect("erp.drift.v1", budget, reason="export_sent")
    await _expect_status(scene, budget, version, "EXPORTING")
    return export


async def _expect_status(scene: Scene, budget: BudgetKey, version: int, status: str) -> Data:
    message = await scene.bridge.expect("budget.status.v1", budget, budget_version=version, status=status)
    scene.timeline.print_event("←", "bridge", f"status {status}", style="cyan")
    return message


async def _expect_synced(scene: Scene, budget: BudgetKey, version: int) -> None:
    scene.timeline.print_event("→", "Spectrum", "acknowledges success: it holds every line")
    status = await _expect_status(scene, budget, version, "SYNCED")
    what = f"version {version} is reported as the one that Spectrum holds"
    scene.timeline.check(what, holds=status["synced_version"] == version)
    await scene.bridge.expect("spectrum.snapshot_requested.v1", budget, requested_by=None)
    await scene.bridge.expect("erp.drift.v1", budget, budget_version=version, state="matches")
    await scene.bridge.expect("budget.status.v1", budget, read_back="matches")
    scene.timeline.print_event("←", "bridge", "has read the job: every line stands as it was sent")


def _check_amounts(scene: Scene, job: str, lines: tuple[Line, ...]) -> None:
    expected = {(PHASES[line.cost_code], line.cost_type): Decimal(line.amount) for line in lines}
    held = {key: amount for key, amount in scene.spectrum.read_amounts(COMPANY_CODE, job).items() if amount}
    scene.timeline.check(f"Spectrum's job {job} holds exactly these lines, to the cent", holds=held == expected)


def _format_amount(amount: str) -> str:
    return f"{Decimal(amount):,}"


def _count_lines(count: int) -> str:
    return f"{count} line{'' if count == 1 else 's'}"

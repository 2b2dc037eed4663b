"""The stories that the demo plays: each is what people do to one budget, and what must come of it."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final, Protocol

from contracts.budget_key import BudgetKey
from demo.stage import Data, Stage

COMPANY: Final = 4211
MANAGER: Final = "m.reyes@hillside.example"
ESTIMATOR: Final = "j.okafor@hillside.example"
ACCOUNTANT: Final = "accounting@hillside.example"

Line = tuple[int, str, str, str, str]
"""Item id, cost code, cost type, description, original amount."""

OFFICE: Final[tuple[Line, ...]] = (
    (1, "01-500", "L", "General conditions", "48000.00"),
    (2, "03-300", "M", "Concrete, cast in place", "312500.00"),
    (3, "03-300", "L", "Concrete, cast in place", "187250.50"),
    (4, "05-120", "S", "Structural steel", "640000.00"),
)


class Accounting(Protocol):
    """What the stories ask of Spectrum: what stands there, and to refuse a line once."""

    def read_amounts(self, company_code: str, job_number: str) -> Mapping[tuple[str, str], Decimal]:
        """Read original plus revisions of each phase and cost type."""

    def refuse_once(self, phase_code: str, cost_type: str, description: str) -> None:
        """Let the next export fail at one line."""


def write_lock(lines: tuple[Line, ...], currency: str = "USD") -> Data:
    """Write what a lock says of these lines."""
    total = sum((Decimal(amount) for *_, amount in lines), Decimal(0))
    return {
        "currency": currency,
        "total_amount": str(total),
        "created_by": ESTIMATOR,
        "locked_by": MANAGER,
        "sent_by": MANAGER,
        "locked_at": "2026-11-24T08:00:00Z",
        "lines": [
            {
                "budget_line_item_id": item,
                "cost_code": code,
                "cost_type": kind,
                "description": description,
                "original_amount": amount,
            }
            for item, code, kind, description, amount in lines
        ],
    }


def write_decision(decision: str, reason: str | None = None) -> Data:
    """Write an approval decision of the accountant."""
    return {
        "decision": decision,
        "decided_by": ACCOUNTANT,
        "decided_at": "2026-11-24T09:00:00Z",
        "reason": reason,
    }


async def _lock(stage: Stage, budget: BudgetKey, version: int, lines: tuple[Line, ...]) -> None:
    lock = write_lock(lines)
    await stage.send("budget.locked.v1", budget, version, lock)
    stage.tell("→", "manager", f"locks version {version}: {len(lines)} lines, {lock['total_amount']} USD")


async def _accept(stage: Stage, budget: BudgetKey, version: int) -> str:
    message_id = await stage.send("approval.decision.v1", budget, version, write_decision("accept"))
    stage.tell("→", "approver", f"accepts version {version}")
    return message_id


async def _see_request(stage: Stage, budget: BudgetKey, version: int) -> Data:
    request = await stage.expect("approval.requested.v1", budget, budget_version=version)
    stage.tell("←", "bridge", f"asks for approval ({request['kind']}), content {request['content_hash'][:12]}…")
    await _see_status(stage, budget, version, "PENDING_APPROVAL")
    return request


async def _see_export(stage: Stage, budget: BudgetKey, version: int, *, resync: bool = False) -> Data:
    kind = "spectrum.resync.v1" if resync else "spectrum.export.v1"
    export = await stage.expect(kind, budget, budget_version=version)
    stage.tell(
        "←",
        "bridge",
        f"sends {kind} {export['change_reference']}, attempt {export['attempt']}: {export['line_count']} lines, "
        f"{export['total_amount']} {export['currency']} to job {export['job_number']}",
    )
    await _see_status(stage, budget, version, "EXPORTING")
    return export


async def _see_status(stage: Stage, budget: BudgetKey, version: int, status: str) -> Data:
    shown = await stage.expect("budget.status.v1", budget, budget_version=version, status=status)
    stage.tell("←", "bridge", f"status {status}", style="cyan")
    return shown


async def _see_synced(stage: Stage, budget: BudgetKey, version: int) -> None:
    stage.tell("→", "Spectrum", "acknowledges: every line stands")
    shown = await _see_status(stage, budget, version, "SYNCED")
    stage.check(f"version {version} is the one that Spectrum holds", holds=shown["synced_version"] == version)


def _compare_books(
    stage: Stage, accounting: Accounting, job: str, lines: tuple[Line, ...], phases: dict[str, str]
) -> None:
    wanted = {(phases[code], kind): Decimal(amount) for _, code, kind, _, amount in lines}
    held = {key: amount for key, amount in accounting.read_amounts("001", job).items() if amount}
    stage.check(f"Spectrum's job {job} holds exactly these lines, to the cent", holds=held == wanted)


PHASES: Final = {
    "01-500": "01500",
    "01-510": "01510",
    "02-310": "02310",
    "03-300": "03300",
    "05-120": "05120",
    "09-900": "09900",
}


async def sync_first_budget(stage: Stage, accounting: Accounting) -> None:
    """A budget is locked, approved, exported and synced."""
    budget = BudgetKey(COMPANY, 90071, 55210)
    await _lock(stage, budget, 1, OFFICE)
    await _see_request(stage, budget, 1)
    await _accept(stage, budget, 1)
    await _see_export(stage, budget, 1)
    await _see_synced(stage, budget, 1)
    _compare_books(stage, accounting, "26-1001", OFFICE, PHASES)


async def resync_update(stage: Stage, accounting: Accounting) -> None:
    """An update changes a line, adds one and removes one."""
    budget = BudgetKey(COMPANY, 90071, 55210)
    updated = (
        OFFICE[0],
        OFFICE[1],
        (3, "03-300", "L", "Concrete, cast in place", "190000.75"),
        (5, "09-900", "S", "Painting", "75400.00"),
    )
    await _lock(stage, budget, 2, updated)
    await _see_request(stage, budget, 2)
    await _accept(stage, budget, 2)
    resync = await _see_export(stage, budget, 2, resync=True)
    for line in resync["lines"]:
        before = line["previous_original_estimate_cost"] or "nothing"
        stage.tell(
            " ",
            "",
            f"{line['change']:<5} {line['phase_code']} {line['cost_type']}  {before:>12} → "
            f"{line['original_estimate_cost']:>12}",
            style="dim" if line["change"] == "same" else "yellow",
        )
    changes = {(line["phase_code"], line["cost_type"]): line["change"] for line in resync["lines"]}
    wanted = {
        ("01500", "L"): "same",
        ("03300", "L"): "set",
        ("03300", "M"): "same",
        ("05120", "S"): "zero",
        ("09900", "S"): "add",
    }
    stage.check("one line is set, one added, one told to stand at zero, two stay", holds=changes == wanted)
    await _see_synced(stage, budget, 2)
    _compare_books(stage, accounting, "26-1001", updated, PHASES)


async def reject_and_correct(stage: Stage, accounting: Accounting) -> None:
    """A budget is rejected with a reason, corrected and accepted."""
    budget = BudgetKey(COMPANY, 90072, 55220)
    reason = "Earthwork is 10,000 too high; see the revised quote."
    first = ((1, "02-310", "E", "Earthwork and grading", "95000.00"),)
    corrected = ((1, "02-310", "E", "Earthwork and grading", "85000.00"),)
    await _lock(stage, budget, 1, first)
    await _see_request(stage, budget, 1)
    await stage.send("approval.decision.v1", budget, 1, write_decision("reject", reason))
    stage.tell("→", "approver", f"rejects: {reason}")
    returned = await stage.expect("budget.returned.v1", budget, cause="rejected")
    stage.tell("←", "bridge", f"returns it to {', '.join(returned['notify'])}: {returned['reason']}")
    stage.check("the reason reached the project side word for word", holds=returned["reason"] == reason)
    await _see_status(stage, budget, 1, "RETURNED")
    await _lock(stage, budget, 2, corrected)
    await _see_request(stage, budget, 2)
    await _accept(stage, budget, 2)
    await _see_export(stage, budget, 2)
    await _see_synced(stage, budget, 2)
    _compare_books(stage, accounting, "26-1002", corrected, PHASES)


async def find_every_error(stage: Stage, _: Accounting) -> None:
    """An invalid budget comes back with everything that is wrong, at once."""
    budget = BudgetKey(COMPANY, 90073, 55230)
    lines = (
        (1, "01-510", "L", "Temporary power and lighting for the site", "1200.00"),
        (2, "77-777", "L", "Not in the maps", "10.00"),
        (3, "02-310", "M", "Gravel", "10.005"),
        (4, "03-300", "M", "Concrete", "100000000.00"),
        (5, "03-300", "L", "Formwork", "1.00"),
    )
    await _lock(stage, budget, 1, lines)
    returned = await stage.expect("budget.returned.v1", budget, cause="invalid")
    stage.tell("←", "bridge", f"returns it: {returned['reason']}")
    for error in returned["errors"]:
        stage.tell(" ", "", f"{_name_line(error)} {error['code']}: {error['message']}", style="yellow")
    found = {error["code"] for error in returned["errors"]}
    wanted = {"too_long", "unmapped_cost_code", "too_many_decimals", "amount_out_of_range", "description_conflict"}
    stage.check("all five kinds of error are told in one message", holds=found == wanted)
    await _see_status(stage, budget, 1, "INVALID")


def _name_line(error: Data) -> str:
    return f"line {error['budget_line_item_id']}" if error["budget_line_item_id"] else "budget"


async def decide_before_lock(stage: Stage, accounting: Accounting) -> None:
    """A decision comes before the lock that it is about."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    lines = ((1, "05-120", "S", "Structural steel", "410000.00"),)
    early = await _accept(stage, budget, 1)
    await stage.wait_for_verdict(budget, early, "parked")
    stage.tell(" ", "bridge", "has not seen that version yet: the decision is parked")
    await _lock(stage, budget, 1, lines)
    await _see_request(stage, budget, 1)
    await _see_export(stage, budget, 1)
    await _see_synced(stage, budget, 1)
    _compare_books(stage, accounting, "26-1004", lines, PHASES)


async def send_twice(stage: Stage, accounting: Accounting) -> None:
    """A lock is delivered twice under one id, and said again under another: nothing changes."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    lines = ((1, "05-120", "S", "Structural steel", "410000.00"),)
    lock = write_lock(lines)
    repeated = await stage.send("budget.locked.v1", budget, 1, lock)
    await stage.send("budget.locked.v1", budget, 1, lock, repeated)
    stage.tell("→", "manager", "locks version 1 again, and the message is delivered twice")
    again = await _accept(stage, budget, 1)
    await stage.wait_for_verdict(budget, again, "duplicate")
    await stage.wait_for_verdict(budget, repeated, "duplicate")
    # On the same topic and with a visible answer, so that everything before it has been decided.
    await stage.send(
        "budget.retrieved.v1", budget, 1, {"retrieved_by": MANAGER, "retrieved_at": "2026-11-24T10:00:00Z"}
    )
    stage.tell("→", "manager", "tries to pull it back")
    refused = await stage.expect("request.refused.v1", budget, code="already_exported")
    stage.tell("←", "bridge", f"refuses: {refused['message']}")
    left = [sight.type for sight in stage.sights if sight.key == str(budget) and not sight.expected]
    stage.check("the duplicates caused no message at all", holds=not left)
    _compare_books(stage, accounting, "26-1004", lines, PHASES)


async def retry_partial(stage: Stage, accounting: Accounting) -> None:
    """Spectrum takes only part of an export; it is retried."""
    budget = BudgetKey(COMPANY, 90075, 55250)
    lines = (
        (1, "03-300", "M", "Foundations", "52000.00"),
        (2, "09-900", "L", "Painting", "18500.25"),
    )
    accounting.refuse_once("09900", "L", "Cost type is closed for the period")
    await _lock(stage, budget, 1, lines)
    await _see_request(stage, budget, 1)
    await _accept(stage, budget, 1)
    await _see_export(stage, budget, 1)
    stage.tell("→", "Spectrum", "acknowledges partial")
    shown = await _see_status(stage, budget, 1, "EXPORT_FAILED")
    for line in shown["failed_lines"]:
        words = f"{line['phase_code']} {line['cost_type']}: {line['error_description']}"
        stage.tell(" ", "", words, style="yellow")
    await stage.send(
        "export.retry.v1", budget, 1, {"requested_by": "ops@hillside.example", "reason": "the period is open again"}
    )
    stage.tell("→", "operator", "asks for a retry: the period is open again")
    export = await _see_export(stage, budget, 1)
    stage.check("it is the same export, second attempt", holds=export["attempt"] == 2)  # noqa: PLR2004 - 1 and 1
    await _see_synced(stage, budget, 1)
    _compare_books(stage, accounting, "26-1005", lines, PHASES)


STORIES: Final[tuple[Callable[[Stage, Accounting], Awaitable[None]], ...]] = (
    sync_first_budget,
    resync_update,
    reject_and_correct,
    find_every_error,
    decide_before_lock,
    send_twice,
    retry_partial,
)

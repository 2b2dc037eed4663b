"""The scenarios in which somebody works in Spectrum beside the bridge: its figures move, or a phase takes no more."""

from typing import Final

from contracts.budget_key import BudgetKey
from demo.bridge_client import Data
from demo.scene import (
    ACCOUNTANT,
    COMPANY,
    COMPANY_CODE,
    OPERATOR,
    Line,
    Scene,
    accept,
    check_amounts,
    count_lines,
    expect_export,
    expect_read_back,
    expect_request,
    expect_status,
    expect_synced,
    format_amount,
    lock,
    print_failed_lines,
)
from demo.spectrum import COMPLETE, HeldLine, LineRefusal, SpectrumJob

BUDGET: Final = BudgetKey(COMPANY, 90075, 55250)
"""The one budget of all these scenarios."""
JOB: Final = "26-1005"
FOUNDATIONS: Final = Line(1, "03-300", "M", "Foundations", "52000.00")
PAINTING: Final = Line(2, "09-900", "L", "Painting", "18500.25")
_OWNERS_FIGURE: Final = "50000.00"


async def retry_partial(scene: Scene) -> None:
    """Spectrum takes only part of an export, and an operator retries it."""
    lines = (FOUNDATIONS, PAINTING)
    refusal = LineRefusal("E", "Cost type is closed for the period", "Cost_Type")
    scene.spectrum.refusals[PAINTING.key] = refusal
    await lock(scene, BUDGET, 1, lines)
    request = await expect_request(scene, BUDGET, 1)
    await accept(scene, BUDGET, 1, request["content_hash"])
    await expect_export(scene, BUDGET, 1)
    scene.timeline.print_event("→", "Spectrum", "acknowledges it as partial")
    print_failed_lines(scene, await expect_status(scene, BUDGET, 1, "EXPORT_FAILED"))
    retry = {"requested_by": OPERATOR, "reason": "the period is open again"}
    await scene.bridge.send("export.retry.v1", BUDGET, 1, retry)
    scene.timeline.print_event("→", "operator", f"asks for a retry: {retry['reason']}")
    export = await expect_export(scene, BUDGET, 1)
    scene.timeline.check("it is the second attempt of the same export", holds=export["attempt"] == 2)  # noqa: PLR2004
    await expect_synced(scene, BUDGET, 1)
    check_amounts(scene, JOB, lines)


async def find_and_restate(scene: Scene) -> None:
    """A figure typed over in Spectrum is found to the cent and restated."""
    _find_held(scene, PAINTING).original += 1
    scene.timeline.print_event("✎", "clerk", "types 18,500.26 over 09900 L in Spectrum")
    drift = await _ask_what_it_holds(scene, "the job report does not add up")
    found = (drift["state"], drift["drift_lines"], drift["drift_amount"])
    scene.timeline.check("one line differs, by one cent", holds=found == ("differs", 1, "0.01"))
    await _decide(scene, drift, "restate")
    scene.timeline.print_event("→", "approver", "has the approved figures sent once more")
    before = scene.bridge.list_sent("spectrum.export.v1", BUDGET)[-1]
    again = await expect_export(scene, BUDGET, 1, resync=True)
    content = [export["content_hash"] for export in (before, again)]
    scene.timeline.check(
        "it is a new export of the same version and content",
        holds=again["restatement"] == 1 and again["export_id"] != before["export_id"] and len(set(content)) == 1,
    )
    await expect_synced(scene, BUDGET, 1)
    check_amounts(scene, JOB, (FOUNDATIONS, PAINTING))


async def keep_with_a_reason(scene: Scene) -> None:
    """Another figure is typed over in Spectrum and kept, with a reason."""
    reason = "as in the owner's letter of 24 November"
    held = FOUNDATIONS._replace(amount=_OWNERS_FIGURE)
    _find_held(scene, FOUNDATIONS).original = held.cents
    scene.timeline.print_event("✎", "clerk", "types 50,000.00 over 03300 M in Spectrum")
    drift = await _ask_what_it_holds(scene, "accounting has corrected the job")
    found = (drift["state"], drift["drift_lines"], drift["drift_amount"])
    scene.timeline.check("one line differs, by 2,000.00", holds=found == ("differs", 1, "2000.00"))
    await _decide(scene, drift, "keep", reason)
    scene.timeline.print_event("→", "approver", f"keeps Spectrum's figure, {reason}")
    kept = await scene.bridge.expect("erp.drift.v1", BUDGET, state="matches")
    await scene.bridge.expect("budget.status.v1", BUDGET, read_back="matches", drift_lines=0)
    marks = [(line["phase_code"], line["kept_by"], line["kept_reason"]) for line in kept["lines"]]
    scene.timeline.check(
        "the line is marked with who and why, and is no longer reported as a difference",
        holds=marks == [("03300", ACCOUNTANT, reason)],
    )
    check_amounts(scene, JOB, (held, PAINTING))


async def accept_after_opening_a_phase(scene: Scene) -> None:
    """A phase set Complete is opened again, and the approver accepts again."""
    _find_held(scene, PAINTING).status = COMPLETE
    scene.timeline.print_event("✎", "clerk", "sets phase 09900 L Complete in Spectrum")
    updated = (FOUNDATIONS._replace(amount=_OWNERS_FIGURE), PAINTING._replace(amount="19200.00"))
    await lock(scene, BUDGET, 2, updated)
    request = await expect_request(scene, BUDGET, 2)
    await accept(scene, BUDGET, 2, request["content_hash"])
    await expect_export(scene, BUDGET, 2, resync=True)
    scene.timeline.print_event("→", "Spectrum", "acknowledges it as partial")
    print_failed_lines(scene, await expect_status(scene, BUDGET, 2, "EXPORT_FAILED"))
    _find_held(scene, PAINTING).status = "A"
    scene.timeline.print_event("✎", "clerk", "sets it Active again in Spectrum")
    await accept(scene, BUDGET, 2, request["content_hash"], at="2026-11-24T11:00:00Z")
    export = await expect_export(scene, BUDGET, 2, resync=True)
    scene.timeline.check(
        "that sends the same export again, without an operator",
        holds=export["attempt"] == 2,  # noqa: PLR2004
    )
    await expect_synced(scene, BUDGET, 2)
    check_amounts(scene, JOB, updated)


def _find_held(scene: Scene, line: Line) -> HeldLine:
    return scene.spectrum.jobs[SpectrumJob(COMPANY_CODE, JOB)][line.key]


async def _ask_what_it_holds(scene: Scene, reason: str) -> Data:
    await scene.bridge.send("snapshot.request.v1", BUDGET, None, {"requested_by": OPERATOR, "reason": reason})
    scene.timeline.print_event("→", "operator", f"wants Spectrum read: {reason}")
    drift = await expect_read_back(scene, BUDGET)
    differing = f"{count_lines(drift['drift_lines'])}, {format_amount(drift['drift_amount'])} USD"
    scene.timeline.print_event("←", "bridge", f"reports drift: {differing}", style="cyan")
    for line in drift["lines"]:
        sent, found = format_amount(line["expected_original"]), format_amount(line["found_original"])
        scene.timeline.print_detail(f"{line['phase_code']} {line['cost_type']}  sent {sent:>12}  found {found:>12}")
    return drift


async def _decide(scene: Scene, drift: Data, decision: str, reason: str | None = None) -> None:
    fields = {"decided_by": ACCOUNTANT, "decided_at": "2026-11-24T10:00:00Z", "reason": reason}
    data = {"decision": decision, "drift_hash": drift["drift_hash"], **fields}
    await scene.bridge.send("drift.decision.v1", BUDGET, None, data)

"""The scenario in which a budget begins in Spectrum: it is imported, and comes back unchanged."""

from typing import Final

from contracts.budget_key import BudgetKey
from demo.bridge_client import Data
from demo.scene import (
    ACCOUNTANT,
    COMPANY,
    COMPANY_CODE,
    Line,
    Scene,
    accept,
    count_lines,
    expect_export,
    expect_request,
    expect_synced,
    format_amount,
    lock,
)
from demo.spectrum import LineKey, SpectrumJob
from demo.spectrum_accounting import request_change, run_project_setup
from demo.spectrum_snapshot import write_amount

BUDGET: Final = BudgetKey(COMPANY, 90076, 55260)
JOB: Final = SpectrumJob(COMPANY_CODE, "26-1006")
CONCRETE: Final = LineKey("03300", "M")
_DESCRIPTIONS: Final = {
    "01500": "General conditions",
    "03300": "Concrete, cast in place",
    "05120": "Structural steel",
    "09900": "Painting",
}


async def import_and_export(scene: Scene) -> None:
    """A job imported from Spectrum is exported as it is: nothing moves."""
    _set_up_job(scene)
    before = _read_figures(scene)
    asked = {"requested_by": ACCOUNTANT, "requested_at": "2026-11-24T08:00:00Z", "currency": "USD"}
    await scene.bridge.send("import.requested.v1", BUDGET, None, asked | {"mode": "take", "budget_unlocked": True})
    scene.timeline.print_event("→", "approver", "asks for the job to be imported")
    ready = await _expect_offer(scene)
    offered = [(line["phase_code"], line["change"]) for line in ready["lines"]]
    scene.timeline.check(
        "three lines are offered; the empty one and what others booked stay in Spectrum",
        holds=offered == [("01500", "add"), ("03300", "add"), ("05120", "add")]
        and ready["total_import"] == ready["total_spectrum"] == "1000500.00",
    )
    lines = await _apply(scene, ready)
    await lock(scene, BUDGET, 1, lines)
    request = await expect_request(scene, BUDGET, 1)
    changes = {line["change"] for line in request["lines"]}
    scene.timeline.check("the approver sees that no line would change", holds=changes == {"same"})
    await accept(scene, BUDGET, 1, request["content_hash"])
    await expect_export(scene, BUDGET, 1)
    await expect_synced(scene, BUDGET, 1)
    scene.timeline.check(
        "every original, revision and current estimate in Spectrum is as before, to the cent",
        holds=_read_figures(scene) == before,
    )


def _read_figures(scene: Scene) -> dict[LineKey, tuple[int, dict[str, int], int]]:
    held = scene.spectrum.jobs[JOB]
    return {key: (line.original, dict(line.revisions), line.current) for key, line in held.items()}


def _set_up_job(scene: Scene) -> None:
    lines = scene.spectrum.jobs.setdefault(JOB, {})
    estimate = {
        LineKey("01500", "L"): 48_000_00,
        CONCRETE: 312_500_00,
        LineKey("05120", "S"): 640_000_00,
        LineKey("09900", "S"): 0,
    }
    run_project_setup(lines, estimate)
    request_change(lines[CONCRETE], "CR-77", 20_000_00, recognised=True)
    scene.spectrum.descriptions |= {(JOB, phase): name for phase, name in _DESCRIPTIONS.items()}
    total = format_amount(write_amount(sum(held.current for held in lines.values())))
    what = f"sets up job {JOB.job_number} in Spectrum: {count_lines(len(lines))}, {total} USD with a change request"
    scene.timeline.print_event("✎", "clerk", what)


async def _expect_offer(scene: Scene) -> Data:
    asked = await scene.bridge.expect("spectrum.snapshot_requested.v1", BUDGET, purpose="import")
    scene.timeline.print_event("←", "bridge", f"asks what job {asked['job_number']} holds")
    ready = await scene.bridge.expect("budget.import_ready.v1", BUDGET)
    scene.timeline.print_event("→", "Spectrum", f"answers with a snapshot of {count_lines(len(_DESCRIPTIONS))}")
    what = f"offers {count_lines(len(ready['lines']))}, {format_amount(ready['total_import'])} {ready['currency']}"
    scene.timeline.print_event("←", "bridge", what)
    for line in ready["lines"]:
        amount = format_amount(line["original_amount"])
        scene.timeline.print_detail(f"{line['change']}  {line['cost_code']} {line['cost_type']}  {amount:>12}")
    for notice in ready["notices"]:
        scene.timeline.print_detail(notice["message"], style="dim")
    return ready


async def _apply(scene: Scene, ready: Data) -> tuple[Line, ...]:
    """The project system takes the lines that are offered; returns them as lines of its budget."""
    lines = tuple(
        Line(number, line["cost_code"], line["cost_type"], line["description"], line["original_amount"])
        for number, line in enumerate(ready["lines"], 1)
    )
    applied = {"import_id": ready["import_id"], "applied_by": ACCOUNTANT, "applied_at": "2026-11-24T08:05:00Z"}
    results = [
        {
            "phase_code": offered["phase_code"],
            "spectrum_cost_type": offered["spectrum_cost_type"],
            "budget_line_item_id": line.item_id,
            "status": "success",
            "error": None,
        }
        for offered, line in zip(ready["lines"], lines, strict=True)
    ]
    await scene.bridge.send("import.applied.v1", BUDGET, None, applied | {"status": "whole", "lines": results})
    scene.timeline.print_event("→", "project", "has taken all of them")
    await scene.bridge.expect("budget.import_ended.v1", BUDGET, cause="applied")
    return lines

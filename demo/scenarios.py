"""The scenarios of the demo: what people do with one budget, and what the bridge must do in response."""

from collections.abc import Awaitable, Callable
from typing import Final

from contracts.budget_key import BudgetKey
from demo.forgery_scenario import refuse_forgeries
from demo.import_scenario import import_and_export
from demo.scene import (
    COMPANY,
    MANAGER,
    OFFICE,
    STEEL,
    Line,
    Scene,
    accept,
    check_amounts,
    expect_export,
    expect_request,
    expect_status,
    expect_synced,
    format_amount,
    hash_content,
    lock,
    write_decision,
    write_lock,
)
from demo.spectrum_scenarios import (
    accept_after_opening_a_phase,
    find_and_restate,
    keep_with_a_reason,
    retry_partial,
)


async def sync_first_budget(scene: Scene) -> None:
    """A budget is locked, approved, exported and synced."""
    budget = BudgetKey(COMPANY, 90071, 55210)
    await lock(scene, budget, 1, OFFICE)
    request = await expect_request(scene, budget, 1)
    await accept(scene, budget, 1, request["content_hash"])
    await expect_export(scene, budget, 1)
    await expect_synced(scene, budget, 1)
    check_amounts(scene, "26-1001", OFFICE)


async def resync_update(scene: Scene) -> None:
    """A new version changes one line, adds one and removes one."""
    budget = BudgetKey(COMPANY, 90071, 55210)
    updated = (
        OFFICE[0],
        OFFICE[1],
        Line(3, "03-300", "L", "Concrete, cast in place", "190000.75"),
        Line(5, "09-900", "S", "Painting", "75400.00"),
    )
    await lock(scene, budget, 2, updated)
    request = await expect_request(scene, budget, 2)
    await accept(scene, budget, 2, request["content_hash"])
    resync = await expect_export(scene, budget, 2, resync=True)
    for line in resync["lines"]:
        before, after = line["previous_original_estimate_cost"], line["original_estimate_cost"]
        scene.timeline.print_detail(
            f"{line['change']:<4}  {line['phase_code']} {line['cost_type']}  "
            f"{format_amount(before) if before else '–':>12} → {format_amount(after):>12}",
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
    await expect_synced(scene, budget, 2)
    check_amounts(scene, "26-1001", updated)


async def reject_and_correct(scene: Scene) -> None:
    """A budget is rejected with a reason, corrected and accepted."""
    budget = BudgetKey(COMPANY, 90072, 55220)
    reason = "Earthwork is 10,000 too high; see the revised quote."
    first = (Line(1, "02-310", "E", "Earthwork and grading", "95000.00"),)
    corrected = (Line(1, "02-310", "E", "Earthwork and grading", "85000.00"),)
    await lock(scene, budget, 1, first)
    await expect_request(scene, budget, 1)
    await scene.bridge.send("approval.decision.v1", budget, 1, write_decision("reject", reason))
    scene.timeline.print_event("→", "approver", f"rejects version 1: {reason}")
    returned = await scene.bridge.expect("budget.returned.v1", budget, cause="rejected")
    scene.timeline.print_event("←", "bridge", f"returns it to {' and '.join(returned['notify'])}")
    scene.timeline.check("the reason reaches them word for word", holds=returned["reason"] == reason)
    await expect_status(scene, budget, 1, "RETURNED")
    await lock(scene, budget, 2, corrected)
    request = await expect_request(scene, budget, 2)
    await accept(scene, budget, 2, request["content_hash"])
    await expect_export(scene, budget, 2)
    await expect_synced(scene, budget, 2)
    check_amounts(scene, "26-1002", corrected)


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
    await lock(scene, budget, 1, lines)
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
    await expect_status(scene, budget, 1, "INVALID")


async def accept_before_lock(scene: Scene) -> None:
    """An acceptance arrives before the lock that it is about."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    early = await accept(scene, budget, 1, hash_content("26-1004", STEEL))
    await scene.bridge.wait_for_verdict(budget, early, "parked")
    scene.timeline.print_event(" ", "bridge", "does not know that version yet, and parks the acceptance")
    await lock(scene, budget, 1, STEEL)
    await expect_request(scene, budget, 1)
    await expect_export(scene, budget, 1)
    await expect_synced(scene, budget, 1)
    check_amounts(scene, "26-1004", STEEL)


async def send_twice(scene: Scene) -> None:
    """A lock is delivered twice and then sent again: nothing changes."""
    budget = BudgetKey(COMPANY, 90074, 55240)
    locked = write_lock(STEEL)
    repeated = await scene.bridge.send("budget.locked.v1", budget, 1, locked)
    await scene.bridge.send("budget.locked.v1", budget, 1, locked, repeated)
    scene.timeline.print_event("→", "manager", "sends the lock again under a new id, which is delivered twice")
    again = await accept(scene, budget, 1, hash_content("26-1004", STEEL))
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
    check_amounts(scene, "26-1004", STEEL)


SCENARIOS: Final[tuple[Callable[[Scene], Awaitable[None]], ...]] = (
    sync_first_budget,
    resync_update,
    reject_and_correct,
    find_every_error,
    accept_before_lock,
    send_twice,
    retry_partial,
    find_and_restate,
    keep_with_a_reason,
    accept_after_opening_a_phase,
    import_and_export,
    refuse_forgeries,
)

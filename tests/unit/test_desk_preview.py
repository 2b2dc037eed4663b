"""What the desk shows before a click is what the bridge answers after it: for every refusal, and in the laws' world."""

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import get_args

import pytest

from contracts.cloudevents.message import Message
from contracts.outbound import RefusalCode, RequestRefused, SpectrumExport
from desk.preview import list_who_may_accept, make_acceptance, make_rejection, preview
from handlers.budget import Status
from handlers.decide import decide
from handlers.decision import Situation
from tests.laws.world import USERS, World
from tests.unit.builders import (
    CONCRETE,
    KEY,
    NOON,
    STEEL,
    Scenario,
    accept,
    acknowledge,
    bring_to,
    decide_drift,
    list_held,
    lock,
    reject,
    request_import,
    request_snapshot,
    retry,
    snapshot,
)

OTHER_HASH = "a" * 64


def meet_drift(**rules: str) -> Scenario:
    scenario = bring_to(Status.SYNCED, **rules)
    base = scenario.budget.base
    assert base
    return scenario.send(snapshot(*list_held(base, S05120={"original_estimate_cost": "1.00"}), begun=base))


REFUSED: dict[str, Callable[[], tuple[Scenario, object]]] = {
    "stale_version": lambda: (Scenario().send(lock(), lock(2)), accept(1)),
    "unknown_version": lambda: (bring_to(Status.EXPORT_FAILED), retry(7)),
    "already_exported": lambda: (bring_to(Status.EXPORTING), reject()),
    "already_returned": lambda: (bring_to(Status.RETURNED), accept()),
    "invalid_version": lambda: (bring_to(Status.INVALID), accept()),
    "not_authorised": lambda: (bring_to(Status.PENDING_APPROVAL), accept(by="eve")),
    "same_person": lambda: (Scenario().send(lock(sent_by="ann")), accept()),
    "sender_unknown": lambda: (Scenario().send(lock(sent_by=None)), accept()),
    "no_reason": lambda: (bring_to(Status.PENDING_APPROVAL), reject(reason=None)),
    "content_mismatch": lambda: (bring_to(Status.PENDING_APPROVAL), accept(content_hash=OTHER_HASH)),
    "not_failed": lambda: (bring_to(Status.SYNCED), retry()),
    "parked_limit": lambda: (bring_to(Status.RETURNED, parked_limit=0), accept(5, content_hash=OTHER_HASH)),
    "nothing_held": lambda: (bring_to(Status.PENDING_APPROVAL), request_snapshot()),
    "drift_open": lambda: (meet_drift(open_drift="block").send(lock(2, CONCRETE)), accept(2)),
    "drift_changed": lambda: (meet_drift().send(lock(2, CONCRETE)), accept(2, drift_hash=OTHER_HASH)),
    "no_drift": lambda: (bring_to(Status.SYNCED), decide_drift("restate", OTHER_HASH)),
    "import_under_way": lambda: (Scenario().send(request_import()), request_import("bob")),
    "unmapped_project": lambda: (Scenario().with_rules(jobs={}), request_import()),
    "version_under_way": lambda: (bring_to(Status.PENDING_APPROVAL), request_import()),
    "budget_locked": lambda: (Scenario(), request_import(budget_unlocked=False)),
    "job_taken": lambda: (Scenario(taken_by=7), request_import()),
}
ELSEWHERE = {
    "expired": "a timer refuses what was parked for too long: nobody clicks",
    "not_synced": "the desk offers a drift decision of a synced budget alone",
    "no_reference_left": "the last reference of a project takes nine million exports",
}


@pytest.mark.parametrize("code", REFUSED)
def test_the_sentence_before_the_click_is_the_one_after_it(code: str) -> None:
    scenario, act = REFUSED[code]()
    before = preview(scenario.budget, act, Situation(scenario.now, scenario.rules, scenario.taken_by))  # type: ignore[arg-type]
    assert before.refusal
    assert before.refusal.code == code
    assert not before.is_allowed
    refusal: RequestRefused = scenario.send(act).find("request.refused.v1")  # type: ignore[arg-type]
    assert before.sentence == refusal.message
    assert scenario.last.detail == f"{code}: {before.sentence}"


def test_every_refusal_code_is_tried_or_cannot_be_met_by_a_click() -> None:
    assert {*REFUSED, *ELSEWHERE} >= set(get_args(RefusalCode)) - SIGNATURES
    assert not REFUSED.keys() & ELSEWHERE.keys()


SIGNATURES = {"signature_missing", "signature_invalid", "signer_not_allowed", "signature_expired"}
"""The desk signs what it sends, and its own tests try these."""


def test_what_is_shown_before_an_acceptance_is_the_export_that_is_sent_after_it() -> None:
    scenario = Scenario().send(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"), lock(2, CONCRETE))
    act = make_acceptance(scenario.budget, "ann", scenario.now + timedelta(minutes=1))
    assert act
    before = preview(scenario.budget, act, Situation(scenario.now + timedelta(minutes=1), scenario.rules)).export
    assert before == scenario.send(act).find("spectrum.resync.v1")


def test_an_acceptance_that_would_make_the_version_invalid_is_not_offered() -> None:
    scenario = Scenario().send(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"), lock(2, CONCRETE))
    scenario.with_rules(removed_lines="block")
    act = make_acceptance(scenario.budget, "ann", NOON)
    assert act
    before = preview(scenario.budget, act, Situation(NOON, scenario.rules))
    assert not before.is_allowed
    assert before.errors
    assert before.export is None


def test_a_budget_on_hold_is_not_offered() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL)
    held = scenario.budget._replace(on_hold=True)
    act = make_acceptance(held, "ann", NOON)
    assert act
    assert not preview(held, act, Situation(NOON, scenario.rules)).is_allowed


def test_who_else_may_accept_is_asked_of_the_bridge() -> None:
    scenario = Scenario().send(lock(sent_by="ann"))
    assert list_who_may_accept(scenario.budget, scenario.rules, Situation(NOON, scenario.rules)) == ("bob",)
    assert make_rejection(scenario.budget, "bob", NOON, "no") == reject(
        by="bob",
        reason="no",
        decided_at=NOON,
        content_hash=scenario.budget.version.content_hash,  # type: ignore[union-attr]
    )


def list_outcomes(seed: int) -> list[str]:
    """Before each step of a history, decide beforehand what each person could click; then let the bridge decide."""
    world, seen = World(Random(seed), 40), []

    def click() -> None:
        for key, budget in list(world.budgets.items()):
            user = world.chance.choice(USERS)
            act = make_acceptance(budget, user, world.now)
            if act is None:
                continue
            others = [other for other, one in world.budgets.items() if other != key and one.claims_job]
            last = max(one.last_reference for one in world.budgets.values())
            situation = Situation(world.now, world.rules, others[0].budget_id if others else None, last_reference=last)
            before = preview(budget, act, situation)
            after = decide(budget, Message("law", "click", act, ()), situation)
            refusals = [sent for sent in after.step.sends if isinstance(sent, RequestRefused)]
            exports = [sent for sent in after.step.sends if isinstance(sent, SpectrumExport)]
            assert before.sentence == (refusals[0].message if refusals else after.detail)
            assert before.is_allowed == bool(exports)
            assert before.export == (exports[0] if exports else None)
            seen.append(refusals[0].code if refusals else after.verdict.value)

    for _ in range(world.steps):
        world.steps = 1
        world.now += timedelta(seconds=60)
        world.chance.choice(
            [world._lock, world._decide, world._deliver, world._deliver, world._deliver, world._change]
        )()
        click()
    return seen


def test_in_the_world_of_the_laws_what_is_shown_is_what_is_answered() -> None:
    seen = [outcome for seed in range(60) for outcome in list_outcomes(seed)]
    assert {"applied", "not_authorised"} <= set(seen)
    assert len(set(seen)) >= 4


def test_a_date_in_an_acceptance_changes_nothing_else() -> None:
    scenario = bring_to(Status.EXPORT_FAILED)
    act = make_acceptance(scenario.budget, "bob", NOON)
    assert act
    dated = act.model_copy(update={"effective_date": date(2026, 12, 1)})
    situation = Situation(NOON, scenario.rules)
    plain, other = preview(scenario.budget, act, situation).export, preview(scenario.budget, dated, situation).export
    assert plain
    assert other == plain.model_copy(update={"effective_date": date(2026, 12, 1)})
    assert scenario.budget.key == KEY

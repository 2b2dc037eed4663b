"""Change references: counted over all budgets of a project, and none is used twice."""

import json

import pytest

from contracts.inbound import InboundMessage
from contracts.outbound import SpectrumExport
from handlers.budget import Status
from handlers.decide import decide
from handlers.decision import Situation
from handlers.references import MAX_REFERENCE
from handlers.rules import Job
from outbox.audit import Effect, Kept
from outbox.batch import Loaded, decide_batch
from outbox.budget_state import read_state, write_state
from outbox.decide_again import ProjectDecidedAgain
from outbox.rules import RulesVersion
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import KEY, NOON, RULES, STEEL, Scenario, accept, acknowledge, bring_to, lock, release, reset
from tests.unit.builders import retry as send_again
from tests.unit.test_budget_state import read_golden

OTHER = KEY._replace(budget_id=2)
CHANGED = STEEL | {"original_amount": "1.00"}
EXPORT = "spectrum.export.v1"


def read_references(*bodies: InboundMessage, loaded: Loaded | None = None) -> list[str]:
    """Decide one batch; returns the references of the exports, in order."""
    batch = [arrive(offset, body) for offset, body in enumerate(bodies)]
    known = loaded or Loaded(frozenset(), {}, {})
    decided = decide_batch(batch, known, RulesVersion(1, "", RULES), TOPICS, frozenset())
    exports = [row.record.value for row in decided.rows if row.record.topic == "x.spectrum.exports"]
    return [json.loads(value or b"")["change_reference"] for value in exports]


def test_two_budgets_that_have_the_job_in_turn_share_the_count() -> None:
    first: tuple[InboundMessage, ...] = (lock(), accept(), acknowledge("success"), reset())
    second = (lock(1, key=OTHER), accept(1, key=OTHER), acknowledge("success", key=OTHER))
    assert read_references(*first, *second) == ["B0000001", "B0000002"]


def test_what_the_database_holds_of_the_project_counts() -> None:
    loaded = Loaded(frozenset(), {}, {}, references={KEY.project: 41})
    assert read_references(lock(), accept(), loaded=loaded) == ["B0000042"]
    elsewhere = Loaded(frozenset(), {}, {}, references={(1, 2): 41})
    assert read_references(lock(), accept(), loaded=elsewhere) == ["B0000001"]


def test_every_attempt_has_the_same_and_the_next_export_another() -> None:
    scenario = bring_to(Status.EXPORT_FAILED).send(send_again())
    assert scenario.find(EXPORT).change_reference == "B0000001"
    scenario.send(acknowledge("success", attempt=2), reset(), lock(), accept())
    assert (scenario.find(EXPORT).change_reference, scenario.find(EXPORT).export_number) == ("B0000002", 2)


def test_two_exports_of_one_release_have_two() -> None:
    held: tuple[InboundMessage, ...] = (lock(), accept(), acknowledge("success"), lock(2, CHANGED), accept(2))
    scenario = Scenario()
    scenario.budget = scenario.budget._replace(on_hold=True)
    messages = tuple(arrive(offset, body).message for offset, body in enumerate(held))
    situation = Situation(NOON, RULES, held=messages, last_reference=6)  # type: ignore[arg-type]
    outcome = decide(scenario.budget, arrive(9, release()).message, situation)  # type: ignore[arg-type]
    exports = [send for send in outcome.step.sends if isinstance(send, SpectrumExport)]
    assert [export.change_reference for export in exports] == ["B0000007", "B0000008"]


@pytest.mark.parametrize(("first", "last", "expected"), [(500, 0, 500), (500, 499, 500), (500, 500, 501), (1, 7, 8)])
def test_the_first_one_is_what_the_job_says_or_what_follows_the_last(first: int, last: int, expected: int) -> None:
    jobs = {KEY.project: Job("001", "26-1001", first)}
    scenario = Scenario().with_rules(jobs=jobs).send(lock())
    scenario.budget = scenario.budget._replace(last_reference=last)
    scenario.send(accept())
    assert scenario.find(EXPORT).change_reference == f"B{expected:07d}"
    assert scenario.budget.last_reference == expected


def test_the_first_one_alone_does_not_change_the_job() -> None:
    jobs = {KEY.project: Job("001", "26-1001", 500)}
    scenario = bring_to(Status.SYNCED).send(lock(2, CHANGED)).with_rules(jobs=jobs).send(accept(2))
    assert scenario.status is Status.EXPORTING
    assert scenario.send(acknowledge("success", 2), lock(3, STEEL)).status is Status.PENDING_APPROVAL


def test_once_they_are_used_up_an_acceptance_makes_the_version_invalid() -> None:
    jobs = {KEY.project: Job("001", "26-1001", MAX_REFERENCE)}
    scenario = Scenario().with_rules(jobs=jobs).send(lock(), accept())
    assert scenario.find(EXPORT).change_reference == "B9999999"
    scenario.send(acknowledge("success"), lock(2, CHANGED), accept(2))
    assert [error.code for error in scenario.find("budget.returned.v1").errors] == ["no_reference_left"]
    # Whichever budget used the last one.
    late = bring_to(Status.PENDING_APPROVAL)
    outcome = decide(late.budget, arrive(0, accept()).message, Situation(NOON, RULES, last_reference=MAX_REFERENCE))  # type: ignore[arg-type]
    assert outcome.step.budget.status is Status.INVALID


def test_deciding_again_counts_as_the_lane_did() -> None:
    first: tuple[InboundMessage, ...] = (lock(), accept(), acknowledge("success"), reset())
    second: tuple[InboundMessage, ...] = (lock(1, key=OTHER), accept(1, key=OTHER))
    batch = [arrive(offset, body) for offset, body in enumerate((*first, *second))]
    decided = decide_batch(batch, Loaded(frozenset(), {}, {}), RulesVersion(1, "", RULES), TOPICS, frozenset())
    again = ProjectDecidedAgain({1: RULES}, TOPICS)
    for entry in decided.entries:
        place = entry.arrival.inbox.place
        kept = Kept(entry.identity, *place[1:], entry.at, entry.arrival.original, entry.verdict, "", 1, pruned=False)
        rows = [row for row in decided.rows if row.inbox_offset == place.offset]
        effects = [Effect(place.partition, place.offset, row.ordinal, str(row.id), row.record) for row in rows]
        assert list(again.decide(kept, None, effects)) == []
    assert list(again.compare(decided.budgets)) == []


def test_an_older_state_has_counted_by_its_exports() -> None:
    for old, current in zip(read_golden(1), read_golden(2), strict=True):
        budget = read_state(old)
        assert budget == read_state(current)
        assert budget.last_reference == len(budget.tries)
        for export in filter(None, (budget.unanswered, budget.base)):
            assert export.reference == export.number
        assert read_state(write_state(budget)) == budget

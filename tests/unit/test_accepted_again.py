"""An acceptance of a failed export sends it again; a retry and an acceptance can name the date to book under."""

from datetime import date
from typing import Any

import pytest

from contracts.inbound import ApprovalDecision
from handlers.budget import Status
from handlers.rules import Job
from tests.unit.builders import KEY, STEEL, Scenario, accept, acknowledge, bring_to, hash_of, lock, pass_deadline, retry

EXPORT = "spectrum.export.v1"
TYPES = [EXPORT, "budget.status.v1"]
LATER = "2026-11-25T09:00:00Z"
DATE = date(2026, 12, 1)


def send_again(scenario: Scenario, *answers: str, **fields: Any) -> Any:
    """Let the export fail, accept it again; returns the attempt that follows."""
    for answer in answers or ("failed",):
        scenario.send(acknowledge(answer, attempt=scenario.find(EXPORT).attempt if scenario.types == TYPES else 1))
    scenario.send(accept(1, **fields))
    assert (scenario.status, scenario.types) == (Status.EXPORTING, TYPES)
    return scenario.find(EXPORT)


@pytest.mark.parametrize("fields", [{"by": "bob"}, {"decided_at": LATER}])
def test_it_is_the_same_export(fields: dict[str, str]) -> None:
    scenario = bring_to(Status.EXPORTING)
    first = scenario.find(EXPORT)
    again = send_again(scenario, **fields)
    assert again == first.model_copy(update={"attempt": 2})
    assert (again.approved_by, again.approved_at) == ("ann", accept().decided_at)
    assert scenario.send(acknowledge("success", attempt=2)).status is Status.SYNCED


def test_the_first_acceptance_said_again_is_a_duplicate() -> None:
    scenario = bring_to(Status.EXPORT_FAILED).send(accept(1, " ANN "))
    assert (scenario.verdict, scenario.types, scenario.status) == ("duplicate", [], Status.EXPORT_FAILED)
    # Whatever else has changed since.
    assert scenario.with_rules(approvers={}).send(accept()).verdict == "duplicate"


def test_a_later_acceptance_said_again_is_a_duplicate_too() -> None:
    scenario = bring_to(Status.EXPORTING)
    send_again(scenario, by="bob")
    scenario.send(acknowledge("partial", attempt=2))
    for said in (accept(1, "bob"), accept()):
        assert scenario.send(said).verdict == "duplicate"
    assert scenario.send(accept(1, "bob", decided_at=LATER)).find(EXPORT).attempt == 3


def test_the_rules_are_those_of_any_acceptance() -> None:
    wrong: dict[str, Any] = {"decided_at": LATER, "content_hash": "x"}
    scenario = bring_to(Status.EXPORT_FAILED)
    assert scenario.send(accept(1, "nobody", **wrong)).refusal == "not_authorised"
    assert scenario.send(accept(1, **wrong)).refusal == "content_mismatch"
    scenario.with_rules(require_content_hash=True)
    assert scenario.send(accept(decided_at=LATER)).refusal == "content_mismatch"
    assert scenario.send(accept(decided_at=LATER, content_hash=hash_of(STEEL))).status is Status.EXPORTING
    four = Scenario().with_rules(four_eyes=False).send(lock(sent_by="bob"), accept(), acknowledge("failed"))
    assert four.with_rules(four_eyes=True).send(accept(1, "bob")).refusal == "same_person"


def test_what_was_exported_is_sent_whatever_the_rules_say_of_its_job_now() -> None:
    scenario = bring_to(Status.EXPORT_FAILED).with_rules(jobs={KEY.project: Job("001", "other")})
    assert scenario.send(accept(1, "bob")).find(EXPORT).job_number == "26-1001"


def test_overdue_is_not_failed() -> None:
    scenario = bring_to(Status.EXPORTING)
    assert scenario.budget.due_at
    assert scenario.send(pass_deadline("acknowledgement", scenario.budget.due_at)).budget.overdue
    assert scenario.send(accept(1, "bob")).verdict == "duplicate"


def test_each_attempt_says_the_last_date_given() -> None:
    scenario = bring_to(Status.EXPORTING)
    assert scenario.find(EXPORT).effective_date is None
    assert send_again(scenario, by="bob").effective_date is None
    dated = retry().model_copy(update={"effective_date": DATE})
    scenario.send(acknowledge("failed", attempt=2), dated)
    assert scenario.find(EXPORT).effective_date == DATE
    scenario.send(acknowledge("failed", attempt=3), retry())
    assert scenario.find(EXPORT).effective_date == DATE
    last = send_again(scenario, by="bob", decided_at=LATER, effective_date="2027-01-04")
    assert (last.effective_date, last.attempt) == (date(2027, 1, 4), 5)


def test_an_acceptance_names_the_date_of_the_first_attempt() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL).send(accept(effective_date="2026-12-01"))
    assert scenario.find(EXPORT).effective_date == DATE
    assert b'"effective_date":"2026-12-01"' in scenario.find(EXPORT).write()
    scenario.send(acknowledge("success"), lock(2, STEEL | {"original_amount": "1.00"}), accept(2))
    assert scenario.find("spectrum.resync.v1").effective_date is None


def test_the_date_is_no_part_of_the_content() -> None:
    dated = bring_to(Status.PENDING_APPROVAL).send(accept(effective_date="2026-12-01")).find(EXPORT)
    assert dated.content_hash == bring_to(Status.EXPORTING).find(EXPORT).content_hash


@pytest.mark.parametrize("given", ["2026-12-1", "2026-02-30", "2026-12-01T00:00:00Z", "20261201", "", 20261201])
def test_another_form_of_a_date_is_unreadable(given: object) -> None:
    with pytest.raises(ValueError, match="date"):
        ApprovalDecision.model_validate(accept().model_dump() | {"effective_date": given})

"""The state table of docs/behaviour.md, row by row, from every status that a row names."""

from datetime import timedelta

import pytest

from handlers.budget import Status
from handlers.rules import Job
from tests.unit.builders import (
    NOON,
    RULES,
    STEEL,
    accept,
    acknowledge,
    bring_to,
    lock,
    pass_deadline,
    reject,
    reset,
    retrieve,
    retry,
)

TAKES_UP = [
    None,
    Status.INVALID,
    Status.RETURNED,
    Status.PENDING_APPROVAL,
    Status.EXPORT_FAILED,
    Status.SYNCED,
]
OTHER = STEEL | {"original_amount": "1.00"}
STATUS = "budget.status.v1"


@pytest.mark.parametrize("before", TAKES_UP)
def test_row_1_a_newer_valid_version_waits_for_approval(before: Status | None) -> None:
    scenario = bring_to(before).send(lock(2, OTHER))
    assert scenario.status is Status.PENDING_APPROVAL
    assert scenario.verdict == "applied"
    assert scenario.types == ["approval.requested.v1", STATUS]
    request = scenario.find("approval.requested.v1")
    assert request.kind == ("resync" if before is Status.SYNCED else "export")
    assert request.base_version == (1 if before is Status.SYNCED else None)
    assert request.total_amount == "1.00"


@pytest.mark.parametrize("before", TAKES_UP)
def test_row_2_a_newer_version_that_is_not_valid_goes_back(before: Status | None) -> None:
    scenario = bring_to(before).send(lock(2, OTHER | {"cost_type": "?"}, total_amount="7"))
    assert scenario.status is Status.INVALID
    assert scenario.verdict == "applied"
    assert scenario.types == ["budget.returned.v1", STATUS]
    returned = scenario.find("budget.returned.v1")
    assert returned.cause == "invalid"
    assert {error.code for error in returned.errors} == {"unmapped_cost_type", "total_mismatch"}
    assert scenario.find(STATUS).content_hash is None


def test_row_3_the_same_content_again_is_synced_without_an_export() -> None:
    scenario = bring_to(Status.SYNCED).send(lock(2, STEEL | {"budget_line_item_id": 9}))
    assert scenario.status is Status.SYNCED
    assert scenario.types == [STATUS]
    shown = scenario.find(STATUS)
    assert (shown.budget_version, shown.synced_version) == (2, 2)
    assert shown.export_id is None
    assert scenario.budget.base
    assert scenario.budget.base.version == 1


def test_row_4_an_acceptance_exports() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL).send(accept())
    assert scenario.status is Status.EXPORTING
    assert scenario.types == ["spectrum.export.v1", STATUS]
    export = scenario.find("spectrum.export.v1")
    assert (export.export_number, export.attempt, export.change_reference) == (1, 1, "B0000001")
    assert (export.approved_by, export.base_export_id) == ("ann", None)


def test_row_4_an_acceptance_after_a_success_is_a_resync() -> None:
    scenario = bring_to(Status.SYNCED).send(lock(2, OTHER), accept(2))
    assert scenario.types == ["spectrum.resync.v1", STATUS]
    assert scenario.find("spectrum.resync.v1").base_version == 1


def test_row_4_a_budget_that_only_failed_is_still_a_first_export() -> None:
    scenario = bring_to(Status.EXPORT_FAILED).send(lock(2, OTHER), accept(2))
    assert scenario.types == ["spectrum.export.v1", STATUS]
    assert scenario.find("spectrum.export.v1").export_number == 2


@pytest.mark.parametrize("jobs", [{}, {(4211, 90071): Job("001", "other")}])
def test_row_5_an_acceptance_for_another_job_goes_back(jobs: dict[tuple[int, int], object]) -> None:
    scenario = bring_to(Status.PENDING_APPROVAL).with_rules(jobs=jobs).send(accept())
    assert scenario.status is Status.INVALID
    assert scenario.verdict == "applied"
    assert scenario.types == ["budget.returned.v1", STATUS]
    [error] = scenario.find("budget.returned.v1").errors
    assert error.code == "job_changed"
    assert "budget-bridge reset 4211/90071/55210" in error.message


def test_row_5_an_acceptance_that_would_remove_a_line_goes_back() -> None:
    painting = STEEL | {"budget_line_item_id": 3, "cost_code": "09-900", "description": "Painting"}
    scenario = bring_to(Status.SYNCED).send(lock(2, painting)).with_rules(removed_lines="block").send(accept(2))
    assert scenario.status is Status.INVALID
    assert [error.code for error in scenario.find("budget.returned.v1").errors] == ["removed_line"]


def test_row_6_a_rejection_returns() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL).send(reject(reason="too high"))
    assert scenario.status is Status.RETURNED
    assert scenario.types == ["budget.returned.v1", STATUS]
    returned = scenario.find("budget.returned.v1")
    assert (returned.cause, returned.reason, returned.returned_by) == ("rejected", "too high", "ann")
    assert returned.notify == ("carla", "sam")


def test_row_7_a_retrieval_returns() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL).send(retrieve())
    assert scenario.status is Status.RETURNED
    assert scenario.types == ["budget.returned.v1", STATUS]
    returned = scenario.find("budget.returned.v1")
    assert (returned.cause, returned.reason, returned.returned_by) == ("retrieved", None, "mia")


@pytest.mark.parametrize("before", [Status.EXPORTING, Status.EXPORT_FAILED])
def test_row_8_a_success_syncs(before: Status) -> None:
    scenario = bring_to(before).send(acknowledge("success"))
    assert scenario.status is Status.SYNCED
    assert scenario.types == [STATUS]
    assert scenario.find(STATUS).synced_version == 1
    assert scenario.find(STATUS).failed_lines == ()


def test_row_8_a_success_of_an_earlier_attempt_counts() -> None:
    scenario = bring_to(Status.EXPORT_FAILED).send(retry(), acknowledge("success", attempt=1))
    assert scenario.status is Status.SYNCED


@pytest.mark.parametrize("answer", ["partial", "failed"])
def test_row_9_a_failure_keeps_the_failing_lines(answer: str) -> None:
    refused = {"phase_code": "05120", "cost_type": "S", "status": "failed", "error_code": "E9"}
    other = {"phase_code": "none", "cost_type": "S", "status": "failed"}
    scenario = bring_to(Status.EXPORTING).send(acknowledge(answer, lines=[refused, other]))
    assert scenario.status is Status.EXPORT_FAILED
    assert scenario.types == [STATUS]
    [line] = scenario.find(STATUS).failed_lines
    assert (line.phase_code, line.error_code) == ("05120", "E")


def test_row_10_a_passed_deadline_makes_it_overdue() -> None:
    scenario = bring_to(Status.EXPORTING)
    due = scenario.budget.due_at
    assert due == scenario.now + RULES.acknowledgement_deadline
    scenario.send(pass_deadline("acknowledgement", due))
    assert scenario.status is Status.EXPORTING
    assert scenario.types == [STATUS]
    assert scenario.find(STATUS).overdue


@pytest.mark.parametrize("overdue", [False, True])
def test_row_11_a_retry_sends_the_same_again(*, overdue: bool) -> None:
    scenario = bring_to(Status.EXPORTING if overdue else Status.EXPORT_FAILED)
    if overdue:
        scenario.send(pass_deadline("acknowledgement", NOON + timedelta(days=1)))
    scenario.send(retry())
    assert scenario.status is Status.EXPORTING
    assert scenario.types == ["spectrum.export.v1", STATUS]
    first, second = (sent for sent in scenario.sent if sent.type == "spectrum.export.v1")
    assert second == first.model_copy(update={"attempt": 2})
    assert not scenario.find(STATUS).overdue


def test_row_12_a_rejection_of_a_failed_export_returns_with_spectrums_words() -> None:
    refused = {
        "phase_code": "05120",
        "cost_type": "S",
        "status": "failed",
        "error_code": "E",
        "error_description": "closed",
        "error_column": "Cost_Type",
    }
    scenario = bring_to(Status.EXPORTING).send(acknowledge("partial", lines=[refused]), reject())
    assert scenario.status is Status.RETURNED
    assert scenario.types == ["budget.returned.v1", STATUS]
    returned = scenario.find("budget.returned.v1")
    assert returned.cause == "export_failed"
    [error] = returned.errors
    assert tuple(error.model_dump().values()) == (1, "Cost_Type", "E", "closed")


@pytest.mark.parametrize(
    ("answer", "then"),
    [("success", Status.SYNCED), ("failed", Status.EXPORT_FAILED), ("partial", Status.EXPORT_FAILED)],
)
def test_row_13_a_version_behind_an_export_waits_and_is_taken_up(answer: str, then: Status) -> None:
    scenario = bring_to(Status.EXPORTING).send(lock(2, OTHER))
    assert (scenario.status, scenario.verdict, scenario.types) == (Status.EXPORTING, "waiting", [STATUS])
    assert scenario.find(STATUS).waiting_version == 2
    scenario.send(acknowledge(answer))
    assert scenario.status is Status.PENDING_APPROVAL
    assert scenario.types == [STATUS, "approval.requested.v1", STATUS]
    first, second = (sent for sent in scenario.sent[-3:] if sent.type == STATUS)
    assert (first.status, first.budget_version) == (then.value, 1)  # type: ignore[attr-defined]
    assert (second.status, second.budget_version) == ("PENDING_APPROVAL", 2)  # type: ignore[attr-defined]
    assert [(done.id, done.verdict) for done in scenario.last.step.resolved] == [("m2", "applied")]


@pytest.mark.parametrize(
    "before",
    [Status.INVALID, Status.PENDING_APPROVAL, Status.RETURNED, Status.EXPORT_FAILED, Status.SYNCED],
)
def test_row_14_a_reset_gives_the_job_free(before: Status) -> None:
    scenario = bring_to(before).send(reset())
    assert scenario.status is Status.RETURNED
    assert scenario.types[0] == "budget.returned.v1"
    assert scenario.find("budget.returned.v1").cause == "reset"
    assert not scenario.budget.claims_job
    scenario.send(lock(2, OTHER), accept(2))
    export = scenario.find("spectrum.export.v1")
    assert export.base_version is None
    assert export.export_number == (2 if before in {Status.EXPORT_FAILED, Status.SYNCED} else 1)


def test_row_14_a_reset_forgets_the_version() -> None:
    scenario = bring_to(None).send(
        lock(9_999_999, STEEL), accept(9_999_999), acknowledge("failed", 9_999_999, number=1)
    )
    first = scenario.budget.export_id_of_version
    assert scenario.send(reset(9_999_999)).find(STATUS).export_id is None
    assert scenario.send(lock(3, OTHER)).find(STATUS).budget_version == 3
    scenario.send(reset(3), lock(9_999_999, OTHER), accept(9_999_999))
    export = scenario.find("spectrum.export.v1")
    assert (export.budget_version, export.export_number, export.attempt) == (9_999_999, 2, 1)
    assert export.export_id == scenario.find(STATUS).export_id != first
    scenario.send(acknowledge("success", 9_999_999, number=1))
    assert (scenario.verdict, scenario.status) == ("ignored", Status.EXPORTING)
    assert scenario.send(acknowledge("success", 9_999_999, number=2)).status is Status.SYNCED
    assert scenario.send(lock(9_999_999, STEEL)).types == ["conflicting_content"]


def test_row_14_until_the_next_lock_the_version_is_back() -> None:
    scenario = bring_to(Status.SYNCED).send(reset(), accept())
    assert scenario.refusal == "already_returned"
    assert scenario.send(retrieve()).verdict == "duplicate"
    assert scenario.send(lock(1, STEEL)).types == ["approval.requested.v1", STATUS]


def test_row_14_not_while_exporting() -> None:
    scenario = bring_to(Status.EXPORTING).send(reset())
    assert (scenario.status, scenario.refusal) == (Status.EXPORTING, "already_exported")

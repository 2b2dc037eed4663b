"""What Spectrum's answers name: padded keys, lines that the export does not have, and Spectrum's own reference."""

from typing import Any

import pytest

from handlers.budget import Status
from tests.unit.builders import STEEL, accept, acknowledge, bring_to, lock, reject, reset, retry

STATUS = "budget.status.v1"
FAILED = {"status": "failed", "error_code": "E", "error_description": "closed", "error_column": "Cost_Type"}


def fail_line(phase: str, kind: str, **fields: Any) -> dict[str, Any]:
    """An answer that a line failed."""
    return {"phase_code": phase, "cost_type": kind, **FAILED, **fields}


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_a_padded_key_is_the_key(status: str) -> None:
    scenario = bring_to(Status.EXPORTING).send(acknowledge(status, lines=[fail_line(" 05120   ", "S ")]))
    [line] = scenario.find(STATUS).failed_lines
    assert (line.phase_code, line.cost_type, line.error_description) == ("05120", "S", "closed")
    assert not scenario.last.warning


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_failing_lines_that_the_export_does_not_have_are_named(status: str) -> None:
    lines = [fail_line("99999", "S"), fail_line("05120", "S", status="success"), fail_line("88888", "M")]
    scenario = bring_to(Status.EXPORTING).send(acknowledge(status, lines=lines, message="2 refused"))
    [line] = scenario.find(STATUS).failed_lines
    words = "Spectrum refused lines that the export does not have: 88888 M, 99999 S."
    assert (line.phase_code, line.cost_type, line.error_description) == (None, None, words)
    assert scenario.last.warning
    assert scenario.last.detail == f"{status}: 2 refused; {words}"
    [error] = scenario.send(reject()).find("budget.returned.v1").errors
    assert (error.budget_line_item_id, error.message) == (None, words)


def test_only_so_many_of_them_are_named() -> None:
    lines = [fail_line(f"{number}" * 50, "S") for number in range(1, 9)]
    [line] = bring_to(Status.EXPORTING).send(acknowledge("failed", lines=lines)).budget.failed_lines
    assert line.error_description
    assert line.error_description.endswith(f"{'5' * 40}… S and 3 more.")


def test_with_one_that_the_export_has_the_others_are_passed_over() -> None:
    lines = [fail_line("99999", "S"), fail_line("05120", "S")]
    scenario = bring_to(Status.EXPORTING).send(acknowledge("partial", lines=lines))
    assert [line.phase_code for line in scenario.budget.failed_lines] == ["05120"]
    assert not scenario.last.warning


def test_an_answer_that_names_no_failing_line_leaves_them_empty() -> None:
    scenario = bring_to(Status.EXPORTING).send(acknowledge("failed", lines=[fail_line("9", "S", status="success")]))
    assert (scenario.budget.failed_lines, scenario.last.warning) == ((), False)


def test_the_last_reference_named_stays_until_a_reset() -> None:
    scenario = bring_to(Status.EXPORTING).send(acknowledge("in_progress", erp_reference="CR-1"))
    assert scenario.find(STATUS).erp_reference == "CR-1"
    scenario.send(acknowledge("partial"))
    assert scenario.find(STATUS).erp_reference == "CR-1"
    scenario.send(acknowledge("partial", erp_reference=" "))
    assert (scenario.verdict, scenario.types) == ("applied", [])
    scenario.send(retry(), acknowledge("success", attempt=2, erp_reference="CR-2"))
    assert scenario.find(STATUS).erp_reference == "CR-2"
    scenario.send(lock(2, STEEL | {"original_amount": "1.00"}), accept(2), acknowledge("success", 2))
    assert scenario.find(STATUS).erp_reference == "CR-2"
    assert scenario.send(reset(2)).find(STATUS).erp_reference is None


def test_an_answer_that_does_not_count_names_nothing() -> None:
    scenario = bring_to(Status.SYNCED)
    for status in ("success", "failed"):
        assert scenario.send(acknowledge(status, erp_reference="CR-9")).types == []
    assert scenario.budget.erp_reference is None


def test_a_late_success_names_it_too() -> None:
    scenario = bring_to(Status.EXPORT_FAILED).send(reject(), acknowledge("success", erp_reference="CR-3"))
    assert scenario.find(STATUS).erp_reference == "CR-3"

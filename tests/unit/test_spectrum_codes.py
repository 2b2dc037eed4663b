"""Lines that carry Spectrum's own phase and cost type: they win over the maps, and are checked as those are."""

from pathlib import Path
from typing import Any

import pytest

from contracts.inbound import BudgetLine
from handlers.budget import Status
from handlers.rules import CostType, Phase
from tests.unit.builders import CONCRETE, STEEL, Scenario, accept, acknowledge, hash_of, lock
from tests.unit.test_rules import problems, write
from worker.rules_files import read_rules

REQUEST = "approval.requested.v1"
OWN = STEEL | {"cost_code": "?", "cost_type": "?", "phase_code": "05120", "spectrum_cost_type": "S"}


def find_line(scenario: Scenario) -> Any:
    """The only line of the last approval request."""
    [line] = scenario.find_lines(REQUEST)
    return line


def test_they_need_no_map() -> None:
    scenario = Scenario().send(lock(1, OWN))
    assert (find_line(scenario)["phase_code"], find_line(scenario)["cost_type"]) == ("05120", "S")
    # No row for the project's codes, but one for Spectrum's cost type: that has the price method.
    assert find_line(scenario)["price_method_code"] == "T"
    assert scenario.find(REQUEST).content_hash == hash_of(STEEL)


def test_they_win_over_the_maps() -> None:
    line = find_line(Scenario().send(lock(1, STEEL | {"phase_code": "09900", "spectrum_cost_type": "M"})))
    assert (line["phase_code"], line["cost_type"]) == ("09900", "M")


@pytest.mark.parametrize(
    ("own", "target", "field"),
    [
        ({"phase_code": "05130"}, ("05130", "S"), "cost_type"),
        ({"spectrum_cost_type": "E"}, ("05120", "E"), "cost_code"),
    ],
)
def test_either_may_come_alone(own: dict[str, str], target: tuple[str, str], field: str) -> None:
    line = find_line(Scenario().send(lock(1, STEEL | own)))
    assert (line["phase_code"], line["cost_type"]) == target
    unmapped = Scenario().send(lock(1, STEEL | own | {"cost_code": "?", "cost_type": "?"}))
    assert [error.code for error in unmapped.find("budget.returned.v1").errors] == [f"unmapped_{field}"]


def test_without_a_row_the_price_method_is_the_jobs_own() -> None:
    assert find_line(Scenario().send(lock(1, OWN | {"spectrum_cost_type": "ZZ"})))["price_method_code"] == "J"
    kinds = {"other": CostType("S", "F")}
    assert find_line(Scenario().with_rules(cost_types=kinds).send(lock(1, OWN)))["price_method_code"] == "F"


@pytest.mark.parametrize("blank", ["", "  ", "\u200b", None])
def test_a_blank_one_is_none(blank: str | None) -> None:
    line = STEEL | {"phase_code": blank, "spectrum_cost_type": blank}
    assert BudgetLine.model_validate(line).phase_code is None
    assert find_line(Scenario().send(lock(1, line)))["phase_code"] == "05120"
    assert Scenario().send(lock(), lock(1, line)).verdict == "duplicate"


def test_they_are_trimmed() -> None:
    padded = OWN | {"phase_code": " 05120  ", "spectrum_cost_type": "S "}
    assert find_line(Scenario().send(lock(1, padded)))["phase_code"] == "05120"
    assert Scenario().send(lock(1, OWN), lock(1, padded)).verdict == "duplicate"


@pytest.mark.parametrize(
    ("field", "code", "error"),
    [
        ("phase_code", "1" * 20, None),
        ("phase_code", "1" * 21, "too_long"),
        ("phase_code", "05-120", "forbidden_character"),
        ("phase_code", "05/120", "forbidden_character"),
        ("phase_code", "05\x07", "forbidden_character"),
        ("spectrum_cost_type", "LAB", None),
        ("spectrum_cost_type", "L-B", None),
        ("spectrum_cost_type", "LABO", "too_long"),
        ("spectrum_cost_type", "L&", "forbidden_character"),
    ],
)
def test_what_the_maps_would_refuse_makes_the_version_invalid(field: str, code: str, error: str | None) -> None:
    scenario = Scenario().send(lock(1, OWN | {field: code}))
    if error is None:
        assert scenario.status is Status.PENDING_APPROVAL
    else:
        [found] = scenario.find("budget.returned.v1").errors
        assert (found.field, found.code) == (field, error)


def test_errors_do_not_repeat_a_long_code() -> None:
    long = OWN | {"phase_code": "1" * 100_000, "description": ""}
    returned = Scenario().send(lock(1, long, long | {"budget_line_item_id": 9})).find("budget.returned.v1")
    codes = {error.code for error in returned.errors}
    assert codes == {"too_long", "description_missing", "duplicate_target"}
    assert len(returned.write()) < 5_000


def test_a_lock_with_another_code_is_another_content() -> None:
    scenario = Scenario().send(lock(1, OWN))
    assert scenario.send(lock(1, OWN | {"phase_code": "09900"})).types == ["conflicting_content"]


def test_the_description_of_a_map_row_counts_where_it_leads_to_the_phase() -> None:
    phases = {"05-120": Phase("05120", "STEEL")}
    same = Scenario().with_rules(phases=phases).send(lock(1, STEEL | {"phase_code": "05120"}))
    assert find_line(same)["description"] == "STEEL"
    elsewhere = Scenario().with_rules(phases=phases).send(lock(1, STEEL | {"phase_code": "05999"}))
    assert find_line(elsewhere)["description"] == "Structural steel"


def test_two_lines_of_one_target_are_refused_wherever_it_comes_from() -> None:
    twice = lock(1, STEEL, OWN | {"budget_line_item_id": 9})
    errors = Scenario().send(twice).find("budget.returned.v1").errors
    assert [error.code for error in errors] == ["duplicate_target"] * 2


def test_a_line_that_comes_under_its_own_code_later_is_the_same_line() -> None:
    scenario = Scenario().send(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"))
    assert scenario.send(lock(2, OWN, CONCRETE)).status is Status.SYNCED


def test_an_empty_price_method_is_the_jobs_own(tmp_path: Path) -> None:
    table = "cost_type,spectrum_cost_type,price_method_code\nL,L,\nLAB,L,J\nM,M,T\n"
    rules = read_rules(write(tmp_path, cost_types_csv=table.encode()))
    assert {kind: mapped.price_method_code for kind, mapped in rules.cost_types.items()} == {
        "L": "J",
        "LAB": "J",
        "M": "T",
    }


@pytest.mark.parametrize(("second", "shown"), [("F", "T"), ("", "T")])
def test_rows_of_one_cost_type_must_agree_on_the_price_method(tmp_path: Path, second: str, shown: str) -> None:
    table = f"cost_type,spectrum_cost_type,price_method_code\nL,L,T\nM,M,F\nLAB,L,{second}\n"
    [problem] = problems(write(tmp_path, cost_types_csv=table.encode()))
    what = f"cost type L has {shown} in row 2, and can have only one"
    assert problem == f"cost_types.csv, row 4: price_method_code: {what}"

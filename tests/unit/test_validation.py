"""Every code of the validation table, on both sides of each limit."""

from typing import Any

import pytest

from contracts.budget_key import BudgetKey
from contracts.outbound import BudgetError
from handlers.budget import Status
from handlers.rules import Job, Phase
from tests.unit.builders import CONCRETE, KEY, STEEL, Line, Scenario, accept, acknowledge, bring_to, lock


def find_errors(*lines: Line, scenario: Scenario | None = None, **fields: Any) -> list[BudgetError]:
    scenario = (scenario or Scenario()).send(lock(7, *lines, **fields))
    if scenario.status is Status.PENDING_APPROVAL:
        return []
    return list(scenario.find("budget.returned.v1").errors)


def find_codes(*lines: Line, scenario: Scenario | None = None, **fields: Any) -> list[str | None]:
    return [error.code for error in find_errors(*lines, scenario=scenario, **fields)]


def many(count: int) -> list[Line]:
    phases = {f"c{number}": Phase(f"{number:05d}", "Phase") for number in range(count)}
    RULES_MANY["phases"] = phases
    return [
        STEEL | {"budget_line_item_id": number, "cost_code": f"c{number}", "original_amount": "0"}
        for number in range(count)
    ]


RULES_MANY: dict[str, Any] = {}


def test_a_good_budget_has_no_errors() -> None:
    assert find_codes(STEEL, CONCRETE) == []


def test_no_lines() -> None:
    assert find_codes(lines=[], total_amount="0") == ["no_lines"]


@pytest.mark.parametrize(("count", "codes"), [(2000, []), (2001, ["too_many_lines"])])
def test_too_many_lines(count: int, codes: list[str]) -> None:
    lines = many(count)
    assert find_codes(*lines, scenario=Scenario().with_rules(**RULES_MANY)) == codes


def test_what_is_too_many_is_not_added_up() -> None:
    lines = many(2001)
    assert find_codes(*lines, scenario=Scenario().with_rules(**RULES_MANY), total_amount="7") == ["too_many_lines"]


def test_unmapped() -> None:
    assert find_codes(STEEL | {"cost_code": "x"}) == ["unmapped_cost_code"]
    assert find_codes(STEEL | {"cost_type": "x"}) == ["unmapped_cost_type"]
    assert find_codes(STEEL, scenario=Scenario().with_rules(jobs={})) == ["unmapped_project"]


@pytest.mark.parametrize(("sub_job", "codes"), [(None, []), ("", []), (" ", []), ("1", ["sub_job"])])
def test_sub_job(sub_job: str | None, codes: list[str]) -> None:
    assert find_codes(STEEL | {"sub_job": sub_job}) == codes


def test_duplicates_are_reported_for_each_line() -> None:
    assert find_codes(STEEL, CONCRETE | {"budget_line_item_id": 1}) == ["duplicate_line"] * 2
    other = {"budget_line_item_id": 5, "cost_code": "03-301"}
    assert find_codes(CONCRETE, CONCRETE | other) == ["duplicate_target"] * 2
    assert (
        find_codes(CONCRETE | {"cost_type": "L"}, CONCRETE | other | {"cost_type": "LAB"}) == ["duplicate_target"] * 2
    )


def test_descriptions_belong_to_the_phase() -> None:
    labour = CONCRETE | {"budget_line_item_id": 3, "cost_type": "L"}
    assert find_codes(STEEL | {"description": " "}) == ["description_missing"]
    assert find_codes(CONCRETE, labour | {"description": "Formwork"}) == ["description_conflict"] * 2
    scenario = Scenario().send(lock(1, CONCRETE, labour | {"description": ""}))
    assert {line["description"] for line in scenario.find_lines("approval.requested.v1")} == {"Concrete"}
    scenario = Scenario().send(
        lock(1, STEEL | {"cost_code": "01-500", "description": "\x00 anything, and far too long a text"})
    )
    assert [line["description"] for line in scenario.find_lines("approval.requested.v1")] == ["General conditions"]


@pytest.mark.parametrize("blank", ["", " ", "\u200b", "\ufeff", "\u2800", "\u3164", "\u00a0"])
def test_what_cannot_be_seen_is_no_description_unit_or_sub_job(blank: str) -> None:
    assert find_codes(STEEL | {"description": blank}) == ["description_missing"]
    assert find_codes(STEEL | {"sub_job": blank}) == []
    phases = {"05-120": Phase("05120", blank)}
    assert find_codes(STEEL | {"description": ""}, scenario=Scenario().with_rules(phases=phases)) == [
        "description_missing"
    ]
    scenario = Scenario().with_rules(quantities=True).send(lock(1, STEEL | {"unit_of_measure": blank}))
    assert scenario.find_lines("approval.requested.v1")[0]["unit_of_measure"] is None


@pytest.mark.parametrize("blank", [" ", "\u200b"])
def test_a_description_that_is_blank_when_it_is_cut(blank: str) -> None:
    assert find_codes(STEEL | {"description": blank * 25 + "x"}) == ["description_missing"]


@pytest.mark.parametrize(("length", "codes"), [(25, []), (26, ["too_long"])])
def test_too_long(length: int, codes: list[str]) -> None:
    rejecting = Scenario().with_rules(long_descriptions="reject")
    assert find_codes(STEEL | {"description": "x" * length}, scenario=rejecting) == codes


@pytest.mark.parametrize(
    ("description", "sent"),
    [
        ("Structural steel, erected in place", "Structural steel, erected"),
        ("Structural steel erections x", "Structural steel"),
        ("Structural steel, erectedX x", "Structural steel,"),
        ("x" * 30, "x" * 25),
        ("x" * 25 + " y", "x" * 25),
    ],
)
def test_shortened_at_a_word(description: str, sent: str) -> None:
    scenario = Scenario().send(lock(1, STEEL | {"description": description}))
    request = scenario.find("approval.requested.v1")
    assert [line["description"] for line in scenario.find_lines("approval.requested.v1")] == [sent]
    [notice] = request.notices
    assert (notice.budget_line_item_id, notice.code) == (1, "description_shortened")
    assert sent in notice.message


@pytest.mark.parametrize("character", ["\x00", "\x1f", "\x7f", "\x85", "\n"])
def test_forbidden_character(character: str) -> None:
    assert find_codes(STEEL | {"description": f"a{character}b"}) == ["forbidden_character"]
    unit = STEEL | {"unit_of_measure": character + "M"}
    assert find_codes(unit) == []
    assert find_codes(unit, scenario=Scenario().with_rules(quantities=True)) == ["forbidden_character"]


@pytest.mark.parametrize("field", ["original_amount", "revision_amount"])
@pytest.mark.parametrize(
    ("amount", "codes"),
    [("1.100", []), ("1.1000000000000000000000000000000", []), ("1.001", ["too_many_decimals"])],
)
def test_too_many_decimals(field: str, amount: str, codes: list[str]) -> None:
    found = find_codes(STEEL | {field: amount})
    assert [code for code in found if code != "too_many_decimals"] == []
    assert sorted(set(found)) == sorted(codes)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("field", "limit", "beyond"),
    [
        ("original_amount", "99999999.99", "100000000.00"),
        ("revision_amount", "9999999999.99", "10000000000.00"),
        ("quantity", "9999999.99", "10000000.00"),
        ("original_amount", "1.00", "1" + "0" * 38),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_amount_out_of_range(field: str, limit: str, beyond: str, sign: str) -> None:
    assert find_codes(STEEL | {field: sign + limit}, scenario=Scenario().with_rules(quantities=True)) == []
    found = find_errors(STEEL | {field: sign + beyond}, scenario=Scenario().with_rules(quantities=True))
    assert [(error.code, error.field, error.budget_line_item_id) for error in found] == [
        ("amount_out_of_range", field, 1)
    ]
    assert len(str(found[0].message)) < 200


def test_total_mismatch_is_exact() -> None:
    long = "0." + "0" * 30 + "1"
    assert find_codes(STEEL, total_amount="640000.000") == []
    assert find_codes(STEEL, total_amount="640000.01") == ["total_mismatch"]
    assert set(find_codes(STEEL, total_amount="640000" + long[1:])) == {"total_mismatch", "too_many_decimals"}


def test_unit_and_quantity_count_only_while_they_are_on() -> None:
    line = STEEL | {"quantity": "1.234", "unit_of_measure": "TONS"}
    assert find_codes(line) == []
    assert find_codes(line, scenario=Scenario().with_rules(quantities=True)) == ["too_many_decimals", "too_long"]
    scenario = (
        Scenario()
        .with_rules(quantities=True)
        .send(lock(1, STEEL, CONCRETE | {"quantity": "-0", "unit_of_measure": " "}))
    )
    written = scenario.find("approval.requested.v1").model_dump(mode="json")["lines"]
    assert [(line["original_estimate_quantity"], line["unit_of_measure"]) for line in written] == [("0.00", None)] * 2


def test_job_and_currency_changed_while_spectrum_may_hold_it() -> None:
    jobs = {KEY[:2]: Job("001", "other")}
    for status in (Status.SYNCED, Status.EXPORT_FAILED):
        [job] = find_errors(STEEL, scenario=bring_to(status).with_rules(jobs=jobs))
        [currency] = find_errors(STEEL, scenario=bring_to(status), currency="CAD")
        assert (job.code, currency.code) == ("job_changed", "currency_changed")
        for error in (job, currency):
            assert f"budget-bridge reset {KEY}" in str(error.message)
    assert find_codes(STEEL, scenario=bring_to(Status.RETURNED).with_rules(jobs=jobs), currency="CAD") == []


def test_job_taken_names_the_taker() -> None:
    scenario = Scenario()
    scenario.taken_by = 4
    [error] = find_errors(STEEL, scenario=scenario)
    assert error.code == "job_taken"
    assert f"budget-bridge reset {KEY._replace(budget_id=4)}" in str(error.message)


def test_who_claims_a_job() -> None:
    claims = {status: bring_to(status).budget.claims_job for status in Status}
    assert claims == {
        Status.INVALID: False,
        Status.RETURNED: False,
        Status.PENDING_APPROVAL: True,
        Status.EXPORTING: True,
        Status.EXPORT_FAILED: True,
        Status.SYNCED: True,
    }
    assert bring_to(Status.EXPORT_FAILED).send(lock(2, lines=[])).budget.claims_job


def test_removed_line() -> None:
    zero = CONCRETE | {"original_amount": "0.00", "revision_amount": "0"}
    scenario = Scenario().with_rules(removed_lines="block").send(lock(1, STEEL, zero), accept(), acknowledge("success"))
    [error] = find_errors(zero, scenario=scenario)
    assert (error.code, error.budget_line_item_id) == ("removed_line", 1)
    scenario.budget = (
        Scenario().with_rules(removed_lines="block").send(lock(1, STEEL, zero), accept(), acknowledge("success")).budget
    )
    assert find_codes(STEEL, scenario=scenario) == []


def test_everything_at_once_with_line_and_field() -> None:
    bad = {
        "budget_line_item_id": 8,
        "cost_code": "nope",
        "cost_type": "nope",
        "description": "\x07" + "x" * 30,
        "original_amount": "123456789.123",
        "sub_job": "S",
    }
    scenario = Scenario().with_rules(jobs={}, long_descriptions="reject")
    scenario.taken_by = 4
    errors = find_errors(STEEL, bad, scenario=scenario, total_amount="1.001")
    assert {error.code for error in errors} == {
        "unmapped_project",
        "job_taken",
        "total_mismatch",
        "too_many_decimals",
        "unmapped_cost_code",
        "unmapped_cost_type",
        "forbidden_character",
        "too_long",
        "amount_out_of_range",
        "sub_job",
    }
    assert all(error.field and error.message for error in errors)


def test_keys_are_shown_as_people_write_them() -> None:
    assert str(BudgetKey(1, 2, 3)) == "1/2/3"

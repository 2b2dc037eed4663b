"""What an import offers of a reading: codes, amounts, changes and notices, and everything that can be wrong."""

from dataclasses import replace
from itertools import islice, permutations
from typing import Any

import pytest

from contracts.imports import MOST_ERRORS, MOST_NOTICES
from handlers.import_offer import find_notices, list_offered
from handlers.reverse_maps import reverse_cost_types, reverse_phases
from handlers.rules import CostType, Phase, Rules
from tests.unit.builders import Line, Scenario, apply_import, request_import
from tests.unit.import_builders import (
    CODES_OF_PHASES,
    ENDED,
    MAPS,
    READY,
    hold,
    list_changes,
    list_codes,
    list_job,
    offer,
    read_job,
)

BOTH_LEAD = {"01-500": Phase("01500", None), "01-501": Phase("01500", None)}


def test_example_1_every_line_with_an_amount_is_offered_under_the_project_sides_codes() -> None:
    scenario = offer()
    assert list_changes(scenario) == [
        ("01-500/L", "add", "48000.00"),
        ("03-300/M", "add", "312500.00"),
        ("05-120/S", "add", "640000.00"),
    ]
    ready = scenario.find(READY)
    assert (ready.total_spectrum, ready.total_import, ready.total_before) == ("1000500.00", "1000500.00", None)
    assert ready.notices == ()


def test_example_2_lines_at_zero_are_skipped_and_told() -> None:
    scenario = offer(*list_job(), hold("S09900", "0.00"), hold("E02310", "0.00", job_to_date_cost="4150.00"))
    assert len(list_changes(scenario)) == 3
    assert sorted(list_codes(scenario, "notices")) == ["costs_without_estimate", "zero_skipped", "zero_skipped"]
    assert "4150.00" in next(one.message for one in scenario.find(READY).notices if one.code.startswith("costs"))


def test_example_3_of_several_codes_only_a_preferred_one_is_taken() -> None:
    scenario = offer(phases=CODES_OF_PHASES | BOTH_LEAD)
    assert scenario.types == [ENDED]
    assert [(one.code, one.phase_code) for one in scenario.find(ENDED).errors] == [("ambiguous_phase", "01500")]
    preferred = BOTH_LEAD | {"01-500": Phase("01500", None, preferred=True)}
    assert list_changes(offer(phases=CODES_OF_PHASES | preferred)) == list_changes(offer())


def write_large(zeros: int) -> list[Any]:
    """A job of 2,400 lines on two pages, so many of them at zero."""
    lines = [
        hold("L01500", "0.00" if number < zeros else "1.00") | {"phase_code": f"9{number:05}"} for number in range(2400)
    ]
    whole = read_job(*lines[:2000], line_count=2400, pages=2)
    total = f"{2400 - zeros}.00"
    one = whole.model_dump(mode="json") | {"total_original": total, "total_current": total}
    return [
        whole.model_validate(one),
        whole.model_validate(one | {"page": 2, "lines": lines[2000:]}),
    ]


def test_example_4_pages_come_in_any_order_and_a_budget_has_2000_lines() -> None:
    phases = {f"9-{number:05}": Phase(f"9{number:05}", None) for number in range(2400)}
    first, second = write_large(500)
    scenario = Scenario(rules=replace(MAPS, phases=phases)).send(request_import(), second)
    assert scenario.send(second).verdict == "duplicate"
    assert len(scenario.send(first).find(READY).lines) == 1900
    assert scenario.send(second).verdict == "duplicate"
    scenario = Scenario(rules=replace(MAPS, phases=phases)).send(request_import(), *write_large(0))
    assert list_codes(scenario) == ["too_many_lines"]


def test_neither_the_order_of_pages_nor_repeats_change_the_offer() -> None:
    lines = list_job(S09900="1.00", E02310="2.00")
    whole = read_job(*lines).model_dump(mode="json")
    pages = [
        read_job(*lines).model_validate(whole | {"pages": 5, "page": number, "lines": [line]})
        for number, line in enumerate(whole["lines"], 1)
    ]
    wanted = offer(*lines).find(READY)
    for order in islice(permutations(pages), 0, None, 7):
        scenario = Scenario(rules=MAPS).send(request_import())
        for page in order:
            scenario.send(page)
            offered = scenario.types == [READY]
            assert not offered or scenario.find(READY) == wanted
            scenario.send(page)
            assert scenario.verdict == "duplicate"
        assert offered


def apply_first() -> Scenario:
    return offer().send(apply_import("whole", 1, ("05120", "S", 3, "success")))


def test_example_8_a_second_import_shows_what_has_changed() -> None:
    later = list_job(S05120="655000.00", S09900="75400.00", L01500="0.00")
    scenario = apply_first().send(request_import(), read_job(*later, number=2))
    assert list_changes(scenario) == [
        ("01-500/L", "gone", "0.00"),
        ("03-300/M", "same", "312500.00"),
        ("05-120/S", "set", "655000.00"),
        ("09-900/S", "add", "75400.00"),
    ]
    ready = scenario.find(READY)
    assert [line.previous_amount for line in ready.lines] == ["48000.00", "312500.00", "640000.00", None]
    assert [line.budget_line_item_id for line in ready.lines] == [None, None, 3, None]
    assert (ready.total_before, ready.total_import) == ("1000500.00", "1042900.00")


def test_a_line_that_is_absent_is_gone_too() -> None:
    scenario = apply_first().send(request_import(), read_job(hold("L01500", "48000.00"), number=2))
    assert [line.change for line in scenario.find(READY).lines] == ["same", "gone", "gone"]
    assert scenario.find(READY).lines[2].other_revision is None


def test_example_10_a_part_is_taken_and_the_rest_is_offered_again() -> None:
    exists = "This Budget Code already exists"
    told = [("01500", "L", 1, "success"), ("03300", "M", 2, "success"), ("05120", "S", None, exists)]
    scenario = offer().send(apply_import("partial", 1, *told))
    [error] = scenario.find(ENDED).errors
    assert (error.phase_code, error.code, error.message) == ("05120", "not_applied", exists)
    assert scenario.find(ENDED).cause == "partial"
    scenario.send(request_import(), read_job(*list_job(), number=2))
    assert [change for _, change, _ in list_changes(scenario)] == ["same", "same", "add"]
    negative = offer(*list_job(E02310="-5000.00"))
    assert list_codes(negative) == ["not_positive"]


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"complete": False}, ["not_complete"]),
        ({"unposted": True}, ["unposted_estimates"]),
        ({"job_status": "C"}, ["job_complete"]),
        ({"complete": False, "unposted": True}, ["not_complete", "unposted_estimates"]),
    ],
)
def test_a_reading_that_does_not_show_everything_is_refused_without_a_look_at_its_lines(
    fields: dict[str, Any], codes: list[str]
) -> None:
    scenario = Scenario(rules=MAPS).send(request_import(), read_job(hold("X99999", "-1.00"), **fields))
    assert (scenario.find(ENDED).cause, list_codes(scenario)) == ("refused", codes)


def test_a_reading_of_current_estimates_alone_is_refused() -> None:
    deep = ("original_estimate_cost", "bridge_revision", "other_revision")
    line = hold("S05120", "1.00") | dict.fromkeys(deep)
    scenario = Scenario(rules=MAPS).send(request_import(), read_job(line, depth="current_only"))
    assert list_codes(scenario) == ["not_full"]


@pytest.mark.parametrize(
    ("line", "rules", "codes"),
    [
        (hold("S05120", "0.00"), {}, ["no_lines"]),
        (hold("S77777", "1.00"), {}, ["unmapped_phase"]),
        (hold("Q05120", "1.00"), {}, ["unmapped_spectrum_type"]),
        (hold("Q77777", "-1.00"), {}, ["unmapped_phase", "unmapped_spectrum_type", "not_positive"]),
        (
            hold("S05120", "1.00"),
            {"cost_types": {"S": CostType("S", "F"), "SUB": CostType("S", "F")}},
            ["ambiguous_type"],
        ),
        (hold("S05120", "100000000.00"), {}, ["amount_out_of_range"]),
        (hold("S05120", "99999999.99"), {}, []),
        (hold("S05120", "0.00", bridge_revision="5.00"), {}, []),
    ],
)
def test_everything_that_is_wrong_is_told(line: Line, rules: dict[str, Any], codes: list[str]) -> None:
    scenario = offer(line, **rules)
    assert scenario.types == [ENDED if codes else READY]
    assert not codes or list_codes(scenario) == codes


def test_a_phase_that_several_lines_have_is_one_error() -> None:
    assert list_codes(offer(hold("S77777", "1.00"), hold("L77777", "1.00"))) == ["unmapped_phase"]


def test_lines_without_a_code_of_the_project_side_can_be_offered() -> None:
    scenario = offer(hold("Q77777", "1.00"), hold("S05120", "2.00"), unmapped="offer")
    assert [(line.cost_code, line.cost_type) for line in scenario.find(READY).lines] == [("05-120", "S"), (None, None)]
    ambiguous = offer(phases=CODES_OF_PHASES | BOTH_LEAD, unmapped="offer")
    assert list_codes(ambiguous) == ["ambiguous_phase"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"phase_code": "05-120"}, "unmapped_phase"),
        ({"phase_code": "05#"}, "unmapped_phase"),
        ({"cost_type": "S*"}, "unmapped_spectrum_type"),
    ],
)
def test_what_an_export_cannot_name_is_never_offered(fields: dict[str, str], code: str) -> None:
    assert list_codes(offer(hold("S05120", "1.00", **fields), unmapped="offer")) == [code]


def test_a_phase_is_looked_up_whole() -> None:
    assert list_codes(offer(hold("S05120", "1.00") | {"phase_code": "5120"})) == ["unmapped_phase"]


def test_a_link_may_have_a_negative_original() -> None:
    scenario = Scenario(rules=MAPS).send(request_import(mode="link"), read_job(hold("S05120", "-5.00")))
    assert scenario.find(ENDED).cause == "applied"


def test_notices_say_what_is_spectrums_own() -> None:
    scenario = offer(
        hold("M03300", "312500.00", other_revision="-20000.50", current_estimate_cost="292499.50"),
        hold("S05120", "1.00", current_estimate_cost="2.00", status="C"),
    )
    notices = scenario.find(READY).notices
    assert [one.code for one in notices] == ["others_revised", "current_differs", "phase_complete"]
    assert "by -20,000.50;" in notices[0].message


def test_what_is_left_of_the_bridges_own_is_taken() -> None:
    [line] = offer(hold("M03300", "10.00", bridge_revision="2.50", current_estimate_cost="12.50")).find(READY).lines
    assert (line.original_amount, line.revision_amount, line.other_revision) == ("10.00", "2.50", "0.00")


def test_a_job_full_of_zeros_does_not_outgrow_a_message() -> None:
    lines = [hold("L01500", "0.00") | {"phase_code": f"9{number:05}"} for number in range(2000)]
    scenario = offer(*lines[1:], hold("S05120", "1.00"))
    reading = scenario.budget.readings
    assert reading
    assert reading.last
    page = reading.last.pages[0]
    many = [page._replace(lines=tuple(line._replace(cost_type=str(n)) for line in page.lines)) for n in range(10)]
    assert len(find_notices(reading.last._replace(pages=tuple(many)))) == MOST_NOTICES


def test_the_maps_read_backwards_never_give_a_code_twice() -> None:
    phases = BOTH_LEAD | {"01-502": Phase("01500", None, preferred=True), "02-310": Phase("02310", None)}
    rules = Rules(phases=phases, cost_types={"LAB": CostType("L", "J"), "L": CostType("L", "J", preferred=True)})
    assert reverse_phases(rules) == ({"01500": "01-502", "02310": "02-310"}, frozenset())
    assert reverse_cost_types(rules) == ({"L": "L"}, frozenset())


def test_offered_and_skipped_add_up_to_what_was_read() -> None:
    scenario = offer(*list_job(S09900="0.00", E02310="7.25"))
    ready, readings = scenario.find(READY), scenario.budget.readings
    assert readings
    assert readings.last
    assert ready.total_spectrum == ready.total_import == "1000507.25"
    assert sum(line.original for line in list_offered(readings.last, None)) == readings.last.header.total_original


def test_no_more_errors_are_told_than_fit_a_message() -> None:
    lines = [hold("L01500", "-1.00") | {"phase_code": f"9{number:05}"} for number in range(1500)]
    assert len(list_codes(offer(*lines))) == MOST_ERRORS

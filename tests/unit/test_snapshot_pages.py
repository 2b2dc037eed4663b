"""Rows R1 to R8 of docs/behaviour.md: the pages of a snapshot are collected, whatever their order, and one by one."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.erp_snapshot import ErpSnapshot
from handlers.budget import Export, Status
from handlers.decision import DeadLetter
from outbox.budget_state import read_readings, write_readings
from tests.unit.builders import (
    CONCRETE,
    STEEL,
    Scenario,
    accept,
    acknowledge,
    bring_to,
    lock,
    pass_deadline,
    read_line,
    request_snapshot,
    reset,
    snapshot,
)
from worker.reports.reading_report import format_reading

LINES = (read_line(STEEL), read_line(CONCRETE), read_line(CONCRETE | {"cost_type": "L"}))
LATER = {"snapshot_id": "s2", "read_from": "2026-11-26T08:00:00Z", "read_to": "2026-11-26T08:00:07Z"}


def synced() -> tuple[Scenario, Export]:
    scenario = bring_to(Status.SYNCED)
    assert scenario.budget.base
    return scenario, scenario.budget.base


def write_pages(begun: Export, *pages: tuple[dict[str, Any], ...], **fields: Any) -> list[ErpSnapshot]:
    """A snapshot of several pages."""
    whole = snapshot(*(line for page in pages for line in page), begun=begun, **fields).model_dump(mode="json")
    return [
        ErpSnapshot.model_validate(whole | {"page": number, "pages": len(pages)} | {"lines": page or []})
        for number, page in enumerate(pages, 1)
    ]


def list_resolved(scenario: Scenario) -> list[str]:
    return [one.verdict.value for one in scenario.last.step.resolved]


def list_reasons(scenario: Scenario) -> list[str]:
    return [send.reason for send in scenario.last.step.sends if isinstance(send, DeadLetter)]


def is_asking(scenario: Scenario) -> bool:
    return scenario.budget.open_request is not None


def list_kept(scenario: Scenario) -> Iterable[tuple[str, str]]:
    readings = scenario.budget.readings
    assert readings
    assert readings.last
    return sorted(readings.last.index_lines())


@pytest.mark.parametrize("other", [{"job_number": "26-1002"}, {"company_code": "002"}])
def test_row_1_a_page_of_another_job_is_set_aside(other: dict[str, Any]) -> None:
    scenario, base = synced()
    assert list_reasons(scenario.send(snapshot(*LINES, begun=base, **other))) == ["unknown_job"]
    assert scenario.budget.readings is None


def test_row_1_without_an_export_the_job_is_the_mapped_one() -> None:
    assert list_reasons(Scenario().send(snapshot(job_number="X"))) == ["unknown_job"]
    scenario = Scenario().send(snapshot(job_number="26-1001   "))
    assert scenario.verdict == "ignored"
    assert list_reasons(Scenario().with_rules(jobs={}).send(snapshot())) == ["unknown_job"]


def test_row_1_the_job_that_is_held_counts_whatever_the_map_says_now() -> None:
    scenario, base = synced()
    assert scenario.with_rules(jobs={}).send(snapshot(*LINES, begun=base)).verdict == "applied"


def test_row_2_a_page_again_is_a_duplicate_and_with_other_content_it_is_set_aside() -> None:
    scenario, base = synced()
    first, second = write_pages(base, LINES[:1], LINES[1:])
    other = write_pages(base, LINES[1:], LINES[:1])[0]
    assert scenario.send(first).verdict == "waiting"
    assert scenario.send(first).verdict == "duplicate"
    assert list_reasons(scenario.send(other)) == ["conflicting_content"]
    assert scenario.send(second).verdict == "applied"
    assert scenario.send(second).verdict == "duplicate"
    assert list_reasons(scenario.send(other)) == ["conflicting_content"]
    assert list_kept(scenario) == [("03300", "L"), ("03300", "M"), ("05120", "S")]


def test_row_3_what_is_not_newer_than_the_last_reading_is_stale() -> None:
    scenario, base = synced()
    scenario.send(snapshot(*LINES, begun=base))
    for read_to in ("2026-11-25T08:00:07Z", "2026-11-25T08:00:06Z"):
        assert scenario.send(snapshot(*LINES, begun=base, snapshot_id="s0", read_to=read_to)).verdict == "stale"
    assert scenario.send(snapshot(*LINES, begun=base, **LATER)).verdict == "applied"


def test_row_3_what_is_not_newer_than_the_one_that_is_collected_is_stale() -> None:
    scenario, base = synced()
    scenario.send(write_pages(base, LINES[:1], LINES[1:])[0])
    assert scenario.send(snapshot(*LINES, begun=base, snapshot_id="s0")).verdict == "stale"


def test_row_4_a_later_snapshot_takes_the_place_of_the_one_that_is_collected() -> None:
    scenario, base = synced()
    scenario.send(*write_pages(base, LINES[:1], LINES[1:2], LINES[2:])[:2])
    scenario.send(write_pages(base, LINES[:1], LINES[1:], **LATER)[1])
    assert scenario.verdict == "waiting"
    assert list_resolved(scenario) == ["superseded", "superseded"]
    scenario.send(write_pages(base, LINES[:1], LINES[1:], **LATER)[0])
    assert list_resolved(scenario) == ["applied"]
    assert scenario.verdict == "applied"


@pytest.mark.parametrize(
    "wrong",
    [
        {"line_count": 4},
        {"total_original": "1.00"},
        {"total_current": "1.00"},
        {"complete": False},
        {"pages": 3},
    ],
)
def test_row_5_a_page_that_does_not_fit_ends_the_snapshot(wrong: dict[str, Any]) -> None:
    scenario, base = synced()
    first, second = write_pages(base, LINES[:1], LINES[1:])
    both = {"line_count", "total_original", "total_current"}.issuperset(wrong)
    scenario.send(first.model_copy(update=read_values(wrong)) if both else first)
    assert scenario.verdict == "waiting"
    assert list_reasons(scenario.send(second.model_copy(update=read_values(wrong)))) == ["snapshot_mismatch"]
    assert list_resolved(scenario) == ["superseded"]
    assert scenario.budget.readings
    assert scenario.budget.readings.collecting is None


def read_values(wrong: dict[str, Any]) -> dict[str, Any]:
    return {name: 100 if isinstance(value, str) else value for name, value in wrong.items()}


def test_row_5_a_key_twice_ends_the_snapshot_also_across_pages() -> None:
    scenario, base = synced()
    assert list_reasons(scenario.send(snapshot(LINES[0], LINES[0], begun=base))) == ["snapshot_mismatch"]
    scenario.send(*write_pages(base, LINES[:1], LINES[:1], LINES[1:])[:2])
    assert list_reasons(scenario) == ["snapshot_mismatch"]


def test_row_5_what_was_asked_for_is_asked_for_again() -> None:
    scenario, base = synced()
    scenario.send(request_snapshot())
    asked = scenario.find("spectrum.snapshot_requested.v1")
    scenario.send(snapshot(*LINES, begun=base, line_count=9, request_id=asked.request_id))
    again = scenario.find("spectrum.snapshot_requested.v1")
    assert list_reasons(scenario) == ["snapshot_mismatch"]
    assert again.request_id != asked.request_id
    assert scenario.budget.open_request
    assert scenario.budget.open_request.times == 2
    # Another one that nobody asked for does not.
    scenario.send(snapshot(*LINES, begun=base, line_count=9, request_id=asked.request_id))
    assert scenario.types == ["snapshot_mismatch"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_rows_6_and_7_pages_come_in_any_order(order: tuple[int, ...]) -> None:
    scenario, base = synced()
    pages = write_pages(base, *((line,) for line in LINES))
    for number in order[:2]:
        assert scenario.send(pages[number], pages[number]).verdict == "duplicate"
    assert scenario.send(pages[order[2]]).verdict == "applied"
    assert list_resolved(scenario) == ["applied", "applied"]
    last = bring_to(Status.SYNCED).send(*pages).budget.readings
    assert scenario.budget.readings
    assert last
    assert scenario.budget.readings.last
    assert last.last
    assert scenario.budget.readings.last.index_lines() == last.last.index_lines()


def test_row_7_a_reading_that_was_asked_for_closes_the_request() -> None:
    scenario, base = synced()
    scenario.send(request_snapshot())
    asked = scenario.find("spectrum.snapshot_requested.v1")
    assert (asked.company_code, asked.job_number, asked.requested_by) == ("001", "26-1001", "olga")
    assert asked.due_at == scenario.now + timedelta(hours=1)
    scenario.send(snapshot(*LINES, begun=base, **LATER))
    assert is_asking(scenario)
    scenario.send(snapshot(*LINES, begun=base, request_id=asked.request_id, read_to="2026-11-27T08:00:00Z"))
    assert not is_asking(scenario)


def test_status_shows_what_was_read_and_what_is_asked() -> None:
    scenario, base = synced()
    pages = write_pages(base, LINES[:1], LINES[1:], **LATER)
    scenario.send(snapshot(*LINES, begun=base, complete=False), pages[0], request_snapshot())
    compared, asked, collected, read = format_reading(scenario.budget)
    assert compared == "  compared with Spectrum: matches"
    assert "an answer is due by 2026-11-24T" in asked
    assert "1 of 2 pages of snapshot s2" in collected
    assert "last read at 2026-11-25T08:00:07Z (full, not complete): 3 lines, 1,264,000.50 in all" in read
    assert list(format_reading(Scenario().budget)) == []


def test_row_7_an_empty_job_is_one_page_without_lines() -> None:
    scenario, base = synced()
    assert scenario.send(snapshot(begun=base)).verdict == "applied"
    assert list_kept(scenario) == []


def test_row_8_nobody_answers_it_is_asked_three_times_in_all() -> None:
    scenario, base = synced()
    scenario.send(request_snapshot())
    first = scenario.find("spectrum.snapshot_requested.v1")
    pages = write_pages(base, LINES[:1], LINES[1:], request_id=str(first.request_id))
    scenario.send(pages[0])
    ids = {first.request_id}
    for _ in range(2):
        assert scenario.budget.open_request
        scenario.send(pass_deadline("snapshot", scenario.budget.open_request.due_at, None))
        assert scenario.types == ["spectrum.snapshot_requested.v1"]
        ids.add(scenario.find("spectrum.snapshot_requested.v1").request_id)
        assert not scenario.last.warning
    assert len(ids) == 3
    assert scenario.budget.open_request
    scenario.send(pass_deadline("snapshot", scenario.budget.open_request.due_at, None))
    assert (scenario.types, scenario.verdict, scenario.last.warning) == ([], "applied", True)
    assert not is_asking(scenario)
    assert scenario.send(request_snapshot()).types == ["spectrum.snapshot_requested.v1"]


def test_row_8_pages_of_the_request_that_is_due_are_superseded_and_no_others() -> None:
    scenario, base = synced()
    scenario.send(request_snapshot())
    asked = scenario.find("spectrum.snapshot_requested.v1")
    unasked = write_pages(base, LINES[:1], LINES[1:])
    scenario.send(unasked[0], pass_deadline("snapshot", asked.due_at, None))
    assert list_resolved(scenario) == []
    asked = scenario.find("spectrum.snapshot_requested.v1")
    scenario.send(write_pages(base, LINES[:1], LINES[1:], request_id=str(asked.request_id), **LATER)[0])
    assert list_resolved(scenario) == ["superseded"]
    scenario.send(pass_deadline("snapshot", asked.due_at, None))
    assert list_resolved(scenario) == ["superseded"]


def test_a_deadline_that_is_not_due_or_of_nothing_is_ignored() -> None:
    scenario, _ = synced()
    assert scenario.send(pass_deadline("snapshot", scenario.now, None)).verdict == "ignored"
    scenario.send(request_snapshot())
    assert scenario.send(pass_deadline("snapshot", scenario.now, None)).verdict == "ignored"


def test_one_request_is_open_at_a_time_and_a_reset_forgets_it() -> None:
    scenario, _ = synced()
    scenario.send(request_snapshot())
    assert scenario.send(request_snapshot("bob")).verdict == "duplicate"
    scenario.send(reset())
    assert not is_asking(scenario)
    assert scenario.send(request_snapshot()).refusal == "nothing_held"
    refusal = scenario.find("request.refused.v1")
    assert (refusal.budget_version, refusal.message_type) == (None, "snapshot.request.v1")


def test_a_reset_forgets_what_was_read_whatever_the_connectors_clock_said() -> None:
    scenario, export = synced()
    scenario.send(snapshot(read_line(STEEL), begun=export, read_to="9999-12-31T00:00:00Z"))
    assert scenario.send(snapshot(read_line(STEEL), begun=export, snapshot_id="s2")).verdict == "stale"
    scenario.send(reset(), lock(1), accept(), acknowledge("success", number=2))
    assert scenario.budget.base
    assert scenario.send(snapshot(read_line(STEEL), begun=scenario.budget.base)).verdict == "applied"


def test_a_reset_ends_a_snapshot_that_is_collected() -> None:
    scenario, export = synced()
    scenario.send(write_pages(export, (read_line(STEEL),), ())[0])
    assert list_resolved(scenario.send(reset())) == ["superseded"]


def test_nothing_is_read_of_a_budget_that_was_never_exported() -> None:
    for status in (None, Status.INVALID, Status.PENDING_APPROVAL, Status.RETURNED):
        assert bring_to(status).send(request_snapshot()).refusal == "nothing_held"


def test_ids_of_requests_are_never_used_again() -> None:
    scenario, _ = synced()
    scenario.send(request_snapshot())
    first = scenario.find("spectrum.snapshot_requested.v1").request_id
    scenario.send(reset(), lock(1), accept(), acknowledge("success", number=2), request_snapshot())
    assert scenario.find("spectrum.snapshot_requested.v1").request_id != first


def test_a_collected_page_is_read_from_its_store_whatever_it_claims() -> None:
    scenario, base = synced()
    first, _ = write_pages(base, LINES[:1], LINES[1:])
    huge = {"total_current": "9" * 37 + ".99", "total_original": "-" + "9" * 39, "line_count": 2**63 - 1}
    odd = first.model_dump(mode="json") | huge | {"snapshot_id": "\u0000\ufffe'\"", "job_status": "C"}
    scenario.send(ErpSnapshot.model_validate(odd))
    assert scenario.verdict == "waiting"
    assert scenario.budget.readings
    assert read_readings(write_readings(scenario.budget.readings)) == scenario.budget.readings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"page": 2}, "page 2 of 1 pages"),
        ({"pages": 11}, "less than or equal to 10"),
        ({"total_original": None}, "total_original is missing, and depth is full"),
        ({"depth": "current_only"}, "total_original is given, and depth is current_only"),
        ({"total_current": "0.001"}, "at most two decimals"),
        ({"job_status": "X"}, "'A', 'I' or 'C'"),
        ({"snapshot_id": ""}, "at least 1 character"),
        ({"job_number": "12345678901"}, "at most 10 characters"),
        ({"line_count": -1}, "greater than or equal to 0"),
    ],
)
def test_a_page_beyond_its_limits_is_unreadable(change: dict[str, Any], says: str) -> None:
    whole = snapshot(*LINES).model_dump(mode="json")
    with pytest.raises(ValidationError, match=says):
        ErpSnapshot.model_validate(whole | change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"original_estimate_cost": "10000000000.00"}, "less than or equal to"),
        ({"original_estimate_cost": None}, "given if and only if depth is full"),
        ({"current_estimate_cost": None}, "a decimal"),
        ({"phase_code": "  "}, "at least 1 character"),
        ({"cost_type": "LABO"}, "at most 3 characters"),
        ({"description": "x" * 256}, "at most 255 characters"),
        ({"bridge_revision": 1.5}, "a decimal"),
    ],
)
def test_a_line_beyond_its_limits_is_unreadable(change: dict[str, Any], says: str) -> None:
    whole = snapshot(*LINES).model_dump(mode="json")
    with pytest.raises(ValidationError, match=says):
        ErpSnapshot.model_validate(whole | {"lines": [LINES[0] | change]})


def test_keys_are_trimmed_and_amounts_are_read_by_value() -> None:
    padded = LINES[0] | {
        "phase_code": "05120   ",
        "cost_type": "S  ",
        "bridge_revision": "0.0000",
        "description": "x  ",
    }
    page = snapshot(padded | {"original_estimate_cost": 640000}, job_number="26-1001   ")
    [line] = page.lines
    assert (line.phase_code, line.cost_type, line.description, page.job_number) == ("05120", "S", "x", "26-1001")
    assert (line.bridge_revision, line.original_estimate_cost) == (0, 64_000_000)

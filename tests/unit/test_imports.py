"""Rows I1 to I10 of docs/behaviour.md: the life of an import, beside the status of its budget."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.inbound import InboundMessage
from handlers.budget import Budget, Status
from handlers.ids import name_request
from handlers.rules import Job
from outbox.budget_state import read_state, write_state
from tests.unit.builders import (
    KEY,
    STEEL,
    Scenario,
    accept,
    acknowledge,
    apply_import,
    lock,
    pass_deadline,
    reject,
    request_import,
    request_snapshot,
    reset,
    retrieve,
)
from tests.unit.import_builders import (
    ASKS,
    ENDED,
    MAPS,
    READY,
    hold,
    list_changes,
    list_codes,
    list_job,
    lock_line,
    offer,
    read_job,
)
from worker.reports.import_report import format_import, write_import

RETURNED = "budget.returned.v1"
STATUS = "budget.status.v1"
REQUESTED = "approval.requested.v1"
AS_HELD = (
    lock_line("L01500", 1, "48000.00"),
    lock_line("M03300", 2, "312500.00"),
    lock_line("S05120", 3, "640000.00"),
)
TOLD = (("01500", "L", 1, "success"), ("03300", "M", 2, "success"), ("05120", "S", 3, "success"))


def ask(**rules: Any) -> Scenario:
    return Scenario(rules=replace(MAPS, **rules)).send(request_import())


def adopt() -> Scenario:
    return offer().send(apply_import("whole", 1, *TOLD))


def list_adopted(budget: Budget) -> list[tuple[str, int, int | None]]:
    adopted = budget.imports.adopted if budget.imports else None
    return (
        [(line.cost_type + line.phase_code, line.original, line.item_id) for line in adopted.lines] if adopted else []
    )


def name_state(scenario: Scenario) -> str:
    one = scenario.budget.open_import
    if one:
        return "READY" if one.is_ready else "ASKED"
    return "APPLIED" if list_adopted(scenario.budget) else "NONE"


def read_cause(scenario: Scenario) -> str:
    cause: str = scenario.find(ENDED).cause
    return cause


def test_row_1_a_request_asks_the_erp_side_for_what_the_mapped_job_holds() -> None:
    scenario = ask()
    assert (scenario.verdict, scenario.types, name_state(scenario)) == ("applied", [ASKS], "ASKED")
    asked = scenario.find(ASKS)
    assert (asked.purpose, asked.requested_by, asked.job_number) == ("import", "ann", "26-1001")
    assert asked.request_id == name_request(KEY, 1)
    assert scenario.status is None
    assert not scenario.budget.claims_job


@pytest.mark.parametrize("before", [(lock(1, STEEL | {"cost_code": "?"}),), (lock(), reject()), (lock(), retrieve())])
def test_row_1_a_version_that_is_invalid_or_returned_is_no_obstacle(before: tuple[InboundMessage, ...]) -> None:
    scenario = Scenario(rules=MAPS).send(*before, request_import())
    assert (scenario.types, name_state(scenario)) == ([ASKS], "ASKED")


@pytest.mark.parametrize(
    ("code", "scenario", "request_"),
    [
        ("not_authorised", ask(jobs={}), request_import("eve")),
        ("import_under_way", ask(), request_import("bob")),
        ("import_under_way", ask(), request_import(mode="link")),
        ("import_under_way", offer(), request_import("bob", budget_unlocked=False)),
        ("unmapped_project", Scenario(rules=replace(MAPS, jobs={}), taken_by=9), request_import(budget_unlocked=False)),
        ("job_taken", Scenario(rules=MAPS, taken_by=9).send(), request_import(budget_unlocked=False)),
        ("already_exported", Scenario(rules=MAPS).send(lock(), accept()), request_import(budget_unlocked=False)),
        ("already_exported", Scenario(rules=MAPS).send(lock(), accept(), lock(2)), request_import()),
        ("version_under_way", Scenario(rules=MAPS).send(lock()), request_import(budget_unlocked=False)),
        ("budget_locked", Scenario(rules=MAPS), request_import(budget_unlocked=False)),
    ],
)
def test_row_2_a_request_is_refused_with_the_first_code_that_applies(
    code: str, scenario: Scenario, request_: InboundMessage
) -> None:
    before = scenario.budget
    scenario.send(request_)
    assert (scenario.refusal, scenario.types) == (code, ["request.refused.v1"])
    assert scenario.find("request.refused.v1").budget_version is None
    assert scenario.budget == before


def test_row_2_a_link_does_not_need_an_unlocked_budget() -> None:
    assert Scenario(rules=MAPS).send(request_import(mode="link", budget_unlocked=False)).types == [ASKS]


def test_row_2_the_job_is_taken_before_an_export_counts() -> None:
    scenario = Scenario(rules=MAPS).send(lock(), accept())
    scenario.taken_by = 9
    assert scenario.send(request_import()).refusal == "job_taken"


def test_the_same_request_again_is_a_duplicate() -> None:
    for scenario in (ask(), offer()):
        state = name_state(scenario)
        assert scenario.send(request_import("ANN ", currency="CAD")).verdict == "duplicate"
        assert (scenario.types, name_state(scenario)) == ([], state)


def test_row_3_a_valid_reading_is_offered() -> None:
    scenario = offer()
    assert (scenario.verdict, scenario.types, name_state(scenario)) == ("applied", [READY], "READY")
    ready = scenario.find(READY)
    assert ready.import_id == name_request(KEY, 1)
    assert (ready.company_code, ready.job_number, ready.currency) == ("001", "26-1001", "USD")
    assert scenario.budget.open_request is None
    assert list_adopted(scenario.budget) == []


def test_row_3_a_link_adopts_at_once() -> None:
    scenario = Scenario(rules=MAPS).send(request_import(mode="link"), read_job(*list_job(S09900="0.00")))
    assert (scenario.types, read_cause(scenario), name_state(scenario)) == ([ENDED], "applied", "APPLIED")
    assert list_codes(scenario, "notices") == ["zero_skipped"]
    assert [name for name, _, _ in list_adopted(scenario.budget)] == ["L01500", "M03300", "S05120"]


def test_row_4_a_reading_that_is_not_valid_refuses_the_import() -> None:
    scenario = ask().send(read_job(*list_job(), complete=False))
    assert (scenario.verdict, read_cause(scenario), name_state(scenario)) == ("applied", "refused", "NONE")
    assert scenario.find(ENDED).notify == ("ann",)
    scenario = adopt().send(request_import(), read_job(*list_job(), number=2, unposted=True))
    assert (read_cause(scenario), name_state(scenario)) == ("refused", "APPLIED")


def miss(scenario: Scenario) -> Scenario:
    request = scenario.budget.open_request
    assert request
    return scenario.send(pass_deadline("snapshot", request.due_at, version=None))


def test_row_4_without_a_reading_after_three_requests_it_is_refused() -> None:
    scenario = ask()
    for number in (2, 3):
        asked = miss(scenario).find(ASKS)
        assert (asked.request_id, asked.purpose) == (name_request(KEY, number), "import")
    assert miss(scenario).types == [ENDED]
    assert (list_codes(scenario), scenario.find(ENDED).import_id) == (["no_snapshot"], name_request(KEY, 1))
    assert (name_state(scenario), scenario.budget.open_request) == ("NONE", None)


def test_row_4_a_project_that_has_lost_its_job_is_not_asked_for_again() -> None:
    assert list_codes(miss(ask().with_rules(jobs={}))) == ["no_snapshot"]


def test_row_4_a_snapshot_that_does_not_fit_is_asked_for_again_and_then_given_up() -> None:
    scenario = ask().send(read_job(*list_job(), line_count=9))
    assert scenario.types == ["snapshot_mismatch", ASKS]
    scenario.send(read_job(*list_job(), number=2, line_count=9), read_job(*list_job(), number=3, line_count=9))
    assert scenario.types == ["snapshot_mismatch", ENDED]
    assert list_codes(scenario) == ["no_snapshot"]


def test_the_answer_to_an_earlier_request_of_the_import_is_taken() -> None:
    scenario = miss(ask()).send(read_job(*list_job()))
    assert (name_state(scenario), scenario.budget.open_request) == ("READY", None)
    assert scenario.find(READY).import_id == name_request(KEY, 1)


@pytest.mark.parametrize("fields", [{"request_id": None}, {"request_id": str(name_request(KEY, 7))}])
def test_a_reading_that_names_no_request_of_the_import_is_not_for_it(fields: dict[str, Any]) -> None:
    scenario = ask().send(read_job(*list_job(), **fields))
    assert (scenario.verdict, scenario.types, name_state(scenario)) == ("ignored", [], "ASKED")


def test_a_second_reading_changes_nothing_of_the_offer() -> None:
    scenario = miss(ask()).send(read_job(*list_job()), read_job(hold("S05120", "1.00"), number=2))
    assert (scenario.verdict, name_state(scenario)) == ("ignored", "READY")
    assert list_adopted(scenario.send(apply_import("whole")).budget)[0] == ("L01500", 4800000, None)


def test_a_reading_after_an_export_that_was_never_sent_is_not_for_an_import() -> None:
    begun = {"export_id": "00000000-0000-4000-8000-000000000000", "attempt": 1, "whole": True}
    scenario = ask().send(read_job(*list_job(), last_begun=begun))
    assert (scenario.types, name_state(scenario)) == (["unknown_export", ASKS], "ASKED")
    scenario.send(*(read_job(*list_job(), number=number, last_begun=begun) for number in (2, 3)))
    assert (scenario.types, list_codes(scenario)) == (["unknown_export", ENDED], ["no_snapshot"])
    assert name_state(scenario) == "NONE"


def test_the_rules_of_the_readings_moment_count() -> None:
    scenario = ask(phases={}).with_rules(phases=MAPS.phases).send(read_job(*list_job()))
    assert scenario.types == [READY]
    moved = ask().with_rules(jobs={KEY[:2]: Job("001", "26-2002")})
    assert moved.send(read_job(*list_job())).types == ["unknown_job"]
    assert moved.send(read_job(*list_job(), number=1, job_number="26-2002")).find(READY).job_number == "26-2002"


def test_row_5_a_reading_in_which_every_line_is_the_same_ends_the_import() -> None:
    scenario = adopt().send(request_import(), read_job(*list_job(), number=2))
    assert (scenario.types, read_cause(scenario), name_state(scenario)) == ([ENDED], "applied", "APPLIED")
    assert [item for _, _, item in list_adopted(scenario.budget)] == [1, 2, 3]


def test_row_6_what_was_taken_whole_is_adopted() -> None:
    scenario = offer().send(apply_import("whole", 1, ("05120 ", "S  ", 3, "success")))
    assert (scenario.types, read_cause(scenario), name_state(scenario)) == ([ENDED], "applied", "APPLIED")
    adopted = [("L01500", 4800000, None), ("M03300", 31250000, None), ("S05120", 64000000, 3)]
    assert list_adopted(scenario.budget) == adopted


def test_row_6_a_second_import_takes_the_place_of_the_first() -> None:
    later = list_job(L01500="0.00", S05120="655000.00")
    scenario = adopt().send(request_import(), read_job(*later, number=2), apply_import("whole", 2))
    assert list_adopted(scenario.budget) == [("M03300", 31250000, 2), ("S05120", 65500000, 3)]
    assert scenario.budget.imports
    assert scenario.budget.imports.adopted
    assert scenario.budget.imports.adopted.import_id == name_request(KEY, 2)


@pytest.mark.parametrize(("status", "codes"), [("partial", 2), ("whole", 2)])
def test_row_7_of_a_part_only_what_is_named_is_adopted(status: str, codes: int) -> None:
    told = (("03300", "M", 2, "success"), ("05120", "S", None, "it exists"))
    scenario = offer().send(apply_import(status, 1, *told))
    assert (scenario.types, read_cause(scenario), name_state(scenario)) == ([ENDED], "partial", "APPLIED")
    assert list_codes(scenario) == ["not_applied"] * codes
    assert list_adopted(scenario.budget) == [("M03300", 31250000, 2)]


def test_row_7_of_a_part_the_rest_stays_as_it_was() -> None:
    later = read_job(*list_job(L01500="0.00", S05120="655000.00", S09900="1.00"), number=2)
    scenario = adopt().send(request_import(), later)
    scenario.send(apply_import("partial", 2, ("09900", "S", 9, "success")))
    errors = [(one.phase_code, one.code) for one in scenario.find(ENDED).errors]
    assert errors == [("01500", "not_applied"), ("05120", "not_applied")]
    assert [name for name, _, _ in list_adopted(scenario.budget)] == ["L01500", "M03300", "S05120", "S09900"]
    assert list_adopted(scenario.budget)[2] == ("S05120", 64000000, 3)


def test_row_7_a_line_that_is_gone_is_given_up() -> None:
    scenario = adopt().send(request_import(), read_job(*list_job(L01500="0.00"), number=2))
    scenario.send(apply_import("partial", 2, ("01500", "L", 1, "success")))
    assert (read_cause(scenario), list_codes(scenario)) == ("partial", [])
    assert [name for name, _, _ in list_adopted(scenario.budget)] == ["M03300", "S05120"]


def test_row_7_nothing_is_adopted_where_nothing_was_taken() -> None:
    scenario = offer().send(apply_import("partial"))
    assert (read_cause(scenario), name_state(scenario), len(list_codes(scenario))) == ("partial", "NONE", 3)


def test_lines_that_were_not_offered_are_passed_over_and_the_last_of_two_counts() -> None:
    told = (("77777", "Q", 7, "failed"), ("05120", "S", 1, "failed"), ("05120", "S", 3, "success"))
    scenario = offer().send(apply_import("whole", 1, *told))
    assert (read_cause(scenario), list_adopted(scenario.budget)[2]) == ("applied", ("S05120", 64000000, 3))


def test_row_8_an_import_is_abandoned() -> None:
    scenario = offer().send(apply_import("abandoned"))
    assert (scenario.types, read_cause(scenario), name_state(scenario)) == ([ENDED], "abandoned", "NONE")


@pytest.mark.parametrize("read", [(), (read_job(*list_job()),)])
def test_row_8_a_reset_abandons_an_import_and_forgets_what_was_adopted(read: tuple[InboundMessage, ...]) -> None:
    scenario = Scenario(rules=MAPS).send(lock(), reject(), request_import(), *read, reset())
    assert (scenario.types[0], read_cause(scenario), name_state(scenario)) == (ENDED, "abandoned", "NONE")
    assert RETURNED in scenario.types
    assert scenario.budget.open_request is None


@pytest.mark.parametrize("version", [lock(), lock(1, STEEL | {"cost_code": "?"})])
@pytest.mark.parametrize("read", [(), (read_job(*list_job()),)])
def test_row_9_a_version_ends_an_import_whether_it_is_valid_or_not(
    version: InboundMessage, read: tuple[InboundMessage, ...]
) -> None:
    scenario = ask().send(*read, version)
    assert (scenario.types[0], read_cause(scenario), name_state(scenario)) == (ENDED, "overtaken", "NONE")
    assert scenario.types[1] in {REQUESTED, RETURNED}
    assert scenario.budget.open_request is None


def test_row_9_a_version_that_is_not_taken_up_ends_nothing() -> None:
    scenario = Scenario(rules=MAPS).send(lock(2), reject(2), request_import())
    assert scenario.send(lock(1)).verdict == "stale"
    assert scenario.send(lock(2)).verdict == "duplicate"
    assert name_state(scenario) == "ASKED"


def test_row_9_pages_that_were_for_the_import_wait_no_more() -> None:
    first = read_job(*list_job(), pages=2, line_count=4)
    scenario = ask().send(first, lock())
    assert [one.verdict.value for one in scenario.last.step.resolved] == ["superseded"]


def test_row_10_an_import_expires_in_either_state() -> None:
    for scenario in (ask(), offer()):
        one = scenario.budget.open_import
        assert one
        assert one.due_at == scenario.now + timedelta(days=1)
        early = one.due_at - timedelta(seconds=1)
        assert scenario.send(pass_deadline("import", early, version=None)).verdict == "ignored"
        scenario.send(pass_deadline("import", one.due_at, version=None))
        assert (scenario.types, read_cause(scenario), name_state(scenario)) == ([ENDED], "expired", "NONE")
        assert scenario.send(pass_deadline("import", one.due_at, version=None)).verdict == "ignored"


def test_row_10_what_was_adopted_before_stays() -> None:
    scenario = adopt().send(request_import())
    one = scenario.budget.open_import
    assert one
    assert name_state(scenario.send(pass_deadline("import", one.due_at, version=None))) == "APPLIED"


def test_an_answer_to_an_import_that_was_not_offered_is_set_aside() -> None:
    for scenario, number in ((Scenario(rules=MAPS), 1), (ask(), 1), (offer(), 7), (miss(offer_late()), 2)):
        assert scenario.send(apply_import("whole", number)).types == ["unknown_import"]
        assert scenario.verdict == "dead_lettered"


def offer_late() -> Scenario:
    """An import whose second request was not answered either."""
    return miss(ask())


def test_an_answer_to_an_import_that_has_ended_is_stale() -> None:
    scenario = offer().send(apply_import("whole", 1, *TOLD))
    assert scenario.send(apply_import("whole", 1, *TOLD)).verdict == "stale"
    assert scenario.send(apply_import("abandoned")).verdict == "stale"
    assert name_state(scenario) == "APPLIED"
    again = scenario.send(request_import(), read_job(*list_job(S05120="1.00"), number=2))
    assert again.send(apply_import("whole", 1)).verdict == "stale"
    assert name_state(again) == "READY"


def test_nobody_asks_for_a_snapshot_of_a_budget_that_is_only_imported() -> None:
    assert adopt().send(request_snapshot()).refusal == "nothing_held"


def test_example_6_what_was_exported_is_imported_only_after_a_reset() -> None:
    scenario = Scenario(rules=MAPS).send(lock(), accept(), acknowledge("success"))
    assert scenario.send(request_import()).refusal == "already_exported"
    assert scenario.types == ["request.refused.v1"]
    assert scenario.send(reset(), request_import()).types == [ASKS]


def test_example_7_a_version_overtakes_an_offer() -> None:
    scenario = offer().send(lock(1, *AS_HELD))
    assert scenario.types == [ENDED, REQUESTED, STATUS]
    assert (read_cause(scenario), scenario.status) == ("overtaken", Status.PENDING_APPROVAL)
    requested = scenario.find(REQUESTED)
    assert (requested.kind, requested.base_import_id) == ("export", None)
    assert {line["change"] for line in scenario.find_lines(REQUESTED)} == {"add"}
    assert scenario.send(apply_import("whole")).verdict == "stale"


def test_a_state_with_an_import_is_stored_and_one_without_stores_nothing_more() -> None:
    for scenario in (ask(), offer(), adopt(), adopt().send(request_import())):
        stored = scenario.budget._replace(readings=None)
        assert read_state(write_state(stored)) == stored
    assert "imports" not in write_state(Scenario(rules=MAPS).send(lock(), accept()).budget)
    assert "readings" not in write_state(adopt().budget)


def test_status_shows_how_an_import_stands() -> None:
    asked, read, taken = ask().budget, offer().budget, adopt().send(request_import(mode="link")).budget
    assert (write_import(None)["state"], list(format_import(Scenario().budget))) == ("NONE", [])
    assert [write_import(budget)["state"] for budget in (asked, read, adopt().budget)] == ["ASKED", "READY", "APPLIED"]
    [line] = format_import(read)
    assert "import READY (take), asked for by ann: the project side has to take what is offered" in line
    waits, imported = format_import(taken)
    assert "import ASKED (link)" in waits
    assert imported == "  imported from job 26-1001: 3 lines, 1,000,500.00 USD in all"
    adopted = write_import(taken)["adopted"]
    assert isinstance(adopted, dict)
    assert (adopted["lines"], adopted["total_original"]) == (3, "1000500.00")


def test_an_import_can_be_asked_for_again_while_a_version_that_was_adopted_is_returned() -> None:
    scenario = adopt().send(lock(1, *AS_HELD), reject(), request_import())
    scenario.send(read_job(*list_job(S05120="1.00"), number=2), apply_import("whole", 2))
    assert list_adopted(scenario.budget)[2] == ("S05120", 100, 3)
    assert list_changes(offer())[2][1] == "add"

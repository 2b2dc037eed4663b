"""Imported lines: what the first exports are compared with, completed by, and leave as it was in Spectrum."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.erp_snapshot import ErpSnapshot
from contracts.inbound import ErpAcknowledgement
from demo.spectrum import HeldLine, LineKey, Spectrum, SpectrumJob, finish
from demo.spectrum_messages import read_export, write_acknowledgement
from demo.spectrum_snapshot import Reader
from handlers.budget import Status
from handlers.ids import name_request
from handlers.rules import Job
from tests.unit.builders import (
    KEY,
    Line,
    Scenario,
    accept,
    acknowledge,
    apply_import,
    lock,
    reject,
    request_import,
    reset,
    retry,
)
from tests.unit.import_builders import MAPS, hold, list_job, lock_line, offer, read_job
from tests.unit.test_imports import AS_HELD, TOLD

EXPORT = "spectrum.export.v1"
REQUESTED = "approval.requested.v1"
JOB = SpectrumJob("001", "26-1001")
CHANGED = ("phase_code", "change", "previous_original_estimate_cost", "original_change")


def adopt(*lines: Line, **rules: Any) -> Scenario:
    """A budget whose job was taken whole."""
    return offer(*lines, **rules).send(apply_import("whole", 1, *TOLD))


def list_changes(scenario: Scenario, kind: str) -> list[tuple[Any, ...]]:
    return [tuple(line[name] for name in CHANGED) for line in scenario.find_lines(kind)]


class Job1001:
    """The job in a simulated Spectrum, and the budget that is imported from it and exported to it."""

    def __init__(self) -> None:
        held = {
            LineKey("01500", "L"): HeldLine(4800000),
            LineKey("03300", "M"): HeldLine(31250000, revisions={"CO-1": 2000000}),
            LineKey("05120", "S"): HeldLine(64000000),
        }
        self.spectrum = Spectrum()
        self.lines = self.spectrum.jobs[JOB] = held
        for key in held:
            self.spectrum.descriptions[JOB, key.phase_code] = "typed by accounting"
        self.budget = Scenario(rules=MAPS)

    def take(self, number: int = 1) -> None:
        """Import the job whole."""
        self.budget.send(request_import())
        at, request = f"2026-11-24T08:{number:02}:00Z", str(name_request(KEY, number))
        for page in Reader(pads_keys=True, page_lines=2).read(self.spectrum, KEY, JOB, f"s{number}", at, request):
            self.budget.send(ErpSnapshot.model_validate(page))
        self.budget.send(apply_import("whole", number))

    def apply(self) -> None:
        """Do in Spectrum what the last message has sent, and acknowledge it."""
        export = read_export(self.budget.find(EXPORT).model_dump(mode="json"))
        answer = write_acknowledgement(export, finish(self.spectrum.apply(export)), "2026-11-24T12:00:00Z")
        self.budget.send(ErpAcknowledgement.model_validate(answer))


def test_example_5_what_is_exported_as_it_was_imported_changes_nothing() -> None:
    job = Job1001()
    job.take()
    job.budget.send(lock(1, *AS_HELD))
    assert [change for _, change, _, _ in list_changes(job.budget, REQUESTED)] == ["same"] * 3
    job.budget.send(accept())
    job.apply()
    assert job.budget.status is Status.SYNCED
    concrete = job.lines[LineKey("03300", "M")]
    assert (concrete.original, concrete.booked_by_bridge, concrete.total, concrete.current) == (
        31250000,
        0,
        33250000,
        33250000,
    )
    assert concrete.revisions.get("CO-1") == 2000000


def test_example_9_what_a_version_lacks_is_set_to_zero_and_what_nobody_adopted_stays() -> None:
    job = Job1001()
    job.take()
    job.lines[LineKey("02310", "E")] = HeldLine(1200000)
    job.budget.send(lock(1, *AS_HELD[:2]))
    assert list_changes(job.budget, REQUESTED)[2] == ("05120", "zero", "640000.00", "-640000.00")
    job.budget.send(accept())
    job.apply()
    assert job.budget.status is Status.SYNCED
    assert (job.lines[LineKey("05120", "S")].original, job.lines[LineKey("02310", "E")].original) == (0, 1200000)


def test_the_first_export_is_compared_with_the_imported_lines() -> None:
    dearer = (*AS_HELD[:2], lock_line("S05120", 3, "650000.00"), lock_line("S09900", 4, "1.00"))
    scenario = adopt().send(lock(1, *dearer))
    requested = scenario.find(REQUESTED)
    assert (requested.kind, requested.base_version, requested.base_import_id) == ("export", None, name_request(KEY, 1))
    changes = [
        ("01500", "same", "48000.00", "0.00"),
        ("03300", "same", "312500.00", "0.00"),
        ("05120", "set", "640000.00", "10000.00"),
        ("09900", "add", None, "1.00"),
    ]
    assert list_changes(scenario, REQUESTED) == changes
    scenario.send(accept())
    export = scenario.find(EXPORT)
    assert (export.base_export_id, export.base_version, export.base_import_id) == (None, None, name_request(KEY, 1))
    assert list_changes(scenario, EXPORT) == changes


def test_only_the_two_amounts_are_compared() -> None:
    named = [line | {"description": "Another name", "budget_line_item_id": 90 + n} for n, line in enumerate(AS_HELD)]
    scenario = adopt(
        hold("M03300", "312500.00", bridge_revision="1.00", current_estimate_cost="312501.00"), *list_job()[:1]
    )
    scenario.send(lock(1, named[0], named[1] | {"revision_amount": "1.00"}))
    assert {line["change"] for line in scenario.find_lines(REQUESTED)} == {"same"}
    scenario.send(lock(2, named[0], named[1] | {"revision_amount": "2.00"}))
    assert [line["change"] for line in scenario.find_lines(REQUESTED)] == ["same", "set"]


def test_a_removed_line_has_the_item_id_that_was_told_if_any() -> None:
    scenario = offer().send(apply_import("whole", 1, *TOLD[1:]), lock(1, lock_line("S09900", 9, "1.00")))
    lines = scenario.find_lines(REQUESTED)
    assert [line["budget_line_item_id"] for line in lines] == [None, 2, 3, 9]
    assert [line["price_method_code"] for line in lines] == ["T", "T", "F", "F"]
    assert lines[0]["description"] == "General conditions"


def test_a_removed_line_is_zero_in_quantity_too() -> None:
    scenario = adopt(quantities=True).send(lock(1, lock_line("S09900", 9, "1.00")))
    assert {line["original_estimate_quantity"] for line in scenario.find_lines(REQUESTED)} == {"0.00"}
    assert {line["unit_of_measure"] for line in scenario.find_lines(REQUESTED)} == {None}


@pytest.mark.parametrize(
    ("held", "sent"),
    [("", "05120"), ("\u200b", "05120"), ("Structural steel, shop fabricated and erected", "Structural steel, shop")],
)
def test_a_removed_line_has_a_description_that_spectrum_takes(held: str, sent: str) -> None:
    scenario = adopt(hold("S05120", "1.00", description=held)).send(lock(1, AS_HELD[0]), accept())
    assert [line["description"] for line in scenario.find_lines(EXPORT)] == ["General conditions", sent]


def test_a_description_that_was_imported_is_kept() -> None:
    renamed = (AS_HELD[0] | {"description": "Another name"}, *AS_HELD[1:])
    scenario = adopt().send(lock(1, *renamed))
    assert [line["keep_description"] for line in scenario.find_lines(REQUESTED)] == [False, True, True]
    scenario.send(accept())
    assert [line["keep_description"] for line in scenario.find_lines(EXPORT)] == [False, True, True]
    scenario.send(acknowledge("failed"), retry())
    assert [line["keep_description"] for line in scenario.find_lines(EXPORT)] == [False, True, True]
    scenario.send(acknowledge("failed", attempt=2), lock(2, *renamed))
    assert {line["keep_description"] for line in scenario.find_lines(REQUESTED)} == {False}


def test_every_attempt_and_every_version_before_the_first_success_is_compared_with_the_import() -> None:
    scenario = adopt().send(lock(1, *AS_HELD[:2]), accept())
    first = scenario.find(EXPORT)
    scenario.send(acknowledge("failed"), retry())
    assert scenario.find(EXPORT) == first.model_copy(update={"attempt": 2})
    scenario.send(acknowledge("failed", attempt=2), reject(), lock(2, *AS_HELD))
    assert [line["change"] for line in scenario.find_lines(REQUESTED)] == ["same"] * 3
    assert scenario.find(REQUESTED).base_import_id == name_request(KEY, 1)


def test_from_the_first_success_on_the_base_counts() -> None:
    scenario = adopt().send(lock(1, *AS_HELD[:2]), accept(), acknowledge("success"), lock(2, *AS_HELD))
    assert [line["change"] for line in scenario.find_lines(REQUESTED)] == ["same", "same", "add"]
    requested = scenario.find(REQUESTED)
    assert (requested.kind, requested.base_import_id) == ("resync", None)
    assert scenario.budget.imports
    assert scenario.budget.imports.adopted is None


@pytest.mark.parametrize("other", [{"currency": "CAD"}, {}])
def test_a_version_for_another_currency_or_job_is_taken_up_as_if_nothing_were_imported(other: dict[str, Any]) -> None:
    scenario = adopt()
    if not other:
        scenario.with_rules(jobs={KEY[:2]: Job("001", "26-2002")})
    scenario.send(lock(1, *AS_HELD[:2], **other))
    assert [line["change"] for line in scenario.find_lines(REQUESTED)] == ["add", "add"]
    assert scenario.find(REQUESTED).base_import_id is None
    assert {line["keep_description"] for line in scenario.find_lines(REQUESTED)} == {False}


def test_a_removed_line_can_be_forbidden() -> None:
    scenario = adopt(removed_lines="block").send(lock(1, *AS_HELD[:2]))
    [error] = scenario.find("budget.returned.v1").errors
    assert (scenario.status, error.code, error.budget_line_item_id) == (Status.INVALID, "removed_line", 3)
    scenario.send(lock(2, *AS_HELD)).with_rules(removed_lines="zero").send(lock(3, *AS_HELD[:1]))
    assert scenario.with_rules(removed_lines="block").send(accept(3)).status is Status.INVALID


def test_a_reset_keeps_imported_lines_known_and_compares_with_them_no_more() -> None:
    scenario = adopt().send(lock(1, *AS_HELD), reject(), reset(), lock(2, *AS_HELD[:2]))
    assert list_changes(scenario, REQUESTED)[2] == ("05120", "zero", None, "0.00")
    assert [line["change"] for line in scenario.find_lines(REQUESTED)] == ["add", "add", "zero"]
    assert scenario.find(REQUESTED).base_import_id is None


def test_a_line_that_was_given_up_is_never_set_to_zero() -> None:
    later = read_job(*list_job(L01500="0.00"), number=2)
    scenario = adopt().send(request_import(), later, apply_import("whole", 2), lock(1, *AS_HELD[1:]))
    assert [line["phase_code"] for line in scenario.find_lines(REQUESTED)] == ["03300", "05120"]


def test_the_approver_is_shown_what_the_import_has_read() -> None:
    scenario = offer(hold("S05120", "5.00", other_revision="2.00", current_estimate_cost="7.00"))
    scenario.send(lock(1, lock_line("S05120", 3, "5.00")))
    [line] = scenario.find_lines(REQUESTED)
    assert (line["found_original"], line["found_other_revision"], line["found_current"]) == ("5.00", "2.00", "7.00")
    assert scenario.find(REQUESTED).drift_hash is None


def test_the_approver_is_not_shown_what_another_job_held() -> None:
    scenario = adopt().with_rules(jobs={KEY[:2]: Job("001", "26-2002")}).send(lock(1, *AS_HELD))
    assert {(line["found_original"], line["found_at"]) for line in scenario.find_lines(REQUESTED)} == {(None, None)}


def test_imported_lines_that_the_first_export_has_are_sent_no_matter_how_they_were_imported() -> None:
    linked = Scenario(rules=replace(MAPS)).send(request_import(mode="link"), read_job(*list_job()))
    linked.send(lock(1, *AS_HELD[:2]), accept())
    assert [line["change"] for line in linked.find_lines(EXPORT)] == ["same", "same", "zero"]
    linked.send(acknowledge("success"), lock(2, *AS_HELD[:1]))
    assert [line["phase_code"] for line in linked.find_lines(REQUESTED)] == ["01500", "03300"]

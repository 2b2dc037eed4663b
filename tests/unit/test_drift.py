"""What a reading shows: rows F1 to F8 and D1 to D5 of docs/behaviour.md, and every kind of difference."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from contracts.drift import ErpDrift
from contracts.outbound import SpectrumExport
from handlers.budget import Export, Status
from handlers.rules import Job
from tests.unit.builders import (
    CONCRETE,
    KEY,
    RULES,
    STEEL,
    Line,
    Scenario,
    accept,
    acknowledge,
    decide_drift,
    list_held,
    lock,
    pass_deadline,
    reject,
    request_snapshot,
    reset,
    retry,
    snapshot,
)

GENERAL = {
    "budget_line_item_id": 3,
    "cost_code": "01-500",
    "cost_type": "L",
    "description": "General conditions",
    "original_amount": "48000.00",
}
FORMWORK = CONCRETE | {
    "budget_line_item_id": 4,
    "cost_type": "L",
    "original_amount": "187250.50",
    "revision_amount": "0.00",
}
LINES: tuple[Line, ...] = (
    GENERAL,
    FORMWORK,
    CONCRETE | {"original_amount": "312500.00", "revision_amount": "2500.00"},
    STEEL,
)
DRIFT = "erp.drift.v1"
STATUS = "budget.status.v1"
RESYNC = "spectrum.resync.v1"
ASKED = "spectrum.snapshot_requested.v1"
TYPED = {"S05120": {"original_estimate_cost": "640000.01"}}
"""A cent too much, typed over in Spectrum."""


@dataclass
class Books(Scenario):
    """A budget whose job can be read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._days = count(1)

    def read(self, export: Export | None, changes: dict[str, Any] | None = None, **fields: Any) -> "Books":
        """Read the job after this export, with changes by hand; each reading is newer than the last."""
        day = next(self._days)
        at = f"2026-12-{day:02d}T08:00:00Z"
        lines = list_held(export, **(changes or {})) if export else []
        if fields.get("depth") == "current_only":
            unknown = dict.fromkeys(("original_estimate_cost", "bridge_revision", "other_revision"))
            lines = [line | unknown for line in lines]
        header: dict[str, Any] = {"begun": export, "snapshot_id": f"s{day}", "read_from": at, "read_to": at}
        self.send(snapshot(*lines, **(header | fields)))
        return self

    @property
    def base(self) -> Export:
        assert self.budget.base
        return self.budget.base

    @property
    def unanswered(self) -> Export:
        assert self.budget.unanswered
        return self.budget.unanswered

    @property
    def drift(self) -> ErpDrift:
        drift: ErpDrift = self.find(DRIFT)
        return drift

    @property
    def last_drift(self) -> ErpDrift:
        return [sent for sent in self.sent if isinstance(sent, ErpDrift)][-1]

    @property
    def exports(self) -> list[SpectrumExport]:
        return [sent for sent in self.sent if isinstance(sent, SpectrumExport)]

    @property
    def shown(self) -> tuple[str, int, str]:
        """What the last status shows of what Spectrum holds."""
        shown = [sent for sent in self.sent if sent.type == STATUS][-1]
        return shown.read_back, shown.drift_lines, shown.drift_amount  # type: ignore[attr-defined]

    def list_kinds(self) -> dict[str, tuple[str, ...]]:
        return {line.cost_type + line.phase_code: line.kinds for line in self.last_drift.lines}


def synced(**rules: Any) -> Books:
    """Version 1, synced."""
    books = Books()
    books.with_rules(**rules).send(lock(1, *LINES), accept(), acknowledge("success"))
    assert books.status is Status.SYNCED
    return books


def exporting(**rules: Any) -> Books:
    """Version 1 synced, version 2 under way, which changes the steel and has no general conditions."""
    books = synced(**rules)
    books.send(lock(2, *LINES[1:3], STEEL | {"original_amount": "700000.00"}), accept(2))
    assert books.status is Status.EXPORTING
    return books


def failed(status: str = "partial") -> Books:
    books = exporting()
    books.send(acknowledge(status, 2))
    assert books.status is Status.EXPORT_FAILED
    return books


class TestExamples:
    """Each example of the specification, by its number."""

    def test_1_as_sent(self) -> None:
        books = synced()
        books.read(books.base)
        assert (books.drift.state, books.drift.drift_lines, books.drift.lines) == ("matches", 0, ())
        assert books.shown == ("matches", 0, "0.00")

    def test_2_a_cent(self) -> None:
        books = synced()
        books.read(books.base, TYPED)
        assert books.list_kinds() == {"S05120": ("original_differs",)}
        assert books.shown == ("differs", 1, "0.01")

    def test_3_the_current_estimate_is_set_from_the_original(self) -> None:
        books = synced()
        books.read(books.base, {"M03300": {"current_estimate_cost": "312500.00"}})
        assert books.list_kinds() == {"M03300": ("current_differs",)}
        assert books.shown == ("differs", 1, "2500.00")

    def test_4_project_setup_is_run_again(self) -> None:
        books = synced()
        figures = {"original_estimate_cost": "300000.00", "current_estimate_cost": "300000.00"}
        books.read(books.base, {"M03300": figures})
        assert books.list_kinds() == {"M03300": ("original_differs", "current_differs")}
        assert books.shown == ("differs", 1, "15000.00")
        [line] = books.drift.lines
        assert (line.expected_original, line.expected_revision) == ("312500.00", "2500.00")
        assert (line.found_original, line.found_bridge_revision, line.found_current) == (
            "300000.00",
            "2500.00",
            "300000.00",
        )

    def test_5_others_have_revised(self) -> None:
        books = synced()
        books.read(books.base, {"M03300": {"other_revision": "20000.00"}})
        assert (books.drift.state, books.list_kinds()) == ("matches", {"M03300": ("others_revised",)})

    def test_6_a_line_that_nobody_sent(self) -> None:
        books = synced()
        extra = {"E02310": {"original_estimate_cost": "12000.00", "bridge_revision": "0.00"}}
        books.read(books.base, extra)
        assert (books.drift.state, books.list_kinds()) == ("matches", {"E02310": ("unknown_line",)})
        [line] = books.drift.lines
        assert (line.budget_line_item_id, line.expected_original) == (None, None)
        books.send(lock(2, *LINES[:3], STEEL | {"original_amount": "1.00"}), accept(2))
        assert "02310" not in books.find(RESYNC).model_dump_json()

    @pytest.mark.parametrize(
        ("complete", "state", "kind", "amount"),
        [(False, "unknown", "not_seen", "0.00"), (True, "differs", "missing", "640000.00")],
    )
    def test_7_a_line_is_absent(self, *, complete: bool, state: str, kind: str, amount: str) -> None:
        books = synced()
        books.read(books.base, {"S05120": None}, complete=complete)
        assert (books.drift.state, books.drift.reason) == (state, None if complete else "not_complete")
        assert (books.list_kinds(), books.drift.drift_amount) == ({"S05120": (kind,)}, amount)
        [line] = books.drift.lines
        assert (line.expected_original, line.found_original, line.found_current) == ("640000.00", None, None)

    def test_8_a_reading_from_before_the_export_that_is_under_way(self) -> None:
        books = exporting()
        assert books.read(books.base).verdict == "stale"
        books.send(acknowledge("success", 2)).find(STATUS)
        books.read(books.base)
        assert (books.drift.budget_version, books.drift.state) == (2, "matches")

    def test_9_restate(self) -> None:
        books = synced()
        books.read(books.base, TYPED)
        before, found = books.base, books.drift.drift_hash
        assert found
        books.send(decide_drift("restate", found))
        assert (books.status, books.types) == (Status.EXPORTING, [RESYNC, DRIFT, STATUS])
        export = books.find(RESYNC)
        assert (export.export_number, export.budget_version, export.restatement) == (2, 1, 1)
        assert (export.content_hash, export.base_export_id, export.base_version) == (before.content_hash, None, 1)
        assert (export.line_count, export.export_id == before.id) == (4, False)
        assert (export.approved_by, export.approved_at) == (before.approved_by, before.approved_at)
        assert (books.drift.state, books.drift.reason, books.drift.drift_hash) == ("unknown", "export_sent", None)
        books.send(acknowledge("success", 1, number=2))
        assert books.status is Status.SYNCED
        assert books.read(books.base).drift.state == "matches"

    def test_10_the_answer_is_lost_and_only_told(self) -> None:
        books = exporting()
        books.read(books.unanswered)
        assert (books.status, books.shown[0], books.types) == (Status.EXPORTING, "matches", [DRIFT, STATUS])
        assert books.send(acknowledge("success", 2)).status is Status.SYNCED
        assert books.shown[0] == "matches"

    def test_10_the_answer_is_lost_and_the_reading_counts(self) -> None:
        books = exporting(acknowledges="success")
        books.read(books.unanswered)
        assert (books.status, books.base.version, books.shown[0]) == (Status.SYNCED, 2, "matches")
        assert books.send(acknowledge("success", 2)).verdict == "duplicate"


class TestRowsOfReadings:
    def test_f1_after_an_export_that_was_never_sent(self) -> None:
        books = synced()
        stranger = books.base._replace(id=UUID(int=7))
        assert books.read(stranger).types == ["unknown_export"]
        ahead = books.base._replace(attempt=2)
        assert books.read(ahead).types == ["unknown_export"]
        assert books.budget.readings is None
        books.send(request_snapshot())
        first = books.find(ASKED)
        assert books.read(stranger, request_id=first.request_id).types == ["unknown_export", ASKED]
        assert books.find(ASKED).request_id != first.request_id

    def test_f2_nothing_was_exported_or_nothing_since_a_reset(self) -> None:
        books = synced()
        base = books.base
        books.send(reset())
        assert books.read(base).verdict == "ignored"
        assert books.shown[0] == "never"

    def test_f3_in_the_middle_of_the_export(self) -> None:
        books = exporting()
        begun = {"export_id": str(books.unanswered.id), "attempt": 1, "whole": False}
        assert books.read(books.unanswered, last_begun=begun).verdict == "ignored"
        assert books.read(None, last_begun=None).verdict == "stale"
        assert books.budget.readings is None

    def test_f4_not_by_what_shows_only_current_estimates(self) -> None:
        books = exporting(acknowledges="success")
        books.read(books.unanswered, depth="current_only")
        assert (books.status, books.drift.state) == (Status.EXPORTING, "matches")

    def test_f4_a_failed_export_that_stands(self) -> None:
        books = failed("failed").with_rules(acknowledges="success")
        assert isinstance(books, Books)
        assert books.read(books.unanswered).status is Status.SYNCED
        assert books.budget.synced_version == 2

    def test_f4_a_version_that_waits_becomes_current(self) -> None:
        books = exporting(acknowledges="success")
        books.send(lock(3, STEEL))
        books.read(books.unanswered)
        assert (books.status, books.budget.base and books.budget.base.version) == (Status.PENDING_APPROVAL, 2)

    @pytest.mark.parametrize("whole", [True, False])
    def test_f5_a_failed_export_is_compared_with_what_it_sent(self, *, whole: bool) -> None:
        books = failed()
        begun = {"export_id": str(books.unanswered.id), "attempt": 1, "whole": whole}
        books.read(books.unanswered, {"S05120": {"original_estimate_cost": "640000.00"}}, last_begun=begun)
        assert (books.status, books.drift.state, books.drift.budget_version) == (Status.EXPORT_FAILED, "differs", 2)
        assert books.shown == ("differs", 1, "60000.00")

    def test_f6_a_failed_export_that_was_never_begun_leaves_the_base(self) -> None:
        books = failed("failed")
        books.read(books.base)
        assert (books.drift.state, books.drift.budget_version, books.status) == ("matches", 1, Status.EXPORT_FAILED)

    def test_f7_older_than_the_base(self) -> None:
        books = exporting()
        first = books.base
        books.send(acknowledge("success", 2))
        assert books.read(first).verdict == "stale"
        assert books.read(None, last_begun=None).verdict == "stale"
        assert books.budget.readings is None

    def test_f7_from_before_a_reset(self) -> None:
        books = synced()
        before = books.base
        books.send(reset(), lock(2, *LINES), accept(2), acknowledge("failed", 2))
        assert books.read(before).verdict == "stale"

    def test_f7_the_base_before_it_was_whole(self) -> None:
        books = synced()
        begun = {"export_id": str(books.base.id), "attempt": 1, "whole": False}
        assert books.read(books.base, {"S05120": None}, last_begun=begun).verdict == "stale"
        assert books.budget.readings is None

    def test_f8_something_differs_while_exporting(self) -> None:
        books = exporting(acknowledges="success")
        books.read(books.unanswered, TYPED)
        assert (books.status, books.drift.state, books.drift.reason) == (Status.EXPORTING, "unknown", "not_answered")
        assert books.budget.readings
        assert books.shown[0] == "unknown"

    def test_f8_a_failed_export_whose_version_was_left(self) -> None:
        books = failed()
        left = books.unanswered
        books.send(lock(3, *LINES[1:]))
        assert books.read(left).types == [DRIFT, "approval.requested.v1", STATUS]
        assert (books.drift.state, books.drift.reason) == ("unknown", "not_answered")


class TestDecisions:
    def differ(self, books: Books, changes: dict[str, Any] | None = None) -> str:
        found = books.read(books.budget.unanswered or books.base, changes or TYPED).drift.drift_hash
        assert found
        return found

    def test_d1_restatements_of_a_version_are_counted(self) -> None:
        books = synced()
        for number in (1, 2):
            books.send(decide_drift("restate", self.differ(books), effective_date="2026-12-31"))
            export = books.find(RESYNC)
            assert (export.restatement, export.export_number) == (number, number + 1)
            assert str(export.effective_date) == "2026-12-31"
            assert books.find(STATUS).export_id == export.export_id
            books.send(acknowledge("success", 1, number=number + 1))
        books.send(lock(2, *LINES))
        assert books.budget.synced_version == 2
        books.send(decide_drift("restate", self.differ(books)))
        export = books.find(RESYNC)
        assert (export.restatement, export.budget_version, export.base_version) == (1, 2, 1)
        assert books.find(STATUS).export_id == export.export_id
        books.send(acknowledge("success", 2, number=4))
        assert books.status is Status.SYNCED

    def test_d1_a_zeroed_line_with_drift_is_sent_as_zero(self) -> None:
        books = exporting()
        books.send(acknowledge("success", 2))
        held = {"L01500": {"original_estimate_cost": "48000.00", "bridge_revision": "0.00"}}
        books.send(decide_drift("restate", self.differ(books, held)))
        zeros = [row for row in books.find_lines(RESYNC) if row["change"] == "zero"]
        assert [row["phase_code"] for row in zeros] == ["01500"]

    def test_d1_a_restatement_can_be_retried(self) -> None:
        books = synced()
        books.send(decide_drift("restate", self.differ(books)), acknowledge("failed", 1, number=2), retry(1))
        export = books.find(RESYNC)
        assert (export.attempt, export.restatement, export.base_export_id) == (2, 1, None)

    def test_d2_keep_with_a_reason(self) -> None:
        books = synced()
        books.send(decide_drift("keep", self.differ(books), reason="the owner's letter"))
        assert (books.status, books.types, books.shown) == (Status.SYNCED, [DRIFT, STATUS], ("matches", 0, "0.00"))
        [line] = books.drift.lines
        assert (line.kept_by, line.kept_reason, line.kinds) == ("ann", "the owner's letter", ("original_differs",))
        # The same is found again: still kept, nothing is sent. Another figure is found: it counts.
        assert books.read(books.base, TYPED).types == [STATUS]
        books.read(books.base, {"S05120": {"original_estimate_cost": "640000.02"}})
        assert books.shown == ("differs", 1, "0.02")

    def test_d2_a_kept_line_is_overwritten_by_the_next_accepted_export(self) -> None:
        books = synced()
        books.send(decide_drift("keep", self.differ(books), reason="yes"))
        books.send(lock(2, *LINES[:3], STEEL | {"original_amount": "640000.01"}))
        request = books.find("approval.requested.v1").model_dump()
        [steel] = [row for row in request["lines"] if row["phase_code"] == "05120"]
        assert (steel["found_original"], request["drift_lines"]) == ("640000.01", 0)
        books.send(accept(2))
        # What was kept would be passed over otherwise.
        assert (books.find(RESYNC).base_export_id, books.find(RESYNC).base_version) == (None, 1)
        books.send(acknowledge("success", 2))
        assert books.budget.read_back
        assert books.budget.read_back.kept == ()

    def test_d2_only_the_chosen_lines_are_kept(self) -> None:
        books = synced()
        both = TYPED | {"L01500": {"original_estimate_cost": "1.00", "bridge_revision": "0.00"}}
        chosen = [{"phase_code": "01500 ", "cost_type": "L"}, {"phase_code": "99999", "cost_type": "L"}]
        books.send(decide_drift("keep", self.differ(books, both), reason="yes", lines=chosen))
        assert books.shown == ("differs", 1, "0.01")
        assert [line.phase_code for line in books.drift.lines] == ["05120", "01500"]
        assert books.drift.drift_hash
        books.send(decide_drift("keep", books.drift.drift_hash, reason="no", lines=chosen[1:]))
        assert books.verdict == "ignored"

    def test_d2_a_kept_line_at_zero_is_not_sent_again(self) -> None:
        books = exporting()
        books.send(acknowledge("success", 2))
        held = {"L01500": {"original_estimate_cost": "48000.00", "bridge_revision": "0.00"}}
        found = self.differ(books, held)
        assert books.list_kinds() == {"L01500": ("not_zero",)}
        books.send(lock(3, STEEL))
        assert "01500" in books.find("approval.requested.v1").model_dump_json()
        books.send(decide_drift("keep", found, reason="it is meant"))
        assert books.types == [DRIFT, "approval.requested.v1", STATUS]
        books.send(accept(3))
        assert "01500" not in books.find(RESYNC).model_dump_json()

    def test_d3_a_partial_export_is_kept_as_it_stands(self) -> None:
        books = failed("partial")
        found = self.differ(books, {"S05120": {"original_estimate_cost": "640000.00"}})
        books.send(decide_drift("keep", found, reason="Spectrum is right"))
        assert (books.status, books.types) == (Status.SYNCED, [DRIFT, STATUS])
        assert (books.base.version, books.shown) == (2, ("matches", 0, "0.00"))

    def test_d3_not_where_nothing_was_applied_nor_where_something_still_counts(self) -> None:
        books = failed("failed")
        both = {"S05120": {"original_estimate_cost": "640000.00"}, "M03300": {"original_estimate_cost": "1.00"}}
        books.send(decide_drift("keep", self.differ(books, both), reason="yes"))
        assert (books.status, books.shown[0]) == (Status.EXPORT_FAILED, "matches")
        books = failed("partial")
        chosen = [{"phase_code": "05120", "cost_type": "S"}]
        books.send(decide_drift("keep", self.differ(books, both), reason="yes", lines=chosen))
        assert books.status is Status.EXPORT_FAILED

    def test_d3_not_by_a_line_that_was_kept_before_the_export(self) -> None:
        """Whoever accepted the export wanted another figure there: it counts again, until it is kept again."""
        for chosen, becomes in (["03300"], Status.EXPORT_FAILED), (["03300", "05120"], Status.SYNCED):
            books = synced()
            books.send(decide_drift("keep", self.differ(books), reason="yes"))
            books.send(lock(2, *LINES[:2], LINES[2] | {"original_amount": "1.00"}, STEEL), accept(2))
            books.send(acknowledge("partial", 2))
            typed = TYPED | {"M03300": {"original_estimate_cost": "2.00"}}
            found = self.differ(books, typed)
            assert books.shown == ("differs", 2, "1.01")
            lines = [{"phase_code": phase, "cost_type": "M" if phase == "03300" else "S"} for phase in chosen]
            books.send(decide_drift("keep", found, reason="yes", lines=lines))
            assert books.status is becomes

    def test_d4_an_acceptance_must_name_what_it_has_seen(self) -> None:
        books = synced(open_drift="block")
        found = self.differ(books)
        books.send(lock(2, *LINES[:3], STEEL | {"original_amount": "1.00"}))
        assert books.find("approval.requested.v1").drift_hash == found
        assert books.send(accept(2)).refusal == "drift_open"
        assert books.send(accept(2, drift_hash="0" * 64)).refusal == "drift_changed"
        assert books.send(accept(2, by="eve")).refusal == "not_authorised"
        assert books.send(accept(2, drift_hash=found)).status is Status.EXPORTING

    def test_d4_only_told_unless_the_rules_block(self) -> None:
        books = synced()
        self.differ(books)
        books.send(lock(2, *LINES[:3], STEEL | {"original_amount": "1.00"}))
        assert books.send(accept(2, drift_hash="0" * 64)).refusal == "drift_changed"
        assert books.send(accept(2)).status is Status.EXPORTING
        matching = synced()
        matching.send(lock(2, STEEL))
        assert matching.send(accept(2, drift_hash="0" * 64)).refusal == "drift_changed"

    def test_d5_a_reading_gets_stale_and_the_next_one_ends_that(self) -> None:
        books = synced()
        books.read(books.base, TYPED)
        due_at = books.now + timedelta(days=7)
        assert books.send(pass_deadline("read_back", due_at - timedelta(seconds=1), None)).verdict == "ignored"
        books.send(pass_deadline("read_back", due_at, None))
        assert (books.verdict, books.shown) == ("applied", ("stale", 0, "0.00"))
        assert books.send(pass_deadline("read_back", due_at, None)).verdict == "ignored"
        assert books.read(books.base, TYPED).shown[0] == "differs"

    def test_d5_not_without_a_base(self) -> None:
        books = Books()
        books.send(lock(1, *LINES), accept(), acknowledge("failed"))
        books.read(books.unanswered)
        books.send(pass_deadline("read_back", books.now + timedelta(days=7), None))
        assert (books.verdict, books.shown[0]) == ("applied", "matches")

    @pytest.mark.parametrize("decision", ["restate", "keep"])
    def test_a_decision_is_refused_with_the_first_reason(self, decision: str) -> None:
        books = synced()
        assert books.send(decide_drift(decision, "x", by="eve")).refusal == "not_authorised"
        assert books.send(decide_drift(decision, "x")).refusal == "no_drift"
        found = self.differ(books)
        assert books.send(decide_drift(decision, "x")).refusal == "drift_changed"
        assert books.find("request.refused.v1").budget_version is None
        books.send(lock(2, STEEL))
        books.send(decide_drift(decision, found))
        assert books.refusal == ("not_synced" if decision == "restate" else "no_reason")

    def test_a_restatement_needs_a_reference(self) -> None:
        books = synced()
        found = self.differ(books)
        books.with_rules(jobs={KEY.project: Job("001", "26-1001", 10_000_000)})
        assert books.send(decide_drift("restate", found)).refusal == "no_reference_left"

    def test_a_decision_said_again_finds_that_things_have_changed(self) -> None:
        books = synced()
        keep = decide_drift("keep", self.differ(books), reason="yes")
        assert books.send(keep, keep).refusal == "no_drift"


class TestClosing:
    @pytest.mark.parametrize("way", ["accepted", "retried"])
    def test_an_export_closes_what_was_found_before(self, way: str) -> None:
        books = synced() if way == "accepted" else failed()
        books.read(books.budget.unanswered or books.base, TYPED)
        books.send(*((lock(2, STEEL), accept(2)) if way == "accepted" else (retry(2),)))
        assert (books.drift.state, books.drift.reason) == ("unknown", "export_sent")
        assert (books.drift.read_to, books.drift.depth, books.drift.complete) == (None, None, None)
        assert books.shown == ("unknown", 0, "0.00")

    def test_nothing_is_said_where_nothing_was_compared(self) -> None:
        books = exporting()
        assert not [sent for sent in books.sent if sent.type == DRIFT]
        assert books.shown[0] == "never"

    def test_a_reset_closes_it_and_forgets_requests_and_what_was_kept(self) -> None:
        books = synced()
        books.read(books.base, TYPED)
        assert books.drift.drift_hash
        books.send(decide_drift("keep", books.drift.drift_hash, reason="yes"), request_snapshot(), reset())
        assert (books.drift.state, books.drift.reason, books.drift.export_id) == ("unknown", "reset", None)
        assert books.shown[0] == "never"
        assert books.budget.read_back
        assert books.budget.read_back.kept == ()
        assert not books.budget.open_request

    def test_a_late_success_closes_what_was_found_against_another_export(self) -> None:
        books = failed("failed")
        books.read(books.base, TYPED)
        books.send(acknowledge("success", 2))
        assert (books.status, books.drift.reason) == (Status.SYNCED, "export_sent")

    def test_what_differed_is_not_passed_over_even_if_the_next_export_came_to_nothing(self) -> None:
        books = synced()
        books.read(books.base, TYPED)
        books.send(lock(2, *LINES[:3], STEEL | {"original_amount": "5.00"}), accept(2))
        assert books.find(RESYNC).base_export_id is None
        books.send(acknowledge("failed", 2), lock(3, *LINES[:2], STEEL), accept(3))
        assert books.find(RESYNC).base_export_id is None
        books.send(acknowledge("success", 3), lock(4, STEEL), accept(4))
        assert books.find(RESYNC).base_export_id is not None


class TestWhatIsSentAgain:
    def test_the_same_result_is_not(self) -> None:
        books = synced()
        books.read(books.base, TYPED)
        assert books.read(books.base, TYPED).types == [STATUS]
        assert books.read(books.base, TYPED, complete=False).types == [DRIFT, STATUS]

    def test_an_approval_is_asked_for_again_when_a_figure_has_changed(self) -> None:
        books = synced()
        books.send(lock(2, *LINES[:3], STEEL | {"original_amount": "1.00"}))
        never = books.find_lines("approval.requested.v1")[0]
        assert (never["found_original"], never["found_at"]) == (None, None)
        books.read(books.base, TYPED)
        assert books.types == [DRIFT, "approval.requested.v1", STATUS]
        request = books.find("approval.requested.v1")
        assert (request.drift_lines, request.drift_amount) == (1, "0.01")
        [notice] = request.notices
        assert (notice.code, notice.budget_line_item_id) == ("found_differs", 1)
        assert "original 640000.01" in notice.message
        cost = {"S05120": TYPED["S05120"] | {"job_to_date_cost": "17.00"}}
        assert books.read(books.base, cost).types == [STATUS]
        assert "approval.requested.v1" in books.read(books.base).types

    def test_a_line_that_the_reading_lacks_says_when_it_was_read(self) -> None:
        books = synced()
        books.read(books.base)
        books.send(lock(2, *LINES, CONCRETE | {"cost_type": "E", "budget_line_item_id": 9}))
        [added] = [row for row in books.find_lines("approval.requested.v1") if row["cost_type"] == "E"]
        assert (added["found_original"], added["found_at"].isoformat()) == (None, "2026-12-01T08:00:00+00:00")
        [steel] = [row for row in books.find_lines("approval.requested.v1") if row["phase_code"] == "05120"]
        assert (steel["found_original"], steel["found_other_revision"]) == ("640000.00", "0.00")


class TestAsking:
    def test_after_every_success_that_moves_the_base(self) -> None:
        books = exporting(after_success=True, every=timedelta(days=1))
        books.send(acknowledge("success", 2))
        assert books.types == [ASKED, STATUS]
        assert books.find(ASKED).requested_by is None
        assert books.send(acknowledge("success", 2)).types == []

    def test_late_success_asks_too(self) -> None:
        books = exporting(after_success=True)
        books.send(acknowledge("failed", 2), reject(2))
        assert books.send(acknowledge("success", 2)).types == [ASKED, STATUS]

    def test_and_every_day_since_the_last_asking(self) -> None:
        books = synced(every=timedelta(days=1))
        assert books.budget.open_request is None
        due_at = books.now + timedelta(days=1)
        assert books.send(pass_deadline("read_back", due_at - timedelta(seconds=1), None)).verdict == "ignored"
        assert books.send(pass_deadline("read_back", due_at, None)).types == [ASKED]
        assert books.budget.read_back
        assert books.budget.read_back.ask_due_at == books.now + timedelta(days=1)
        # A request is open: it is not asked beside it.
        assert books.send(pass_deadline("read_back", books.now + timedelta(days=1), None)).types == []

    def test_never_by_itself_where_that_is_off(self) -> None:
        books = synced()
        assert books.budget.read_back is None
        books = synced(every=timedelta(days=1))
        books.with_rules(every=None).send(pass_deadline("read_back", books.now + timedelta(days=1), None))
        assert (books.types, books.verdict) == ([], "applied")
        assert books.budget.read_back
        assert books.budget.read_back.due_at is None

    def test_an_erp_side_that_never_answers_changes_nothing_else(self) -> None:
        def play(**rules: Any) -> Iterator[str]:
            books = exporting(**rules)
            books.send(acknowledge("partial", 2), retry(2), acknowledge("success", 2, 2), lock(3, STEEL), accept(3))
            for sent in books.sent:
                if sent.type != ASKED:
                    yield sent.model_dump_json()

        assert list(play()) == list(play(after_success=True, every=timedelta(days=1)))


class TestKinds:
    @pytest.mark.parametrize(
        ("change", "kinds"),
        [
            ({"bridge_revision": "2499.99"}, ("revision_differs",)),
            ({"status": "C"}, ("phase_complete",)),
            ({"status": "I"}, None),
            ({"description": "Concrete, typed over"}, ("description_differs",)),
            ({"price_method_code": "F"}, ("price_differs",)),
            ({"price_method_code": "J"}, None),
            ({"price_method_code": None}, None),
            ({"original_estimate_cost": "-0.01", "status": "C"}, ("original_differs", "phase_complete")),
        ],
    )
    def test_each(self, change: dict[str, Any], kinds: tuple[str, ...] | None) -> None:
        books = synced()
        books.read(books.base, {"M03300": change})
        assert books.list_kinds() == ({"M03300": kinds} if kinds else {})

    def test_only_the_current_estimate_is_known(self) -> None:
        books = synced()
        books.read(books.base, depth="current_only")
        assert (books.drift.state, books.drift.lines) == ("matches", ())
        books.read(books.base, {"S05120": {"current_estimate_cost": "1.00"}}, depth="current_only")
        assert (books.drift.state, books.drift.reason, books.shown) == (
            "unknown",
            "current_only",
            ("unknown", 0, "0.00"),
        )
        books.read(books.base, {"S05120": None}, depth="current_only")
        assert (books.drift.state, books.list_kinds()) == ("unknown", {"S05120": ("not_seen",)})

    def test_a_line_at_zero_that_spectrum_lacks_is_no_difference(self) -> None:
        books = Books()
        zero = STEEL | {"original_amount": "0.00"}
        books.send(lock(1, CONCRETE, zero), accept(), acknowledge("success"))
        assert books.read(books.base, {"S05120": None}).drift.state == "matches"

    def test_lines_that_count_come_first_and_the_rest_in_their_order(self) -> None:
        books = synced()
        changes = TYPED | {"L01500": {"status": "C"}, "M03300": {"other_revision": "1.00"}}
        books.read(books.base, changes)
        assert [line.phase_code for line in books.drift.lines] == ["05120", "01500", "03300"]


class TestWhatProvesNothing:
    def keep(self, books: Books, changes: dict[str, Any], **fields: Any) -> None:
        """Find these differences, and keep all that count."""
        books.read(books.budget.unanswered or books.base, changes, **fields)
        books.send(decide_drift("keep", books.drift.drift_hash or "", reason="it is meant"))

    def test_a_line_stays_kept_where_only_its_current_estimate_is_seen_and_is_the_same(self) -> None:
        books = synced()
        self.keep(books, TYPED)
        books.read(books.base, TYPED, depth="current_only", total_original=None)
        assert books.read(books.base, TYPED).shown == ("matches", 0, "0.00")
        books.read(books.base, {"S05120": {"current_estimate_cost": "5.00"}}, depth="current_only", total_original=None)
        assert books.read(books.base, TYPED).shown == ("differs", 1, "0.01")

    def test_a_line_at_zero_stays_kept_where_it_may_only_not_have_been_seen(self) -> None:
        books = failed()
        books.send(acknowledge("success", 2))
        back = {"L01500": {"original_estimate_cost": "7.00"}}
        self.keep(books, back)
        books.read(books.base, {"L01500": None}, complete=False)
        assert books.read(books.base, back).shown[0] == "matches"
        books.read(books.base, {"L01500": None})
        assert books.read(books.base, back).shown == ("differs", 1, "7.00")

    def test_what_was_kept_of_a_failed_export_counts_no_more_once_it_succeeds(self) -> None:
        books = failed("failed")
        self.keep(books, {"S05120": {"original_estimate_cost": "640000.00"}})
        books.send(acknowledge("success", 2))
        assert books.shown == ("unknown", 0, "0.00")
        assert books.drift.reason == "export_sent"

    @pytest.mark.parametrize(
        ("kept", "fields"), [(False, {"complete": False}), (True, {"depth": "current_only", "total_original": None})]
    )
    def test_what_the_last_reading_has_not_seen_is_not_passed_over(self, *, kept: bool, fields: dict[str, Any]) -> None:
        typed = {"S05120": {"original_estimate_cost": "1.00", "current_estimate_cost": "640000.00"}}
        books = synced()
        books.read(books.base, typed)
        if kept:
            books.send(decide_drift("keep", books.drift.drift_hash or "", reason="it is meant"))
        books.read(books.base, typed if kept else {"S05120": None}, **fields)
        assert books.shown[0] == ("matches" if kept else "unknown")
        books.send(lock(2, *LINES[1:]), accept(2))
        assert books.find(RESYNC).base_export_id is None

    def test_f4_not_by_a_line_that_was_kept_before_the_export(self) -> None:
        books = synced(acknowledges="success")
        self.keep(books, TYPED)
        books.send(lock(2, *LINES[:2], LINES[2] | {"original_amount": "1.00"}, STEEL), accept(2))
        assert books.read(books.unanswered, TYPED).status is Status.EXPORTING

    def test_f4_not_by_a_line_at_zero_that_may_only_not_have_been_seen(self) -> None:
        books = exporting(acknowledges="success")
        assert books.read(books.unanswered, {"L01500": None}, complete=False).status is Status.EXPORTING
        assert books.read(books.unanswered, {"L01500": None}).status is Status.SYNCED

    @pytest.mark.parametrize("unseen", ["L03300", "L01500"])
    def test_d3_not_while_a_line_may_not_have_been_seen(self, unseen: str) -> None:
        books = failed()
        self.keep(books, {"S05120": {"original_estimate_cost": "640000.00"}, unseen: None}, complete=False)
        assert (books.drift.drift_lines, books.status) == (0, Status.EXPORT_FAILED)

    def test_an_approval_is_asked_for_again_when_a_late_success_closes_what_was_found(self) -> None:
        books = failed()
        books.read(books.unanswered, {"S05120": {"original_estimate_cost": "640000.00"}})
        books.send(lock(3, STEEL))
        assert books.find("approval.requested.v1").drift_hash
        books.send(acknowledge("success", 2))
        request = books.find("approval.requested.v1")
        assert (request.drift_hash, request.base_version) == (None, 2)


def test_the_rules_of_these_tests_ask_nothing_by_themselves() -> None:
    assert (RULES.after_success, RULES.every) == (False, None)

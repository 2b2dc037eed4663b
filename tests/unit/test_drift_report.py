"""What operators are shown of drift: as it was reported, line by line, in words, and harmless whoever wrote it."""

import io
import json

import pytest

from handlers.budget import Budget
from handlers.decision import describe_status
from handlers.drift import describe_drift
from outbox.budget_record import BudgetRecord
from outbox.read_backs import ReadBackState
from tests.unit.builders import KEY, accept, decide_drift, lock, pass_deadline, request_snapshot, reset
from tests.unit.test_drift import TYPED, Books, exporting, failed, synced
from worker.console import Console
from worker.reports.budget_report import describe_next_step, print_budget, write_budget
from worker.reports.drift_list import DriftList, print_drift_list, write_drift_list
from worker.reports.drift_report import print_budget_drift, write_budget_drift

HARM = "\x1b[2J\u202eletter [red]"


def make_record(budget: Budget | None) -> BudgetRecord:
    return BudgetRecord(KEY, budget, describe_status(budget) if budget else None, (), (), 0, 0)


def show(budget: Budget | None) -> str:
    console = Console()
    console.file, console.width = io.StringIO(), 80
    print_budget_drift(make_record(budget), console)
    return console.file.getvalue()


def show_list(found: DriftList) -> str:
    console = Console()
    console.file, console.width = io.StringIO(), 80
    print_drift_list(found, console)
    return console.file.getvalue()


def show_status(budget: Budget) -> str:
    console = Console()
    console.file, console.width = io.StringIO(), 80
    print_budget(make_record(budget), {}, console)
    return console.file.getvalue()


def list_readings() -> dict[str, Books]:
    """Budgets after all sorts of readings."""
    changed = {"M03300": {"original_estimate_cost": "300000.00", "current_estimate_cost": "300000.00"}}
    failing = failed()
    shallow, unanswered, stale, kept = synced(), exporting(), synced(), synced()
    kept.read(kept.base, TYPED)
    kept.send(decide_drift("keep", kept.drift.drift_hash or "", reason="owner"))
    stale.read(stale.base, TYPED)
    assert stale.budget.read_back
    assert stale.budget.read_back.stale_due_at
    return {
        "matches": (one := synced()).read(one.base),
        "a cent": (one := synced()).read(one.base, TYPED),
        "two kinds": (one := synced()).read(one.base, changed),
        "unknown line": (one := synced()).read(one.base, {"E02310": {"original_estimate_cost": "1.00"}}),
        "not seen": (one := synced()).read(one.base, {"S05120": None}, complete=False),
        "missing": (one := synced()).read(one.base, {"S05120": None}),
        "current only": shallow.read(shallow.base, TYPED, depth="current_only"),
        "failed": failing.read(failing.unanswered, TYPED),
        "not answered": unanswered.read(unanswered.unanswered, TYPED),
        "kept": kept,
        "stale": _make_stale(stale),
    }


def _make_stale(books: Books) -> Books:
    known = books.budget.read_back
    assert known
    assert known.stale_due_at
    books.send(pass_deadline("read_back", known.stale_due_at, None))
    return books


@pytest.mark.parametrize("name", list_readings())
def test_what_is_shown_later_is_what_was_reported(name: str) -> None:
    books = list_readings()[name]
    assert describe_drift(books.budget) == books.last_drift
    written = write_budget_drift(make_record(books.budget))
    assert json.loads(json.dumps(written))["drift"] == json.loads(books.last_drift.model_dump_json())


def test_nothing_was_compared() -> None:
    for budget in (None, Budget(KEY), synced().budget):
        assert "has not been compared" in show(budget)
        assert write_budget_drift(make_record(budget)) == {
            "budget": KEY._asdict(),
            "read_back": "never",
            "drift": None,
        }


def test_each_line_has_both_figures_and_what_differs_in_words() -> None:
    books = synced()
    changed = {"original_estimate_cost": "300000.00", "current_estimate_cost": "300000.00"}
    books.read(books.base, {"M03300": changed, "E02310": {"original_estimate_cost": "12000.00"}})
    shown = show(books.budget)
    assert "differs: 1 line, 15,000.00 in all" in shown
    assert str(books.base.id) in shown
    assert f"drift hash {books.drift.drift_hash}" in shown
    [counted] = [line for line in shown.splitlines() if line.startswith("03300")]
    assert counted.split()[:9] == [
        *("03300", "M", "312,500.00", "2,500.00", "300,000.00", "2,500.00", "0.00", "300,000.00", "15,000.00")
    ]
    assert "another original estimate; the current estimate is not the sum" in counted
    [told] = [line for line in shown.splitlines() if line.startswith("02310")]
    assert "the bridge has never sent it" in told
    assert shown.index("03300") < shown.index("02310")


def test_who_has_kept_a_line_and_why_is_shown_and_harmless() -> None:
    books = synced()
    books.read(books.base, TYPED)
    books.send(decide_drift("keep", books.drift.drift_hash or "", reason=HARM))
    shown = show(books.budget)
    assert "matches: no line counts" in shown
    assert r"kept by ann: \x1b[2J\u202eletter [red]" in shown
    assert "\x1b" not in shown
    assert "drift hash" not in shown


def test_a_closed_drift_says_why() -> None:
    books = synced()
    books.read(books.base, TYPED)
    books.send(lock(2), accept(2))
    assert "unknown: an export was sent after the last comparison" in show(books.budget)
    stale = list_readings()["stale"]
    assert "stale: 1 line, 0.01 in all; the last reading is too old" in show(stale.budget)


def test_a_list_names_the_worst_with_their_sums() -> None:
    worst, unknown = list_readings()["missing"].budget, list_readings()["not seen"].budget
    states = (ReadBackState("differs", 2, None), ReadBackState("never", 3, None), ReadBackState("unknown", 1, None))
    found = DriftList(states, (worst, unknown))
    shown = show_list(found)
    assert "640,000.00" in shown
    assert "2 differ, 3 never read, 1 not known" in shown
    assert "2 of 3 are listed" in shown
    assert "not every line of the job was read" in shown
    written = json.loads(json.dumps(write_drift_list(found)))
    assert (written["total"], written["counts"]) == (3, {"differs": 2, "never": 3, "unknown": 1})
    assert [(one["read_back"], one["reason"], one["drift_amount"]) for one in written["budgets"]] == [
        ("differs", None, "640000.00"),
        ("unknown", "not_complete", "0.00"),
    ]
    assert show_list(DriftList((), ())) == "no budget differs in Spectrum, as far as it was read\n"


def test_the_status_shows_how_the_last_reading_compares() -> None:
    books = synced()
    assert "compared with Spectrum: never" in show_status(books.budget)
    books.send(request_snapshot("olga"))
    books.read(books.base, TYPED)
    shown = show_status(books.budget)
    assert f"compared with Spectrum: differs: 1 line, 0.01 in all; `budget-bridge drift {KEY}`" in shown
    assert "4 lines, 1,190,250.51 in all" in shown
    assert "it waits for an approver" in shown
    status = describe_status(books.budget)
    assert status
    assert "drift" in describe_next_step(status)
    read_back = write_budget(make_record(books.budget), {})["read_back"]
    assert isinstance(read_back, dict)
    assert write_budget(make_record(books.budget), {})["drift"] == books.last_drift.model_dump(mode="json")
    assert (read_back["state"], read_back["drift_amount"], read_back["read_at"]) == (
        "differs",
        "0.01",
        "2026-12-01T08:00:00Z",
    )
    books.send(reset())
    assert "compared with Spectrum: never" in show_status(books.budget)


def test_a_budget_that_was_never_locked_has_a_status_too() -> None:
    for record in (make_record(None), make_record(Budget(KEY))):
        written = write_budget(record, {})
        assert (written["status"], written["last_reading"]) == (None, None)
        assert written["read_back"] == {
            "state": "never",
            "reason": None,
            "read_at": None,
            "drift_lines": 0,
            "drift_amount": "0.00",
            "request": None,
        }

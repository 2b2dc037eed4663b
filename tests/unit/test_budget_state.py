"""The stored state of a budget: what any version of this program wrote is read, and written in the current format."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contracts.cloudevents.message import Message
from handlers.budget import Approval, Status
from handlers.decide import hold
from handlers.decision import Situation, describe_status
from handlers.import_state import AdoptedLine
from outbox.budget_state import (
    FORMAT,
    UnreadableStateError,
    read_readings,
    read_state,
    write_readings,
    write_state,
)
from tests.unit.builders import NOON, RULES, STEEL, Scenario, accept, lock, release

STATES = Path(__file__).parent / "stored_states"


def read_golden(number: int) -> list[str]:
    """The states of one format, one per line; the same line is the same budget in every format."""
    return (STATES / f"format_{number}.jsonl").read_text(encoding="utf-8").splitlines()


def is_part_of(part: Any, whole: Any) -> bool:
    """Whether everything in one JSON value is in another; an object may have more names."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and is_part_of(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(is_part_of, part, whole))
    return bool(part == whole)


CASES = [
    pytest.param(number, stored, current, id=f"{number}-{line}")
    for number in range(FORMAT + 1)
    for line, (stored, current) in enumerate(zip(read_golden(number), read_golden(FORMAT), strict=True), 1)
]


@pytest.mark.parametrize(("number", "stored", "current"), CASES)
def test_a_state_of_any_format_is_read_as_what_it_was(number: int, stored: str, current: str) -> None:
    assert json.loads(stored).get("format", 0) == number
    budget = read_state(stored)
    assert budget == read_state(current)
    written = write_state(budget)
    assert read_state(written) == budget
    # A field may be added, with a default. Another change needs a new format.
    assert is_part_of(json.loads(current), json.loads(written))


def test_the_golden_states_are_of_every_kind() -> None:
    budgets = [read_state(stored) for stored in read_golden(FORMAT)]
    assert {budget.status for budget in budgets} == {None, *Status}
    for name in ("waiting", "parked", "unanswered", "base", "due_at", "overdue", "failed_lines", "sent", "tries"):
        assert {bool(getattr(budget, name)) for budget in budgets} == {True, False}, name
    for name in ("tries_before_reset", "synced_version", "on_hold"):
        assert {bool(getattr(budget, name)) for budget in budgets} == {True, False}, name


def test_every_value_of_a_state_is_named() -> None:
    def check(value: Any, *, is_column: bool = False) -> None:
        if isinstance(value, dict):
            are_columns = all(isinstance(part, list) for part in value.values())
            for part in value.values():
                check(part, is_column=are_columns)
        elif isinstance(value, list) and not is_column:
            assert all(isinstance(part, dict) for part in value)
            for part in value:
                check(part)

    for stored in read_golden(FORMAT):
        check(json.loads(write_state(read_state(stored))))


def test_a_waiting_version_with_a_tiny_amount_can_be_read_again() -> None:
    tiny = lock(2, STEEL | {"original_amount": "0.0000001"})
    budget = Scenario().send(lock(), accept(), tiny).budget
    assert budget.waiting
    assert read_state(write_state(budget)) == budget


def test_the_order_of_names_does_not_matter() -> None:
    """A person may have changed a state with Postgres' own JSON functions."""

    def turn(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turn(value[name]) for name in reversed(value)}
        return [turn(part) for part in value] if isinstance(value, list) else value

    for stored in read_golden(FORMAT):
        assert read_state(json.dumps(turn(json.loads(stored)), indent=1)) == read_state(stored)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ("", "the stored state cannot be read: JSONDecodeError: Expecting value"),
        ("null", "the stored state cannot be read: a JSON object is expected, not NoneType"),
        ("[]", "a JSON object is expected, not list"),
        ("{}", "cannot be read: KeyError: 'version'"),
        ('{"format":1,"key":{"company_id":1,"project_id":2}}', "key.budget_id: Field required"),
        ('{"format":1}', "key: Field required"),
        (f'{{"format":{FORMAT + 1}}}', f"format {FORMAT + 1} is unknown; this program reads 0 to {FORMAT}"),
        ('{"format":"x"}', "format 'x' is unknown"),
        ('{"format":[]}', r"format \[\] is unknown"),
        ('{"version":{},"sent":[],"unanswered":3,"base":3}', "cannot be read: KeyError: 'key'"),
        ("[" * 100_000, "cannot be read: RecursionError"),
    ],
)
def test_what_cannot_be_read_is_described(stored: str, says: str) -> None:
    with pytest.raises(UnreadableStateError, match=says):
        read_state(stored)


def test_a_field_of_the_wrong_type_is_named() -> None:
    state = json.loads(read_golden(FORMAT)[0]) | {"sequence": "many"}
    with pytest.raises(UnreadableStateError, match="sequence: "):
        read_state(json.dumps(state))


def test_lines_with_a_value_too_few_are_refused() -> None:
    state = json.loads(read_golden(FORMAT)[0])
    del state["unanswered"]["lines"]["item_id"][1]
    with pytest.raises(UnreadableStateError, match=r"read: unanswered\.lines: The columns have different lengths"):
        read_state(json.dumps(state))


def test_what_follows_from_an_upgraded_state_is_the_same() -> None:
    for old, current in zip(read_golden(0), read_golden(FORMAT), strict=True):
        one, other = read_state(old), read_state(current)
        assert describe_status(one) == describe_status(other)
        situation = Situation(NOON, RULES)
        message = Message("s", "i", release(), ())
        assert hold(one, message, situation, "x") == hold(other, message, situation, "x")


def test_every_tuple_of_scalar_rows_of_format_3_is_turned() -> None:
    """Those that the golden states lack."""
    state = json.loads(read_golden(3)[0])
    line = {"phase_code": "03300", "cost_type": "M", "item_id": None, "description": "Slab", "original": 100}
    adopted = {
        "import_id": str(UUID(int=1)),
        "company_code": "001",
        "job_number": "J1",
        "currency": "USD",
        "lines": [line | {"revision": 0, "price_method_code": "T"}],
    }
    state["imports"] = {"under_way": None, "ended": [1], "adopted": adopted}
    state["unanswered"]["approved_again"] = [{"by": "ann", "at": "2026-11-24T12:00:00Z"}]
    state["base"] = state["unanswered"]
    budget = read_state(json.dumps(state))
    assert budget.imports
    assert budget.imports.adopted
    assert budget.imports.adopted.lines == (AdoptedLine("03300", "M", None, "Slab", 100, 0, "T"),)
    assert budget.unanswered
    assert budget.unanswered.approved_again == (Approval("ann", NOON),)
    assert budget.base == budget.unanswered
    assert read_state(write_state(budget)) == budget


@pytest.mark.parametrize("number", [3, 4])
def test_readings_of_any_format_are_read_as_what_they_were(number: int) -> None:
    stored, current = ((STATES / f"readings_{of}.json").read_text(encoding="utf-8").strip() for of in (number, FORMAT))
    assert json.loads(stored).get("format", 3) == number
    readings = read_readings(stored)
    assert readings == read_readings(current)
    assert is_part_of(json.loads(current), json.loads(write_readings(readings)))
    assert readings.last
    assert len(readings.last.index_lines()) == 3
    assert readings.collecting
    assert [len(page.lines) for page in readings.collecting.pages] == [1, 0]


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ("null", "the stored readings cannot be read: a JSON object is expected, not NoneType"),
        (f'{{"format":{FORMAT + 1}}}', f"format {FORMAT + 1} is unknown; this program reads 3 to {FORMAT}"),
        ('{"format":2}', f"format 2 is unknown; this program reads 3 to {FORMAT}"),
        ('{"last":{"pages":[{"lines":[{"phase_code":"P1"}]}]}}', "cannot be read: KeyError: 'cost_type'"),
        ('{"format":4,"last":{}}', "cannot be read: last.header: Field required"),
    ],
)
def test_readings_that_cannot_be_read_are_described(stored: str, says: str) -> None:
    with pytest.raises(UnreadableStateError, match=says):
        read_readings(stored)

"""The stored state of a budget: what any version of this program wrote is read, and written in the current format."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.cloudevents.message import Message
from contracts.named_json import NamedJson
from handlers.budget import Budget, Status
from handlers.decide import hold
from handlers.decision import Situation, describe_status
from outbox.budget_state import FORMAT, UnreadableStateError, read_state, write_state
from tests.unit.builders import KEY, NOON, RULES, STEEL, Scenario, accept, lock, release

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
    def check(value: Any) -> None:
        if isinstance(value, dict):
            for part in value.values():
                check(part)
        elif isinstance(value, list):
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
        ("", "not a budget"),
        ("null", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "not a budget: KeyError: 'version'"),
        ('{"format":1,"key":{"company_id":1,"project_id":2}}', "key.budget_id: Field required"),
        ('{"format":1}', "key: Field required"),
        (f'{{"format":{FORMAT + 1}}}', f"has format {FORMAT + 1}; this program reads 0 to {FORMAT}"),
        ('{"format":"x"}', "has format 'x'"),
        ('{"format":[]}', r"has format \[\]"),
        ('{"version":{},"sent":[],"unanswered":3,"base":3}', "not a budget"),
        ("[" * 100_000, "not a budget"),
    ],
)
def test_what_cannot_be_read_is_described(stored: str, says: str) -> None:
    with pytest.raises(UnreadableStateError, match=says):
        read_state(stored)


def test_a_field_of_the_wrong_type_is_named() -> None:
    state = json.loads(read_golden(FORMAT)[0]) | {"sequence": "many"}
    with pytest.raises(UnreadableStateError, match="sequence: "):
        read_state(json.dumps(state))


def test_what_follows_from_an_upgraded_state_is_the_same() -> None:
    for old, current in zip(read_golden(0), read_golden(FORMAT), strict=True):
        one, other = read_state(old), read_state(current)
        assert describe_status(one) == describe_status(other)
        situation = Situation(NOON, RULES)
        message = Message("s", "i", release(), ())
        assert hold(one, message, situation, "x") == hold(other, message, situation, "x")


def test_a_tuple_type_without_rows_is_named_too() -> None:
    codec = NamedJson(Budget)
    assert json.loads(codec.write(Budget(KEY)))["key"] == KEY._asdict()

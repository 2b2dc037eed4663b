"""Who created, locked and sent a version may be unknown: four eyes then refuses it, unless the rules allow it."""

from typing import Any

import pytest

from contracts.inbound import BudgetLocked
from handlers.budget import Status
from tests.unit.builders import Scenario, accept, bring_to, lock, reject

PEOPLE = ("created_by", "locked_by", "sent_by")


@pytest.mark.parametrize("missing", [False, True])
def test_a_lock_without_people_is_read(missing: bool) -> None:  # noqa: FBT001
    data = lock().model_dump(mode="json") | dict.fromkeys(PEOPLE)
    if missing:
        data = {name: value for name, value in data.items() if name not in PEOPLE}
    assert dict.fromkeys(PEOPLE) == BudgetLocked.model_validate(data).model_dump(include=set(PEOPLE))


@pytest.mark.parametrize("unknown", [{"sent_by": None}, {"locked_by": None}, dict.fromkeys(PEOPLE)])
def test_four_eyes_need_to_know_who_sent_and_locked_it(unknown: dict[str, Any]) -> None:
    scenario = Scenario().send(lock(**unknown))
    assert scenario.find("approval.requested.v1").sent_by == unknown.get("sent_by", "sam")
    assert scenario.send(accept()).refusal == "sender_unknown"
    assert scenario.send(accept(1, "nobody")).refusal == "not_authorised"
    allowed = Scenario().with_rules(unknown_sender="allow").send(lock(**unknown), accept())
    assert allowed.status is Status.EXPORTING
    assert Scenario().with_rules(four_eyes=False).send(lock(**unknown), accept()).status is Status.EXPORTING


def test_the_creator_may_be_unknown() -> None:
    assert Scenario().send(lock(created_by=None), accept()).status is Status.EXPORTING


@pytest.mark.parametrize("rule", ["refuse", "allow"])
def test_the_one_that_is_known_is_compared_first(rule: str) -> None:
    scenario = Scenario().with_rules(unknown_sender=rule).send(lock(sent_by=None, locked_by="Ann"))
    assert scenario.send(accept()).refusal == "same_person"


def test_a_rejection_needs_nobody() -> None:
    scenario = Scenario().send(lock(**dict.fromkeys(PEOPLE)), reject())  # type: ignore[arg-type]
    assert scenario.status is Status.RETURNED
    assert scenario.find("budget.returned.v1").notify == ()


@pytest.mark.parametrize(
    ("people", "notified"),
    [
        ({"created_by": None}, ("sam",)),
        ({"sent_by": None}, ("carla",)),
        ({"created_by": "Sam"}, ("Sam",)),
        ({}, ("carla", "sam")),
    ],
)
def test_who_is_known_is_notified_once(people: dict[str, Any], notified: tuple[str, ...]) -> None:
    assert Scenario().send(lock(**people), reject()).find("budget.returned.v1").notify == notified


def test_a_failed_export_is_not_sent_again_by_a_stranger_to_four_eyes() -> None:
    scenario = bring_to(Status.EXPORT_FAILED, four_eyes=False).with_rules(four_eyes=True)
    assert scenario.budget.version
    scenario.budget = scenario.budget._replace(version=scenario.budget.version._replace(sent_by=None))
    assert scenario.send(accept(1, "bob")).refusal == "sender_unknown"

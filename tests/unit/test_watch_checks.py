"""What the watch concludes: pure, and the same in whatever order the topics are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.watch.budget_checks import SHOWN_MS, TimeLimits, find_faults, is_settled
from worker.watch.observations import (
    ForgottenUntil,
    Observation,
    ObservedAnswer,
    ObservedDecision,
    ObservedExport,
    ObservedReading,
    ObservedRefusal,
    ObservedRequest,
    ObservedRestate,
    ObservedRetry,
    ObservedReturn,
    ObservedStatus,
)
from worker.watch.observed_budget import MAX_PER_KIND, ObservedBudget

LIMITS = TimeLimits(exported_within=60_000, acknowledged_within=3_600_000, pending_within=86_400_000)


def export(
    number: int = 1, at_ms: int = 2000, attempt: int = 1, version: int | None = None, offset: int = -1
) -> ObservedExport:
    place = f"spectrum.exports/0/{at_ms if offset < 0 else offset}"
    return ObservedExport(version or number, f"e{number}", attempt, number, at_ms, place)


def observe(*observations: Observation) -> ObservedBudget:
    budget = ObservedBudget()
    for observation in observations:
        budget.add(observation)
    return budget


def find(budget: ObservedBudget, as_of_ms: int, horizon_ms: int = 0) -> list[str]:
    return [finding.kind for finding in find_faults("1/1/1", budget, as_of_ms, LIMITS, horizon_ms)]


ASKED, ACCEPTED, EXPORT = ObservedRequest(1, 1000), ObservedDecision(1, "accept", "m1", 1500), export()
HONEST: tuple[Observation, ...] = (
    ASKED,
    ACCEPTED,
    EXPORT,
    ObservedAnswer("e1", 1, "failed", 3000),
    ObservedRetry(1, "r1", 3500),
    export(1, 4000, attempt=2),
    ObservedAnswer("e1", 2, "success", 5000),
    ObservedRequest(2, 5001),
    ObservedDecision(2, "accept", "m2", 6000),
    export(2, 6001),
    ObservedAnswer("e2", 1, "success", 7000),
)


@pytest.mark.parametrize(
    ("observations", "as_of_ms", "kinds"),
    [
        ((ASKED, ACCEPTED), 61_000, []),
        ((ASKED, ACCEPTED), 61_501, ["accepted_not_exported"]),
        ((ACCEPTED,), 10_000_000, []),  # parked: its version never came
        ((ASKED, ACCEPTED, ObservedRefusal("m1", 1600)), 61_501, []),
        ((ASKED, ACCEPTED, ObservedReturn(1, 1600)), 61_501, []),
        ((ObservedReturn(1, 900), ASKED, ACCEPTED), 61_501, ["accepted_not_exported"]),
        ((EXPORT,), 2001, ["exported_without_acceptance"]),
        ((EXPORT,), 2000, []),  # its acceptance may still come into observation
        ((ACCEPTED, EXPORT, export(1, 2500, attempt=2)), 3000, ["exported_without_acceptance"]),
        ((ACCEPTED, EXPORT, ObservedDecision(1, "accept", "m2", 2100), export(1, 2500, attempt=2)), 3000, []),
        ((ACCEPTED, EXPORT, ObservedRetry(1, "m2", 2100), export(1, 2500, attempt=2)), 3000, []),
        ((ACCEPTED, EXPORT, export(1, 2001)), 3000, ["repeated_export"]),
        ((ACCEPTED, EXPORT, ObservedDecision(2, "accept", "m2", 1), export(2, 2500)), 3000, ["two_exports_in_flight"]),
        (
            (
                ACCEPTED,
                EXPORT,
                ObservedAnswer("e1", 1, "failed", 2400),
                ObservedDecision(2, "accept", "m2", 1),
                export(2, 2500),
            ),
            3000,
            [],
        ),
        (
            (
                ACCEPTED,
                EXPORT,
                ObservedAnswer("e1", 1, "failed", 99_000),
                ObservedDecision(2, "accept", "m2", 1),
                export(2, 2500),
            ),
            3000,
            ["two_exports_in_flight"],
        ),
        ((ACCEPTED, ObservedDecision(2, "accept", "m2", 1), export(2, 1900), EXPORT), 3000, ["reordered_export"]),
        ((ACCEPTED, EXPORT), 2000 + 3_600_001, ["unacknowledged"]),
        ((ACCEPTED, EXPORT, ObservedAnswer("e1", 1, "in_progress", 9000)), 2000 + 3_600_001, []),
        ((ACCEPTED, EXPORT, ObservedAnswer("e1", 1, "partial", 9000)), 10_000_000, []),
        ((ObservedStatus(1, "PENDING_APPROVAL", 1000),), 1000 + 86_400_001, ["pending_too_long"]),
        ((ObservedStatus(1, "PENDING_APPROVAL", 1000), ObservedStatus(1, "RETURNED", 1001)), 10**12, []),
        (HONEST, 10**9, []),
        # A refused acceptance is none, nor is one of a version that was returned since.
        ((ASKED, ACCEPTED, ObservedRefusal("m1", 1600), EXPORT), 3000, ["exported_without_acceptance"]),
        ((ObservedDecision(1, "reject", "m1", 1500), EXPORT), 3000, ["exported_without_acceptance"]),
        ((ACCEPTED, ObservedReturn(1, 8000), export(1, 9000)), 9500, ["exported_without_acceptance"]),
        ((ACCEPTED, ObservedReturn(1, 8000), ObservedDecision(1, "accept", "m2", 8500), export(1, 9000)), 9500, []),
        # The first message with an id counts; the bridge drops the second as a repeat.
        (
            (ObservedDecision(1, "reject", "m1", 1400), ObservedDecision(1, "accept", "m1", 1500), EXPORT),
            3000,
            ["exported_without_acceptance"],
        ),
        # A forgery under its id is refused by its place, and changes nothing, whichever came first.
        (
            (
                ObservedDecision(1, "accept", "m1", 1400, "a/0/1"),
                ObservedRefusal("m1", 1450, "a/0/1"),
                ObservedDecision(1, "accept", "m1", 1500, "a/0/2"),
                EXPORT,
            ),
            3000,
            [],
        ),
        (
            (
                ASKED,
                ObservedDecision(1, "accept", "m1", 1500, "a/0/1"),
                ObservedDecision(1, "accept", "m1", 1600, "a/0/2"),
                ObservedRefusal("m1", 1650, "a/0/2"),
            ),
            61_501,
            ["accepted_not_exported"],
        ),
        (
            (ASKED, ObservedDecision(1, "accept", "m1", 1500, "a/0/1"), ObservedRefusal("m1", 1600, "a/0/1"), EXPORT),
            3000,
            ["exported_without_acceptance"],
        ),
        # A refused retry asked for nothing.
        (
            (ACCEPTED, EXPORT, ObservedRetry(1, "r1", 2100), ObservedRefusal("r1", 2200), export(1, 2500, attempt=2)),
            3000,
            ["exported_without_acceptance"],
        ),
    ],
)
def test_what_is_found(observations: tuple[Observation, ...], as_of_ms: int, kinds: list[str]) -> None:
    assert find(observe(*observations), as_of_ms) == kinds


def test_a_restatement_needs_a_decision_of_its_own() -> None:
    restated = export(3, 9000, version=2)._replace(restatement=1)
    again = export(3, 9500, attempt=2, version=2)._replace(restatement=1)
    answer, asked = ObservedAnswer("e3", 1, "failed", 9400), ObservedRestate("d1", 8000)
    assert find(observe(*HONEST, asked, restated, answer), 20_000) == []
    assert find(observe(*HONEST, restated, answer), 20_000) == ["exported_without_acceptance"]
    refused = ObservedRefusal("d1", 8100)
    assert find(observe(*HONEST, asked, refused, restated, answer), 20_000) == ["exported_without_acceptance"]
    assert find(observe(*HONEST, asked, restated, answer, again), 20_000) == ["exported_without_acceptance"]
    assert find(observe(*HONEST, asked, restated, answer, again, ObservedRetry(2, "r2", 9450)), 20_000) == []


def test_a_reading_can_end_an_export_that_nobody_answered() -> None:
    late = export().at_ms + LIMITS.acknowledged_within + 1
    asked, read = observe(ASKED, ACCEPTED, EXPORT), ObservedReading("e1", 3000)
    assert find(asked, late) == ["unacknowledged"]
    # The rules may have readings acknowledge nothing; the bridge then waits on.
    waiting = observe(ASKED, ACCEPTED, EXPORT, read, ObservedStatus(1, "EXPORTING", 2000))
    assert find(waiting, late) == ["unacknowledged"]
    synced = observe(ASKED, ACCEPTED, EXPORT, read, ObservedStatus(1, "SYNCED", 3001))
    assert find(synced, late) == []
    following = (ObservedRequest(2, 5001), ObservedDecision(2, "accept", "m2", 6000), export(2, 6001))
    answered = ObservedAnswer("e2", 1, "success", 7000)
    assert find(observe(ASKED, ACCEPTED, EXPORT, read, *following, answered), 20_000) == []
    assert find(observe(ASKED, ACCEPTED, EXPORT, *following, answered), 20_000) == ["two_exports_in_flight"]


def test_what_cannot_end_is_shown_for_a_week_and_what_can_end_until_it_ends() -> None:
    doubled = observe(ACCEPTED, EXPORT, export(1, 2001), ObservedAnswer("e1", 1, "success", 3000))
    assert find(doubled, 2001 + SHOWN_MS - 1) == ["repeated_export"]
    assert find(doubled, 2001 + SHOWN_MS) == []
    assert find(observe(ACCEPTED, EXPORT), 2001 + SHOWN_MS) == ["unacknowledged"]


def test_what_lies_before_the_horizon_is_not_asked_for_its_cause() -> None:
    assert find(observe(EXPORT), 9000, horizon_ms=2000) == []
    assert find(observe(EXPORT), 9000, horizon_ms=1999) == ["exported_without_acceptance"]


@given(st.permutations(HONEST), st.lists(st.sampled_from(HONEST)))
def test_the_order_of_topics_and_repeats_change_nothing(order: list[Observation], again: list[Observation]) -> None:
    budget = observe(*order, *again)
    assert find(budget, 10**9) == []
    assert is_settled(budget, 10**9, 0)


@given(st.permutations([*HONEST, export(1, 9000, offset=77)]))
def test_a_fault_is_found_in_whatever_order_its_records_are_read(order: list[Observation]) -> None:
    assert find(observe(*order), 10_000) == ["repeated_export"]


def test_a_budget_of_which_something_is_expected_is_not_settled() -> None:
    for unsettled in (
        observe(ASKED, ACCEPTED),
        observe(ACCEPTED, EXPORT),
        observe(ObservedStatus(1, "PENDING_APPROVAL", 1)),
    ):
        assert not is_settled(unsettled, 10**9, 0)
    assert not is_settled(observe(*HONEST), 6001, 0)


def test_a_failed_export_keeps_its_acceptance_however_long_ago() -> None:
    answers = (ObservedAnswer("e1", 1, "failed", 2500), ObservedStatus(1, "EXPORT_FAILED", 2500))
    assert not is_settled(observe(ASKED, ACCEPTED, EXPORT, *answers), 10**12, 0)


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_is_kept_of_a_budget_is_bounded_and_what_is_dropped_raises_no_alarm(rounds: int) -> None:
    budget = ObservedBudget()
    kept: set[Observation] = set()
    for number in range(1, rounds * MAX_PER_KIND):
        at_ms = number * 1000
        for observation in (
            ObservedRequest(number, at_ms),
            ObservedDecision(number, "accept", f"m{number}", at_ms + 1),
            ObservedExport(number, f"e{number}", 1, number, at_ms + 2, f"spectrum.exports/0/{number}"),
            ObservedAnswer(f"e{number}", 1, "success", at_ms + 3),
        ):
            changes = budget.add(observation)
            assert len(changes.stored) <= 2
            assert len(changes.dropped) <= 1
            kept = (kept - set(changes.dropped)) | set(changes.stored)
    assert len(list(budget.list_all())) <= 4 * MAX_PER_KIND + 1
    assert find(budget, 10**9) == []
    restored = observe(*budget.list_all())
    assert find(restored, 10**9) == []
    assert restored == budget
    assert {one for one in kept if not isinstance(one, ForgottenUntil)} <= set(budget.list_all())

"""The witness's judgement: pure, and the same in whatever order the topics are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.watch.judgement import SHOWN_MS, Limits, Watched, is_settled, judge
from worker.watch.messages import Accepted, Answered, Exported, Refused, Requested, Retried, Returned, Shown, Sight

LIMITS = Limits(exported_within=60_000, acknowledged_within=3_600_000, pending_within=86_400_000)


def export(
    number: int = 1, at_ms: int = 2000, attempt: int = 1, version: int | None = None, offset: int = -1
) -> Exported:
    place = f"spectrum.exports/0/{at_ms if offset < 0 else offset}"
    return Exported(version or number, f"e{number}", attempt, number, at_ms, place)


def see(*sights: Sight) -> Watched:
    watched = Watched()
    for sight in sights:
        watched = watched.note(sight)
    return watched


def find(watched: Watched, now_ms: int, horizon_ms: int = 0) -> list[str]:
    return [finding.kind for finding in judge("1/1/1", watched, now_ms, LIMITS, horizon_ms)]


ASKED, ACCEPTED, EXPORT = Requested(1, 1000), Accepted(1, "m1", 1500), export()
HONEST: tuple[Sight, ...] = (
    ASKED,
    ACCEPTED,
    EXPORT,
    Answered("e1", 1, "failed", 3000),
    Retried(1, "r1", 3500),
    export(1, 4000, attempt=2),
    Answered("e1", 2, "success", 5000),
    Requested(2, 5001),
    Accepted(2, "m2", 6000),
    export(2, 6001),
    Answered("e2", 1, "success", 7000),
)


@pytest.mark.parametrize(
    ("sights", "now_ms", "kinds"),
    [
        ((ASKED, ACCEPTED), 61_000, []),
        ((ASKED, ACCEPTED), 61_501, ["accepted_not_exported"]),
        ((ACCEPTED,), 10_000_000, []),  # parked: its version never came
        ((ASKED, ACCEPTED, Refused("m1", 1600)), 61_501, []),
        ((ASKED, ACCEPTED, Returned(1, 1600)), 61_501, []),
        ((Returned(1, 900), ASKED, ACCEPTED), 61_501, ["accepted_not_exported"]),
        ((EXPORT,), 2001, ["exported_without_acceptance"]),
        ((EXPORT,), 2000, []),  # its acceptance may still come into sight
        ((ACCEPTED, EXPORT, export(1, 2500, attempt=2)), 3000, ["exported_without_acceptance"]),
        ((ACCEPTED, EXPORT, export(1, 2001)), 3000, ["repeated_export"]),
        ((ACCEPTED, EXPORT, Accepted(2, "m2", 1), export(2, 2500)), 3000, ["two_exports_in_flight"]),
        (
            (ACCEPTED, EXPORT, Answered("e1", 1, "failed", 2400), Accepted(2, "m2", 1), export(2, 2500)),
            3000,
            [],
        ),
        (
            (ACCEPTED, EXPORT, Answered("e1", 1, "failed", 99_000), Accepted(2, "m2", 1), export(2, 2500)),
            3000,
            ["two_exports_in_flight"],
        ),
        ((ACCEPTED, Accepted(2, "m2", 1), export(2, 1900), EXPORT), 3000, ["reordered_export"]),
        ((ACCEPTED, EXPORT), 2000 + 3_600_001, ["unacknowledged"]),
        ((ACCEPTED, EXPORT, Answered("e1", 1, "in_progress", 9000)), 2000 + 3_600_001, []),
        ((ACCEPTED, EXPORT, Answered("e1", 1, "partial", 9000)), 10_000_000, []),
        ((Shown(1, "PENDING_APPROVAL", 1000),), 1000 + 86_400_001, ["pending_too_long"]),
        ((Shown(1, "PENDING_APPROVAL", 1000), Shown(1, "RETURNED", 1001)), 10**12, []),
        (HONEST, 10**9, []),
    ],
)
def test_what_is_found(sights: tuple[Sight, ...], now_ms: int, kinds: list[str]) -> None:
    assert find(see(*sights), now_ms) == kinds


def test_what_happened_is_shown_for_a_week_and_what_lasts_for_as_long_as_it_lasts() -> None:
    doubled = see(ACCEPTED, EXPORT, export(1, 2001), Answered("e1", 1, "success", 3000))
    assert find(doubled, 2001 + SHOWN_MS - 1) == ["repeated_export"]
    assert find(doubled, 2001 + SHOWN_MS) == []
    assert find(see(ACCEPTED, EXPORT), 2001 + SHOWN_MS) == ["unacknowledged"]


def test_what_lies_before_the_horizon_is_not_asked_for_its_cause() -> None:
    assert find(see(EXPORT), 9000, horizon_ms=2000) == []
    assert find(see(EXPORT), 9000, horizon_ms=1999) == ["exported_without_acceptance"]


@given(st.permutations(HONEST), st.lists(st.sampled_from(HONEST)))
def test_the_order_of_topics_and_seeing_again_change_nothing(order: list[Sight], again: list[Sight]) -> None:
    watched = see(*order, *again)
    assert find(watched, 10**9) == []
    assert is_settled(watched, 10**9, 0)
    assert Watched.model_validate(watched.model_dump(mode="json")) == watched


@given(st.permutations([*HONEST, export(1, 9000, offset=77)]))
def test_a_fault_is_found_in_whatever_order_it_is_seen(order: list[Sight]) -> None:
    assert find(see(*order), 10_000) == ["repeated_export"]


def test_what_is_not_settled_may_be_found_later() -> None:
    for open_one in (see(ASKED, ACCEPTED), see(ACCEPTED, EXPORT), see(Shown(1, "PENDING_APPROVAL", 1))):
        assert not is_settled(open_one, 10**9, 0)
    assert not is_settled(see(*HONEST), 6001, 0)

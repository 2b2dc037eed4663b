"""A breaker lets one part at a time try, logs each change once, and never stays open without a part that tries."""

import time

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import FilteringBoundLogger

from worker.resilience import breaker as breaker_module
from worker.resilience.breaker import Breaker, Breakers
from worker.resilience.outage import list_unavailable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [time.monotonic()]
    monkeypatch.setattr(breaker_module, "monotonic", lambda: now[0])
    return now


def make(name: str = "kafka") -> Breaker:
    log: FilteringBoundLogger = structlog.get_logger()
    return Breaker(name, log)


def test_one_at_a_time_tries(clock: list[float]) -> None:
    breaker = make()
    assert breaker.admits("a")
    assert breaker.admits("b")
    with capture_logs() as said:
        breaker.trip("a", "gone")
        breaker.trip("b", "gone")
        assert (breaker.state, list_unavailable()) == ("open", {"kafka"})
        assert not breaker.admits("a")
        clock[0] += 10
        assert breaker.admits("b")
        assert breaker.state == "probing"
        assert not breaker.admits("a")
        assert not breaker.admits("c")
        breaker.trip("b", "still gone")
        assert not breaker.admits("a")
        clock[0] += 10
        assert breaker.admits("a")
        breaker.close("a")
        assert (breaker.state, list_unavailable()) == ("closed", set())
        assert all(map(breaker.admits, "abc"))
    assert [line["event"] for line in said] == ["kafka.lost", "kafka.regained"]


def test_whoever_failed_gives_way(clock: list[float]) -> None:
    breaker = make()
    breaker.trip("a", "gone")
    clock[0] += 0.15
    assert not breaker.admits("a")
    assert breaker.admits("b")
    breaker.close("b")


def test_only_who_tried_has_shown_anything(clock: list[float]) -> None:
    breaker = make()
    breaker.trip("a", "gone")
    breaker.close("b")
    assert breaker.state == "open"
    clock[0] += 10
    assert breaker.admits("a")
    breaker.give_back("a")
    assert breaker.state == "open"
    assert breaker.admits("b")
    breaker.forget("b")
    breaker.forget("a")
    assert (breaker.state, list_unavailable()) == ("closed", set())


def test_a_turn_with_one_is_not_kept_while_there_is_none_with_the_other(clock: list[float]) -> None:
    both = Breakers(make(), make("database"))
    both.kafka.trip("a", "gone")
    both.database.trip("b", "gone")
    clock[0] += 10
    assert both.kafka.admits("b")
    assert both.database.admits("a")
    assert not both.admits("b")
    assert both.kafka.state == "open"
    assert both.admits("a")
    both.close("a")
    assert both.list_states() == {"kafka": "closed", "database": "closed"}


def test_waits_grow(clock: list[float]) -> None:
    breaker, started = make(), clock[0]
    breaker.trip("a", "gone")
    tries = 0
    while clock[0] < started + 60:
        clock[0] += 0.05
        if breaker.admits("a"):
            tries += 1
            breaker.trip("a", "gone")
    assert 10 <= tries <= 30
    breaker.forget("a")

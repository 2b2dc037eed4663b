"""The brokers' clock, as the answers to appends show it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from worker.kafka import producer
from worker.kafka.producer import BrokerClock

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def answer(at: datetime, timestamp_type: int = 1) -> Any:
    return SimpleNamespace(timestamp=int(at.timestamp() * 1000), timestamp_type=timestamp_type)


def test_it_goes_on_from_the_last_answer_with_a_brokers_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(producer, "monotonic", lambda: now[0])
    clock = BrokerClock()
    assert clock.read() is None
    clock.note([answer(NOW, timestamp_type=0)])
    assert clock.read() is None
    clock.note([answer(NOW - timedelta(seconds=1)), answer(NOW), answer(NOW + timedelta(days=1), timestamp_type=0)])
    assert clock.read() == NOW
    now[0] += 90
    assert clock.read() == NOW + timedelta(seconds=90)
    clock.note([answer(NOW)])
    assert clock.read() == NOW

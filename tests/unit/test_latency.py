"""The latency of a record whose producer wrote any time that it liked."""

import time
from dataclasses import replace

import pytest

from tests.integration.records import arrive
from tests.unit.builders import lock
from worker.telemetry.metrics import LATENCY, measure_latency

DAY = 86_400.0


@pytest.mark.parametrize(
    ("age_seconds", "added"),
    [(0.0, 0.0), (60.0, 60.0), (DAY - 5, DAY - 5), (DAY + 5, 0.0), (-60.0, 0.0), (1e12, 0.0), (-1e12, 0.0)],
)
def test_a_time_that_is_more_than_a_day_off_is_not_measured(age_seconds: float, added: float) -> None:
    arrival = arrive(0, lock())
    written_ms = int((time.time() - age_seconds) * 1000)
    before = LATENCY._sum.get()
    measure_latency([replace(arrival, original=replace(arrival.original, timestamp_ms=written_ms))])
    assert LATENCY._sum.get() - before == pytest.approx(added, abs=2)

"""How long a source partition is blocked by an open transaction is measured from when it was first seen so."""

import asyncio

import pytest

from worker.kafka.group_offsets import Partition
from worker.pipeline import blocked_sources
from worker.pipeline.blocked_sources import measure_blocked_sources
from worker.telemetry.metrics import SOURCE_BLOCKED

BLOCKED: Partition = ("procore.budgets", 0)
FREE: Partition = ("procore.budgets", 1)
MOVING: Partition = ("procore.approvals", 0)


async def test_only_a_partition_that_stays_below_its_end_counts_as_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, rounds = asyncio.Event(), iter(range(6))
    seconds = iter(range(0, 600, 10))
    ends: dict[Partition, tuple[int, int]] = {}
    seen: list[dict[tuple[str, str], float]] = []

    def list_ends() -> dict[Partition, tuple[int, int]]:
        turn = next(rounds)
        ends.update({BLOCKED: (5, 9 + turn), FREE: (7, 7), MOVING: (turn, turn + 1)})
        if turn == 4:
            ends[BLOCKED] = (20, 20)
        if turn == 5:
            del ends[FREE]
            stopping.set()
        return ends

    async def wait(stop: asyncio.Event, _: float) -> None:
        del stop
        [metric] = SOURCE_BLOCKED.collect()
        found = metric.samples
        seen.append({(one.labels["topic"], one.labels["partition"]): one.value for one in found})

    monkeypatch.setattr(blocked_sources, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(blocked_sources, "wait_unless", wait)
    await measure_blocked_sources(list_ends, stopping)
    blocked, free, moving = ("procore.budgets", "0"), ("procore.budgets", "1"), ("procore.approvals", "0")
    assert [one[blocked] for one in seen] == [0.0, 10.0, 20.0, 30.0, 0.0, 0.0]
    assert {one[moving] for one in seen} == {0.0}
    assert [one.get(free) for one in seen] == [0.0] * 5 + [None]

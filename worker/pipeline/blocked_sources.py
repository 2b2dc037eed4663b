"""Measures how long a writer's open transaction has kept a source partition from being read past it.

A writer that neither commits nor aborts blocks everything behind it, until the broker aborts its transaction after up
to 15 minutes. Nothing fails meanwhile, so only a measurement shows it.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from worker.kafka.group_offsets import Partition
from worker.resilience.backoff import wait_unless
from worker.telemetry.metrics import record_blocked_sources

CHECK_SECONDS: Final = 5.0


async def measure_blocked_sources(
    list_ends: Callable[[], Mapping[Partition, tuple[int, int]]], stopping: asyncio.Event
) -> None:
    """Measure every few seconds until the stop.

    Args:
        list_ends: lists the last stable offset and the end of each partition that is read here.
        stopping: the stop.
    """
    blocked: dict[Partition, tuple[int, float]] = {}
    while not stopping.is_set():
        now, ends = monotonic(), list_ends()
        before, blocked = blocked, {}
        for place, (stable, end) in ends.items():
            if stable < end:
                earlier, since = before.get(place, (stable, now))
                blocked[place] = stable, since if earlier == stable else now
        record_blocked_sources({place: now - blocked[place][1] if place in blocked else 0.0 for place in ends})
        await wait_unless(stopping, CHECK_SECONDS)

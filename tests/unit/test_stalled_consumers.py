"""A consumer that stalled rejoins its group, and nothing else waits for it."""

import asyncio
from typing import Any

import pytest

from tests.unit.fakes import Log, Script, wait_for
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import Partition
from worker.resilience import breaker as breaker_module
from worker.resilience import stalled_consumers
from worker.resilience.breaker import Breaker
from worker.resilience.stalled_consumers import StalledConsumers


async def test_others_use_kafka_while_a_consumer_rejoins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled_consumers, "CHECK_SECONDS", 0)
    monkeypatch.setattr(breaker_module, "back_off", lambda: iter([0.0] * 100))
    log: Any = Log()
    breaker, stopping = Breaker("kafka", log), asyncio.Event()
    rejoins = Script(KafkaDown("not yet"), KafkaDown("not yet"), None)
    rejoining = asyncio.Event()

    class Stalled:
        async def find_stalled(self, _: float) -> list[Partition]:
            return [] if rejoining.is_set() else [("inbox", 0)]

        async def rejoin(self) -> None:
            rejoining.set()
            rejoins.answer()

    async def ask_kafka() -> None: ...

    breaker.trip("a lane", "gone")
    running = asyncio.create_task(StalledConsumers({"lanes": Stalled()}, ask_kafka, breaker, log).run(stopping))
    await asyncio.wait_for(rejoining.wait(), 5)
    assert breaker.admits("a lane")
    assert breaker.state == "closed"
    await wait_for(lambda: rejoins.calls == 3)
    stopping.set()
    await asyncio.wait_for(running, 5)

"""A consumer that stalled rejoins its group, and nothing else waits for it."""

import asyncio
from typing import Any

import pytest

from tests.unit.fakes import Log, Script, wait_for
from worker.kafka.errors import KafkaDown, NotPermitted
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


async def test_a_consumer_that_kafka_does_not_answer_while_it_answers_others_rejoins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(stalled_consumers, "CHECK_SECONDS", 0)
    monkeypatch.setattr(stalled_consumers, "monotonic", lambda: now[0])
    log: Any = Log()
    breaker, stopping = Breaker("kafka", log), asyncio.Event()
    rejoined: list[float] = []

    class Unanswered:
        async def find_stalled(self, _: float) -> list[Partition]:
            now[0] += 2.0
            raise KafkaDown("no answer")

        async def rejoin(self) -> None:
            rejoined.append(now[0])
            stopping.set()

    async def ask_kafka() -> None: ...

    async with asyncio.timeout(5):
        await StalledConsumers({"lanes": Unanswered()}, ask_kafka, breaker, log).run(stopping)
    assert rejoined == [2.0 + stalled_consumers.UNANSWERED_SECONDS]
    assert "kafka.lost" not in log.list_names()


async def test_a_consumer_that_may_not_read_waits_for_kafka_and_does_not_rejoin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalled_consumers, "CHECK_SECONDS", 0)
    monkeypatch.setattr(breaker_module, "back_off", lambda: iter([0.0] * 100))
    log: Any = Log()
    breaker, stopping = Breaker("kafka", log), asyncio.Event()
    refusals = iter(["user w lacks the ACL Read on topic a", "user w lacks the ACL Read on topic b"] * 3)

    class Refused:
        async def find_stalled(self, _: float) -> list[Partition]:
            if refused := next(refusals, ""):
                raise NotPermitted(refused)
            stopping.set()
            return []

        async def rejoin(self) -> None:
            raise AssertionError

    async def ask_kafka() -> None: ...

    async with asyncio.timeout(10):
        await StalledConsumers({"lanes": Refused()}, ask_kafka, breaker, log).run(stopping)
    # Each reason once, because somebody has to act on each.
    assert log.list_names() == ["kafka.lost", "kafka.lost", "kafka.regained"]


async def test_a_consumer_is_checked_whatever_is_found_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled_consumers, "CHECK_SECONDS", 0)
    log: Any = Log()
    breaker, stopping = Breaker("kafka", log), asyncio.Event()

    class Refused:
        async def find_stalled(self, _: float) -> list[Partition]:
            raise NotPermitted("user w lacks the ACL Read on group a")

        async def rejoin(self) -> None:
            raise AssertionError

    class Healthy(Refused):
        async def find_stalled(self, _: float) -> list[Partition]:
            stopping.set()
            return []

    async def ask_kafka() -> None: ...

    async with asyncio.timeout(5):
        consumers = {"intake": Refused(), "lanes": Healthy()}
        await StalledConsumers(consumers, ask_kafka, breaker, log).run(stopping)
    assert log.list_names() == ["kafka.lost"]

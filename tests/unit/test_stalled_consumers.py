"""A consumer that stalled rejoins its group, and nothing else waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.fakes import Log, Script, wait_for
from worker.kafka.errors import KafkaDown, NotPermitted
from worker.kafka.group_offsets import Partition
from worker.resilience import breaker as breaker_module
from worker.resilience import stalled_consumers
from worker.resilience.breaker import Breaker
from worker.resilience.stalled_consumers import StalledConsumers


@pytest.fixture(autouse=True)
def checking_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled_consumers, "CHECK_SECONDS", 0)


async def ask_kafka() -> None:
    """Kafka answers others."""


async def check(
    consumers: dict[str, Any],
    stopping: asyncio.Event,
    ask: Callable[[], Awaitable[None]] = ask_kafka,
    within: float = 5.0,
) -> list[str]:
    """Check consumers until the stop; returns the names of what was logged."""
    log: Any = Log()
    async with asyncio.timeout(within):
        await StalledConsumers(consumers, ask, Breaker("kafka", log), log).run(stopping)
    names: list[str] = log.list_names()
    return names


async def test_others_use_kafka_while_a_consumer_rejoins(monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(stalled_consumers, "monotonic", lambda: now[0])
    stopping = asyncio.Event()
    rejoined: list[float] = []

    class Unanswered:
        async def find_stalled(self, _: float) -> list[Partition]:
            now[0] += 2.0
            raise KafkaDown("no answer")

        async def rejoin(self) -> None:
            rejoined.append(now[0])
            stopping.set()

    logged = await check({"lanes": Unanswered()}, stopping)
    assert rejoined == [2.0 + stalled_consumers.UNANSWERED_SECONDS]
    assert "kafka.lost" not in logged


async def test_a_consumer_that_may_not_read_waits_for_kafka_and_does_not_rejoin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker_module, "back_off", lambda: iter([0.0] * 100))
    stopping = asyncio.Event()
    refusals = iter(["user w lacks the ACL Read on topic a", "user w lacks the ACL Read on topic b"] * 3)

    class Refused:
        async def find_stalled(self, _: float) -> list[Partition]:
            if refused := next(refusals, ""):
                raise NotPermitted(refused)
            stopping.set()
            return []

        async def rejoin(self) -> None:
            raise AssertionError

    logged = await check({"lanes": Refused()}, stopping, within=10.0)
    # Each reason once, because somebody has to act on each.
    assert logged == ["kafka.lost", "kafka.lost", "kafka.regained"]


async def test_a_consumer_is_checked_whatever_is_found_of_another() -> None:
    stopping = asyncio.Event()

    class Refused:
        async def find_stalled(self, _: float) -> list[Partition]:
            raise NotPermitted("user w lacks the ACL Read on group a")

        async def rejoin(self) -> None:
            raise AssertionError

    class Healthy(Refused):
        async def find_stalled(self, _: float) -> list[Partition]:
            stopping.set()
            return []

    assert await check({"intake": Refused(), "lanes": Healthy()}, stopping) == ["kafka.lost"]


async def test_kafka_that_is_down_is_noticed_while_nothing_is_in_flight() -> None:
    stopping = asyncio.Event()

    class Idle:
        async def find_stalled(self, _: float) -> list[Partition]:
            raise KafkaDown("no answer")

        async def rejoin(self) -> None:
            raise AssertionError("Kafka is down for everybody: joining again does not help")

    async def ask_in_vain() -> None:
        asyncio.get_running_loop().call_soon(stopping.set)
        raise KafkaDown("no answer")

    assert await check({"lanes": Idle()}, stopping, ask_in_vain) == ["kafka.lost"]

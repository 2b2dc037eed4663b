"""When a reader is silent: more is there, it is asked for, and nothing comes for long; not when something just came."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from worker.kafka import consumer as consumer_module
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import NotPermitted

PLACE = TopicPartition("inbox", 0)


class QuietAiokafkaConsumer:
    """aiokafka's consumer as it is seen from outside."""

    def __init__(self) -> None:
        self._client = SimpleNamespace(cluster=SimpleNamespace(unauthorized_topics=set()))
        self._subscription = SimpleNamespace(subscription=None)
        self.end = self.at = 5
        self.resting: set[TopicPartition] = set()

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    def paused(self) -> set[TopicPartition]:
        return self.resting

    async def topics(self) -> set[str]:
        return {"inbox"}

    async def getmany(self, *_: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        assert timeout_ms >= 0
        offsets = range(self.at, min(self.end, self.at + max_records))
        self.at += len(offsets)
        raws = [
            SimpleNamespace(**PLACE._asdict(), offset=at, timestamp=0, key=b"", value=b"", headers=()) for at in offsets
        ]
        return {PLACE: raws} if raws else {}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.end)

    async def position(self, _: TopicPartition) -> int:
        return self.at


class Clock:
    """An event loop's time, which only the test moves."""

    now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def open_reader(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    reader: Any = Consumer(KafkaConnection("127.0.0.1:1"), "group", ["inbox"], start="none")
    reader._consumer = QuietAiokafkaConsumer()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock.time)
    monkeypatch.setattr(consumer_module, "attend_group", lambda _: None)
    reader._stalls.note((PLACE,), (), full=False)
    return reader, reader._consumer


async def check(reader: Any, clock: Clock, seconds: float) -> list[tuple[str, int]]:
    """Check every five seconds, as the worker does; return what the last check finds."""
    found: list[tuple[str, int]] = []
    for _ in range(int(seconds / 5)):
        clock.now += 5
        reader._stalls.note((PLACE,), (), full=False)
        found = await reader.find_stalled(15)
    return found


async def test_what_has_just_come_in_is_no_silence(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, consumer = await open_reader(clock, monkeypatch)
    assert await check(reader, clock, 3600) == []
    consumer.end = 6
    assert await check(reader, clock, 15) == []
    consumer.at = 6
    assert await check(reader, clock, 3600) == []


async def test_silence_is_more_and_nothing_of_it_for_long(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, consumer = await open_reader(clock, monkeypatch)
    consumer.end = 6
    assert await check(reader, clock, 20) == [("inbox", 0)]
    # A position that moves is slow, not silent.
    consumer.end = 100
    for _ in range(10):
        consumer.at += 1
        assert await check(reader, clock, 15) == []
    # And what is paused is not asked for.
    assert await check(reader, clock, 20) == [("inbox", 0)]
    consumer.resting = {PLACE}
    assert await check(reader, clock, 20) == []


async def test_a_lane_that_works_for_long_on_what_it_has_is_not_silent(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, consumer = await open_reader(clock, monkeypatch)
    consumer.end = 6
    assert len(await reader.fetch(("inbox", 0), 150, 0.2)) == 1
    # As a lane does that has its turn.
    assert await reader.fetch(("inbox", 0), 149, 0.0) == []
    consumer.end = 7
    for _ in range(10):
        clock.now += 5
        assert await reader.find_stalled(15) == []


async def test_a_topic_that_may_not_even_be_described_is_named(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, client = await open_reader(clock, monkeypatch)
    assert await reader.find_stalled(15) == []
    client._client.cluster.unauthorized_topics.add("inbox")
    with pytest.raises(
        NotPermitted, match="user ANONYMOUS lacks the ACL Read on topic inbox: add it; `budget-bridge acls"
    ):
        await reader.find_stalled(15)

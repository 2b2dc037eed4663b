"""Reading a topic from outside ends, also where the broker stops answering in the middle."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from worker.kafka import topic_log
from worker.kafka.errors import KafkaDown
from worker.kafka.topic_log import TopicLog

PLACE = TopicPartition("any", 0)


class Client:
    """aiokafka's consumer: one record a fetch, with a marker behind each, until it no longer gets an answer."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.at = 0

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, _: TopicPartition) -> int:
        return self.at

    async def getmany(self, *_: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        assert timeout_ms > 0
        assert max_records > 0
        await asyncio.sleep(0.001)
        if not self.answers:
            return {}
        self.answers -= 1
        offset, self.at = self.at, self.at + 2
        raw = SimpleNamespace(topic="any", partition=0, offset=offset, timestamp=1, key=b"", value=b"", headers=())
        return {PLACE: [raw]}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_log, "REQUEST_SECONDS", 0.05)


async def read(log: TopicLog) -> list[int]:
    return [record.place.offset async for records in log.read() for record in records]


async def test_everything_up_to_the_end_is_read() -> None:
    client: Any = Client(answers=3)
    assert await read(TopicLog(client, "any", {0: (0, 6)})) == [0, 2, 4]


async def test_a_broker_that_stops_answering_ends_the_reading() -> None:
    client: Any = Client(answers=2)
    with pytest.raises(KafkaDown):
        await read(TopicLog(client, "any", {0: (0, 6)}))
    with pytest.raises(KafkaDown):
        await TopicLog(client, "any", {0: (0, 6)}).get(0, 4)

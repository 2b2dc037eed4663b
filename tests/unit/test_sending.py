"""Records are sent as batches: which record is in which, and what becomes of those that Kafka does not take."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from contracts.records import Outgoing
from worker.kafka.errors import MessageTooLarge
from worker.kafka.sending import send_records
from worker.kafka.topic_log import choose_partition


class Batches:
    """A producer of aiokafka's: what a topic answers to its batches, one after the other."""

    def __init__(self, *answers: Any, partitions: int = 1, room: int = 100) -> None:
        self.answers = list(answers)
        self.partitions = partitions
        self.room = room
        self.batches: list[tuple[str, int, list[bytes | None]]] = []

    async def partitions_for(self, _topic: str) -> set[int]:
        return set(range(self.partitions))

    def create_batch(self) -> "Batch":
        return Batch(self.room)

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.batches.append((topic, partition, batch.values))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(partition)
        return answer


class Batch:
    """A batch of aiokafka's: a record fits if there is room for its value, or if it is the first."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.values: list[bytes | None] = []

    def append(self, *, value: bytes | None, **_: Any) -> object | None:
        if self.values and sum(len(one or b"") for one in [*self.values, value]) > self.room:
            return None
        self.values.append(value)
        return object()


def send(producer: Any, *records: Outgoing, **options: Any) -> Any:
    return send_records(producer, records, **options)


def outgoing(value: bytes, key: bytes | None = b"key", topic: str = "topic") -> Outgoing:
    return Outgoing(topic, key, value, ())


async def test_a_batch_has_what_it_has_room_for_of_a_partition_in_order() -> None:
    producer = Batches(room=4)
    sent = [outgoing(value) for value in (b"aa", b"b", b"cccccc", b"dd", b"e")]
    assert await send(producer, *sent, outgoing(b"z", topic="other")) == [0, 0, 0, 0]
    assert producer.batches == [
        ("topic", 0, [b"aa", b"b"]),
        ("topic", 0, [b"cccccc"]),
        ("topic", 0, [b"dd", b"e"]),
        ("other", 0, [b"z"]),
    ]


@pytest.mark.parametrize("spread_over", [None, 2, 9])
async def test_records_go_where_every_client_looks_for_their_keys(spread_over: int | None) -> None:
    producer, keys = Batches(partitions=5), [b"4211/%d" % number for number in range(9)]
    await send(producer, *[outgoing(key, key) for key in keys], outgoing(b"none", None), spread_over=spread_over)
    found = {value: partition for _, partition, values in producer.batches for value in values}
    assert found == {key: choose_partition(key, min(spread_over or 5, 5)) for key in keys} | {b"none": 0}


async def test_a_batch_that_is_too_large_names_its_largest_record() -> None:
    refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    refused.set_exception(MessageSizeTooLargeError())
    with pytest.raises(MessageTooLarge, match="topic does not take a record of 6 bytes"):
        await send(Batches(refused), outgoing(b"a"), outgoing(b"bbb"), outgoing(b"cc"))


async def test_a_batch_that_was_given_up_is_a_failure() -> None:
    given_up: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    given_up.cancel()
    with pytest.raises(KafkaError, match="gave up"):
        await send(Batches(given_up), outgoing(b"value"))


async def test_what_becomes_of_batches_that_were_given_up_is_not_logged_one_by_one() -> None:
    loop, logged = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: logged.append(context))
    first: list[asyncio.Future[Any]] = [loop.create_future()]
    with pytest.raises(KafkaError):
        await send(Batches(first[0], KafkaError(), room=1), outgoing(b"a"), outgoing(b"b"))
    first.pop().set_exception(KafkaError())
    await asyncio.sleep(0)
    gc.collect()
    assert not logged

"""A library that gives up a call of its own must not end the task that waits for it."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from contracts.records import Outgoing
from worker.cancellation import is_ending
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown, LaneLost, translate_errors
from worker.kafka.group_offsets import GroupOffset
from worker.kafka.producer import Publisher, _send_all


class GivesUp:
    """A producer of aiokafka's whose sender died: its futures are cancelled."""

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[object]:
        given_up: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        given_up.cancel()
        return given_up


async def test_a_send_that_was_given_up_is_a_failure() -> None:
    with pytest.raises(KafkaError, match="gave up"):
        await _send_all(GivesUp(), [Outgoing("topic", b"key", b"value", ())])


async def test_what_becomes_of_records_of_a_batch_that_was_given_up_is_not_logged_one_by_one() -> None:
    loop, logged = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: logged.append(context))
    sent: list[asyncio.Future[object]] = []

    class Fails:
        async def send(self, *_: Any, **__: Any) -> asyncio.Future[object]:
            if sent:
                raise KafkaError
            sent.append(loop.create_future())
            return sent[0]

    with pytest.raises(KafkaError):
        await _send_all(Fails(), [Outgoing("topic", b"key", b"value", ())] * 2)
    sent.pop().set_exception(KafkaError())
    await asyncio.sleep(0)
    gc.collect()
    assert not logged


async def give_up() -> None:
    raise asyncio.CancelledError


async def test_a_call_that_was_given_up_means_that_kafka_is_down() -> None:
    with pytest.raises(KafkaDown, match="gave up"):
        async with translate_errors(1.0):
            await give_up()


async def test_a_publication_that_was_given_up_loses_the_lane() -> None:
    class Transactional:
        async def begin_transaction(self) -> None:
            await give_up()

    publisher: Any = Publisher(KafkaConnection(""), "lane", "group", ("inbox", 0))
    publisher._producer = Transactional()
    with pytest.raises(LaneLost, match="gave up"):
        await publisher.publish(GroupOffset(1, ""), (), within=1.0)


async def test_a_publication_that_takes_too_long_loses_the_lane() -> None:
    class Slow:
        async def begin_transaction(self) -> None:
            await asyncio.Event().wait()

    publisher: Any = Publisher(KafkaConnection(""), "lane", "group", ("inbox", 0))
    publisher._producer = Slow()
    with pytest.raises(LaneLost, match="TimeoutError"):
        await publisher.publish(GroupOffset(1, ""), (), within=0.01)


async def test_a_stop_is_no_failure_of_kafka() -> None:
    async def wait() -> None:
        async with translate_errors(5.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_was_cancelled() -> None:
    told: list[bool] = []

    async def wait_for(future: asyncio.Future[None]) -> None:
        try:
            await future
        except asyncio.CancelledError:
            told.append(is_ending())

    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await wait_for(future)
    task = asyncio.create_task(wait_for(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == [False, True]

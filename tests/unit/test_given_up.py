"""A library that gives up a call of its own must not end the task that waits for it."""

import asyncio
from typing import Any

import pytest

from worker.cancellation import is_ending
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown, LaneLost, translate_errors
from worker.kafka.group_offsets import GroupOffset
from worker.kafka.producer import Publisher


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

"""A library that gives up a call of its own must not end the task that waits for it."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from contracts.records import Outgoing
from worker.kafka.producer import _send_all
from worker.resilience.backoff import is_ending


class GivesUp:
    """A producer of aiokafka's whose sender died: its futures are cancelled."""

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[object]:
        given_up: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        given_up.cancel()
        return given_up


async def test_a_send_that_was_given_up_is_a_failure() -> None:
    with pytest.raises(KafkaError, match="given up"):
        await _send_all(GivesUp(), [Outgoing("topic", b"key", b"value", ())])


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

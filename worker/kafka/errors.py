"""What can go wrong with Kafka, in words that callers act on: it is down, a lane is lost, a message is too large."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.errors import (
    KafkaError,
)

# aiokafka raises AssertionError where a producer is used after a fatal error.
FAULTS: Final = (KafkaError, OSError, TimeoutError, AssertionError)


# It logs every try while a broker is away; the worker says so once, itself.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaDown(Exception):  # noqa: N818 - a state of the world
    """Kafka does not answer, or not as it should; trying again may help."""


class LaneLost(Exception):  # noqa: N818 - what happened to the lane
    """This producer is of no use any more, or the outcome of its transaction is not known."""


class MessageTooLarge(Exception):  # noqa: N818 - what is the case with the message
    """The broker or the client takes no record of this size; nothing of its batch is visible."""


@asynccontextmanager
async def translate_errors() -> AsyncIterator[None]:
    """Raise ``KafkaDown`` for whatever aiokafka raises when Kafka does not answer as it should."""
    try:
        yield
    except FAULTS as error:
        raise KafkaDown(describe_error(error)) from error


def describe_error(error: BaseException) -> str:
    """Name an error and what it says."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


async def stop_within(stopping: Awaitable[object], within: float) -> bool:
    """Wait for a client of aiokafka's to stop, at most ``within`` seconds; returns whether it did."""
    try:
        await asyncio.wait_for(stopping, within)
    except FAULTS:
        return False
    return True

"""The errors of Kafka that callers act on: it is down, a lane is lost, a message is too large."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.errors import KafkaError

from worker.cancellation import is_ending

# aiokafka raises AssertionError where a producer is used after a fatal error.
FAULTS: Final = (KafkaError, OSError, TimeoutError, AssertionError)

GIVEN_UP: Final = "the client gave up a call of its own"
"""aiokafka does so by a ``CancelledError``, which as it is would end the task that waits, without a word."""

# It logs every attempt while a broker is down; the worker itself reports that once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaDown(Exception):  # noqa: N818 - a state of the world
    """Kafka does not answer, or not as it should; trying again may help."""


class LaneLost(Exception):  # noqa: N818 - what happened to the lane
    """This producer can no longer be used, or the outcome of its transaction is unknown."""


class MessageTooLarge(Exception):  # noqa: N818 - what is the case with the message
    """The broker or the client does not accept a record of this size; nothing of its batch is visible."""


@asynccontextmanager
async def translate_errors(within: float | None = None) -> AsyncIterator[None]:
    """Raise ``KafkaDown`` for whatever aiokafka raises when Kafka does not answer as it should.

    Args:
        within: longest that all of it may take, in seconds; ``None`` if something inside has a limit of its own.

    Yields:
        Nothing.

    Raises:
        KafkaDown: also where the time is over.
    """
    try:
        async with asyncio.timeout(within):
            yield
    except FAULTS as error:
        raise KafkaDown(describe_error(error)) from error
    except asyncio.CancelledError as given_up:
        if is_ending():
            raise
        raise KafkaDown(GIVEN_UP) from given_up


def describe_error(error: BaseException) -> str:
    """Name an error and what it says."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


async def stop_within(stopping: Awaitable[object], within: float) -> bool:
    """Wait for a client of aiokafka's to stop, at most ``within`` seconds.

    Returns:
        Whether it did. One that gives up a call of its own by a ``CancelledError`` has not.
    """
    stop = asyncio.ensure_future(stopping)
    _, late = await asyncio.wait({stop}, timeout=within)
    if late:
        stop.cancel()
        # Once, and not for long: a task that cannot be cancelled either is abandoned.
        await asyncio.wait({stop}, timeout=0.1)
        return False
    if stop.cancelled():
        return False
    if error := stop.exception():
        if not isinstance(error, FAULTS):
            raise error
        return False
    return True

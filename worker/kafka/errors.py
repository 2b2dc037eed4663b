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
"""aiokafka does so with a ``CancelledError``, which would silently end the task that waits for the call."""

# It logs every attempt while a broker is down; the worker itself reports that once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaDown(Exception):  # noqa: N818 - a state of the world
    """Kafka does not answer as it should; trying again may help."""


class LaneLost(Exception):  # noqa: N818 - what happened to the lane
    """This producer can no longer be used, or the outcome of its transaction is unknown."""


class MessageTooLarge(Exception):  # noqa: N818 - a property of the message
    """The broker or the client does not accept a record of this size; nothing of its batch is visible."""


@asynccontextmanager
async def translate_errors(
    within: float | None = None, into: type[KafkaDown | LaneLost] = KafkaDown
) -> AsyncIterator[None]:
    """Raise ``KafkaDown`` for whatever aiokafka raises when Kafka does not answer as it should.

    Args:
        within: longest that all of it may take, in seconds; ``None`` if something inside has a limit of its own.
        into: what is raised instead, where a lane's producer cannot be used afterwards.

    Raises:
        KafkaDown: Kafka does not answer as it should, or the time is over.
    """
    try:
        async with asyncio.timeout(within):
            yield
    except FAULTS as error:
        raise into(describe_error(error)) from error
    except asyncio.CancelledError as given_up:
        if is_ending():
            raise
        raise into(GIVEN_UP) from given_up


def describe_error(error: BaseException) -> str:
    """Write an error's type and text on one line."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


async def stop_within(stopping: Awaitable[object], within: float) -> bool:
    """Wait for a client of aiokafka's to stop, and give up after a while.

    Args:
        stopping: the call that stops it.
        within: longest wait, in seconds.

    Returns:
        Whether it stopped. A client that cancels a call of its own has not.
    """
    stop = asyncio.ensure_future(stopping)
    _, late = await asyncio.wait({stop}, timeout=within)
    if late:
        stop.cancel()
        # Not for long: a task that cannot be cancelled is abandoned.
        await asyncio.wait({stop}, timeout=0.1)
        return False
    if stop.cancelled():
        return False
    if error := stop.exception():
        if not isinstance(error, FAULTS):
            raise error
        return False
    return True

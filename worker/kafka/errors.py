"""The errors of Kafka that callers act on: it is down, it refuses a user, a lane is lost, a message is too large."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from worker.cancellation import is_ending
from worker.error_causes import list_causes

# aiokafka raises AssertionError where a producer is used after a fatal error.
FAULTS: Final = (KafkaError, OSError, TimeoutError, AssertionError)

_REFUSALS: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

GRANT_ACLS: Final = "add it; `budget-bridge acls` prints the command"
"""What to do about a missing ACL."""

GIVEN_UP: Final = "the client gave up a call of its own"
"""aiokafka does so with a ``CancelledError``, which would silently end the task that waits for the call."""

# A topic that keeps the time of whoever writes refuses one that is more than an hour ahead of the broker's.
_COMPARE_CLOCKS: Final = "compare the clocks of this machine and of the brokers"

# It logs every attempt while a broker is down; the worker itself reports that once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaDown(Exception):  # noqa: N818 - a state of the world
    """Kafka does not answer as it should; trying again may help."""


class NotPermitted(KafkaDown):
    """Kafka answers, and does not permit this user something; ``found`` names the ACL."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}: {GRANT_ACLS}")
        self.found = found
        self.to_do = GRANT_ACLS


class LaneLost(Exception):  # noqa: N818 - what happened to the lane
    """This producer can no longer be used, or the outcome of its transaction is unknown."""


class LaneNotPermitted(LaneLost):
    """As ``NotPermitted``, found by a lane's producer, which cannot be used afterwards."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}: {GRANT_ACLS}")
        self.to_do = GRANT_ACLS


class Access(NamedTuple):
    """What some calls do, to name the ACL where Kafka refuses one of them without saying of what."""

    user: str = "this user"
    operation: Literal["Read", "Write", "Create", "Describe"] = "Read"
    names: tuple[str, ...] = ()
    """The topics, or the group."""


UNNAMED: Final = Access()


class MessageTooLarge(Exception):  # noqa: N818 - a property of the message
    """The broker or the client does not accept a record of this size; nothing of its batch is visible."""


@asynccontextmanager
async def translate_errors(
    within: float | None = None, into: type[KafkaDown | LaneLost] = KafkaDown, access: Access = UNNAMED
) -> AsyncIterator[None]:
    """Raise ``KafkaDown`` for whatever aiokafka raises when Kafka does not answer as it should.

    Args:
        within: longest that all of it may take, in seconds; ``None`` if something inside has a limit of its own.
        into: what is raised instead, where a lane's producer cannot be used afterwards.
        access: what is done, to name the ACL that is missing.

    Raises:
        KafkaDown: Kafka does not answer as it should, or the time is over; ``NotPermitted`` where an ACL is missing.
    """
    try:
        async with asyncio.timeout(within):
            yield
    except FAULTS as error:
        if missing := find_missing_acl(error, access):
            raise (LaneNotPermitted if into is LaneLost else NotPermitted)(missing) from error
        raise into(describe_error(error)) from error
    except asyncio.CancelledError as given_up:
        if is_ending():
            raise
        raise into(GIVEN_UP) from given_up


def find_missing_acl(error: BaseException, access: Access) -> str:
    """Find out which ACL is missing if that is why something failed; empty if it is not."""
    for cause in list_causes(error):
        if not isinstance(cause, _REFUSALS):
            continue
        named = _list_names(cause) or access.names
        if isinstance(cause, ClusterAuthorizationFailedError):
            # What a producer is told that may not write to any topic.
            return f"user {access.user} lacks the ACL {access.operation} on topic {', '.join(access.names)}"
        if isinstance(cause, TopicAuthorizationFailedError):
            return f"user {access.user} lacks the ACL {access.operation} on topic {', '.join(named)}"
        if isinstance(cause, GroupAuthorizationFailedError):
            operation = "Describe" if access.operation == "Describe" else "Read"
            return f"user {access.user} lacks the ACL {operation} on group {', '.join(named)}"
        return f"user {access.user} lacks the ACL Write on transactional id {', '.join(named)}"
    return ""


def _list_names(error: BaseException) -> tuple[str, ...]:
    """List what aiokafka's error names: nothing, one name or several."""
    [names] = error.args[:1] or ((),)
    return (names,) if isinstance(names, str) else tuple(sorted(names))


def describe_error(error: BaseException) -> str:
    """Write an error's type and text on one line, and what to do where the text is no help."""
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{said}: {_COMPARE_CLOCKS}" if isinstance(error, InvalidTimestampError) else said


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

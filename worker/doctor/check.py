"""One result of the doctor, and how a group of checks continues when a server fails."""

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple

from outbox.database import DatabaseDown
from worker.kafka.errors import KafkaDown, NotPermitted
from worker.kafka.server_errors import ServerDown

CheckState = Literal["ok", "warning", "error"]


class Check(NamedTuple):
    """One result: what was found, and what to do about it."""

    about: str
    """The group it belongs to, such as ``topics``."""
    state: CheckState
    found: str
    to_do: str = ""


Checks = AsyncIterator[Check]


async def continue_after_errors(about: str, checks: Checks) -> Checks:
    """Yield the results of a group of checks; if a server fails, its error is the last result.

    The doctor then continues with the next group.

    Args:
        about: the name of the group.
        checks: its checks.
    """
    try:
        async for check in checks:
            yield check
    except ServerDown as down:
        for problem in down.problems:
            yield Check(about, "error", problem.found, problem.to_do)
    except NotPermitted as refused:
        yield Check("permissions", "error", f"{about}: {refused.found}", refused.to_do)
    except KafkaDown as down:
        yield Check(about, "error", f"Kafka failed: {down}", "check the log of the broker")
    except DatabaseDown as down:
        yield Check(about, "error", f"the database failed: {down}", "check the log of the database")

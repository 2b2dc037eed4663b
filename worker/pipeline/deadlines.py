"""Turns time into messages: what is due becomes ``deadline.passed.v1`` on ``bridge.commands``.

The same deadline always gets the same id, so that said twice it counts once; whether it still applies is decided
where all else is.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Final

from contracts.cloudevents.writing import SOURCE, write_attributes
from contracts.fields import write_time
from contracts.inbound import DeadlinePassed
from contracts.records import Outgoing
from contracts.topics import TopicNames
from outbox.database import DatabaseDown, close, connect
from outbox.deployment import Due, find_due
from worker.kafka.errors import KafkaDown
from worker.kafka.producer import Appender
from worker.resilience.backoff import is_ending, wait_unless
from worker.resilience.breaker import Breakers
from worker.resilience.outage import Outage
from worker.telemetry.logs import Logger

EVERY_SECONDS: Final = 1.0
SAY_AGAIN_AFTER: Final = 60
"""Rounds after which a deadline that is still due is said again."""


class Deadlines:
    """The timer of the lanes of one worker."""

    def __init__(
        self,
        database_url: str,
        appender: Appender,
        topics: TopicNames,
        list_lanes: Callable[[], list[int]],
        breakers: Breakers,
        log: Logger,
    ) -> None:
        self._database_url = database_url
        self._appender = appender
        self._topic = topics.commands
        self._list_lanes = list_lanes
        self._breakers = breakers
        self._log = log
        self._outage = Outage(log, "deadlines")
        self._said: set[Due] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Look for what is due until told to stop."""
        while not stopping.is_set():
            if not self._breakers.database.admits(self):
                await wait_unless(stopping, EVERY_SECONDS / 5)
                continue
            try:
                await self._watch(stopping)
            except DatabaseDown as down:
                self._breakers.database.trip(self, down)
            except asyncio.CancelledError:
                if is_ending():
                    raise
                self._breakers.give_back(self)
                self._outage.note("a call was given up")
                await wait_unless(stopping, EVERY_SECONDS)

    async def _watch(self, stopping: asyncio.Event) -> None:
        connection = await connect(self._database_url)
        rounds = 0
        try:
            while not stopping.is_set():
                due = await find_due(connection, self._list_lanes())
                self._breakers.database.close(self)
                said = await self._say([one for one in due if one not in self._said])
                rounds += 1
                if said:
                    self._said = set() if rounds % SAY_AGAIN_AFTER == 0 else set(due)
                self._outage.clear()
                await wait_unless(stopping, EVERY_SECONDS)
        finally:
            await close(connection, EVERY_SECONDS)

    async def _say(self, due: Iterable[Due]) -> bool:
        """Say what is due; returns whether it is said, and is not to be said in the next round."""
        records = [write_deadline(one, self._topic) for one in due]
        if not records:
            return True
        kafka = self._breakers.kafka
        if not kafka.admits(self):
            return False
        try:
            await self._appender.append(records)
        except KafkaDown as down:
            kafka.trip(self, down)
            return False
        kafka.close(self)
        self._log.info("deadlines.passed", count=len(records))
        return True


def write_deadline(due: Due, topic: str) -> Outgoing:
    """Write the message that says a deadline has passed."""
    at = write_time(due.due_at)
    message_id = f"{due.deadline}/{due.key}/{due.version}/{at}"
    headers = write_attributes(DeadlinePassed.type, f"{SOURCE}/deadlines", message_id, time=at)
    data = {**due.key._asdict(), "budget_version": due.version, "deadline": due.deadline, "due_at": at}
    return Outgoing(topic, str(due.key).encode(), json.dumps(data).encode(), headers)

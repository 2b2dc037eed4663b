"""The timer: sends ``deadline.passed.v1`` to ``bridge.commands`` for every deadline that has passed.

The same deadline always gets the same id, so one that is sent twice counts once. Whether it still applies is decided in
``handlers``, like everything else. The statement ``find_due`` in ``outbox/sql/deadlines.sql`` finds what is due.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

from contracts.cloudevents.writing import DEADLINES_SOURCE, write_attributes
from contracts.fields import write_time
from contracts.inbound import DeadlinePassed
from contracts.records import Outgoing
from outbox.database import Connection, DatabaseDown, open_session
from outbox.due import Due, find_due
from worker.kafka.errors import KafkaDown
from worker.resilience.backoff import is_ending, wait_unless
from worker.resilience.breaker import Breakers
from worker.resilience.outage import Outage
from worker.telemetry.logs import Logger

EVERY_SECONDS: Final = 1.0
REPEAT_ROUNDS: Final = 60
"""Rounds after which a deadline that is still due is sent again."""


class CommandAppender(Protocol):
    """Appends to ``bridge.commands``: ``worker.kafka.producer.Appender``."""

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append records; raises ``KafkaDown``."""


class DueSource(Protocol):
    """Finds what is due: ``PostgresDeadlines``."""

    async def find_due(self, lanes: Sequence[int]) -> list[Due]:
        """Find what is due in these lanes; raises ``DatabaseDown``."""


class PostgresDeadlines:
    """Finds what is due by the clock of Postgres."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find_due(self, lanes: Sequence[int]) -> list[Due]:
        """Find what is due in these lanes; raises ``DatabaseDown``."""
        return await find_due(self._connection, lanes)


@asynccontextmanager
async def open_postgres_deadlines(database_url: str) -> AsyncIterator[PostgresDeadlines]:
    """Open a session to find what is due; raises ``DatabaseDown``."""
    async with open_session(database_url) as connection:
        yield PostgresDeadlines(connection)


class Deadlines:
    """The timer of the lanes of one worker.

    Args:
        open_source: opens the source of what is due; raises ``DatabaseDown``.
        appender: appends to ``bridge.commands``.
        commands_topic: its full name.
        list_lanes: lists the lanes that are processed here.
        breakers: of both dependencies.
        log: the worker's.
    """

    def __init__(
        self,
        open_source: Callable[[], AbstractAsyncContextManager[DueSource]],
        appender: CommandAppender,
        commands_topic: str,
        list_lanes: Callable[[], list[int]],
        breakers: Breakers,
        log: Logger,
    ) -> None:
        self._open_source = open_source
        self._appender = appender
        self._topic = commands_topic
        self._list_lanes = list_lanes
        self._breakers = breakers
        self._log = log
        self._outage = Outage(log, "deadlines")
        self._sent: set[Due] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send what is due until the stop."""
        try:
            while not stopping.is_set():
                if not self._breakers.database.admits(self):
                    await wait_unless(stopping, EVERY_SECONDS / 5)
                    continue
                try:
                    await self._send_rounds(stopping)
                except DatabaseDown as down:
                    self._breakers.database.trip(self, down)
                except asyncio.CancelledError:
                    if is_ending():
                        raise
                    self._outage.note("a call was given up")
                    await wait_unless(stopping, EVERY_SECONDS)
                finally:
                    self._breakers.give_back(self)
        finally:
            self._outage.forget()
            self._breakers.forget(self)

    async def _send_rounds(self, stopping: asyncio.Event) -> None:
        rounds = 0
        async with self._open_source() as source:
            while not stopping.is_set():
                due = await source.find_due(self._list_lanes())
                sys.audit("budget-bridge.deadlines.found", due)
                self._breakers.database.close(self)
                is_sent = await self._send([one for one in due if one not in self._sent])
                rounds += 1
                if is_sent:
                    self._sent = set() if rounds % REPEAT_ROUNDS == 0 else set(due)
                self._outage.clear()
                await wait_unless(stopping, EVERY_SECONDS)

    async def _send(self, due: Sequence[Due]) -> bool:
        """Send what is due; returns whether it was sent, so that the next round need not repeat it."""
        if not due:
            return True
        kafka = self._breakers.kafka
        if not kafka.admits(self):
            return False
        try:
            await self._appender.append([write_deadline(one, self._topic) for one in due])
        except KafkaDown as down:
            kafka.trip(self, down)
            return False
        kafka.close(self)
        self._log.info("deadlines.passed", count=len(due))
        sys.audit("budget-bridge.deadlines.sent", due)
        return True


def write_deadline(due: Due, topic: str) -> Outgoing:
    """Write the message that reports a deadline as passed; ``topic`` is the full name of ``bridge.commands``."""
    at = write_time(due.due_at)
    message_id = f"{due.deadline}/{due.key}/{due.version}/{at}"
    headers = write_attributes(DeadlinePassed.type, DEADLINES_SOURCE, message_id, time=at)
    data = {**due.key._asdict(), "budget_version": due.version, "deadline": due.deadline, "due_at": at}
    return Outgoing(topic, str(due.key).encode(), json.dumps(data).encode(), headers)

"""The timer: sends ``deadline.passed.v1`` to ``bridge.commands`` for every deadline that has passed.

The same deadline always gets the same id, so one that is sent twice counts once. Whether it still applies is decided in
``handlers``, like everything else. The statement ``find_due`` in ``outbox/sql/deadlines.sql`` finds what is due.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Final, Protocol

from contracts.cloudevents.writing import DEADLINES_SOURCE, write_attributes
from contracts.fields import write_time
from contracts.inbound import DeadlinePassed
from contracts.records import Outgoing
from outbox.database import Connection, DatabaseDown, open_session
from outbox.due import Due, find_due
from worker.kafka.errors import KafkaDown
from worker.resilience.backoff import wait_unless
from worker.resilience.breaker import Breakers
from worker.telemetry.logs import Logger

EVERY_SECONDS: Final = 1.0
REPEAT_ROUNDS: Final = 60
"""Rounds after which a deadline that is still due is sent again."""


class CommandAppender(Protocol):
    """Appends to ``bridge.commands``: ``worker.kafka.producer.Appender``."""

    def read_broker_time(self) -> datetime | None:
        """Read the brokers' clock; ``None`` while nothing is known of it."""

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
                finally:
                    self._breakers.give_back(self)
        finally:
            self._breakers.forget(self)

    async def _send_rounds(self, stopping: asyncio.Event) -> None:
        rounds = 0
        async with self._open_source() as source:
            while not stopping.is_set():
                due = await source.find_due(self._list_lanes())
                sys.audit("budget-bridge.deadlines.found", due)
                self._breakers.database.close(self)
                rounds += 1
                if rounds % REPEAT_ROUNDS == 0:
                    self._sent.clear()
                self._sent &= set(due)
                new = self._leave_out_early([one for one in due if one not in self._sent])
                if await self._send(new):
                    self._sent.update(new)
                await wait_unless(stopping, EVERY_SECONDS)

    def _leave_out_early(self, due: list[Due]) -> list[Due]:
        """Leave out what is not due yet by the brokers' clock.

        A lane goes by that clock, and would make a dead letter of it where the database's is ahead. While nothing is
        known of it, the one that has been due longest goes first: the answer shows the time.
        """
        now = self._appender.read_broker_time()
        return due[:1] if now is None else [one for one in due if one.due_at <= now]

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
    message_id = f"{due.deadline}/{due.key}/{due.version or '-'}/{at}"
    headers = write_attributes(DeadlinePassed.type, DEADLINES_SOURCE, message_id, time=at)
    data = {**due.key._asdict(), "budget_version": due.version, "deadline": due.deadline, "due_at": at}
    return Outgoing(topic, str(due.key).encode(), json.dumps(data).encode(), headers)

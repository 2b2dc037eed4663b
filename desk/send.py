"""Sends what people do: each message under one id, however often it is sent, and never twice with other bytes.

A message that was given to Kafka stays remembered, so that a double click or the back button finds it again instead
of writing another one with another time. After a restart history finds it, once it is decided.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from contracts.records import Outgoing, Place
from desk.forms import LIFETIME
from worker.kafka.errors import KafkaDown
from worker.kafka.producer import Appender

ANSWER_SECONDS: Final = 5.0
"""Longest that a person waits for Kafka; the appender itself goes on for longer."""


class OutcomeUnknown(Exception):  # noqa: N818 - a state of the world
    """Kafka has not said whether it has the message: it may, or may not. Sending it again is safe."""


@dataclass(frozen=True, slots=True)
class _Sending:
    record: Outgoing
    appended: asyncio.Task[Place]
    since: datetime


class Postbox:
    """What this process has sent, or tried to send, as long as a form lives."""

    def __init__(self, appender: Appender, now: Callable[[], datetime]) -> None:
        """Take what appends to Kafka, and the time."""
        self._appender, self._now = appender, now
        self._sent: dict[UUID, _Sending] = {}

    def find(self, message_id: UUID) -> Outgoing | None:
        """Find the record that was sent under an id."""
        sending = self._sent.get(message_id)
        return sending.record if sending else None

    def has_sent(self, message_id: UUID) -> bool:
        """Check whether Kafka has said that it has the message."""
        sending = self._sent.get(message_id)
        return sending is not None and sending.appended.done() and not sending.appended.exception()

    async def send(self, message_id: UUID, record: Outgoing) -> Place:
        """Send a record, unless it was sent under this id; one that failed is sent again as it was.

        Args:
            message_id: its id.
            record: the message; what was sent under the id before wins.

        Raises:
            OutcomeUnknown: Kafka did not take it, or not in time.
        """
        sending = self._sent.get(message_id)
        if sending is None or (sending.appended.done() and sending.appended.exception()):
            self._forget()
            record = sending.record if sending else record
            task = asyncio.create_task(self._appender.append_one(record), name=f"send {message_id}")
            sending = self._sent[message_id] = _Sending(record, task, self._now())
        await asyncio.wait({sending.appended}, timeout=ANSWER_SECONDS)
        if not sending.appended.done():
            message = f"Kafka has not answered within {ANSWER_SECONDS:.0f} s"
            raise OutcomeUnknown(message)
        try:
            return sending.appended.result()
        except KafkaDown as error:
            raise OutcomeUnknown(str(error)) from error

    async def send_all(self, records: Sequence[Outgoing]) -> None:
        """Send messages that are the same each time that they are made.

        Args:
            records: the messages.

        Raises:
            OutcomeUnknown: Kafka did not take all of them, or not in time.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._appender.append(records)
        except (KafkaDown, TimeoutError) as error:
            raise OutcomeUnknown(str(error) or f"Kafka has not answered within {ANSWER_SECONDS:.0f} s") from error

    def _forget(self) -> None:
        for message_id, sending in list(self._sent.items()):
            if sending.appended.done() and self._now() - sending.since > LIFETIME:
                del self._sent[message_id]

"""Copies every record of the source topics to the inbox, untouched and keyed by project.

It decides nothing. After a crash a record may be copied twice, and history drops the repeat; none is skipped, because
an offset is committed only after the copy is safe.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from contracts.inbox import copy_to_inbox
from contracts.records import Outgoing, Record
from contracts.topics import TopicNames
from worker.kafka.errors import KafkaDown, MessageTooLarge
from worker.kafka.group_offsets import GroupOffset, Partition
from worker.pipeline.source_topics import SourcesSeen, sign_copied
from worker.resilience.backoff import back_off, wait_unless
from worker.resilience.breaker import Breaker
from worker.resilience.outage import Outage
from worker.telemetry.logs import Logger

FETCH_RECORDS: Final = 500
POLL_SECONDS: Final = 0.2


class SourceReader(Protocol):
    """The source topics, read as a member of the intake's group: ``worker.kafka.consumer.Consumer``."""

    async def fetch_any(self, at_most: int, within: float) -> list[Record]:
        """Fetch up to ``at_most`` records, waiting up to ``within`` seconds; raises ``KafkaDown``."""

    async def poll(self, within: float) -> None:
        """Stay a member without reading anything; raises ``KafkaDown``."""

    async def ask(self) -> None:
        """Return if Kafka answers, and raise ``KafkaDown`` if it does not."""

    async def seek(self, partition: Partition, offset: int) -> None:
        """Continue reading at an offset; raises ``KafkaDown``."""

    def pause(self, partition: Partition) -> None:
        """Return nothing of a partition."""

    def resume(self, partition: Partition) -> None:
        """Return records of a partition again."""

    async def commit(self, offsets: Mapping[Partition, GroupOffset]) -> None:
        """Commit offsets; raises ``KafkaDown``."""


class InboxAppender(Protocol):
    """Appends to the inbox: ``worker.kafka.producer.Appender``."""

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append records; raises ``KafkaDown`` or ``MessageTooLarge``."""

    async def reconnect(self) -> None:
        """Let the next append connect through the bootstrap address again."""


class Intake:
    """One worker's share of the source partitions.

    Args:
        reader: reads the source topics; its assignments are to be reported by ``note_assigned``.
        appender: appends to the inbox.
        check_sources: compares the source topics with what the intake's group remembers about them.
        topics: what the topics are called.
        breaker: Kafka's.
        log: the worker's.
    """

    def __init__(
        self,
        reader: SourceReader,
        appender: InboxAppender,
        check_sources: Callable[[], Awaitable[SourcesSeen]],
        topics: TopicNames,
        breaker: Breaker,
        log: Logger,
    ) -> None:
        self._reader = reader
        self._appender = appender
        self._check_sources = check_sources
        self._topics = topics
        self._breaker = breaker
        self._log = log
        self._outage = Outage(log, "intake")
        self._unchecked: list[Partition] = []
        self._pending: Sequence[Record] = ()
        """Fetched records that may not be copied yet. The reader is past them, so they must survive any failure."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Copy until the stop."""
        waits = back_off()
        while not stopping.is_set():
            if not self._breaker.admits(self):
                # Of brokers that come back at other addresses the producer would know the old ones only.
                await self._appender.reconnect()
                await self._poll(stopping)
                continue
            try:
                await self._attempt()
            except KafkaDown as down:
                self._breaker.trip(self, down)
            except MessageTooLarge as large:
                self._breaker.give_back(self)
                self._outage.note(large)
                await wait_unless(stopping, next(waits))
            except BaseException:
                self._breaker.give_back(self)
                raise
            else:
                self._breaker.close(self)
                self._outage.clear()
                waits = back_off()

    async def note_assigned(self, assigned: list[Partition]) -> None:
        """Pause new partitions until it is known that their topics were not recreated since they were read."""
        for place in assigned:
            self._reader.pause(place)
        self._unchecked = assigned
        # A member that joins again may have found the brokers elsewhere; the producer knows the old addresses only.
        await self._appender.reconnect()

    async def _attempt(self) -> None:
        """Copy what is available now."""
        if not self._pending and self._breaker.state == "probing":
            await self._reader.ask()
        await self._check_assigned()
        self._pending = self._pending or await self._reader.fetch_any(FETCH_RECORDS, POLL_SECONDS)
        if self._pending:
            sys.audit("budget-bridge.intake.fetched", self._pending)
            await self._copy(self._pending)
            self._pending = ()

    async def _poll(self, stopping: asyncio.Event) -> None:
        """Wait a little: a member that does not poll is removed from its group."""
        try:
            await self._reader.poll(POLL_SECONDS)
        except KafkaDown:
            await wait_unless(stopping, POLL_SECONDS)

    async def _check_assigned(self) -> None:
        """Read a source that was recreated from its start: repeats are dropped, so this costs nothing."""
        if not self._unchecked:
            return
        seen = await self._check_sources()
        unchecked, self._unchecked = self._unchecked, []
        for place in unchecked:
            topic, number = place
            if place in seen.recreated:
                await self._reader.seek(place, seen.recreated[place])
                self._log.warning("source.recreated", topic=topic, partition=number, next="reading it from its start")
            else:
                self._reader.resume(place)
            if place in seen.removed:
                first, after = seen.removed[place]
                why = f"records {first} to {after - 1} were removed before they were read; have them sent again"
                self._log.error("source.lost_records", topic=topic, partition=number, why=why)

    async def _copy(self, records: Sequence[Record]) -> None:
        copies = [copy_to_inbox(record, self._topics.inbox) for record in records]
        sys.audit("budget-bridge.intake.about-to-append", copies)
        await self._appender.append(copies)
        sys.audit("budget-bridge.intake.appended", copies)
        last = {record.place[:2]: record for record in records}
        await self._reader.commit(
            {place: GroupOffset(record.place.offset + 1, sign_copied(record)) for place, record in last.items()}
        )
        sys.audit("budget-bridge.intake.committed")

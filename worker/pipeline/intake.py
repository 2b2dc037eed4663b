"""Copies every record of the source topics to the inbox, untouched and keyed by project.

It decides nothing. A record may be copied twice after a crash, since history drops repeats; none is passed over,
because an offset is committed only after its copy is safe.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from contracts.inbox import copy_to_inbox
from contracts.records import Record
from contracts.topics import TopicNames
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown, MessageTooLarge
from worker.kafka.group_offsets import GroupOffset, Partition
from worker.kafka.producer import Appender
from worker.pipeline.source_topics import look_at_sources, name_intake_group, sign_copied
from worker.resilience.backoff import back_off, is_ending, wait_unless
from worker.resilience.breaker import Breaker
from worker.resilience.outage import Outage
from worker.telemetry.logs import Logger

AT_MOST: Final = 500
WITHIN_SECONDS: Final = 0.2


class Intake:
    """One worker's share of the source partitions."""

    def __init__(
        self,
        kafka: KafkaConnection,
        group_id: str,
        topics: TopicNames,
        appender: Appender,
        breaker: Breaker,
        log: Logger,
    ) -> None:
        self._kafka = kafka
        self._group_id = group_id
        self._topics = topics
        self._appender = appender
        self._breaker = breaker
        self._log = log
        self._outage = Outage(log, "intake")
        self._unseen: list[Partition] = []
        self.reader = Consumer(
            kafka,
            name_intake_group(group_id),
            topics.sources,
            start="earliest",
            on_assigned=self._pause,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Copy until told to stop."""
        pending: Sequence[Record] = ()
        waits = back_off()
        while not stopping.is_set():
            if not self._breaker.admits(self):
                await self._poll(stopping)
                continue
            try:
                if not pending and self._breaker.state == "probing":
                    await self.reader.ask()
                await self._look_at_unseen()
                # After a failure the same records again: the reader has gone past them.
                pending = pending or await self.reader.fetch_any(AT_MOST, WITHIN_SECONDS)
                if pending:
                    await self._copy(pending)
                    pending = ()
            except KafkaDown as down:
                self._breaker.trip(self, down)
            except MessageTooLarge as large:
                self._breaker.give_back(self)
                self._outage.note(large)
                await wait_unless(stopping, next(waits))
            except asyncio.CancelledError:
                if is_ending():
                    raise
                self._breaker.give_back(self)
                self._outage.note("a call was given up")
                await wait_unless(stopping, next(waits))
            else:
                self._breaker.close(self)
                self._outage.clear()
                waits = back_off()

    async def close(self) -> None:
        """Leave the group."""
        await self.reader.close(1.0)

    async def _poll(self, stopping: asyncio.Event) -> None:
        """Wait a little: a member that does not poll is put out of its group."""
        try:
            await self.reader.poll(WITHIN_SECONDS)
        except KafkaDown:
            await wait_unless(stopping, WITHIN_SECONDS)

    async def _pause(self, assigned: list[Partition]) -> None:
        for place in assigned:
            self.reader.pause(place)
        self._unseen = assigned

    async def _look_at_unseen(self) -> None:
        """Begin again where a source is not the one that was read: repeats are dropped, so it costs nothing."""
        if not self._unseen:
            return
        seen = await look_at_sources(self._kafka, self._group_id, self._topics)
        unseen, self._unseen = self._unseen, []
        for place in unseen:
            topic, number = place
            if place in seen.anew:
                await self.reader.seek(place, seen.anew[place])
                self._log.warning("source.recreated", topic=topic, partition=number, next="reading it from its start")
            else:
                self.reader.resume(place)
            if place in seen.removed:
                first, after = seen.removed[place]
                why = f"records {first} to {after - 1} were removed before they were read; have them sent again"
                self._log.error("source.lost_records", topic=topic, partition=number, why=why)

    async def _copy(self, records: Sequence[Record]) -> None:
        await self._appender.append([copy_to_inbox(record, self._topics.inbox) for record in records])
        await self.reader.commit(
            {
                (record.place.topic, record.place.partition): GroupOffset(record.place.offset + 1, sign_copied(record))
                for record in records
            }
        )

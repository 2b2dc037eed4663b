"""Copies every record of the source topics to the inbox, untouched and keyed by project.

It decides nothing. A record may be copied twice after a crash, since history drops repeats; none is passed over,
because an offset is committed only after its copy is safe.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from budget_bridge.contracts.inbox import copy_to_inbox
from budget_bridge.contracts.records import Record
from budget_bridge.worker.kafka import Appender, KafkaDown, MessageTooLarge, Reader
from budget_bridge.worker.log import Logger, Outage
from budget_bridge.worker.pace import back_off, wait_unless

AT_MOST: Final = 500
WITHIN_SECONDS: Final = 0.2


class Intake:
    """One worker's share of the source partitions."""

    def __init__(self, reader: Reader, appender: Appender, inbox_topic: str, log: Logger) -> None:
        self._reader = reader
        self._appender = appender
        self._inbox_topic = inbox_topic
        self._outage = Outage(log, "intake")

    async def run(self, stopping: asyncio.Event) -> None:
        """Copy until told to stop."""
        pending: Sequence[Record] = ()
        waits = back_off()
        while not stopping.is_set():
            try:
                # After a failure the same records again: the reader has gone past them.
                pending = pending or await self._reader.fetch_any(AT_MOST, WITHIN_SECONDS)
                if pending:
                    await self._copy(pending)
                    pending = ()
            except (KafkaDown, MessageTooLarge) as down:
                self._outage.note(down)
                await wait_unless(stopping, next(waits))
            else:
                self._outage.clear()
                waits = back_off()

    async def _copy(self, records: Sequence[Record]) -> None:
        await self._appender.append([copy_to_inbox(record, self._inbox_topic) for record in records])
        await self._reader.commit(
            {(record.place.topic, record.place.partition): record.place.offset + 1 for record in records}
        )

"""Notices a consumer that has gone silent, and has it join its group anew.

aiokafka can stop handing records out, mostly after a broker was restarted, while it stays a member and raises
nothing. Seen from outside: it is asked, more is there, and nothing comes.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from budget_bridge.worker.kafka import KafkaDown, Reader
from budget_bridge.worker.log import Logger
from budget_bridge.worker.metrics import REJOINS, SILENT
from budget_bridge.worker.pace import back_off, wait_unless

CHECK_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 15.0
"""So long a partition with more in it may hand out nothing: well over what a broker's restart takes."""


class Silence:
    """Which of a worker's readers are silent."""

    def __init__(self, readers: Mapping[str, Reader], log: Logger) -> None:
        self._readers = readers
        self._log = log
        self._silent: set[str] = set()

    def list_silent(self) -> list[str]:
        """List the readers that hand out nothing although more is there."""
        return sorted(self._silent)

    async def watch(self, stopping: asyncio.Event) -> None:
        """Look at the readers until told to stop."""
        while not stopping.is_set():
            await wait_unless(stopping, CHECK_SECONDS)
            for name, reader in self._readers.items():
                if stopping.is_set():
                    return
                try:
                    places = await reader.find_silent(SILENT_SECONDS)
                except KafkaDown:
                    # Away is not silent; whoever needs it says so.
                    continue
                if places:
                    await self._rejoin(name, reader, places, stopping)
                elif name in self._silent:
                    self._silent.discard(name)
                    SILENT.labels(name).set(0)
                    self._log.info("consumer.heard", reader=name)

    async def _rejoin(self, name: str, reader: Reader, places: list[tuple[str, int]], stopping: asyncio.Event) -> None:
        self._silent.add(name)
        SILENT.labels(name).set(1)
        REJOINS.labels(name).inc()
        what = [f"{topic}/{number}" for topic, number in places]
        self._log.error(
            "consumer.silent", reader=name, partitions=what, seconds=SILENT_SECONDS, next="joining its group anew"
        )
        for seconds in back_off():
            try:
                await reader.rejoin()
            except KafkaDown:
                await wait_unless(stopping, seconds)
                if not stopping.is_set():
                    continue
            return

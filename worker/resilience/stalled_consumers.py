"""Notices a consumer that has gone silent, and has it join its group anew.

aiokafka can stop handing records out, mostly after a broker was restarted, while it stays a member and raises
nothing. Seen from outside: it is asked, more is there, and nothing comes.
"""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from worker.kafka.admin import count_brokers
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.resilience.backoff import back_off, is_ending, wait_unless
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import REJOINS, SILENT

CHECK_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 15.0
"""So long a partition with more in it may hand out nothing: well over what a broker's restart takes."""


class StalledConsumers:
    """Which of a worker's readers are silent."""

    def __init__(self, kafka: KafkaConnection, readers: Mapping[str, Consumer], log: Logger) -> None:
        self._kafka = kafka
        self._readers = readers
        self._deaf_since: dict[str, float] = {}
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
                    await self._look(name, reader, stopping)
                except asyncio.CancelledError:
                    # A library may give up a call of its own by one.
                    if is_ending():
                        raise

    async def _look(self, name: str, reader: Consumer, stopping: asyncio.Event) -> None:
        try:
            places = await reader.find_silent(SILENT_SECONDS)
        except KafkaDown:
            if await self._is_deaf(name):
                await self._rejoin(name, reader, [], stopping)
            return
        self._deaf_since.pop(name, None)
        if places:
            await self._rejoin(name, reader, places, stopping)
        elif name in self._silent:
            self._silent.discard(name)
            SILENT.labels(name).set(0)
            self._log.info("consumer.heard", reader=name)

    async def _is_deaf(self, name: str) -> bool:
        """Tell whether Kafka answers others, and this reader has had no answer for too long. Away is not silent."""
        now = monotonic()
        if now - self._deaf_since.setdefault(name, now) < SILENT_SECONDS:
            return False
        try:
            await count_brokers(self._kafka)
        except KafkaDown:
            self._deaf_since[name] = now
            return False
        del self._deaf_since[name]
        return True

    async def _rejoin(
        self, name: str, reader: Consumer, places: list[tuple[str, int]], stopping: asyncio.Event
    ) -> None:
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

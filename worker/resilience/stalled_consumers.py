"""Notices a consumer that receives nothing although there is more to read, and makes it rejoin its group.

aiokafka can stop returning records, mostly after a broker was restarted, while it stays a member and raises nothing.
The same check notices within seconds that Kafka is down while nothing is in flight.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final, Protocol

from worker.kafka.errors import KafkaDown, NotPermitted
from worker.kafka.group_offsets import Partition
from worker.resilience.backoff import back_off, wait_unless
from worker.resilience.breaker import Breaker
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import REJOINS, SILENT

CHECK_SECONDS: Final = 2.0

SILENT_SECONDS: Final = 15.0
"""How long a partition with more records may return none: longer than the restart of a broker takes."""

UNANSWERED_SECONDS: Final = 10.0
"""How long a consumer may get no answer while Kafka answers others: after that its group has removed it anyway."""


class StallingConsumer(Protocol):
    """A consumer that can be checked: ``worker.kafka.consumer.Consumer``."""

    async def find_stalled(self, seconds: float) -> list[Partition]:
        """Find the partitions that return nothing although there is more; stay in the group. Raises ``KafkaDown``."""

    async def rejoin(self) -> None:
        """Leave the group and join it as a new member; raises ``KafkaDown``."""


class StalledConsumers:
    """Which of a worker's consumers have stalled.

    Args:
        consumers: by name.
        ask_kafka: asks Kafka anything, by a client of its own; raises ``KafkaDown``.
        breaker: Kafka's.
        log: the worker's.
    """

    def __init__(
        self,
        consumers: Mapping[str, StallingConsumer],
        ask_kafka: Callable[[], Awaitable[object]],
        breaker: Breaker,
        log: Logger,
    ) -> None:
        self._consumers = consumers
        self._ask_kafka = ask_kafka
        self._breaker = breaker
        self._unanswered_since: dict[str, float] = {}
        self._log = log
        self._silent: set[str] = set()

    def list_silent(self) -> list[str]:
        """List the consumers that receive nothing although there is more."""
        return sorted(self._silent)

    async def run(self, stopping: asyncio.Event) -> None:
        """Check the consumers until the stop."""
        try:
            while not stopping.is_set():
                await wait_unless(stopping, CHECK_SECONDS)
                if stopping.is_set() or not self._breaker.admits(self):
                    continue
                try:
                    await self._check_all(stopping)
                except KafkaDown as down:
                    self._breaker.trip(self, down)
                else:
                    self._breaker.close(self)
                finally:
                    self._breaker.give_back(self)
        finally:
            self._breaker.forget(self)

    async def _check_all(self, stopping: asyncio.Event) -> None:
        """Check every consumer, also where another is refused; raises the first refusal, and ``KafkaDown`` at once."""
        refused: NotPermitted | None = None
        for name, consumer in self._consumers.items():
            try:
                await self._check(name, consumer, stopping)
            except NotPermitted as missing:
                refused = refused or missing
        if refused:
            raise refused

    async def _check(self, name: str, consumer: StallingConsumer, stopping: asyncio.Event) -> None:
        """Check one consumer; raises ``KafkaDown`` where Kafka answers nobody, or does not permit this user to read."""
        try:
            places = await consumer.find_stalled(SILENT_SECONDS)
        except NotPermitted:
            raise
        except KafkaDown:
            await self._ask_kafka()
            since = self._unanswered_since.setdefault(name, monotonic())
            if monotonic() - since >= UNANSWERED_SECONDS:
                del self._unanswered_since[name]
                await self._rejoin(name, consumer, [], stopping)
            return
        self._unanswered_since.pop(name, None)
        if places:
            await self._rejoin(name, consumer, places, stopping)
        elif name in self._silent:
            self._silent.discard(name)
            SILENT.labels(name).set(0)
            self._log.info("consumer.resumed", reader=name)

    async def _rejoin(
        self, name: str, consumer: StallingConsumer, places: list[Partition], stopping: asyncio.Event
    ) -> None:
        self._silent.add(name)
        SILENT.labels(name).set(1)
        REJOINS.labels(name).inc()
        partitions = [f"{topic}/{number}" for topic, number in places]
        waited = SILENT_SECONDS if places else UNANSWERED_SECONDS
        self._log.error(
            "consumer.silent", reader=name, partitions=partitions, seconds=waited, next="rejoining its group"
        )
        # Kafka has just answered, and others must not wait until this consumer is back.
        self._breaker.close(self)
        for seconds in back_off():
            if stopping.is_set():
                return
            try:
                await consumer.rejoin()
            except KafkaDown:
                await wait_unless(stopping, seconds)
            else:
                return

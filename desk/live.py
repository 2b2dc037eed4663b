"""Follows ``bridge.status`` and tells pages what has changed; a page then asks for what it shows again.

Nothing that a page shows comes from here: it is used to wake pages, and to know that a change is in Kafka.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from contracts.budget_key import BudgetKey, parse_budget_key
from contracts.records import Record
from contracts.topics import TopicNames
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown
from worker.kafka.topic_end import follow_topic
from worker.kafka.topic_rights import list_writable
from worker.resilience.backoff import wait_unless
from worker.telemetry.logs import Logger

RETRY_SECONDS: Final = 2.0
RIGHTS_SECONDS: Final = 60.0
"""How often it asks to which topics the desk may write."""

_MOST_WAITING: Final = 1000
"""Changes that may wait for one page; it is then told that everything may have changed."""

_STATUS: Final = "bridge.status"


class Live:
    """What this process has seen of ``bridge.status`` since it was started."""

    def __init__(self, kafka: KafkaConnection, topics: TopicNames, log: Logger) -> None:
        """Take how Kafka is reached, how topics are named, and where to log."""
        self._kafka, self._topics, self._log = kafka, topics, log
        self._listening: set[asyncio.Queue[BudgetKey | None]] = set()
        self._seen: dict[BudgetKey, int] = {}
        self._writable: frozenset[str] | None = None
        self._asked_at = 0.0
        self.problem: str | None = "the desk has only just been started"
        """Why Kafka is not followed; ``None`` while it is."""

    def may_write(self, topic: str) -> bool:
        """Check whether the desk's user may write to a topic, by its name in the contract; yes while nobody knows."""
        return self._writable is None or self._topics.full(topic) in self._writable

    def has_seen(self, key: BudgetKey, sequence: int) -> bool:
        """Check whether a status of a budget, or a later one, was seen in Kafka."""
        return self._seen.get(key, 0) >= sequence > 0

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[BudgetKey | None]]:
        """Listen to changes; ``None`` is a change of whether Kafka is followed, or too many changes."""
        queue: asyncio.Queue[BudgetKey | None] = asyncio.Queue(_MOST_WAITING)
        self._listening.add(queue)
        try:
            yield queue
        finally:
            self._listening.discard(queue)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow the topic until it is to stop; while Kafka is away it is tried again."""
        while not stopping.is_set():
            try:
                await self._follow(stopping)
            except KafkaDown as down:
                if self.problem is None:
                    self._log.warning("live.lost", why=str(down))
                self._change(str(down))
                await wait_unless(stopping, RETRY_SECONDS)

    async def _follow(self, stopping: asyncio.Event) -> None:
        await self._ask_for_rights()
        async for records in follow_topic(self._kafka, self._topics.full(_STATUS)):
            if stopping.is_set():
                return
            if self.problem is not None:
                self._change(None)
            for record in records:
                self._take(record)
            if monotonic() - self._asked_at > RIGHTS_SECONDS:
                await self._ask_for_rights()

    async def _ask_for_rights(self) -> None:
        self._writable = await list_writable(self._kafka, self._topics.sources)
        self._asked_at = monotonic()

    def _take(self, record: Record) -> None:
        """Take a status; what is none, which only somebody else can have written, is passed over."""
        try:
            key = parse_budget_key((record.key or b"").decode())
            sequence = int(json.loads(record.value or b"{}")["sequence"])
        except (ValueError, KeyError, TypeError):
            return
        self._seen[key] = max(sequence, self._seen.get(key, 0))
        self._tell(key)

    def _change(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._tell(None)

    def _tell(self, change: BudgetKey | None) -> None:
        for queue in self._listening:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(change)

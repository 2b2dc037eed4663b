"""The sources of the console's overview: each answers or fails on its own, within its time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from desk.services import Services
from desk.settings import DeskSettings
from desk.watch_findings import Finding, load_findings
from outbox.database import Connection, DatabaseDown
from outbox.dead_letters import DeadLetterCount, DeadLetterFilter, count_dead_letters
from outbox.overview import StatusCount, count_statuses
from outbox.read_backs import ReadBackState, count_read_back_states
from worker.kafka.errors import KafkaDown
from worker.kafka.server_errors import ServerDown
from worker.reports.lane_report import LaneReport, read_lanes
from worker.reports.worker_status import WorkerState, ask_workers

SECONDS: Final = 5.0
"""How long one source may take: less than a person waits."""

_DAY: Final = timedelta(days=1)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """What a source answered, or why it did not."""

    value: Value | None
    problem: str
    """Empty where it answered."""
    at: datetime | None
    """When it answered last; ``None`` for never, since this process started."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the overview shows."""

    statuses: Answer[list[StatusCount]]
    read_backs: Answer[list[ReadBackState]]
    dead_letters: Answer[Sequence[DeadLetterCount]]
    lanes: Answer[list[LaneReport]]
    workers: Answer[tuple[WorkerState, ...]]
    watch: Answer[list[Finding]]


@dataclass(slots=True)
class Sources:
    """Asks the sources, and remembers when each has answered last."""

    settings: DeskSettings
    services: Services
    _answered: dict[str, datetime] = field(default_factory=dict)

    async def ask(self) -> Overview:
        """Ask all sources at the same time."""
        settings, topics = self.settings, self.settings.topics
        since = DeadLetterFilter(since=self.services.now() - _DAY)
        statuses, read_backs, letters, lanes, workers, watch = await asyncio.gather(
            self._ask("statuses", lambda: self._read(count_statuses)),
            self._ask("read-backs", lambda: self._read(count_read_back_states)),
            self._ask(
                "dead letters",
                lambda: self._read(lambda connection: count_dead_letters(connection, topics.dead_letters, since)),
            ),
            self._ask("lanes", self._read_lanes),
            self._ask("workers", lambda: ask_workers(settings.workers)),
            self._ask("watch", self._ask_watch),
        )
        return Overview(statuses, read_backs, letters, lanes, workers, watch)

    async def _ask(self, name: str, ask: Callable[[], Awaitable[Value]]) -> Answer[Value]:
        try:
            async with asyncio.timeout(SECONDS):
                value = await ask()
        except TimeoutError:
            return Answer(None, f"no answer within {SECONDS:.0f} s", self._answered.get(name))
        except (DatabaseDown, KafkaDown, ServerDown, OSError, ValueError) as down:
            return Answer(None, str(down), self._answered.get(name))
        self._answered[name] = now = self.services.now()
        return Answer(value, "", now)

    async def _read(self, read: Callable[[Connection], Awaitable[Value]]) -> Value:
        async with self.services.reader.read() as connection:
            return await read(connection)

    async def _read_lanes(self) -> list[LaneReport]:
        settings = self.settings
        return await self._read(
            lambda connection: read_lanes(
                self.services.kafka, settings.kafka_group_id, settings.topics.inbox, connection
            )
        )

    async def _ask_watch(self) -> list[Finding]:
        return await asyncio.to_thread(load_findings, self.settings.desk_watch) if self.settings.desk_watch else []

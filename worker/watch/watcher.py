"""The watch itself: it adds each record to the observations of its budget, and judges all open budgets.

It does not depend on Faust. What has to survive a restart is kept in two mappings, which ``faust_app`` backs by topics.
"""

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Final, NamedTuple

from contracts.records import Record
from contracts.topics import TopicNames
from worker.telemetry.logs import Logger
from worker.watch.budget_checks import Finding, TimeLimits, count_kinds, find_faults, is_settled
from worker.watch.metrics import FINDINGS, RECORDS, UNREADABLE
from worker.watch.observations import read_budget, read_value, write_key, write_value
from worker.watch.observe import ObservedRecord, UnreadableError, observe
from worker.watch.observed_budget import ObservedBudget

SETTLED_MS: Final = 30 * 24 * 3600 * 1000
"""How long a budget of which nothing more is expected is kept. A repeat of one of its exports is found even later, as
an export that nobody accepted."""
MAX_SETTLED: Final = 20_000
"""The most settled budgets that are kept, about 5 kB each."""
_JUDGED_AT_ONCE: Final = 200
"""Budgets that are judged before records are read again."""


class WatchTables(NamedTuple):
    """What survives a restart."""

    observations: MutableMapping[str, list[object]]
    """By budget, kind and id: one small entry for each observation."""
    starts: MutableMapping[str, int]
    """For each partition the time of its first record, in milliseconds, or 0 if it holds all that it ever held."""


class Watcher:
    """The observations of every budget, and what is found in them.

    Args:
        tables: what survives a restart.
        topics: how the topics of this deployment are named.
        limits: how long things may take.
        log: the watch's.
        count_message: called with the type of each message that is read.
    """

    def __init__(
        self,
        tables: WatchTables,
        topics: TopicNames,
        limits: TimeLimits,
        log: Logger,
        count_message: Callable[[str], None],
    ) -> None:
        self._tables = tables
        self._topics = topics
        self._limits = limits
        self._log = log
        self._count_message = count_message
        self._budgets: dict[str, ObservedBudget] | None = None
        """Loaded from the table once Faust has filled it."""
        self._open: dict[str, None] = {}
        """Budgets of which something may be found, in order."""
        self._settled: dict[str, None] = {}
        """All others, in the order in which they were settled."""
        self._found: dict[str, tuple[Finding, ...]] = {}
        self._started = time.time()
        self.judged_ms: int | None = None
        """The moment as of which everything was last judged, in milliseconds since 1970."""
        self.unreadable = 0
        """Records that could not be read."""

    def read(self, record: Record) -> None:
        """Read a record. One that cannot be read is counted and logged, and nothing is raised."""
        topic = self._topics.short(record.place.topic)
        RECORDS.labels(topic).inc()
        try:
            self._store_start(record)
            self._store(observe(topic, record))
        except UnreadableError as error:
            self._skip(topic, record, str(error))
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge the record silently
            self._skip(topic, record, repr(error))

    async def judge(self, as_of_ms: int) -> None:
        """Judge every open budget.

        Args:
            as_of_ms: a moment before which all topics have been read.
        """
        budgets = self._load()
        horizon_ms = max(map(int, self._tables.starts.values()), default=0)
        found: dict[str, tuple[Finding, ...]] = {}
        for number, budget in enumerate(list(self._open)):
            if number % _JUDGED_AT_ONCE == 0:
                await asyncio.sleep(0)
            observed = budgets[budget]
            if findings := tuple(find_faults(budget, observed, as_of_ms, self._limits, horizon_ms)):
                found[budget] = findings
            elif is_settled(observed, as_of_ms, horizon_ms):
                del self._open[budget]
                self._settled[budget] = None
        self._drop_settled(budgets, as_of_ms)
        self._log_changes(found)
        self._found, self.judged_ms = found, as_of_ms
        for kind, count in count_kinds(found).items():
            FINDINGS.labels(kind).set(count)

    def list_findings(self) -> list[Finding]:
        """List the findings, latest first."""
        found = (finding for findings in self._found.values() for finding in findings)
        return sorted(found, key=lambda finding: finding.since_ms, reverse=True)

    def measure_lag(self) -> float:
        """Measure the age of the last judged moment in seconds; before the first, for how long the watch has run."""
        return time.time() - (self.judged_ms / 1000 if self.judged_ms is not None else self._started)

    def _store_start(self, record: Record) -> None:
        start = f"{record.place.topic}/{record.place.partition}"
        if start not in self._tables.starts:
            self._tables.starts[start] = record.timestamp_ms if record.place.offset else 0

    def _store(self, record: ObservedRecord) -> None:
        self._count_message(record.type)
        if record.observation is None:
            return
        budget = record.budget
        changes = self._load().setdefault(budget, ObservedBudget()).add(record.observation)
        for observation in changes.stored:
            self._tables.observations[write_key(budget, observation)] = write_value(observation)
        for observation in changes.dropped:
            del self._tables.observations[write_key(budget, observation)]
        if changes.stored:
            self._settled.pop(budget, None)
            self._open[budget] = None

    def _load(self) -> dict[str, ObservedBudget]:
        if self._budgets is None:
            self._budgets = {}
            for key, value in self._tables.observations.items():
                self._budgets.setdefault(read_budget(key), ObservedBudget()).add(read_value(value))
            self._open = dict.fromkeys(self._budgets)
        return self._budgets

    def _drop_settled(self, budgets: dict[str, ObservedBudget], as_of_ms: int) -> None:
        """Drop what was settled long ago, a limited number at a time."""
        for budget in list(self._settled)[:_JUDGED_AT_ONCE]:
            is_old = budgets[budget].last_ms < as_of_ms - SETTLED_MS
            if not is_old and len(self._settled) <= MAX_SETTLED:
                return
            del self._settled[budget]
            for observation in budgets.pop(budget).list_all():
                del self._tables.observations[write_key(budget, observation)]

    def _skip(self, topic: str, record: Record, why: str) -> None:
        UNREADABLE.labels(topic).inc()
        self.unreadable += 1
        self._log.warning(
            "watch.unreadable", topic=topic, partition=record.place.partition, offset=record.place.offset, why=why[:500]
        )

    def _log_changes(self, found: dict[str, tuple[Finding, ...]]) -> None:
        before = {finding for findings in self._found.values() for finding in findings}
        now = {finding for findings in found.values() for finding in findings}
        for finding in sorted(now - before):
            self._log.error("watch.found", kind=finding.kind, budget=finding.budget, what=finding.text)
        for finding in sorted(before - now):
            self._log.info("watch.ended", kind=finding.kind, budget=finding.budget, what=finding.text)

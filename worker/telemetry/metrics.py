"""The metrics of a worker, under names that do not change; docs/operations.md lists them.

Labels are bounded: types, verdicts, statuses, lanes. No budget and no person ever becomes a label.
"""

import collections
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from contracts import topics
from contracts.cloudevents.message import Message, Unproven
from contracts.imports import ImportEnded
from contracts.inbox import Arrival
from handlers.decision import Verdict
from outbox.batch import DecidedBatch
from outbox.overview import ReadBackCount, StatusCount

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_DAY_SECONDS: Final = 86_400
_SIZES: Final = (1, 2, 5, 10, 25, 50, 100, 150)

MESSAGES: Final = Counter("budget_bridge_messages", "Messages decided.", ["type", "verdict"])
DEAD_LETTERS: Final = Counter("budget_bridge_dead_letters", "Records that became dead letters.", ["reason"])
UNPROVEN: Final = Counter(
    "budget_bridge_unproven_messages", "Messages refused because nobody who may has signed them.", ["code"]
)
IMPORTS_ENDED: Final = Counter("budget_bridge_imports_ended", "Imports from Spectrum that have ended.", ["cause"])
HOLDS: Final = Counter("budget_bridge_holds", "Budgets put on hold.")
BATCH: Final = Histogram("budget_bridge_batch_messages", "Messages in a batch of a lane.", buckets=_SIZES)
STEP: Final = Histogram("budget_bridge_step_seconds", "Time a batch spends in a step.", ["step"], buckets=_SECONDS)
LATENCY: Final = Histogram(
    "budget_bridge_latency_seconds",
    "From the timestamp of a record in its source topic until everything it caused is visible.",
    buckets=_LONG_SECONDS,
)
LAG: Final = Gauge("budget_bridge_lane_lag_messages", "Records of the inbox that a lane has not decided yet.", ["lane"])
LAG_SECONDS: Final = Gauge(
    "budget_bridge_lane_lag_seconds", "Age of the last record a lane decided, while more are waiting.", ["lane"]
)
UNPUBLISHED: Final = Gauge(
    "budget_bridge_outbox_unpublished", "Messages of a lane stored and not yet published.", ["lane"]
)
PRODUCER_INITIALISATIONS: Final = Counter(
    "budget_bridge_producer_initialisations", "How often a lane became the only producer (InitProducerId succeeded)."
)
LANE_STARTS: Final = Counter("budget_bridge_lane_starts", "How often a lane completed the restart path.")
LANE_LOSSES: Final = Counter(
    "budget_bridge_lane_losses", "How often a lane had to take the restart path again.", ["why"]
)
TASK_FAILURES: Final = Counter(
    "budget_bridge_task_failures",
    "Unexpected failures of a background task, each followed by a new start.",
    ["task"],
)
LANES_REFUSED: Final = Counter("budget_bridge_lanes_refused", "How often a lane refused to publish.")
REBALANCES: Final = Counter("budget_bridge_rebalances", "How often lanes were assigned to this worker.")
UNAVAILABLE: Final = Gauge("budget_bridge_away", "Parts of the worker that wait for something unavailable.", ["part"])
TRIPS: Final = Counter("budget_bridge_breaker_trips", "How often a dependency stopped answering.", ["dependency"])
SILENT: Final = Gauge(
    "budget_bridge_silent_consumers", "1 while a consumer receives nothing although there is more to read.", ["reader"]
)
REJOINS: Final = Counter("budget_bridge_rejoins", "How often a stalled consumer joined its group again.", ["reader"])
SOURCE_BLOCKED: Final = Gauge(
    "budget_bridge_source_blocked_seconds",
    "How long an open transaction of a writer has kept a source partition from being read past it.",
    ["topic", "partition"],
)
BUDGETS: Final = Gauge("budget_bridge_budgets", "Budgets in the database.", ["status"])
OLDEST: Final = Gauge("budget_bridge_oldest_seconds", "Age of the oldest budget in each status.", ["status"])
OLDEST_OVERDUE: Final = Gauge("budget_bridge_oldest_overdue_seconds", "Age of the oldest overdue export.")
OVERDUE: Final = Gauge("budget_bridge_budgets_overdue", "Budgets whose export was not acknowledged in time.")
ON_HOLD: Final = Gauge("budget_bridge_budgets_on_hold", "Budgets that are on hold.")
DRIFT: Final = Gauge(
    "budget_bridge_budgets_drift",
    "Budgets of which Spectrum differs from what was exported, unless that is kept.",
)
OLDEST_READING: Final = Gauge(
    "budget_bridge_oldest_reading_seconds", "How long ago the budget with the oldest last reading was read."
)
VERSION: Final = Gauge("budget_bridge_version", "Which version of budget-bridge runs; always 1.", ["version"])
RULES_IN_FORCE: Final = Gauge(
    "budget_bridge_rules_in_force", "Which version of the rules is in force; always 1.", ["id", "digest"]
)


@contextmanager
def measure(step: str) -> Iterator[None]:
    """Measure the time of a step: ``decode``, ``store`` (deciding included) or ``publish``."""
    with STEP.labels(step).time():
        yield


def count_batch(decided: DecidedBatch) -> None:
    """Count the messages of a batch by type and verdict, and the dead letters, holds and ends of imports."""
    BATCH.observe(len(decided.entries) + len(decided.repeats))
    HOLDS.inc(len(decided.holds))
    verdicts = collections.Counter((_name_type(entry.arrival), entry.verdict.value) for entry in decided.entries)
    verdicts.update((_name_type(repeat), Verdict.DUPLICATE.value) for repeat in decided.repeats)
    for labels, number in verdicts.items():
        MESSAGES.labels(*labels).inc(number)
    for entry in decided.entries:
        if isinstance(entry.arrival.message, Unproven):
            UNPROVEN.labels(entry.arrival.message.code).inc()
    for row in decided.rows:
        if row.record.topic.endswith(topics.DEAD_LETTERS):
            DEAD_LETTERS.labels((dict(row.record.headers)["dead_letter_reason"] or b"").decode()).inc()
        elif row.type == ImportEnded.type:
            IMPORTS_ENDED.labels(json.loads(row.record.value or b"")["cause"]).inc()


def measure_latency(arrivals: Iterable[Arrival]) -> None:
    """Record how long ago records were written to their source topics, now that everything they caused is visible."""
    now = time.time()
    for arrival in arrivals:
        # A producer may write any time: one that is more than a day off shows nothing about this worker.
        if 0 <= (seconds := now - arrival.original.timestamp_ms / 1000) <= _DAY_SECONDS:
            LATENCY.observe(seconds)


def record_lag(lane: int, waiting: int, last: Arrival | None) -> None:
    """Record how far behind a lane is.

    Args:
        lane: its inbox partition.
        waiting: records that it has not decided yet.
        last: the last record that it decided; ``None`` if it has none, or is idle.
    """
    LAG.labels(str(lane)).set(waiting)
    age = max(time.time() - last.inbox.timestamp_ms / 1000, 0.0) if last and waiting else 0.0
    LAG_SECONDS.labels(str(lane)).set(age)


def record_blocked_sources(seconds: Mapping[tuple[str, int], float]) -> None:
    """Record for how long each source partition that is read here has been blocked, and of no other one."""
    SOURCE_BLOCKED.clear()
    for (topic, partition), blocked in seconds.items():
        SOURCE_BLOCKED.labels(topic, str(partition)).set(blocked)


def set_rules_in_force(rules_id: int, digest: str) -> None:
    """Show which version of the rules is in force, and no other."""
    RULES_IN_FORCE.clear()
    RULES_IN_FORCE.labels(str(rules_id), digest[:8]).set(1)


def forget_lane(lane: int) -> None:
    """Stop reporting a lane that this worker no longer carries."""
    for gauge in (LAG, LAG_SECONDS, UNPUBLISHED):
        if (str(lane),) in gauge._metrics:  # noqa: SLF001 - remove() raises where it never was
            gauge.remove(str(lane))


def record_statuses(counts: Iterable[StatusCount]) -> None:
    """Record how many budgets are in each status, and the age of the oldest."""
    now = time.time()
    BUDGETS.clear()
    OLDEST.clear()
    overdue = on_hold = 0
    longest = 0.0
    for count in counts:
        BUDGETS.labels(count.status).set(count.budgets)
        OLDEST.labels(count.status).set(now - count.oldest.timestamp() if count.oldest else 0.0)
        overdue += count.overdue
        on_hold += count.on_hold
        if count.oldest_overdue:
            longest = max(longest, now - count.oldest_overdue.timestamp())
    OLDEST_OVERDUE.set(longest)
    OVERDUE.set(overdue)
    ON_HOLD.set(on_hold)


def record_read_back(count: ReadBackCount) -> None:
    """Record how many budgets differ in Spectrum, and the age of the oldest reading."""
    DRIFT.set(count.differ)
    OLDEST_READING.set(time.time() - count.read_since.timestamp() if count.read_since else 0.0)


def _name_type(arrival: Arrival) -> str:
    message = arrival.message.message if isinstance(arrival.message, Unproven) else arrival.message
    return message.body.type if isinstance(message, Message) else "unreadable"

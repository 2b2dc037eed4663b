"""All budgets on one screen: how many stand where, who waits longest, and how far the lanes are behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from contracts.fields import write_time
from outbox.migrate import open_checked_session
from outbox.overview import StatusCount, WaitingBudget, count_statuses, list_waiting, read_next_offsets
from worker.deployment import Deployment
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.reports.budget_report import show_time
from worker.reports.worker_status import WorkerState, ask_workers

_SHOWN: Final = 20
_PLAIN: Final[dict[str, Any]] = {"box": None, "pad_edge": False}


class LaneLag(NamedTuple):
    """How far a lane is: what it has not decided yet, and what it has decided and not published yet."""

    lane: int
    undecided: int
    unpublished: int
    """Records of the inbox whose effects are stored, but not all in Kafka."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment."""

    statuses: tuple[StatusCount, ...]
    waiting: tuple[WaitingBudget, ...]
    lanes: tuple[LaneLag, ...]
    workers: tuple[WorkerState, ...]


async def look_over(scene: Deployment, workers: Sequence[str]) -> Overview:
    """Look at the database and the lanes, and ask workers at these URLs; raises ``DatabaseDown`` or ``KafkaDown``."""
    async with open_checked_session(scene.database_url) as connection:
        statuses = await count_statuses(connection)
        waiting = await list_waiting(connection, _SHOWN)
        positions = await read_next_offsets(connection)
    inbox = scene.topics.inbox
    async with open_topic_log(scene.kafka, inbox) as log:
        places = [(inbox, number) for number in log.bounds]
        offsets = await read_group_offsets(scene.kafka, scene.group_id, places)
        lanes = []
        for number, (start, end) in log.bounds.items():
            position = positions.get(number, start)
            offset = offsets.get((inbox, number))
            published = offset.offset if offset else start
            lanes.append(LaneLag(number, max(end - position, 0), max(position - published, 0)))
    return Overview(tuple(statuses), tuple(waiting), tuple(lanes), await ask_workers(workers))


def write_overview(overview: Overview) -> dict[str, object]:
    """Write an overview for programs."""
    return {
        "statuses": [
            {
                **one._asdict(),
                "oldest": write_time(one.oldest) if one.oldest else None,
                "oldest_overdue": write_time(one.oldest_overdue) if one.oldest_overdue else None,
            }
            for one in overview.statuses
        ],
        "waiting": [
            {**one._asdict(), "key": str(one.key), "since": write_time(one.since) if one.since else None}
            for one in overview.waiting
        ],
        "lanes": [lane._asdict() for lane in overview.lanes],
        "workers": [worker._asdict() for worker in overview.workers],
    }


def show_overview(overview: Overview, console: Console) -> None:
    """Show an overview to a person."""
    statuses = Table("status", "budgets", "overdue", "on hold", "parked", "waiting versions", "oldest since", **_PLAIN)
    for one in overview.statuses:
        counts = (one.budgets, one.overdue, one.on_hold, one.parked, one.waiting)
        statuses.add_row(one.status, *map(str, counts), show_time(one.oldest) if one.oldest else "")
    console.print(statuses if overview.statuses else "no budget is known yet")
    if overview.waiting:
        waiting = Table("waits for a person", "budget", "version", "since", **_PLAIN)
        for budget in overview.waiting:
            since = show_time(budget.since) if budget.since else ""
            waiting.add_row(budget.why, str(budget.key), str(budget.version or ""), since)
        console.print()
        console.print(waiting)
    lanes = Table("lane", "undecided", "unpublished", **_PLAIN)
    for lane in overview.lanes:
        lanes.add_row(*map(str, lane))
    console.print()
    console.print(lanes)
    if overview.workers:
        workers = Table("worker", "ready", "breaker of kafka", "of the database", "silent consumers", **_PLAIN)
        for worker in overview.workers:
            ready = "yes" if worker.ready else "no" if worker.answers else "does not answer"
            workers.add_row(worker.url, ready, worker.kafka, worker.database, ", ".join(worker.silent))
        console.print()
        console.print(workers)

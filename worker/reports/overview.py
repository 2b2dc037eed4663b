"""All budgets: how many have which status, who waits longest, and how far the lanes are behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.fields import write_time
from outbox.migrate import open_checked_session
from outbox.overview import StatusCount, WaitingBudget, count_statuses, list_waiting, read_next_offsets
from worker.console import Console
from worker.deployment import Deployment
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.reports.budget_report import format_time
from worker.reports.worker_status import WorkerState, ask_workers

_MOST_WAITING: Final = 20


class LaneLag(NamedTuple):
    """How far a lane is behind: what it has not decided yet, and what it has decided and not published yet."""

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


async def read_overview(deployment: Deployment, workers: Sequence[str]) -> Overview:
    """Read the database and the lanes, and ask workers.

    Args:
        deployment: which one.
        workers: the HTTP addresses of workers.

    Returns:
        The overview.

    Raises:
        DatabaseDown: Postgres does not answer.
        KafkaDown: Kafka does not answer.
    """
    async with open_checked_session(deployment.database_url) as connection:
        statuses = await count_statuses(connection)
        waiting = await list_waiting(connection, _MOST_WAITING)
        positions = await read_next_offsets(connection)
    inbox = deployment.topics.inbox
    async with open_topic_log(deployment.kafka, inbox) as log:
        partitions = [(inbox, number) for number in log.bounds]
        offsets = await read_group_offsets(deployment.kafka, deployment.group_id, partitions)
        lanes = []
        for number, (start, end) in log.bounds.items():
            position = positions.get(number, start)
            offset = offsets.get((inbox, number))
            published = offset.offset if offset else start
            lanes.append(LaneLag(number, max(end - position, 0), max(position - published, 0)))
    return Overview(tuple(statuses), tuple(waiting), tuple(lanes), await ask_workers(workers))


def write_overview(overview: Overview) -> dict[str, object]:
    """Write an overview as JSON values."""
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


def print_overview(overview: Overview, console: Console) -> None:
    """Print an overview."""
    if overview.statuses:
        rows = []
        for one in overview.statuses:
            counts = (one.budgets, one.overdue, one.on_hold, one.parked, one.waiting)
            rows.append((one.status, *map(str, counts), format_time(one.oldest) if one.oldest else ""))
        console.print_table(("status", "budgets", "overdue", "on hold", "parked", "waiting", "oldest since"), rows)
    else:
        console.print_line("no budget is known yet")
    if overview.waiting:
        console.print_line()
        console.print_table(
            ("waits for a person", "budget", "version", "since"),
            [
                (one.why, str(one.key), str(one.version or ""), format_time(one.since) if one.since else "")
                for one in overview.waiting
            ],
        )
    console.print_line()
    console.print_table(("lane", "undecided", "unpublished"), [tuple(map(str, lane)) for lane in overview.lanes])
    if overview.workers:
        console.print_line()
        console.print_table(
            ("worker", "ready", "kafka", "database", "stalled consumers"), map(_format, overview.workers)
        )


def _format(worker: WorkerState) -> tuple[str, ...]:
    ready = "yes" if worker.ready else "no" if worker.answers else "does not answer"
    return worker.url, ready, worker.kafka, worker.database, ", ".join(worker.silent)

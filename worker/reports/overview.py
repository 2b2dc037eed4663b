"""The text of ``status`` and its JSON: budgets by status, what waits longest, and how far the lanes are behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.fields import write_time
from outbox.migrate import open_checked_session
from outbox.overview import StatusCount, WaitingBudget, count_statuses, list_waiting
from outbox.read_backs import ReadBackState, count_read_back_states
from worker.console import Console
from worker.deployment import Deployment
from worker.reports.budget_report import format_time
from worker.reports.lane_report import LaneReport, read_lanes
from worker.reports.worker_status import WorkerState, ask_workers

_MOST_WAITING: Final = 20


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment."""

    statuses: tuple[StatusCount, ...]
    waiting: tuple[WaitingBudget, ...]
    lanes: tuple[LaneReport, ...]
    workers: tuple[WorkerState, ...]
    read_backs: tuple[ReadBackState, ...]


async def read_overview(deployment: Deployment, workers: Sequence[str]) -> Overview:
    """Read the database and the lanes, and ask workers for their state.

    Args:
        deployment: the deployment.
        workers: the HTTP addresses of workers, as host and port.

    Raises:
        DatabaseDown: Postgres does not answer.
        KafkaDown: Kafka does not answer.
    """
    async with open_checked_session(deployment.database_url) as connection:
        statuses = await count_statuses(connection)
        waiting = await list_waiting(connection, _MOST_WAITING)
        read_backs = await count_read_back_states(connection)
        lanes = await read_lanes(deployment.kafka, deployment.group_id, deployment.topics.inbox, connection)
    return Overview(tuple(statuses), tuple(waiting), tuple(lanes), await ask_workers(workers), tuple(read_backs))


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
        "read_backs": [
            {**one._asdict(), "read_since": write_time(one.read_since) if one.read_since else None}
            for one in overview.read_backs
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
    if overview.read_backs:
        console.print_line()
        console.print_table(
            ("figures in Spectrum", "budgets", "oldest read since"),
            [
                (one.state, str(one.budgets), format_time(one.read_since) if one.read_since else "")
                for one in overview.read_backs
            ],
        )
    console.print_line()
    console.print_table(
        ("lane", "undecided", "unpublished"),
        [
            (str(lane.lane), str(lane.undecided), "refuses" if lane.unpublished is None else str(lane.unpublished))
            for lane in overview.lanes
        ],
    )
    for lane in overview.lanes:
        if lane.refuses:
            console.print_line(f"lane {lane.lane} refuses: {lane.refuses}; see `budget-bridge recover --dry-run`")
    if overview.workers:
        console.print_line()
        console.print_table(
            ("worker", "ready", "version", "kafka", "database", "stalled consumers"), map(_format, overview.workers)
        )


def _format(worker: WorkerState) -> tuple[str, ...]:
    ready = "yes" if worker.ready else "no" if worker.answers else "does not answer"
    return worker.url, ready, worker.version, worker.kafka, worker.database, ", ".join(worker.silent)

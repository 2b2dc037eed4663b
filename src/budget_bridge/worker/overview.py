"""All budgets on one screen: how many stand where, who waits longest, and how far the lanes are behind."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from budget_bridge.contracts.fields import write_time
from budget_bridge.contracts.topics import INBOX
from budget_bridge.outbox.database import close, connect
from budget_bridge.outbox.migrate import check_schema
from budget_bridge.outbox.overview import (
    StatusCount,
    WaitingBudget,
    count_statuses,
    list_waiting,
    read_next_offsets,
)
from budget_bridge.worker.kafka import open_log, read_group_offsets
from budget_bridge.worker.scene import Scene

_SHOWN: Final = 20
_WITHIN_SECONDS: Final = 20.0


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


async def look_over(scene: Scene) -> Overview:
    """Look at the database and at the lanes; raises ``DatabaseDown`` or ``KafkaDown``."""
    connection = await connect(scene.database_url)
    try:
        await check_schema(connection)
        statuses = await count_statuses(connection)
        waiting = await list_waiting(connection, _SHOWN)
        positions = await read_next_offsets(connection)
    finally:
        await close(connection, 1.0)
    inbox = scene.topic_prefix + INBOX
    async with open_log(scene.kafka, inbox) as log:
        places = [(inbox, number) for number in log.bounds]
        offsets = await read_group_offsets(scene.kafka, scene.group_id, places, _WITHIN_SECONDS)
        lanes = []
        for number, (start, end) in log.bounds.items():
            position = positions.get(number, start)
            offset = offsets.get((inbox, number))
            published = offset.offset if offset else start
            lanes.append(LaneLag(number, max(end - position, 0), max(position - published, 0)))
    return Overview(tuple(statuses), tuple(waiting), tuple(lanes))


def write_overview(overview: Overview) -> dict[str, object]:
    """Write an overview for programs."""
    return {
        "statuses": [
            {**one._asdict(), "oldest": write_time(one.oldest) if one.oldest else None} for one in overview.statuses
        ],
        "waiting": [
            {**one._asdict(), "key": str(one.key), "since": write_time(one.since) if one.since else None}
            for one in overview.waiting
        ],
        "lanes": [lane._asdict() for lane in overview.lanes],
    }


def show_overview(overview: Overview, console: Console) -> None:
    """Show an overview to a person."""
    statuses = Table("status", "budgets", "overdue", "on hold", "parked", "waiting versions", "oldest since", box=None)
    for one in overview.statuses:
        counts = (one.budgets, one.overdue, one.on_hold, one.parked, one.waiting)
        statuses.add_row(one.status, *map(str, counts), write_time(one.oldest) if one.oldest else "")
    console.print(statuses if overview.statuses else "no budget is known yet")
    if overview.waiting:
        waiting = Table("waits for a person", "budget", "version", "since", box=None)
        for budget in overview.waiting:
            since = write_time(budget.since) if budget.since else ""
            waiting.add_row(budget.why, str(budget.key), str(budget.version or ""), since)
        console.print("\n", waiting)
    lanes = Table("lane", "undecided", "unpublished", box=None)
    for lane in overview.lanes:
        lanes.add_row(*map(str, lane))
    console.print("\n", lanes)

"""Which deployment is looked at, and what one look at it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from budget_bridge.contracts.records import Place
from budget_bridge.contracts.topics import INBOX
from budget_bridge.outbox.audit import Snapshot
from budget_bridge.worker.findings import Findings
from budget_bridge.worker.kafka import Connection, GroupOffset, count_partitions, read_group_offsets

_WITHIN_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One deployment, as its settings name it."""

    kafka: Connection
    database_url: str
    group_id: str
    topic_prefix: str


@dataclass(frozen=True, slots=True)
class Look:
    """One look at everything: the database as of one moment, and how far the lanes say that they are."""

    findings: Findings
    scene: Scene
    snapshot: Snapshot
    positions: Mapping[int, int]
    published: Mapping[int, int]


async def read_lane_offsets(scene: Scene) -> dict[int, GroupOffset]:
    """Read what the group has committed for each lane; lanes without an offset are left out. Raises ``KafkaDown``."""
    inbox = scene.topic_prefix + INBOX
    partitions = (await count_partitions(scene.kafka, [inbox])).get(inbox, 0)
    lanes = [(inbox, number) for number in range(partitions)]
    offsets = await read_group_offsets(scene.kafka, scene.group_id, lanes, _WITHIN_SECONDS)
    return {number: offset for (_, number), offset in offsets.items()}


def tell_place(place: Place) -> str:
    """Tell a person where a record stands."""
    return f"record {place.offset} of {place.topic}, partition {place.partition},"

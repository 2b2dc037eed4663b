"""Which deployment is looked at, and what one look at it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from budget_bridge.contracts.records import Place
from budget_bridge.outbox.audit import Snapshot
from budget_bridge.worker.findings import Findings
from budget_bridge.worker.kafka import Connection


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


def tell_place(place: Place) -> str:
    """Tell a person where a record stands."""
    return f"record {place.offset} of {place.topic}, partition {place.partition},"

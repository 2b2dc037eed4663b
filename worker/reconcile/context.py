"""What one reconciliation works on: the findings so far, the database as of one moment, and how far the lanes are."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.records import Place
from outbox.audit import Snapshot
from worker.deployment import Deployment
from worker.reconcile.findings import Findings


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One look at everything: the database as of one moment, and how far the lanes say that they are."""

    findings: Findings
    scene: Deployment
    snapshot: Snapshot
    positions: Mapping[int, int]
    published: Mapping[int, int]


def tell_place(place: Place) -> str:
    """Tell a person where a record stands."""
    return f"record {place.offset} of {place.topic}, partition {place.partition},"

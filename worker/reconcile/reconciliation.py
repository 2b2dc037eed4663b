"""What every check of one reconciliation shares: its findings, the database as of one moment, how far the lanes are."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.records import Place
from outbox.audit import Snapshot
from worker.deployment import Deployment
from worker.reconcile.findings import Findings


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One reconciliation at work."""

    findings: Findings
    deployment: Deployment
    snapshot: Snapshot
    positions: Mapping[int, int]
    """The position of each lane, in the snapshot."""
    published: Mapping[int, int]
    """The group's offset for each lane, read before the snapshot was taken."""


def describe_place(place: Place) -> str:
    """Describe where a record is, as the start of a sentence."""
    return f"record {place.offset} of {place.topic}, partition {place.partition},"

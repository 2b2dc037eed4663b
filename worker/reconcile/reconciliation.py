"""The values that all checks of a reconciliation share: findings, a snapshot of the database, positions and offsets."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from contracts.budget_key import BudgetKey, parse_budget_key
from contracts.records import Place
from outbox.audit import Snapshot
from worker.deployment import Deployment
from worker.reconcile.findings import Findings
from worker.reconcile.progress import Progress, ignore_progress


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One reconciliation in progress."""

    findings: Findings
    deployment: Deployment
    snapshot: Snapshot
    positions: Mapping[int, int]
    """The position of each lane, in the snapshot."""
    published: Mapping[int, int]
    """The group's offset for each lane, read before the snapshot was taken."""
    progress: Progress = ignore_progress


def describe_place(place: Place) -> str:
    """Describe where a record is, as the beginning of a sentence."""
    return f"record {place.offset} of {place.topic}, partition {place.partition},"


def read_budget(key: bytes | None) -> BudgetKey | None:
    """Read the budget from the key of one of our records; ``None`` if the key is not a budget's."""
    with suppress(ValueError):
        return parse_budget_key((key or b"").decode())
    return None

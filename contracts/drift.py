"""What a reading of Spectrum shows against what was exported, and what people decide about it."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.body import Inbound
from contracts.erp_snapshot import CostType, Depth, Phase
from contracts.fields import Cents, Date, Hash, PeopleText, Time, User, Value
from contracts.outbound import OutboundOfVersion

MOST_DRIFT_LINES = 2000

DriftKind = Literal[
    "original_differs",
    "revision_differs",
    "current_differs",
    "missing",
    "not_zero",
    "not_seen",
    "unknown_line",
    "others_revised",
    "phase_complete",
    "description_differs",
    "price_differs",
]
DriftState = Literal["matches", "differs", "unknown"]
DriftReason = Literal["not_complete", "current_only", "not_answered", "export_sent", "reset"]


class DriftLine(Value):
    """One line of the job that is not as it was sent, or that is reported for another reason."""

    phase_code: str
    cost_type: str
    budget_line_item_id: int | None
    """Null where the export has no such line."""
    kinds: tuple[DriftKind, ...]
    expected_original: Cents | None
    expected_revision: Cents | None
    found_original: Cents | None
    found_bridge_revision: Cents | None
    found_other_revision: Cents | None
    found_current: Cents | None
    kept_by: str | None
    """Who has said that Spectrum's figure is meant; the line then no longer counts."""
    kept_reason: str | None


class ErpDrift(OutboundOfVersion):
    """How Spectrum differs from what was exported; the latest message per key is the state of the comparison."""

    type = "erp.drift.v1"
    topic = "bridge.drift"

    export_id: UUID | None
    """The export that the reading was compared with, of version `budget_version`; null after a reset."""
    state: DriftState
    reason: DriftReason | None
    """Null unless `state` is `unknown`: not every line was seen, or only current estimates; Spectrum has begun an
    export that it has not answered; an export or a reset came after the last comparison."""
    read_to: Time | None
    """Of the reading, like `depth` and `complete`; null without one."""
    depth: Depth | None
    complete: bool | None
    drift_hash: str | None
    """64 hex digits over the lines that count and what was found of them; null unless `state` is `differs`."""
    drift_lines: int
    """How many lines count."""
    drift_amount: Cents
    """By how much they differ, added up."""
    lines: tuple[DriftLine, ...]
    """Every line with a kind, those that count first; at most 2,000."""


class ChosenLine(Value):
    """A line that is kept."""

    phase_code: Phase
    cost_type: CostType


class DriftDecision(Inbound):
    """An approver has the synced version restated, or keeps what Spectrum holds."""

    type = "drift.decision.v1"

    decision: Literal["restate", "keep"]
    """`restate`: the synced version is exported once more; `keep`: Spectrum's figure is meant."""
    drift_hash: Hash
    """Of the `erp.drift` that it is about."""
    decided_by: User
    decided_at: Time
    reason: PeopleText | None = None
    """A `keep` without one is refused."""
    effective_date: Date | None = None
    """For `restate`: the date under which Spectrum books it."""
    lines: Annotated[tuple[ChosenLine, ...], Field(max_length=MOST_DRIFT_LINES)] = ()
    """For `keep`: which lines; none means all that count. Other lines are skipped."""

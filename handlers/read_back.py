"""What is known of how Spectrum compares with what was exported: requests, what was found, what was kept.

Frozen values without rules; ``drift`` and ``snapshot_requests`` change them.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.drift import DriftKind, DriftReason, DriftState
from contracts.erp_snapshot import Depth


class OpenRequest(NamedTuple):
    """A request for a snapshot that no reading has answered yet."""

    id: UUID
    requested_by: str | None
    due_at: datetime
    times: int
    """How often it was asked, including this one."""


class FoundFigures(NamedTuple):
    """What Spectrum was found to hold of a line, in hundredths; ``None`` where it lacks the line, or it is unknown."""

    original: int | None
    bridge_revision: int | None
    other_revision: int | None
    current: int | None


class CountedLine(NamedTuple):
    """A line in which Spectrum differs from what was sent, whether or not that was kept."""

    phase_code: str
    cost_type: str
    kinds: tuple[DriftKind, ...]
    amount: int
    """By how much it differs, in hundredths."""
    found: FoundFigures


class KeptLine(NamedTuple):
    """A line that an approver has kept, with the figures found then: while they stay, it does not count.

    Against a later export that has the line, it counts again: whoever accepted that wanted other figures.
    """

    phase_code: str
    cost_type: str
    found: FoundFigures
    by: str
    reason: str
    export_id: UUID | None = None
    """What Spectrum was compared with; ``None`` in states from before this was kept."""


class Drift(NamedTuple):
    """What the last comparison has shown, or why that no longer holds."""

    export_id: UUID | None
    version: int
    """Of that export."""
    state: DriftState
    reason: DriftReason | None
    read_to: datetime | None
    depth: Depth | None
    complete: bool | None
    lines: tuple[CountedLine, ...] = ()
    told: str = ""
    """A digest of the message about it, without the time: the same is not sent again."""


class ReadBack(NamedTuple):
    """What was asked about what Spectrum holds, and what the answers have shown."""

    request: OpenRequest | None = None
    requests: int = 0
    """How many snapshots were ever asked for; their ids are numbered, and none is used again."""
    ask_due_at: datetime | None = None
    """When the bridge asks again by itself."""
    since: datetime | None = None
    """Since when nothing newer was read: the last reading, or else the first request, since a reset; by our clock."""
    read_to: datetime | None = None
    """Of the last reading since a reset, by the connector's clock."""
    stale_due_at: datetime | None = None
    is_stale: bool = False
    drift: Drift | None = None
    """``None`` as long as nothing was compared since a reset."""
    kept: tuple[KeptLine, ...] = ()

    @property
    def open_lines(self) -> tuple[CountedLine, ...]:
        """The lines that count: Spectrum differs, and nobody has kept its figure."""
        kept = {line[:2] for line in self.kept}
        return tuple(line for line in self.drift.lines if line[:2] not in kept) if self.drift else ()

    @property
    def due_at(self) -> datetime | None:
        """When something is due: asking again, or the last reading gets stale."""
        return min(filter(None, (self.ask_due_at, self.stale_due_at)), default=None)

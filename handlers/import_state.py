"""What is known of the imports of a budget: the one under way, those that have ended, and what was adopted.

Frozen values without rules. An import is ASKED until a reading is offered, then READY until the project side has
answered. What it offers is not kept: it follows from the last reading.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.fields import PriceMethod
from contracts.imports import ImportMode


class AdoptedLine(NamedTuple):
    """A line of Spectrum that the project side has taken; amounts in hundredths."""

    phase_code: str
    cost_type: str
    item_id: int | None
    """``None`` where the project side did not name it."""
    description: str
    original: int
    revision: int
    """What was left under the bridge's own references."""
    price_method_code: PriceMethod
    """As an export writes it: it belongs to the cost type."""


class Adopted(NamedTuple):
    """The imported lines: what an export is compared with, and completed by, until Spectrum has taken the first one."""

    import_id: UUID
    company_code: str
    job_number: str
    currency: str
    lines: tuple[AdoptedLine, ...]


class OpenImport(NamedTuple):
    """An import that has not ended."""

    first_request: int
    """The number of its first request for a snapshot, whose id is that of the import."""
    requested_by: str
    mode: ImportMode
    currency: str
    due_at: datetime
    """When it expires."""
    is_ready: bool = False
    """Whether it was offered to the project side: READY, otherwise ASKED."""


class Imports(NamedTuple):
    """Everything about imports that deciding on a budget needs."""

    under_way: OpenImport | None = None
    ended: tuple[int, ...] = ()
    """The number of the first request of each import that has ended."""
    adopted: Adopted | None = None
    """Until Spectrum has taken an export whole, or a reset."""

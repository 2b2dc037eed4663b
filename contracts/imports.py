"""The import of a budget from Spectrum: who asks for it, what is offered, what was taken of it, and how it ended."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import FailFast, Field

from contracts.body import Inbound
from contracts.erp_snapshot import CostType, Phase
from contracts.fields import Cents, Currency, ItemId, PeopleText, Time, User, Value
from contracts.outbound import Outbound

MOST_APPLIED_LINES: Final = 4000
"""Of one message: what is offered, at most 2,000, and as many that are gone."""
MOST_ERRORS: Final = 2000
MOST_NOTICES: Final = 10_000
"""Ours: an import of 20,000 lines that are all at zero must not outgrow a message."""

ImportMode = Literal["take", "link"]
ImportChange = Literal["add", "set", "same", "gone"]
ImportCause = Literal["applied", "partial", "refused", "abandoned", "expired", "overtaken"]


class ImportRequested(Inbound):
    """An approver asks for an import: for the budget as Spectrum holds it."""

    type = "import.requested.v1"

    requested_by: User
    requested_at: Time
    mode: ImportMode
    """`take`: the project side gets the lines; `link`: it has them already, and they are only adopted."""
    budget_unlocked: bool
    """Whether the budget is unlocked on the project side; `take` is refused while it is locked."""
    currency: Currency


class AppliedLine(Value):
    """What became of one offered line."""

    phase_code: Phase
    spectrum_cost_type: CostType
    budget_line_item_id: ItemId | None = None
    status: Literal["success", "failed"]
    error: PeopleText | None = None


class ImportApplied(Inbound):
    """The project side has taken what was offered, or part of it, or nothing."""

    type = "import.applied.v1"

    import_id: UUID
    applied_by: User
    applied_at: Time
    status: Literal["whole", "partial", "abandoned"]
    lines: Annotated[tuple[AppliedLine, ...], Field(max_length=MOST_APPLIED_LINES), FailFast()] = ()
    """At most 4,000. After `partial`, or a `whole` with a failed line, only lines named with `success` count as taken.
    Keys are trimmed; lines that were not offered are skipped; if a line appears twice, the last one counts."""


class ImportLine(Value):
    """One phase and cost type of Spectrum, under the project side's codes."""

    cost_code: str | None
    """Null where no row of the maps leads to the phase, and the rules let it be offered; likewise `cost_type`."""
    cost_type: str | None
    phase_code: str
    spectrum_cost_type: str
    description: str
    original_amount: Cents
    revision_amount: Cents
    """What is left under the bridge's own references, from before a reset."""
    other_revision: Cents | None
    """What others have booked: for information, not to be taken; null where Spectrum lacks the line."""
    job_to_date_cost: Cents | None
    """For information, not to be taken; null if unknown."""
    change: ImportChange
    """Compared with what was adopted before; a `gone` line was adopted and now has nothing to take."""
    previous_amount: Cents | None
    """The original that was adopted; null where none was."""
    budget_line_item_id: int | None
    """Null until an `import.applied` has named it."""


class ImportNotice(Value):
    """An error or a notice: about one line, about a phase or a cost type, or about the import as a whole."""

    phase_code: str | None
    spectrum_cost_type: str | None
    code: str
    message: str


class ImportReady(Outbound):
    """What Spectrum holds, for the project side to take; answered by `import.applied`."""

    type = "budget.import_ready.v1"
    topic = "procore.imports"

    import_id: UUID
    """The first `request_id` of this import."""
    company_code: str
    job_number: str
    currency: str
    read_to: Time
    """When it was read, by the connector's clock."""
    total_spectrum: Cents
    """All originals that were read."""
    total_import: Cents
    """Those that are offered."""
    total_before: Cents | None
    """Those that were adopted before; null where none were."""
    lines: tuple[ImportLine, ...]
    """At most 2,000, not counting those that are `gone`; ordered by phase, then cost type."""
    notices: tuple[ImportNotice, ...]
    """What a person should know; at most 10,000."""


class ImportEnded(Outbound):
    """An import has ended, and how."""

    type = "budget.import_ended.v1"
    topic = "procore.imports"

    import_id: UUID
    cause: ImportCause
    errors: tuple[ImportNotice, ...]
    """For `refused` everything that is wrong, for `partial` what was not taken; at most 2,000."""
    notices: tuple[ImportNotice, ...]
    """Those of the offer, if there was one."""
    notify: tuple[str, ...]
    """Who asked for it."""

"""What Spectrum was read to hold of a budget's job: the last whole snapshot, and the one whose pages still come in.

Frozen values without rules. They can be large, so ``outbox`` keeps them in a table of their own.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.erp_snapshot import Depth, StatusInSpectrum

LineKey = tuple[str, str]
"""Phase and cost type."""


class ReadLine(NamedTuple):
    """One phase and cost type as Spectrum holds it; amounts in hundredths; three may be unknown."""

    phase_code: str
    cost_type: str
    description: str
    status: StatusInSpectrum
    original: int | None
    bridge_revision: int | None
    other_revision: int | None
    current: int
    job_to_date_cost: int | None
    price_method_code: str | None

    @property
    def key(self) -> LineKey:
        """What identifies the line in Spectrum."""
        return self[:2]


class ReadPage(NamedTuple):
    """One page of a snapshot, the message that it came in, and a digest of its content."""

    number: int
    source: str
    id: str
    digest: str
    lines: tuple[ReadLine, ...]


class BegunExport(NamedTuple):
    """The last export that the ERP side had begun for the budget."""

    export_id: UUID
    attempt: int
    whole: bool


class SnapshotHeader(NamedTuple):
    """What all pages of a snapshot say."""

    snapshot_id: str
    request_id: UUID | None
    pages: int
    company_code: str
    job_number: str
    job_status: StatusInSpectrum
    read_from: datetime
    read_to: datetime
    depth: Depth
    complete: bool
    last_begun: BegunExport | None
    unposted: bool
    line_count: int
    total_original: int | None
    total_current: int


class Snapshot(NamedTuple):
    """A snapshot as far as its pages have come in, in their order; once all have, it is a reading."""

    header: SnapshotHeader
    pages: tuple[ReadPage, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every page has come in."""
        return len(self.pages) == self.header.pages

    def find_page(self, number: int) -> ReadPage | None:
        """Find a page by its number."""
        return next((page for page in self.pages if page.number == number), None)

    def index_lines(self) -> dict[LineKey, ReadLine]:
        """Index the lines of the pages by phase and cost type."""
        return {line[:2]: line for page in self.pages for line in page.lines}


class Readings(NamedTuple):
    """The last reading of a budget's job, and the snapshot that is being collected."""

    last: Snapshot | None = None
    collecting: Snapshot | None = None

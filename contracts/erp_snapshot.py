"""One page of what a job in Spectrum holds, as a connector has read it."""

from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, FailFast, Field, PlainSerializer, StringConstraints, model_validator

from contracts.body import Inbound
from contracts.fields import (
    MAX_INT64,
    Count,
    Time,
    Value,
    Words,
    describe_value,
    read_decimal,
    read_integer,
    write_cents,
)

MAX_PAGES: Final = 10
MAX_PAGE_LINES: Final = 2000

_LARGEST_CENTS: Final = 999_999_999_999


def _read_cents(value: object) -> int:
    text = read_decimal(value)
    whole, _, places = text.removeprefix("-").partition(".")
    if places[2:].strip("0"):
        message = f"an amount of at most two decimals is expected, not {describe_value(value)}"
        raise ValueError(message)
    cents = int(whole + places[:2].ljust(2, "0"))
    return -cents if text.startswith("-") else cents


Total = Annotated[int, BeforeValidator(_read_cents), PlainSerializer(write_cents), Words("decimal, 2 places by value")]
"""A sum of amounts, exact, in hundredths."""

Money = Annotated[
    int,
    BeforeValidator(_read_cents),
    Field(ge=-_LARGEST_CENTS, le=_LARGEST_CENTS),
    PlainSerializer(write_cents),
    Words("decimal within ±9,999,999,999.99, 2 places by value"),
]
"""An amount in hundredths, within what Spectrum holds."""

Company = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=3)]
Job = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=10)]
Phase = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=20)]
CostType = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=3)]
StatusInSpectrum = Literal["A", "I", "C"]
"""Active, inactive or complete."""
Depth = Literal["full", "current_only"]


class LastBegun(Value):
    """The last export that the ERP side has begun for this budget."""

    export_id: UUID
    attempt: Count
    whole: bool
    """It was applied in full."""


class SnapshotLine(Value):
    """One phase and cost type as Spectrum holds it."""

    phase_code: Phase
    cost_type: CostType
    description: Annotated[str, StringConstraints(strict=True, strip_whitespace=True, max_length=255)]
    status: StatusInSpectrum
    original_estimate_cost: Money | None
    """Null, like both revisions, if and only if `depth` is `current_only`."""
    bridge_revision: Money | None
    """Booked under the bridge's references: `B` and seven digits."""
    other_revision: Money | None
    """All other recognised change requests."""
    current_estimate_cost: Money
    job_to_date_cost: Money | None
    """Null if unknown."""
    price_method_code: Annotated[str, StringConstraints(strict=True, strip_whitespace=True, max_length=1)] | None
    """Null if unknown."""


class ErpSnapshot(Inbound):
    """One page of a snapshot: every phase and cost type that Spectrum holds in a job."""

    type = "erp.snapshot.v1"

    request_id: UUID | None
    """Of the request that it answers; null where nobody asked."""
    snapshot_id: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
    """The same on all of its pages."""
    page: Annotated[int, BeforeValidator(read_integer), Field(ge=1, le=MAX_PAGES), Words("integer 1 to 10")]
    pages: Annotated[int, BeforeValidator(read_integer), Field(ge=1, le=MAX_PAGES), Words("integer 1 to 10")]
    company_code: Company
    job_number: Job
    job_status: StatusInSpectrum
    read_from: Time
    """By the connector's clock, like `read_to`; they are compared with one another only."""
    read_to: Time
    depth: Depth
    """`full`, or `current_only` where the connector can read nothing but the current estimate."""
    complete: bool
    """Whether it has every phase and cost type of the job, in every status and cost center."""
    last_begun: Annotated[LastBegun, Words("object")] | None
    """The last export that was begun for this budget: `export_id`, `attempt`, and whether it was applied `whole`. Null
    if none was."""
    unposted: bool
    """Whether there are estimate entries that are not posted yet."""
    line_count: Annotated[int, BeforeValidator(read_integer), Field(ge=0, le=MAX_INT64), Words("integer from 0")]
    """Over all pages, like both totals."""
    total_original: Total | None
    """Null if `depth` is `current_only`."""
    total_current: Total
    lines: Annotated[tuple[SnapshotLine, ...], Field(max_length=MAX_PAGE_LINES), FailFast()]
    """At most 2,000 on a page. An empty job is one page without lines."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.page > self.pages:
            message = f"page {self.page} of {self.pages} pages"
            raise ValueError(message)
        is_full = self.depth == "full"
        if (self.total_original is not None) != is_full:
            message = f"total_original is {'missing' if is_full else 'given'}, and depth is {self.depth}"
            raise ValueError(message)
        for number, line in enumerate(self.lines):
            deep = (line.original_estimate_cost, line.bridge_revision, line.other_revision)
            if any((amount is not None) != is_full for amount in deep):
                message = f"lines.{number}: original and revisions are given if and only if depth is full"
                raise ValueError(message)
        return self

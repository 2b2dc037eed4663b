"""The lines of exports and of requests for approval: as models for the contract, and as rows for speed."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from contracts.fields import Cents, PriceMethod, Time, Value, Words
from contracts.rows import Row, WrittenRows, write_rows

Change = Literal["add", "set", "zero", "same"]


def _at_most_digits(digits: int) -> StringConstraints:
    return StringConstraints(pattern=rf"^-?[0-9]{{1,{digits}}}\.[0-9]{{2}}\z")


class ExportLine(Value):
    """One line as Spectrum must hold it, and how it differs from the base.

    Limits are those of Spectrum's phase record; amounts of 12 characters are ±99,999,999.99.
    """

    budget_line_item_id: int | None
    """Null for a `zero` of an imported line whose item id is not known."""
    phase_code: Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=r"^[^-]+\z")]
    cost_type: Annotated[str, StringConstraints(min_length=1, max_length=3)]
    description: Annotated[str, StringConstraints(min_length=1, max_length=25)]
    original_estimate_cost: Annotated[Cents, _at_most_digits(8)]
    revision_amount: Annotated[Cents, _at_most_digits(10)]
    price_method_code: PriceMethod
    """What `cost_types.csv` has for the cost type; `J`, the job's own, where it has none."""
    change: Change
    """Compared with the base, or before it with the import: the line is new, changed, removed, or the same."""
    previous_original_estimate_cost: Cents | None
    """Null where there was no such line."""
    previous_revision_amount: Cents | None
    original_change: Cents
    """Amount less previous; the amount itself where there is none."""
    revision_change: Cents
    keep_description: bool
    """True where Spectrum has this description of the phase from the base, or had it at the import: what was typed over
    it since stays, and the description is written only if Spectrum lacks the phase."""


class ApprovalLine(ExportLine):
    """The same for an approver, with what Spectrum was last read to hold; null where that is not known."""

    found_original: Cents | None
    found_bridge_revision: Cents | None
    """Booked under the bridge's own references."""
    found_other_revision: Cents | None
    found_current: Cents | None
    job_to_date_cost: Cents | None
    found_at: Time | None
    """When the job was read, also where Spectrum lacked the line."""


class MeasuredExportLine(ExportLine):
    """The same with quantities switched on; quantity and unit are otherwise left out."""

    original_estimate_quantity: Annotated[Cents, _at_most_digits(7)]
    unit_of_measure: Annotated[str, StringConstraints(min_length=1, max_length=3)] | None


class MeasuredApprovalLine(ApprovalLine):
    """The same with quantities switched on."""

    original_estimate_quantity: Annotated[Cents, _at_most_digits(7)]
    unit_of_measure: Annotated[str, StringConstraints(min_length=1, max_length=3)] | None


ExportRow = Row
"""The values of an ``ExportLine``, or of a ``MeasuredExportLine``, in the order of its fields."""

_NAMES: Final = {
    len(model.model_fields): tuple(model.model_fields)
    for model in (ExportLine, MeasuredExportLine, ApprovalLine, MeasuredApprovalLine)
}


def name_fields(row: ExportRow) -> Sequence[str]:
    """Name the fields of a row; no two of the four kinds have as many."""
    return _NAMES[len(row)]


def write_lines(lines: Sequence[ExportRow]) -> bytes:
    """Write lines as JSON objects with commas between them."""
    return write_rows(name_fields(lines[0]), lines) if lines else b""


ExportLines = Annotated[
    tuple[ExportRow, ...], WrittenRows(name_fields, ExportLine, MeasuredExportLine), Words("list of lines")
]
ApprovalLines = Annotated[
    tuple[ExportRow, ...], WrittenRows(name_fields, ApprovalLine, MeasuredApprovalLine), Words("list of lines")
]

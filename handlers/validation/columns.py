"""The lines of a version by field: each rule checks a whole column, which costs little where nothing is wrong."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from contracts.inbound import BudgetRow
from handlers.validation.errors import Problem

Problems = Mapping[int, Sequence[Problem]]
"""What a rule finds, by the number of the line, from 0."""

NO_PROBLEMS: Final[Problems] = {}


class Columns(NamedTuple):
    """The fields of ``BudgetLine``, in their order, each with the values of all lines."""

    item_ids: Sequence[int]
    cost_codes: Sequence[str]
    cost_types: Sequence[str]
    sub_jobs: Sequence[str | None]
    descriptions: Sequence[str]
    original_amounts: Sequence[str]
    revision_amounts: Sequence[str]
    quantities: Sequence[str | None]
    units: Sequence[str | None]
    phase_codes: Sequence[str | None]
    spectrum_cost_types: Sequence[str | None]


def read_columns(lines: Sequence[BudgetRow]) -> Columns:
    """Read the fields of all lines."""
    return Columns(*zip(*lines, strict=True)) if lines else Columns(*((),) * len(Columns._fields))

"""The lines of a budget as a page shows them: what would be sent, what was before, and what that adds up to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from contracts.export_lines import Change
from contracts.outbound import Notice
from desk.money import read_cents
from handlers.readings import LineKey, ReadLine

_DIVISION_DIGITS: Final = 2


def name_anchor(phase: str, cost_type: str) -> str:
    """Name the row of a line, for links to it."""
    return f"line-{phase}-{cost_type}"


class Line(NamedTuple):
    """One line; amounts in hundredths, ``None`` where there is none."""

    phase: str
    cost_type: str
    description: str
    original: int
    revision: int
    before_original: int | None
    before_revision: int | None
    change: Change
    quantity: int | None
    unit: str | None
    item_id: int | None
    found: ReadLine | None
    """What Spectrum was last read to hold of it."""
    notices: tuple[Notice, ...]

    @property
    def anchor(self) -> str:
        """The name under which links reach its row."""
        return name_anchor(self.phase, self.cost_type)

    @property
    def amount(self) -> int:
        """Original and revision together."""
        return self.original + self.revision

    @property
    def before(self) -> int | None:
        """The same before."""
        if self.before_original is None:
            return None
        return self.before_original + (self.before_revision or 0)

    @property
    def difference(self) -> int:
        """By how much it changes."""
        return self.amount - (self.before or 0)


class Totals(NamedTuple):
    """The sums of some lines, in hundredths."""

    name: str
    lines: int
    original: int
    revision: int
    before: int

    @property
    def amount(self) -> int:
        """Original and revision together."""
        return self.original + self.revision

    @property
    def difference(self) -> int:
        """By how much they change."""
        return self.amount - self.before


class Shown(NamedTuple):
    """The lines of a budget and what they are."""

    lines: tuple[Line, ...]
    total: int
    """As the version itself names it, in hundredths."""
    notices: tuple[Notice, ...]
    read_at: datetime | None
    """When Spectrum was read last."""

    @property
    def has_before(self) -> bool:
        """Whether anything was there before, and something changes: only then is the difference worth its columns."""
        had_any = any(line.before_original is not None or line.change == "zero" for line in self.lines)
        return had_any and any(line.change != "same" for line in self.lines)

    @property
    def changed(self) -> tuple[Line, ...]:
        """The lines that do not stay the same."""
        return tuple(line for line in self.lines if line.change != "same")

    def count(self, change: Change) -> int:
        """Count the lines with one kind of change."""
        return sum(line.change == change for line in self.lines)

    @property
    def sums(self) -> Totals:
        """The sums of all lines."""
        return add_up("all", self.lines)

    @property
    def by_cost_type(self) -> tuple[Totals, ...]:
        """The sums per cost type."""
        return _group(self.lines, "cost_type")

    @property
    def by_division(self) -> tuple[Totals, ...]:
        """The sums per division: the first two characters of the phase."""
        divisions = [line._replace(phase=line.phase[:_DIVISION_DIGITS]) for line in self.lines]
        return _group(divisions, "phase")

    @property
    def notices_by_code(self) -> tuple[tuple[str, tuple[tuple[Line | None, Notice], ...]], ...]:
        """The notices by code, each with the line that it is about, if that is shown."""
        lines = {line.item_id: line for line in self.lines if line.item_id is not None}
        by_code: dict[str, list[tuple[Line | None, Notice]]] = {}
        for notice in self.notices:
            item = notice.budget_line_item_id
            by_code.setdefault(notice.code, []).append((None if item is None else lines.get(item), notice))
        return tuple((code, tuple(notices)) for code, notices in by_code.items())


def read_line(
    values: Mapping[str, Any], held: Mapping[LineKey, ReadLine] | None = None, notices: tuple[Notice, ...] = ()
) -> Line:
    """Read a line of an export or of a request for approval.

    Args:
        values: under the names of the contract.
        held: what Spectrum was last read to hold.
        notices: about this line.
    """

    def read(name: str) -> int | None:
        amount = values.get(name)
        return None if amount is None else read_cents(amount)

    phase, cost_type = values["phase_code"], values["cost_type"]
    return Line(
        phase,
        cost_type,
        values["description"],
        read_cents(values["original_estimate_cost"]),
        read_cents(values["revision_amount"]),
        read("previous_original_estimate_cost"),
        read("previous_revision_amount"),
        values["change"],
        read("original_estimate_quantity"),
        values.get("unit_of_measure"),
        values["budget_line_item_id"],
        held.get((phase, cost_type)) if held else None,
        notices,
    )


def _group(lines: Iterable[Line], name: str) -> tuple[Totals, ...]:
    ordered = sorted(lines, key=attrgetter(name))
    return tuple(add_up(value, tuple(group)) for value, group in groupby(ordered, attrgetter(name)))


def add_up(name: str, lines: Sequence[Line]) -> Totals:
    """Add up lines."""
    return Totals(
        name,
        len(lines),
        sum(line.original for line in lines),
        sum(line.revision for line in lines),
        sum(line.before or 0 for line in lines),
    )

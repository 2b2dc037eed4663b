"""What was checked and what was found to differ: for people as a table, for programs as JSON."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from worker.console import Console

SHOWN: Final = 20


class DifferenceKind(StrEnum):
    """In which way something differs."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    ALTERED = "altered"
    UNEXPLAINED = "unexplained"


class Difference(NamedTuple):
    """One difference, in a sentence that says where."""

    claim: str
    kind: DifferenceKind
    budget: BudgetKey | None
    what: str


@dataclass(slots=True)
class Claim:
    """One thing that must hold, and how it stood."""

    name: str
    says: str
    checked: int = 0
    waiting: int = 0
    """On its way: not due to be there yet."""
    notes: Counter[str] = field(default_factory=Counter)
    """What could not be compared and why, or is worth knowing; none of it is a difference."""
    differences: Counter[DifferenceKind] = field(default_factory=Counter)


@dataclass(slots=True)
class Findings:
    """All claims, with the first differences of each and their number for each budget."""

    claims: dict[str, Claim] = field(default_factory=dict)
    first: list[Difference] = field(default_factory=list)
    budgets: Counter[BudgetKey] = field(default_factory=Counter)

    def claim(self, name: str, says: str) -> Claim:
        """Begin to check something."""
        self.claims[name] = Claim(name, says)
        return self.claims[name]

    def differ(self, claim: Claim, kind: DifferenceKind, what: str, budget: BudgetKey | None = None) -> None:
        """Note a difference."""
        if claim.differences.total() < SHOWN:
            self.first.append(Difference(claim.name, kind, budget, what))
        claim.differences[kind] += 1
        if budget:
            self.budgets[budget] += 1

    @property
    def are_clean(self) -> bool:
        """Whether nothing differs."""
        return not any(claim.differences for claim in self.claims.values())

    def count(self) -> Mapping[DifferenceKind, int]:
        """Count the differences of each kind."""
        total: Counter[DifferenceKind] = Counter()
        for claim in self.claims.values():
            total += claim.differences
        return {kind: total[kind] for kind in DifferenceKind}


def write_findings(findings: Findings) -> dict[str, object]:
    """Write findings for programs."""
    return {
        "clean": findings.are_clean,
        "counts": {kind.value: number for kind, number in findings.count().items()},
        "claims": [
            {
                "name": claim.name,
                "says": claim.says,
                "checked": claim.checked,
                "waiting": claim.waiting,
                "notes": dict(claim.notes),
                "differences": claim.differences.total(),
            }
            for claim in findings.claims.values()
        ],
        "budgets": {str(key): number for key, number in findings.budgets.most_common()},
        "first_differences": [
            {"claim": one.claim, "kind": one.kind, "budget": str(one.budget) if one.budget else None, "what": one.what}
            for one in findings.first
        ],
    }


def show_findings(findings: Findings, console: Console) -> None:
    """Show findings to a person."""
    rows = []
    for claim in findings.claims.values():
        rows.append([claim.says, str(claim.checked), str(claim.waiting or ""), str(claim.differences.total())])
        rows.extend([f"  {number} {note}"] for note, number in claim.notes.items())
    console.print_table(("what must hold", "checked", "on its way", "differs"), rows)
    if findings.are_clean:
        console.print("\nnothing differs")
        return
    counts = ", ".join(f"{number} {kind}" for kind, number in findings.count().items() if number)
    console.print(f"\n{counts}" + (f"; {len(findings.budgets)} budgets concerned" if findings.budgets else ""))
    for one in findings.first:
        console.print(f"  {one.kind}: {f'budget {one.budget}: ' if one.budget else ''}{one.what}")

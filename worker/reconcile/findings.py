"""Collects what was checked and what differs, and writes it as lines of text and as JSON."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey

SHOWN: Final = 20
"""How many differences of each claim are kept with their text; the others are counted."""
MAX_BUDGETS: Final = 10_000
"""For how many budgets differences are counted one by one."""


class DifferenceKind(StrEnum):
    """The way in which something differs."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    ALTERED = "altered"
    UNEXPLAINED = "unexplained"


class Difference(NamedTuple):
    """One difference, in a sentence that names the place."""

    claim: str
    kind: DifferenceKind
    budget: BudgetKey | None
    what: str

    @property
    def digest(self) -> bytes:
        """Identifies the difference: it has the same digest when it is found again."""
        text = "\n".join((self.claim, self.kind, str(self.budget or ""), self.what))
        return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


@dataclass(slots=True)
class Claim:
    """One statement that must hold: how often it was checked, and how often it does not hold."""

    name: str
    statement: str
    """What must hold, as a sentence."""
    checked: int = 0
    waiting: int = 0
    """What is on its way, and not expected to be there yet."""
    accepted: int = 0
    """Differences that a person has accepted."""
    notes: Counter[str] = field(default_factory=Counter)
    """What could not be compared and why, and other notes; none of it is a difference."""
    differences: Counter[DifferenceKind] = field(default_factory=Counter)


@dataclass(slots=True)
class Findings:
    """All claims, with the first differences of each, and the number of differences of each budget."""

    accepted: frozenset[bytes] = frozenset()
    """The digests of differences that were accepted before."""
    collect: Callable[[Difference], None] | None = None
    """Called with every difference, for whoever needs more than the first ones."""
    claims: dict[str, Claim] = field(default_factory=dict)
    first: list[Difference] = field(default_factory=list)
    budgets: Counter[BudgetKey] = field(default_factory=Counter)
    """How many differences each budget has; only of the first ``MAX_BUDGETS`` budgets."""

    def claim(self, name: str, statement: str) -> Claim:
        """Add a claim that is about to be checked: a short name, and a sentence that must hold."""
        self.claims[name] = Claim(name, statement)
        return self.claims[name]

    def differ(self, claim: Claim, kind: DifferenceKind, what: str, budget: BudgetKey | None = None) -> None:
        """Record a difference, unless it was accepted before.

        Args:
            claim: what does not hold.
            kind: in which way.
            what: a sentence about it; the same difference must always give the same sentence.
            budget: the budget that it concerns, if any.
        """
        found = Difference(claim.name, kind, budget, what)
        if self.accepted and found.digest in self.accepted:
            claim.accepted += 1
            return
        if claim.differences.total() < SHOWN:
            self.first.append(found)
        claim.differences[kind] += 1
        if budget and (budget in self.budgets or len(self.budgets) < MAX_BUDGETS):
            self.budgets[budget] += 1
        if self.collect:
            self.collect(found)

    @property
    def are_clean(self) -> bool:
        """Whether nothing differs, apart from what was accepted."""
        return not any(claim.differences for claim in self.claims.values())

    def count(self) -> Mapping[DifferenceKind, int]:
        """Count the differences of each kind."""
        total: Counter[DifferenceKind] = Counter()
        for claim in self.claims.values():
            total += claim.differences
        return {kind: total[kind] for kind in DifferenceKind}


def write_findings(findings: Findings) -> dict[str, object]:
    """Write findings as JSON."""
    return {
        "clean": findings.are_clean,
        "counts": {kind.value: number for kind, number in findings.count().items()},
        "accepted": sum(claim.accepted for claim in findings.claims.values()),
        "claims": [
            {
                "name": claim.name,
                "says": claim.statement,
                "checked": claim.checked,
                "waiting": claim.waiting,
                "accepted": claim.accepted,
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


def format_findings(findings: Findings) -> Iterator[str]:
    """Format findings as lines of text; the figures come first in each, so that no terminal cuts them off."""
    yield "   checked  on its way  accepted  differs  what must hold"
    for claim in findings.claims.values():
        waiting, accepted = claim.waiting or "", claim.accepted or ""
        yield f"{claim.checked:>10}{waiting:>12}{accepted:>10}{claim.differences.total():>9}  {claim.statement}"
        for note, number in claim.notes.items():
            yield f"{number:>10}  {note}"
    yield ""
    if accepted := sum(claim.accepted for claim in findings.claims.values()):
        yield f"{accepted} differences were accepted before: `budget-bridge reconcile --accepted` lists them"
    if findings.are_clean:
        yield "nothing else differs" if accepted else "nothing differs"
        return
    counts = ", ".join(f"{number} {kind}" for kind, number in findings.count().items() if number)
    more = " or more" if len(findings.budgets) == MAX_BUDGETS else ""
    yield f"{counts}; {len(findings.budgets)}{more} budgets concerned" if findings.budgets else counts
    for one in findings.first:
        yield f"  {one.kind}: {f'budget {one.budget}: ' if one.budget else ''}{one.what}"

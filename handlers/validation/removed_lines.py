"""Lines that Spectrum holds with an amount and that a version lacks, which the rules can forbid."""

from collections.abc import Collection, Iterable, Iterator

from contracts.outbound import BudgetError
from handlers.adoption import find_adopted
from handlers.budget import Budget, SpectrumLine, Target
from handlers.import_state import AdoptedLine
from handlers.rules import Rules
from handlers.spectrum_lines import index_base_lines
from handlers.validation.errors import Problem


def find_removed_lines(
    targets: Collection[tuple[str, str]], budget: Budget, target: Target, rules: Rules
) -> Iterator[BudgetError]:
    """Find, under ``removed_lines = "block"``, the lines with an amount that Spectrum holds and the version lacks.

    Args:
        targets: phase and cost type of each line of the version.
        budget: whose base, or whose imported lines, Spectrum holds.
        target: where the version goes.
        rules: which have the policy.
    """
    if rules.removed_lines != "block":
        return
    present = frozenset(targets)
    adopted = find_adopted(budget, target)
    held: Iterable[SpectrumLine | AdoptedLine] = adopted.lines if adopted else index_base_lines(budget.base).values()
    for line in held:
        if line[:2] not in present and (line.original or line.revision):
            message = (
                f"Spectrum holds phase {line.phase_code}, cost type {line.cost_type} with an amount, and this version "
                f"lacks it; keep the line, at 0.00 if nothing is left of it."
            )
            yield Problem("lines", "removed_line", message).of_line(line.item_id)

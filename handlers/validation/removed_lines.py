"""Lines that Spectrum holds with an amount and that a version lacks, which the rules can forbid."""

from collections.abc import Collection, Iterator

from contracts.outbound import BudgetError
from handlers.budget import Export
from handlers.rules import Rules
from handlers.spectrum_lines import index_base_lines
from handlers.validation.errors import Problem


def find_removed_lines(
    targets: Collection[tuple[str, str]], base: Export | None, rules: Rules
) -> Iterator[BudgetError]:
    """Find, under ``removed_lines = "block"``, the lines with an amount that the base has and the version lacks.

    Args:
        targets: phase and cost type of each line of the version.
        base: the last export that Spectrum acknowledged with success.
        rules: which have the policy.
    """
    if rules.removed_lines != "block":
        return
    present = frozenset(targets)
    for key, line in index_base_lines(base).items():
        if key not in present and not line.is_zero:
            message = (
                f"Spectrum holds phase {line.phase_code}, cost type {line.cost_type} with an amount, and this version "
                f"lacks it; keep the line, at 0.00 if nothing is left of it."
            )
            yield Problem("lines", "removed_line", message).of_line(line.item_id)

"""The imported lines: adopted from what was offered, and found again for a version of the same job and currency."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from contracts.text import is_blank
from handlers.budget import Budget, SentLine, SpectrumLine, Target
from handlers.import_offer import Offered
from handlers.import_state import Adopted, AdoptedLine
from handlers.readings import LineKey
from handlers.rules import DEFAULT_PRICE_METHOD, Rules
from handlers.validation.descriptions import shorten_description


def find_adopted(budget: Budget, target: Target) -> Adopted | None:
    """Find the imported lines that count for a version: those of its job and currency; with a base there are none."""
    adopted = budget.imports.adopted if budget.imports else None
    return adopted if adopted is not None and adopted[1:4] == target else None


def adopt_lines(
    before: Adopted | None,
    offered: Iterable[Offered],
    taken: Mapping[LineKey, int | None],
    identity: tuple[UUID, Target],
    rules: Rules,
) -> Adopted | None:
    """Adopt what the project side has taken; the rest stays as it was.

    Args:
        before: what was adopted so far, of the same job and currency.
        offered: everything that was offered.
        taken: which of it was taken, each with the item id that was named, if any.
        identity: of the import, and where its lines are in Spectrum.
        rules: which have the price methods.

    Returns:
        The imported lines; ``None`` where there are none left.
    """
    methods = {kind.spectrum_cost_type: kind.price_method_code for kind in rules.cost_types.values()}
    lines = {line[:2]: line for line in before.lines} if before else {}
    for line in offered:
        if line.key not in taken:
            continue
        if line.change == "gone":
            del lines[line.key]
            continue
        told = taken[line.key]
        lines[line.key] = AdoptedLine(
            *line.key,
            line.item_id if told is None else told,
            _choose_description(line),
            line.original,
            line.revision,
            methods.get(line.key[1], DEFAULT_PRICE_METHOD),
        )
    import_id, target = identity
    return Adopted(import_id, *target, tuple(sorted(lines.values()))) if lines else None


def _choose_description(line: Offered) -> str:
    """Choose what an export can write: Spectrum may hold a longer one, or none at all."""
    shortened = shorten_description(line.description)
    return line.key[0] if is_blank(shortened) else shortened


def list_as_sent(adopted: Adopted) -> dict[LineKey, SentLine]:
    """List the imported lines as if an export had sent them: a version that lacks one has it set to zero."""
    return {
        line[:2]: SentLine(
            line.phase_code, line.cost_type, line.item_id, line.description, line.price_method_code, None, at_zero=False
        )
        for line in adopted.lines
    }


def index_adopted(adopted: Adopted, lines: Iterable[SpectrumLine]) -> dict[LineKey, SpectrumLine]:
    """Index what each line is compared with: the line itself, with the two amounts that were adopted."""
    known = {line[:2]: line for line in adopted.lines}
    return {
        line.key: line._replace(original=before.original, revision=before.revision)
        for line in lines
        if (before := known.get(line.key))
    }

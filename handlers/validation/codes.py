"""Phase and cost type of each line: Spectrum's own codes where the line carries them, otherwise those of the maps."""

from collections.abc import Iterator, Sequence

from handlers.rules import DEFAULT_PRICE_METHOD, CostType, Phase, Rules
from handlers.validation.columns import NO_PROBLEMS, Columns, Problems
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import FORBIDDEN_IN_KEYS, MAX_COST_TYPE, MAX_PHASE


def find_phases(columns: Columns, rules: Rules) -> Sequence[Phase | None]:
    """Find the phase of each line; ``None`` where it has none of its own and ``phases.csv`` has no row."""
    mapped = [rules.phases.get(code) for code in columns.cost_codes]
    if not any(columns.phase_codes):
        return mapped
    # The map's description counts only where its row leads to the same phase.
    return [
        phase if own is None or (phase and phase.phase_code == own) else Phase(own, None)
        for own, phase in zip(columns.phase_codes, mapped, strict=True)
    ]


def find_cost_types(columns: Columns, rules: Rules) -> Sequence[CostType | None]:
    """Find the cost type of each line, which has its price method, wherever the line has it from."""
    mapped = [rules.cost_types.get(name) for name in columns.cost_types]
    if not any(columns.spectrum_cost_types):
        return mapped
    methods = {kind.spectrum_cost_type: kind.price_method_code for kind in rules.cost_types.values()}
    return [
        kind if own is None else CostType(own, methods.get(own, DEFAULT_PRICE_METHOD))
        for own, kind in zip(columns.spectrum_cost_types, mapped, strict=True)
    ]


def check_codes(columns: Columns) -> Problems:
    """Check the codes that lines carry, as ``rules check`` checks those of the maps."""
    if not any(columns.phase_codes) and not any(columns.spectrum_cost_types):
        return NO_PROBLEMS
    return {
        number: [
            *_check_code("phase_code", phase or "", MAX_PHASE),
            *_check_code("spectrum_cost_type", kind or "", MAX_COST_TYPE),
        ]
        for number, (phase, kind) in enumerate(zip(columns.phase_codes, columns.spectrum_cost_types, strict=True))
    }


def _check_code(field: str, code: str, limit: int) -> Iterator[Problem]:
    if len(code) > limit:
        message = f"{shorten_value(code)} is longer than the {limit} characters that Spectrum takes."
        yield Problem(field, "too_long", message)
    if found := FORBIDDEN_IN_KEYS.search(code):
        message = f"{shorten_value(repr(code))} has {found[0]!r}, which Spectrum does not take in a key."
        yield Problem(field, "forbidden_character", message)
    elif field == "phase_code" and "-" in code:
        message = f"{shorten_value(repr(code))} has a dash; Spectrum takes phases without."
        yield Problem(field, "forbidden_character", message)

"""The maps read backwards: which code of the project side leads to one of Spectrum's. Never by similarity."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from handlers.rules import Rules


class ReverseMap(NamedTuple):
    """The project side's code for each of Spectrum's, and those of Spectrum's to which several lead, none preferred."""

    codes: Mapping[str, str]
    ambiguous: frozenset[str]


def reverse_phases(rules: Rules) -> ReverseMap:
    """Read ``phases.csv`` backwards."""
    return _reverse((phase.phase_code, code, phase.preferred) for code, phase in rules.phases.items())


def reverse_cost_types(rules: Rules) -> ReverseMap:
    """Read ``cost_types.csv`` backwards."""
    return _reverse((kind.spectrum_cost_type, name, kind.preferred) for name, kind in rules.cost_types.items())


def _reverse(rows: Iterable[tuple[str, str, bool]]) -> ReverseMap:
    every: dict[str, list[str]] = {}
    preferred: dict[str, str] = {}
    for target, code, is_preferred in rows:
        every.setdefault(target, []).append(code)
        if is_preferred:
            preferred[target] = code
    only = {target: codes[0] for target, codes in every.items() if len(codes) == 1}
    codes = only | preferred
    return ReverseMap(codes, frozenset(every.keys() - codes.keys()))

"""Descriptions: in Spectrum they belong to the phase, and all its cost types share one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from contracts.text import has_control_character, is_blank
from handlers.rules import Phase, Rules
from handlers.validation.columns import NO_PROBLEMS, Problems
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_DESCRIPTION

_SHOWN_CANDIDATES: Final = 3

Candidates = Mapping[str, Mapping[str, None]]
"""The descriptions that each phase is given, by phase code, in order."""


def collect_descriptions(phases: Sequence[Phase | None], descriptions: Sequence[str]) -> Candidates:
    """Collect what each phase is called; where ``phases.csv`` has a description, that alone counts.

    Args:
        phases: of each line, where it has one.
        descriptions: of each line.
    """
    by_map: dict[str, dict[str, None]] = {}
    by_line: dict[str, dict[str, None]] = {}
    for phase, description in zip(phases, descriptions, strict=True):
        if phase is None:
            continue
        found = by_line.get(phase.phase_code)
        if found is None:
            found = by_line[phase.phase_code] = {}
        if not is_blank(description):
            found[description] = None
        if phase.description and not is_blank(phase.description):
            by_map.setdefault(phase.phase_code, {})[phase.description] = None
    return by_line | by_map


def choose_description(phase: Phase | None, description: str, candidates: Candidates) -> str:
    """Choose a line's description: its own or its map row's if it counts, else the first of the phase's.

    Args:
        phase: of the line; ``None`` if it is not mapped.
        description: its own.
        candidates: of all phases.
    """
    if phase is None:
        return description
    counting = candidates[phase.phase_code]
    own = phase.description if phase.description and not is_blank(phase.description) else description
    return own if own in counting else min(counting, default="")


def check_phases(phases: Sequence[Phase | None], candidates: Candidates) -> Problems:
    """Check that each phase has exactly one description."""
    wrong = {code: [_describe_candidates(code, found)] for code, found in candidates.items() if len(found) != 1}
    if not wrong:
        return NO_PROBLEMS
    return {
        number: wrong[phase.phase_code] for number, phase in enumerate(phases) if phase and phase.phase_code in wrong
    }


def _describe_candidates(phase_code: str, found: Mapping[str, None]) -> Problem:
    shown = shorten_value(phase_code)
    if not found:
        return Problem("description", "description_missing", f"Phase {shown} has no description.")
    several = ", ".join(repr(description) for description in sorted(found)[:_SHOWN_CANDIDATES])
    message = f"The lines of phase {shown} disagree about its description: {several}."
    return Problem("description", "description_conflict", message)


def check_descriptions(descriptions: Sequence[str], rules: Rules) -> Problems:
    """Check length and characters; where the rules have a description shortened, that something is left of it."""
    if all(map(str.isprintable, descriptions)) and max(map(len, descriptions), default=0) <= MAX_DESCRIPTION:
        return NO_PROBLEMS
    return {number: list(_check_description(found, rules)) for number, found in enumerate(descriptions)}


def _check_description(description: str, rules: Rules) -> Iterator[Problem]:
    if len(description) > MAX_DESCRIPTION and rules.long_descriptions == "reject":
        message = f"{description!r} has {len(description)} characters; Spectrum takes {MAX_DESCRIPTION}."
        yield Problem("description", "too_long", message)
    if not is_blank(description) and is_blank(shorten_description(description)):
        message = f"Nothing of {description!r} can be seen in its first {MAX_DESCRIPTION} characters."
        yield Problem("description", "description_missing", message)
    if has_control_character(description):
        yield Problem("description", "forbidden_character", f"{description!r} has a control character.")


def shorten_description(description: str) -> str:
    """Cut a description that is too long at a word, or at the limit where its first word is longer."""
    if len(description) <= MAX_DESCRIPTION:
        return description
    at_word = description[: description.rfind(" ", 0, MAX_DESCRIPTION + 1) + 1].rstrip()
    return at_word or description[:MAX_DESCRIPTION]

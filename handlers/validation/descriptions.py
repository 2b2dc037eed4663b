"""Descriptions: in Spectrum they belong to the phase, and all its cost types share one."""

from collections.abc import Mapping, Sequence
from typing import Final

from contracts.inbound import BudgetLine
from contracts.text import has_control_character, is_blank
from handlers.rules import Phase, Rules
from handlers.validation.errors import Problem
from handlers.validation.limits import MAX_DESCRIPTION

_SHOWN_CANDIDATES: Final = 3

Candidates = Mapping[str, Mapping[str, None]]
"""The descriptions that each phase is given, by phase code, in order."""


def collect_descriptions(lines: Sequence[BudgetLine], rules: Rules) -> Candidates:
    """Collect what each phase is called; where ``phases.csv`` has a description, that alone counts."""
    by_map: dict[str, dict[str, None]] = {}
    by_line: dict[str, dict[str, None]] = {}
    for line in lines:
        phase = rules.phases.get(line.cost_code)
        if phase is None:
            continue
        found = by_line.setdefault(phase.phase_code, {})
        if not is_blank(line.description):
            found[line.description] = None
        if phase.description and not is_blank(phase.description):
            by_map.setdefault(phase.phase_code, {})[phase.description] = None
    return by_line | by_map


def choose_description(line: BudgetLine, phase: Phase, candidates: Candidates) -> str:
    """Choose a line's description: its own or its map row's if it counts, else the first of the phase's."""
    counting = candidates[phase.phase_code]
    own = phase.description if phase.description and not is_blank(phase.description) else line.description
    return own if own in counting else min(counting, default="")


def check_phase(phase_code: str, candidates: Candidates) -> Sequence[Problem]:
    """Check that a phase has exactly one description."""
    counting = candidates[phase_code]
    if len(counting) == 1:
        return ()
    if not counting:
        return (Problem("description", "description_missing", f"Phase {phase_code} has no description."),)
    several = ", ".join(repr(description) for description in sorted(counting)[:_SHOWN_CANDIDATES])
    message = f"The lines of phase {phase_code} disagree about its description: {several}."
    return (Problem("description", "description_conflict", message),)


def check_description(description: str, rules: Rules) -> Sequence[Problem]:
    """Check a description's length and characters; where the rules have it shortened, that something is left."""
    if len(description) <= MAX_DESCRIPTION and description.isprintable():
        return ()
    problems = []
    if len(description) > MAX_DESCRIPTION and rules.long_descriptions == "reject":
        message = f"{description!r} has {len(description)} characters; Spectrum takes {MAX_DESCRIPTION}."
        problems.append(Problem("description", "too_long", message))
    if not is_blank(description) and is_blank(shorten_description(description)):
        message = f"Nothing of {description!r} can be seen in its first {MAX_DESCRIPTION} characters."
        problems.append(Problem("description", "description_missing", message))
    if has_control_character(description):
        message = f"{description!r} has a control character."
        problems.append(Problem("description", "forbidden_character", message))
    return problems


def shorten_description(description: str) -> str:
    """Cut a description that is too long at a word, or at the limit where its first word is longer."""
    if len(description) <= MAX_DESCRIPTION:
        return description
    at_word = description[: description.rfind(" ", 0, MAX_DESCRIPTION + 1) + 1].rstrip()
    return at_word or description[:MAX_DESCRIPTION]

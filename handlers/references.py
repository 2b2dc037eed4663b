"""Chooses the change reference of an export.

In Spectrum a change request is unique by company, job, customer and number, whichever budget it came from. So a project
counts its references over all its budgets, and uses none twice.
"""

from typing import Final

from handlers.budget import Budget
from handlers.decision import Situation

MAX_REFERENCE: Final = 9_999_999
"""A reference is B and seven digits."""


def choose_reference(budget: Budget, situation: Situation) -> int:
    """Choose the number in the change reference of the next export.

    Args:
        budget: so far; one release can decide several of its messages, so it may be ahead of the situation.
        situation: what else deciding sees.
    """
    job = situation.rules.jobs.get(budget.key.project)
    return max(job.first_reference if job else 1, budget.last_reference + 1, situation.last_reference + 1)

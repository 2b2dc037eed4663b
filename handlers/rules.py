"""What accounting decides beforehand, as the core sees it: policies, maps and approvers.

Reading and checking the files is left to the worker; here everything is already in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple

from contracts.fields import PriceMethod


class Job(NamedTuple):
    """Where a project's budget belongs in Spectrum."""

    company_code: str
    job_number: str


class Phase(NamedTuple):
    """What a cost code is called in Spectrum; a description here wins over the lines' own."""

    phase_code: str
    description: str | None


class CostType(NamedTuple):
    """What a cost type is called in Spectrum, and how it is priced."""

    spectrum_cost_type: str
    price_method_code: PriceMethod


def fold_user(user: str) -> str:
    """Bring a user into the form in which users are compared: without case and surrounding space."""
    return user.strip().casefold()


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of the rules; every history row names the one that it was decided by."""

    jobs: Mapping[tuple[int, int], Job] = field(default_factory=dict)
    phases: Mapping[str, Phase] = field(default_factory=dict)
    cost_types: Mapping[str, CostType] = field(default_factory=dict)
    approvers: Mapping[tuple[int, int | None], frozenset[str]] = field(default_factory=dict)
    """Folded users by company and project; no project means the whole company."""

    four_eyes: bool = True
    require_content_hash: bool = False
    removed_lines: Literal["zero", "block"] = "zero"
    long_descriptions: Literal["reject", "shorten"] = "reject"
    quantities: bool = False
    acknowledgement_deadline: timedelta = timedelta(hours=4)
    parked_expiry: timedelta = timedelta(days=7)
    parked_limit: int = 20

    def may_approve(self, user: str, company_id: int, project_id: int) -> bool:
        """Tell whether the user is among the approvers of the project or of its company."""
        folded = fold_user(user)
        return any(folded in self.approvers.get((company_id, project), frozenset()) for project in (project_id, None))

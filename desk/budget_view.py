"""What the page of one budget shows, put together from its story and the dry run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.drift import ErpDrift
from contracts.outbound import BudgetStatus
from desk.lines import Shown, name_anchor
from desk.page import Page
from desk.preview import Preview, list_who_may_accept, make_acceptance, preview
from desk.sent_lines import show_lines
from handlers.budget import Budget, Status, Target
from handlers.decision import Situation, describe_status
from handlers.drift import describe_drift
from handlers.rules import fold_user
from outbox.approvals import read_situations
from outbox.story import Story
from worker.reports.budget_report import describe_next_step, find_target

STATUS_WORDS: Final[Mapping[Status, str]] = {
    Status.INVALID: "not valid",
    Status.PENDING_APPROVAL: "waits for approval",
    Status.EXPORTING: "on its way to Spectrum",
    Status.EXPORT_FAILED: "its export failed",
    Status.RETURNED: "returned to the project side",
    Status.SYNCED: "in Spectrum",
}
_WAITING: Final = {Status.PENDING_APPROVAL, Status.EXPORT_FAILED}


@dataclass(frozen=True, slots=True)
class Decidable:
    """Whether this person may accept, from the dry run, and who else may."""

    acceptance: Preview
    because: str
    """Why they may, in words."""
    others: tuple[str, ...]
    """Who else may accept."""


@dataclass(frozen=True, slots=True)
class BudgetView:
    """Everything that the page shows."""

    story: Story
    budget: Budget | None
    status: BudgetStatus | None
    words: str
    target: Target | None
    shown: Shown | None
    decidable: Decidable | None
    """``None`` where nothing is to be decided."""
    drift: ErpDrift | None
    next_step: str

    @property
    def name(self) -> str:
        """What people call it: its job, or else its key."""
        return f"Job {self.target.job_number}" if self.target else f"Budget {self.story.key}"

    @property
    def kind(self) -> str:
        """What the current version is to Spectrum, in words."""
        version, base = (self.budget.version, self.budget.base) if self.budget else (None, None)
        if version is None or base is None:
            return "first export"
        return "as it is in Spectrum" if base.version == version.number else f"re-sync of version {base.version}"

    @property
    def linked(self) -> frozenset[str]:
        """The names of rows that Spectrum's refusals link to."""
        failed = self.budget.failed_lines if self.budget else ()
        return frozenset(name_anchor(one.phase_code or "", one.cost_type or "") for one in failed)


async def view_budget(page: Page, story: Story) -> BudgetView:
    """Put together what the page of a budget shows.

    Args:
        page: in whose transaction the story was read.
        story: of the budget.
    """
    budget = story.budget
    status = describe_status(budget) if budget else None
    decidable = None
    if budget and budget.status in _WAITING:
        situations = await read_situations(page.connection, [story.key.project], page.rules.rules, page.now)
        decidable = _decide_beforehand(page, budget, situations[story.key.project].narrow(story.key))
    return BudgetView(
        story,
        budget,
        status,
        STATUS_WORDS[budget.status] if budget and budget.status else "no version was locked yet",
        find_target(budget) if budget else None,
        show_lines(budget) if budget else None,
        decidable,
        describe_drift(budget) if budget else None,
        describe_next_step(status) if status else "",
    )


def _decide_beforehand(page: Page, budget: Budget, situation: Situation) -> Decidable | None:
    user = page.person.user
    acceptance = make_acceptance(budget, user, page.now)
    if acceptance is None:
        return None
    others = list_who_may_accept(budget, page.rules.rules, situation, page.services.key)
    return Decidable(
        preview(budget, acceptance, situation, page.services.key),
        ", ".join(_list_reasons(page, budget)),
        tuple(other for other in others if other != fold_user(user)),
    )


def _list_reasons(page: Page, budget: Budget) -> Iterator[str]:
    company, project = budget.key.project
    is_of_all = (company, None) in page.rights.approves
    yield f"approver of company {company}" if is_of_all else f"approver of project {company}/{project}"
    version = budget.version
    if page.rules.rules.four_eyes and version and version.sent_by and version.locked_by:
        sent, locked = version.sent_by, version.locked_by
        both = f"sent and locked by {sent}" if sent == locked else f"sent by {sent} and locked by {locked}"
        yield f"{both}, not by you"

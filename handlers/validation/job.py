"""Checks of where a budget goes in Spectrum: its job, its currency, and that no other budget has the job."""

from collections.abc import Iterator

from contracts.inbound import BudgetLocked
from handlers.budget import Budget, Proposal
from handlers.decision import Situation
from handlers.references import MAX_REFERENCE, choose_reference
from handlers.rules import Job, Rules
from handlers.validation.errors import Problem


def check_job(job: Job | None, lock: BudgetLocked, budget: Budget, taken_by: int | None) -> Iterator[Problem]:
    """Check a version's job and currency.

    Args:
        job: what ``jobs.csv`` gives the project.
        lock: the version.
        budget: its budget, which Spectrum may already hold elsewhere.
        taken_by: another budget of the project that has the job.
    """
    held = budget.spectrum_target
    if job is None:
        message = f"Project {lock.company_id}/{lock.project_id} has no row in jobs.csv; accounting must add one."
        yield Problem("project_id", "unmapped_project", message)
    elif held and job[:2] != held[:2]:
        message = (
            f"Spectrum may hold this budget under job {held.job_number} of company {held.company_code}, but jobs.csv "
            f"now says job {job.job_number} of company {job.company_code}; check Spectrum, then use "
            f"`budget-bridge reset {budget.key}`."
        )
        yield Problem("job_number", "job_changed", message)
    if held and lock.currency != held.currency:
        message = (
            f"Spectrum may hold this budget in {held.currency}, but this version is in {lock.currency}; check "
            f"Spectrum, then use `budget-bridge reset {budget.key}`."
        )
        yield Problem("currency", "currency_changed", message)
    if taken_by is not None:
        other = budget.key._replace(budget_id=taken_by)
        message = (
            f"Budget {taken_by} of this project already has the job; take that one back, or, once Spectrum holds "
            f"nothing of it, use `budget-bridge reset {other}`."
        )
        yield Problem("budget_id", "job_taken", message)


def check_same_job(budget: Budget, proposal: Proposal, rules: Rules) -> Iterator[Problem]:
    """Check at acceptance that the project still has the job for which its budget was sent."""
    job = rules.jobs.get(budget.key.project)
    if job is None or job[:2] != proposal.target[:2]:
        now = f"job {job.job_number} of company {job.company_code}" if job else "no job"
        was = f"job {proposal.target.job_number} of company {proposal.target.company_code}"
        message = (
            f"It was sent for {was}, but jobs.csv now says {now}: send the budget again, or, if Spectrum holds it "
            f"there, first use `budget-bridge reset {budget.key}`."
        )
        yield Problem("job_number", "job_changed", message)


def check_references(budget: Budget, situation: Situation) -> Iterator[Problem]:
    """Check that a change reference is left for an export."""
    if choose_reference(budget, situation) > MAX_REFERENCE:
        message = (
            f"The change references of this project are used up: B{MAX_REFERENCE} is the last one. Correct its "
            f"first_reference in jobs.csv, or export the budget in another project."
        )
        yield Problem("job_number", "no_reference_left", message)

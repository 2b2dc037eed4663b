"""A version is validated twice: in full when it becomes current, and partly once more when it is accepted."""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.inbound import BudgetLocked
from contracts.outbound import BudgetError
from handlers.budget import Budget, Proposal, Target
from handlers.decision import Situation
from handlers.spectrum_lines import hash_content
from handlers.validation.amounts import check_total
from handlers.validation.columns import Columns, read_columns
from handlers.validation.errors import Problem
from handlers.validation.job import check_job, check_references, check_same_job
from handlers.validation.limits import MAX_LINES
from handlers.validation.lines import map_lines
from handlers.validation.removed_lines import find_removed_lines


@dataclass(frozen=True, slots=True)
class Valid:
    """A valid version: what an approver is asked to accept, and its hash."""

    proposal: Proposal
    content_hash: str


def check_budget(
    lock: BudgetLocked, columns: Columns, budget: Budget, situation: Situation
) -> Valid | tuple[BudgetError, ...]:
    """Check a version that becomes current.

    Args:
        lock: the version.
        columns: the fields of all its lines.
        budget: so far.
        situation: what else deciding sees.

    Returns:
        What an approver is asked to accept, or else everything that is wrong.
    """
    rules = situation.rules
    job = rules.jobs.get(budget.key.project)
    if len(lock.lines) > MAX_LINES:
        # Beyond the limit one error is enough: a report on every further line could outgrow a message.
        columns = read_columns(lock.lines[:MAX_LINES])
    mapped = map_lines(columns, rules)
    # Without a job, no target is that of the imported lines.
    target = Target(job.company_code if job else "", job.job_number if job else "", lock.currency)
    errors = (
        *(problem.of_budget() for problem in _check_line_count(lock)),
        *(problem.of_budget() for problem in check_total(lock, columns, mapped.added)),
        *(problem.of_budget() for problem in check_job(job, lock, budget, situation.job_taken_by)),
        *mapped.errors,
        *find_removed_lines(mapped.targets, budget, target, rules),
    )
    if errors or job is None:
        return errors
    proposal = Proposal(target, int(mapped.added), mapped.lines, mapped.notices)
    return Valid(proposal, hash_content(target, mapped.lines))


def check_acceptance(budget: Budget, proposal: Proposal, situation: Situation) -> tuple[BudgetError, ...]:
    """Check what may have changed since the version became current: the job, the references left, and the base.

    Args:
        budget: with the base.
        proposal: what is accepted.
        situation: what else deciding sees.

    Returns:
        What is wrong; nothing if it can be exported.
    """
    rules = situation.rules
    return (
        *(problem.of_budget() for problem in check_same_job(budget, proposal, rules)),
        *(problem.of_budget() for problem in check_references(budget, situation)),
        *find_removed_lines([line.key for line in proposal.lines], budget, proposal.target, rules),
    )


def _check_line_count(lock: BudgetLocked) -> Iterator[Problem]:
    if not lock.lines:
        yield Problem("lines", "no_lines", "The budget has no lines.")
    if len(lock.lines) > MAX_LINES:
        message = f"The budget has {len(lock.lines)} lines; one budget can have at most {MAX_LINES}."
        yield Problem("lines", "too_many_lines", message)

"""Asks the ERP side to read a job, and asks again where there is no answer: three times in all."""

from typing import Final

from contracts.outbound import SnapshotRequested
from handlers.budget import Budget
from handlers.decision import Situation, Step
from handlers.ids import name_request
from handlers.imports import NO_SNAPSHOT, end_import
from handlers.read_back import OpenRequest, ReadBack

MOST_REQUESTS: Final = 3
"""How often the same is asked before it is given up."""


def ask_for_reading(
    budget: Budget, requested_by: str | None, situation: Situation, times: int = 1
) -> tuple[Budget, tuple[SnapshotRequested, ...]]:
    """Ask for what Spectrum holds of a budget; the request takes the place of an open one.

    Args:
        budget: with an import under way, or of which Spectrum may hold something; for any other nothing is asked.
        requested_by: who asks; ``None`` for the bridge itself.
        situation: what else deciding sees.
        times: how often it has been asked, including this one.

    Returns:
        The budget with the open request, and what is to be sent.
    """
    is_import = budget.open_import is not None
    # An import is of a budget of which Spectrum holds nothing yet.
    target = situation.rules.jobs.get(budget.key.project) if is_import else budget.spectrum_target
    if target is None:
        return budget, ()
    number = budget.next_request
    due_at = situation.at + situation.rules.snapshot_deadline
    request = OpenRequest(name_request(budget.key, number), requested_by, due_at, times)
    asked = SnapshotRequested(
        **budget.key._asdict(),
        request_id=request.id,
        company_code=target.company_code,
        job_number=target.job_number,
        purpose="import" if is_import else "read_back",
        requested_by=requested_by,
        due_at=due_at,
    )
    asking = budget.change_read_back(request=request, requests=number)
    return asking if is_import else plan_asking(asking, situation), (asked,)


def ask_after_success(budget: Budget, situation: Situation) -> tuple[Budget, tuple[SnapshotRequested, ...]]:
    """Ask what Spectrum holds now that it has taken an export whole, or plan when to ask."""
    if situation.rules.after_success:
        return ask_for_reading(budget, None, situation)
    return plan_asking(budget, situation), ()


def plan_asking(budget: Budget, situation: Situation) -> Budget:
    """Plan when the bridge asks by itself: ``every`` from now on, while there is a base."""
    every = situation.rules.every if budget.base else None
    due_at = situation.at + every if every else None
    if budget.read_back is None and due_at is None:
        return budget
    known = budget.read_back or ReadBack()
    return budget.change_read_back(ask_due_at=due_at, since=known.since or situation.at)


def ask_again(step: Step, request: OpenRequest, situation: Situation) -> tuple[Step, str]:
    """Ask again what nobody has answered, or give it up.

    Args:
        step: the budget so far.
        request: the open one.
        situation: what else deciding sees.

    Returns:
        The step, and what was done, in words.
    """
    budget, sends = ask_for_reading(step.budget, request.requested_by, situation, request.times + 1)
    if request.times >= MOST_REQUESTS or not sends:
        step = step.change(step.budget.change_read_back(request=None), situation.at)
        return end_import(step, "refused", situation, (NO_SNAPSHOT,)), f"given up after {request.times} requests"
    return step.change(budget, situation.at, *sends), f"asked again, for the {_ORDINALS[request.times + 1]} time"


_ORDINALS: Final = {2: "second", 3: "third"}

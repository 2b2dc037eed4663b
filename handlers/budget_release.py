"""An operator releases a budget that is on hold: its held messages are decided in order."""

from collections.abc import Callable

from contracts.cloudevents.message import Message
from contracts.inbound import BudgetRelease
from handlers.budget import Budget
from handlers.decision import Outcome, Resolved, Situation, Step, Verdict

Decide = Callable[[Budget, Message, Situation], Outcome]


def release_budget(step: Step, release: BudgetRelease, situation: Situation, decide: Decide) -> Outcome:
    """Decide on a release: ``retry`` decides every held message, ``skip`` all but the first.

    All of them are decided, or the release itself fails and the budget stays as it is.
    """
    if not step.budget.on_hold:
        return Outcome(step, Verdict.IGNORED, "nothing of this budget is held")
    by = f"{release.requested_by}: {release.reason}"
    held = list(situation.held)
    step = step.change(step.budget._replace(on_hold=False), situation.at)
    if release.action == "skip" and held:
        skipped = held.pop(0)
        step = step.resolve(
            Resolved(skipped.body.type, skipped.source, skipped.id, Verdict.IGNORED, f"skipped by {by}")
        )
    for message in held:
        outcome = decide(step.budget, message, situation._replace(held=()))
        step = step.follow(outcome.step)
        step = step.resolve(Resolved(message.body.type, message.source, message.id, outcome.verdict, outcome.detail))
    return Outcome(step, Verdict.APPLIED, f"{len(held)} held messages decided after a release by {by}")

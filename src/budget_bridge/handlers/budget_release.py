"""An operator asks for what is held of a budget to be taken up again."""

from budget_bridge.contracts.cloudevents import Message
from budget_bridge.contracts.inbound import BudgetRelease
from budget_bridge.handlers.decision import Outcome, Situation, Step, Verdict


def release_budget(step: Step, _: Message, release: BudgetRelease, situation: Situation) -> Outcome:  # noqa: ARG001
    """Decide on a release; a budget on hold never gets here, so nothing is held."""
    return Outcome(step, Verdict.IGNORED, "nothing of this budget is held")

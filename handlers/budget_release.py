"""An operator releases a budget that is on hold: its held messages are decided in order, piece by piece.

How many one piece decides is given. While some are left, every message of the budget queues behind them, and the timer
asks for the next piece.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from contracts.cloudevents.message import Message
from contracts.inbound import BudgetRelease, DeadlinePassed, InboundMessage
from handlers.budget import Budget
from handlers.decision import DeadLetter, MessageId, Outcome, Resolved, Situation, Step, Verdict

Decide = Callable[[Budget, Message, Situation], Outcome]

_APART: Final = timedelta(milliseconds=1)
"""At least between the times of two pieces: the time names the message that asks for a piece, and is as exact as it."""


def decides_held(body: InboundMessage) -> bool:
    """Check whether a message is to decide held ones: a release, or the timer's request to continue it."""
    return isinstance(body, BudgetRelease) or (isinstance(body, DeadlinePassed) and body.deadline == "release")


def release_held(step: Step, message: BudgetRelease | DeadlinePassed, situation: Situation, decide: Decide) -> Outcome:
    """Decide on a release, or on the next piece of one.

    All messages of a piece are decided, or the piece fails, and they stay held.

    Args:
        step: the budget so far.
        message: the release, or the timer's request to continue it.
        situation: its ``held`` has the messages of this piece.
        decide: ``handlers.decide.decide``, which imports this module.
    """
    if isinstance(message, DeadlinePassed):
        return _continue_release(step, situation, decide)
    return _begin_release(step, message, situation, decide)


def _begin_release(step: Step, release: BudgetRelease, situation: Situation, decide: Decide) -> Outcome:
    """Decide the first piece: with ``retry`` all of it, with ``skip`` all but its first message."""
    if not step.budget.on_hold:
        under_way = "a release is under way: what is still held is decided without another"
        return Outcome(step, Verdict.IGNORED, under_way if step.budget.releasing else "nothing of this budget is held")
    by = f"{release.requested_by}: {release.reason}"
    held = list(situation.held)
    step = step.change(step.budget._replace(on_hold=False, releasing=False), situation.at)
    if release.action == "skip" and held:
        skipped = held.pop(0)
        step = step.resolve(
            Resolved(skipped.body.type, skipped.source, skipped.id, Verdict.IGNORED, f"skipped by {by}")
        )
    step = _decide_piece(step, held, situation, decide)
    more = "; those behind them follow in pieces" if situation.more_held else ""
    return Outcome(step, Verdict.APPLIED, f"{len(held)} held messages decided after a release by {by}{more}")


def _continue_release(step: Step, situation: Situation, decide: Decide) -> Outcome:
    if not step.budget.releasing or step.budget.on_hold:
        return Outcome(step, Verdict.IGNORED, "no release of this budget is under way")
    step = _decide_piece(step._replace(budget=step.budget._replace(releasing=False)), situation.held, situation, decide)
    more = "" if situation.more_held else "; none is left"
    return Outcome(step, Verdict.APPLIED, f"{len(situation.held)} more held messages decided after a release{more}")


def _decide_piece(step: Step, held: Iterable[Message], situation: Situation, decide: Decide) -> Step:
    for message in held:
        outcome = decide(step.budget, message, situation._replace(held=(), more_held=False))
        name = MessageId(message.body.type, message.source, message.id)
        sends = tuple(send._replace(held=name) if isinstance(send, DeadLetter) else send for send in outcome.step.sends)
        step = step.follow(outcome.step._replace(sends=sends))
        step = step.resolve(Resolved(*name, outcome.verdict, outcome.detail))
    if not situation.more_held:
        return step
    budget = step.budget
    due_at = situation.at
    if budget.release_due_at:
        due_at = max(due_at, budget.release_due_at + _APART)
    return step._replace(budget=budget._replace(releasing=True, release_due_at=due_at))

"""Decides a project's history again, message by message, and reports where that differs from what is stored.

Pure. It has a fold of its own: from the batch that decided first it takes nothing but the bytes that were read.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.cloudevents.trace_context import drop_trace
from contracts.cloudevents.writing import write_headers
from contracts.topics import TopicNames
from handlers.budget import Budget
from handlers.decide import decide, hold
from handlers.decision import DeadLetter, Outcome, Send, Situation, Step, Verdict
from handlers.ids import name_effect
from handlers.rules import Rules
from outbox.audit import Effect, HoldAt, Kept, Project
from outbox.identity import Identity


class Deviation(NamedTuple):
    """Where deciding again has another result; the budget, if the message has one."""

    budget: BudgetKey | None
    what: str


class _Fold:
    """The state that a project's history leads to, as far as it is folded."""

    def __init__(self, topics: TopicNames) -> None:
        self.topics = topics
        self.budgets: dict[BudgetKey, Budget] = {}
        self.verdicts: dict[Identity, Verdict] = {}
        self.held: dict[BudgetKey, list[Message]] = {}

    def decide(self, kept: Kept, message: Message, rules: Rules, hold_at: HoldAt | None) -> Outcome:
        body = message.body
        key = body.key
        before = self.budgets.get(key, Budget(key))
        others = (other.budget_id for other, budget in self.budgets.items() if budget.claims_job and other != key)
        situation = Situation(kept.at, rules, next(others, None), tuple(self.held.get(key, ())))
        if hold_at is None:
            outcome = decide(before, message, situation)
        elif hold_at.silent and not before.on_hold:
            outcome = Outcome(Step(replace(before, on_hold=True)), Verdict.HELD, hold_at.reason)
        else:
            outcome = hold(before, situation, hold_at.reason)
        if outcome.step.budget is not before:
            self.budgets[key] = outcome.step.budget
        self.verdicts[kept.identity] = outcome.verdict
        if outcome.verdict is Verdict.HELD:
            self.held.setdefault(key, []).append(message)
        elif not outcome.step.budget.on_hold:
            self.held.pop(key, None)
        for resolved in outcome.step.resolved:
            identity = Identity(body.company_id, body.project_id, resolved.source, resolved.id, resolved.type)
            self.verdicts[identity] = resolved.verdict
        return outcome


def refold(project: Project, rules: Mapping[int, Rules], topics: TopicNames) -> Iterator[Deviation]:
    """Fold a project's history through the rules that it was decided by, and compare the result with what is stored."""
    fold = _Fold(topics)
    effects: dict[tuple[int, int], list[Effect]] = defaultdict(list)
    for effect in project.effects:
        effects[effect.inbox_partition, effect.inbox_offset].append(effect)
    for kept in project.messages:
        place = kept.inbox_partition, kept.inbox_offset
        original = kept.original
        message = read_message(topics.short(original.place.topic), original)
        sends: tuple[Send, ...]
        if isinstance(message, Message) and kept.identity.company_id:
            outcome = fold.decide(kept, message, rules[kept.rules_id], project.holds.get(place))
            sends = outcome.step.sends
            key = outcome.step.budget.key
        else:
            fold.verdicts[kept.identity] = Verdict.DEAD_LETTERED
            sends, key = (), None
        yield from _compare_effects(kept, message, sends, effects.pop(place, []), topics, key)
    yield from _compare_verdicts(project, fold)
    for key in project.budgets.keys() | fold.budgets.keys() | project.unreadable.keys():
        if reason := project.unreadable.get(key):
            yield Deviation(key, reason)
        elif project.budgets.get(key) != fold.budgets.get(key):
            yield Deviation(key, "the stored state is not what its history comes to")


def _compare_verdicts(project: Project, fold: _Fold) -> Iterator[Deviation]:
    for kept in project.messages:
        decided = fold.verdicts[kept.identity]
        if decided != kept.verdict:
            what = f"message {kept.identity.id} of {kept.identity.source} is stored as {kept.verdict}, but is {decided}"
            yield Deviation(None, what)


def _compare_effects(
    kept: Kept,
    message: object,
    sends: tuple[Send, ...],
    effects: list[Effect],
    topics: TopicNames,
    key: BudgetKey | None,
) -> Iterator[Deviation]:
    """Compare what a message sends with the outbox rows at its place."""
    if not isinstance(message, Message) or key is None:
        if [effect.record.topic for effect in effects] != [topics.dead_letters]:
            yield Deviation(None, f"record {kept.original.place} is unreadable, but has no dead letter of its own")
        return
    if len(sends) != len(effects):
        what = f"message {kept.identity.id} sends {len(sends)} messages, but {len(effects)} are in the outbox"
        yield Deviation(key, what)
        return
    for ordinal, (send, effect) in enumerate(zip(sends, effects, strict=True)):
        if not _is_same(send, effect, ordinal, kept, topics):
            kind = "a dead letter" if isinstance(send, DeadLetter) else send.type
            yield Deviation(key, f"what message {kept.identity.id} sends ({kind}) is not what the outbox has")


def _is_same(send: Send, effect: Effect, ordinal: int, kept: Kept, topics: TopicNames) -> bool:
    row_id = name_effect(kept.identity, ordinal)
    if (effect.ordinal, effect.id) != (ordinal, str(row_id)):
        return False
    record = effect.record
    if isinstance(send, DeadLetter):
        reasons = [value for name, value in record.headers if name == "dead_letter_reason"]
        return record.topic == topics.dead_letters and reasons[-1:] == [send.reason.encode()]
    return (
        record.topic == topics.full(send.topic)
        and record.key == str(send.key).encode()
        and record.value == send.model_dump_json().encode()
        and drop_trace(record.headers) == write_headers(send, row_id, kept.at, ())
    )

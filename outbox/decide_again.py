"""Decides a project's history again, message by message, and describes where the result is not what is stored.

Pure, and independent of ``batch``, which decided the messages first: all it uses of that are the bytes of the messages.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unproven, Unreadable
from contracts.cloudevents.reading import read_message
from contracts.cloudevents.trace_context import drop_trace
from contracts.cloudevents.writing import write_headers
from contracts.inbound import BudgetRelease
from contracts.topics import TopicNames
from handlers.budget import Budget
from handlers.budget_release import decides_held
from handlers.decide import decide, hold, lift_planned_hold
from handlers.decision import DeadLetter, Outcome, Send, Situation, Step, Verdict
from handlers.ids import name_effect, name_send
from handlers.rules import Rules
from handlers.signatures import prove, refuse_unproven
from outbox.audit import Effect, HoldAt, Kept
from outbox.batch import DECISION_FAILED
from outbox.budget_differences import describe_differences
from outbox.held_messages import HeldMessage, cut_piece, drop_resolved
from outbox.identity import Identity


class Deviation(NamedTuple):
    """A result of deciding again that is not what is stored; the budget, if the message has one."""

    budget: BudgetKey | None
    what: str
    is_of_state: bool = False
    """Whether it is the budget's stored state that differs, which can be rebuilt."""


class ProjectDecidedAgain:
    """One project's history, as far as it has been decided again.

    Args:
        rules: every version of the rules, by id.
        topics: how the topics of this deployment are named.
    """

    def __init__(self, rules: Mapping[int, Rules], topics: TopicNames) -> None:
        self.budgets: dict[BudgetKey, Budget] = {}
        """Each budget as its messages so far produce it."""
        self.decided = 0
        """How many messages were decided."""
        self._rules = rules
        self._topics = topics
        self._verdicts: dict[Identity, tuple[BudgetKey | None, Verdict, Verdict]] = {}
        """For each message its budget, the stored verdict and the decided one."""
        self._held: dict[BudgetKey, list[HeldMessage]] = {}
        self._last_reference = 0

    def decide(
        self, kept: Kept, hold_at: HoldAt | None, effects: Sequence[Effect] | None = None
    ) -> Iterator[Deviation]:
        """Decide the next message.

        Args:
            kept: the message, with what history holds about it.
            hold_at: why its budget was put on hold at this message, if it was.
            effects: the outbox rows that it caused; ``None`` if they are not to be compared.

        Yields:
            Where the message, or what it sends, is not as it is stored.
        """
        self.decided += 1
        message = self._read(kept)
        sends: tuple[Send, ...] = ()
        key: BudgetKey | None = None
        if isinstance(message, Unproven):
            outcome, key = refuse_unproven(message), message.message.body.key
            sends = outcome.step.sends
            self._verdicts[kept.identity] = (key, kept.verdict, outcome.verdict)
        elif isinstance(message, Message) and kept.identity.type:
            outcome = self._decide(kept, message, hold_at)
            sends, key = outcome.step.sends, message.body.key
        elif kept.verdict is not Verdict.DEAD_LETTERED:
            # Nothing changes such a verdict later, so it is compared at once.
            # So is what was refused because nobody had proven it, and is proven.
            found = "is proven" if isinstance(message, Message) else "is unreadable"
            yield Deviation(None, f"record {kept.original.place} {found}, but stored as {kept.verdict}")
        if effects is not None:
            yield from _compare_effects(kept, sends, effects, self._topics, key)

    def compare(self, stored: Mapping[BudgetKey, Budget | None]) -> Iterator[Deviation]:
        """Compare verdicts and states with what is stored, once every message has been decided.

        Args:
            stored: the stored budgets of the project; ``None`` for one whose state cannot be read.
        """
        for identity, (key, was, decided) in self._verdicts.items():
            if decided != was:
                yield Deviation(key, f"message {identity.id} of {identity.source} is stored as {was}, but is {decided}")
        for key in sorted(stored.keys() | self.budgets.keys()):
            if key in stored and stored[key] is None:
                yield Deviation(key, "its stored state cannot be read", is_of_state=True)
            elif what := describe_differences(stored.get(key), self.budgets.get(key)):
                yield Deviation(key, what, is_of_state=True)

    def _read(self, kept: Kept) -> Message | Unproven | Unreadable:
        """Read a message and prove it by the rules that decided it; what was set aside is not decided by any."""
        original = kept.original
        message = read_message(self._topics.short(original.place.topic), original)
        if isinstance(message, Message) and kept.identity.company_id:
            return prove(message, original, kept.at, self._rules[kept.rules_id])
        return message

    def _decide(self, kept: Kept, message: Message, hold_at: HoldAt | None) -> Outcome:
        body = message.body
        key = body.key
        before = self.budgets.get(key, Budget(key))
        others = (other.budget_id for other, budget in self.budgets.items() if budget.claims_job and other != key)
        held = self._held.get(key, []) if decides_held(body) else []
        piece = cut_piece(held)
        situation = Situation(
            kept.at,
            self._rules[kept.rules_id],
            next(others, None),
            tuple(one.message for one in piece if isinstance(one.message, Message)),
            more_held=len(held) > len(piece),
            last_reference=self._last_reference,
        )
        if hold_at is None:
            outcome = decide(before, message, situation)
        elif hold_at.silent and not before.on_hold:
            outcome = Outcome(Step(before._replace(on_hold=True)), Verdict.HELD, hold_at.reason)
        elif isinstance(body, BudgetRelease) and hold_at.reason != DECISION_FAILED and not hold_at.silent:
            outcome = lift_planned_hold(before, body)
        else:
            outcome = hold(before, message, situation, hold_at.reason)
        if outcome.step.budget is not before:
            self.budgets[key] = outcome.step.budget
            self._last_reference = max(self._last_reference, outcome.step.budget.last_reference)
        self._verdicts[kept.identity] = (key, kept.verdict, outcome.verdict)
        if outcome.verdict is Verdict.HELD:
            place = (kept.inbox_partition, kept.inbox_offset)
            self._held.setdefault(key, []).append(HeldMessage(message, kept.original, place))
        elif key in self._held:
            self._held[key] = drop_resolved(self._held[key], outcome.step.resolved)
        for resolved in outcome.step.resolved:
            identity = Identity(body.company_id, body.project_id, resolved.source, resolved.id, resolved.type)
            _, was, _ = self._verdicts.get(identity, (key, resolved.verdict, resolved.verdict))
            self._verdicts[identity] = (key, was, resolved.verdict)
        return outcome


def _compare_effects(
    kept: Kept,
    sends: tuple[Send, ...],
    effects: Sequence[Effect],
    topics: TopicNames,
    key: BudgetKey | None,
) -> Iterator[Deviation]:
    """Compare what a message sends with the outbox rows that are stored for it."""
    if key is None:
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
    cause = kept.identity
    row_id = name_effect(cause, ordinal) if isinstance(send, DeadLetter) else name_send(send, cause, ordinal)
    if (effect.ordinal, effect.id) != (ordinal, str(row_id)):
        return False
    record = effect.record
    if isinstance(send, DeadLetter):
        reasons = [value for name, value in record.headers if name == "dead_letter_reason"]
        return record.topic == topics.dead_letters and reasons[-1:] == [send.reason.encode()]
    return (
        record.topic == topics.full(send.topic)
        and record.key == str(send.key).encode()
        and record.value == send.write()
        and drop_trace(record.headers) == write_headers(send, row_id, kept.at, ())
    )

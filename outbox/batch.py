"""Decides one batch of a lane in the order of the log, and collects everything that is to be stored because of it.

Pure: it receives what the database holds and returns the rows to write. ``store`` runs it within a transaction.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unproven, Unreadable
from contracts.inbound import BudgetRelease
from contracts.inbox import Arrival
from contracts.topics import TopicNames
from handlers.budget import Budget
from handlers.budget_release import decides_held
from handlers.decide import decide, hold, lift_planned_hold
from handlers.decision import DeadLetter, Outcome, Situation, Verdict
from handlers.ids import name_effect
from handlers.rules import Rules
from handlers.signatures import must_be_signed, prove, refuse_unproven
from outbox.held_messages import HeldMessage, cut_piece, drop_resolved
from outbox.identity import Identity, identify
from outbox.outbox_rows import OutboxRow, inbox_time, write_dead_letter, write_rows
from outbox.rules import RulesVersion

DECISION_FAILED: Final = "deciding on it failed"
"""The reason of a hold that was not planned by a recovery."""


class UnreadableBudget(NamedTuple):
    """A budget whose stored state cannot be read."""

    reason: str
    revision: int
    on_hold: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the database holds of a batch's messages and budgets before it is decided."""

    known: frozenset[Identity]
    budgets: Mapping[BudgetKey, tuple[Budget, int]]
    """Each budget with the revision that was loaded."""
    claims: Mapping[tuple[int, int], int]
    """Each project's budget that claims the job: it is being exported, is synced, or Spectrum may hold it."""
    held: Mapping[BudgetKey, tuple[HeldMessage, ...]] = field(default_factory=dict)
    """Of budgets that are to be released, the held messages that come next, in order: those that are decided at once,
    and at least one more where there are more."""
    unreadable: Mapping[BudgetKey, UnreadableBudget] = field(default_factory=dict)
    to_hold: Mapping[BudgetKey, str] = field(default_factory=dict)
    """The budgets that a recovery put on hold from their next message on, each with the reason."""
    conflicts: Mapping[int, Identity] = field(default_factory=dict)
    """By inbox offset: the records that repeat an identity with other fields, each with the identity of its origin."""
    references: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """The number in each project's last change reference."""
    repeats: frozenset[int] = frozenset()
    """By inbox offset: the records that history has under another identity, because other rules decided them."""


class Hold(NamedTuple):
    """A budget put on hold at a record of the inbox."""

    budget: BudgetKey
    reason: str
    inbox_offset: int
    silent: bool = False
    """Whether no status message was sent, because the stored state cannot be read."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One message for history, with what became of it."""

    arrival: Arrival
    identity: Identity
    at: datetime
    verdict: Verdict
    detail: str
    warning: bool = False


@dataclass(slots=True)
class DecidedBatch:
    """The result of a batch, filled record by record."""

    rules: RulesVersion
    """The version by which the batch was decided."""
    entries: list[HistoryEntry] = field(default_factory=list)
    repeats: list[Arrival] = field(default_factory=list)
    resolved: list[tuple[Identity, Verdict, str]] = field(default_factory=list)
    budgets: dict[BudgetKey, Budget] = field(default_factory=dict)
    """The budgets that changed."""
    newly_unreadable: dict[BudgetKey, int] = field(default_factory=dict)
    """The budgets that are put on hold because their state cannot be read, each with the revision that was loaded."""
    rows: list[OutboxRow] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)


class DecisionFailedError(Exception):
    """Deciding on a message failed: a bug of this program, never the message's fault."""

    def __init__(self, arrival: Arrival, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.arrival = arrival


def split_at_releases(arrivals: Sequence[Arrival]) -> Iterator[Sequence[Arrival]]:
    """Split a batch so that at most its last record decides held messages: as many as a transaction has time for."""
    start = 0
    for end, arrival in enumerate(arrivals, 1):
        message = arrival.message
        if end == len(arrivals) or (isinstance(message, Message) and decides_held(message.body)):
            yield arrivals[start:end]
            start = end


def prove_arrivals(arrivals: Iterable[Arrival], rules: Rules) -> list[Arrival]:
    """Prove who has sent each message that the rules want signed, before anything else is asked."""
    return [
        replace(arrival, message=prove(arrival.message, arrival.original, inbox_time(arrival.inbox), rules))
        if isinstance(arrival.message, Message) and must_be_signed(arrival.message, rules)
        else arrival
        for arrival in arrivals
    ]


def decide_batch(
    arrivals: Iterable[Arrival], loaded: Loaded, rules: RulesVersion, topics: TopicNames, failing: frozenset[Identity]
) -> DecidedBatch:
    """Decide a batch in the order of the log.

    Args:
        arrivals: the batch, split at releases, as ``prove_arrivals`` has left it.
        loaded: what the database holds of it.
        rules: what to decide by.
        topics: how the topics of this deployment are named.
        failing: messages on which deciding failed, which are held instead.

    Returns:
        Everything that is to be stored.

    Raises:
        DecisionFailedError: deciding on one message failed; the error has its arrival.
    """
    batch = _Batch(loaded, rules, topics, failing)
    for arrival in arrivals:
        conflict = loaded.conflicts.get(arrival.inbox.place.offset)
        identity = conflict or identify(arrival)
        if identity in batch.seen or arrival.inbox.place.offset in loaded.repeats:
            batch.done.repeats.append(arrival)
            continue
        batch.seen.add(identity)
        if isinstance(arrival.message, Unproven):
            _refuse(batch.done, arrival, arrival.message, topics)
        elif isinstance(arrival.message, Unreadable):
            letter = DeadLetter(arrival.message.reason, arrival.message.detail)
            _dead_letter(batch.done, arrival, identity, letter, topics)
        elif conflict:
            _dead_letter(batch.done, arrival, identity, _describe_conflict(arrival.message), topics)
        elif arrival.message.body.key in loaded.unreadable:
            batch.hold_unread(arrival, identity, loaded.unreadable[arrival.message.body.key])
        else:
            batch.take(arrival, identity, arrival.message)
    return batch.done


class _Batch:
    """A batch while it is being decided: what the database holds, with the changes of the messages so far."""

    def __init__(self, loaded: Loaded, rules: RulesVersion, topics: TopicNames, failing: frozenset[Identity]) -> None:
        self.done = DecidedBatch(rules)
        self.seen = set(loaded.known)
        self._rules = rules.rules
        self._topics = topics
        self._failing = failing
        self._to_hold = dict(loaded.to_hold)
        self._stored = loaded.budgets
        self._claims = dict(loaded.claims)
        self._references = dict(loaded.references)
        self._held = {key: list(messages) for key, messages in loaded.held.items()}

    def take(self, arrival: Arrival, identity: Identity, message: Message) -> None:
        """Decide on one message, or put its budget on hold."""
        key = message.body.key
        before = self.done.budgets.get(key) or (self._stored[key][0] if key in self._stored else Budget(key))
        claimant = self._claims.get(key.project)
        held = self._held.get(key, []) if decides_held(message.body) else []
        piece = cut_piece(held)
        situation = Situation(
            inbox_time(arrival.inbox),
            self._rules,
            claimant if claimant != key.budget_id else None,
            tuple(one.message for one in piece if isinstance(one.message, Message)),
            more_held=len(held) > len(piece),
            last_reference=self._references.get(key.project, 0),
        )
        try:
            if reason := self._find_reason_to_hold(identity, before, piece):
                if isinstance(message.body, BudgetRelease) and reason != DECISION_FAILED:
                    outcome = lift_planned_hold(before, message.body)
                else:
                    outcome = hold(before, message, situation, reason)
                self.done.holds.append(Hold(key, reason, arrival.inbox.place.offset))
            else:
                outcome = decide(before, message, situation)
            _record_outcome(self.done, arrival, message, outcome, piece, self._topics)
        except Exception as error:
            raise DecisionFailedError(arrival, error) from error
        self._remember(arrival, message, before, outcome)

    def hold_unread(self, arrival: Arrival, identity: Identity, budget: UnreadableBudget) -> None:
        """Hold a message of a budget whose state cannot be read; a release is ignored."""
        message = arrival.message
        if not isinstance(message, Message):
            return
        key, offset = message.body.key, arrival.inbox.place.offset
        on_hold = budget.on_hold or key in self.done.newly_unreadable
        verdict, detail = Verdict.HELD, "the budget is on hold"
        if isinstance(message.body, BudgetRelease) and on_hold:
            verdict, detail = Verdict.IGNORED, f"the budget stays on hold: {budget.reason}"
            self.done.holds.append(Hold(key, budget.reason, offset, silent=True))
        elif not on_hold:
            detail = budget.reason
            self.done.holds.append(Hold(key, budget.reason, offset, silent=True))
            self.done.newly_unreadable[key] = budget.revision
        self.done.entries.append(
            HistoryEntry(arrival, identity, inbox_time(arrival.inbox), verdict, detail, warning=True)
        )

    def _find_reason_to_hold(self, identity: Identity, budget: Budget, held: Iterable[HeldMessage]) -> str | None:
        if identity in self._failing:
            return DECISION_FAILED
        if budget.holds_messages and any(isinstance(one.message, Unreadable) for one in held):
            # To pass over it would change the order; the version that held it can decide it.
            return DECISION_FAILED
        return None if budget.on_hold else self._to_hold.pop(budget.key, None)

    def _remember(self, arrival: Arrival, message: Message, before: Budget, outcome: Outcome) -> None:
        """Let the following messages see what this one has changed."""
        budget = outcome.step.budget
        key = budget.key
        if outcome.verdict is Verdict.HELD:
            place = arrival.inbox.place
            held = HeldMessage(message, arrival.original, (place.partition, place.offset))
            self._held.setdefault(key, []).append(held)
        elif key in self._held:
            self._held[key] = drop_resolved(self._held[key], outcome.step.resolved)
        if budget.claims_job:
            self._claims[key.project] = key.budget_id
        elif self._claims.get(key.project) == key.budget_id:
            del self._claims[key.project]
        if budget is not before:
            self.done.budgets[key] = budget
            self._references[key.project] = max(self._references.get(key.project, 0), budget.last_reference)


def _record_outcome(
    done: DecidedBatch,
    arrival: Arrival,
    message: Message,
    outcome: Outcome,
    held: Sequence[HeldMessage],
    topics: TopicNames,
) -> None:
    """Record the outcome of one message: what it sends, its verdict, and new verdicts of earlier messages."""
    identity, at = identify(arrival), inbox_time(arrival.inbox)
    rows = list(write_rows(arrival, identity, outcome, message.trace, held, topics))
    done.rows.extend(rows)
    done.entries.append(HistoryEntry(arrival, identity, at, outcome.verdict, outcome.detail, outcome.warning))
    done.resolved.extend(
        (
            Identity(identity.company_id, identity.project_id, resolved.source, resolved.id, resolved.type),
            resolved.verdict,
            resolved.detail,
        )
        for resolved in outcome.step.resolved
    )


def _refuse(done: DecidedBatch, arrival: Arrival, unproven: Unproven, topics: TopicNames) -> None:
    """Refuse a message that nobody has proven to have sent; its budget is not even looked at."""
    outcome = refuse_unproven(unproven)._replace(warning=True)
    _record_outcome(done, arrival, unproven.message, outcome, (), topics)


def _describe_conflict(message: Message) -> DeadLetter:
    detail = f"a {message.body.type} of source {message.source} with id {message.id} came before, with other fields"
    return DeadLetter("conflicting_content", detail)


def _dead_letter(
    done: DecidedBatch, arrival: Arrival, identity: Identity, letter: DeadLetter, topics: TopicNames
) -> None:
    done.rows.append(write_dead_letter(arrival, name_effect(identity, 0), 0, letter, topics))
    detail = f"{letter.reason}: {letter.detail}"
    at = inbox_time(arrival.inbox)
    done.entries.append(HistoryEntry(arrival, identity, at, Verdict.DEAD_LETTERED, detail))

"""One batch of a lane: what each record comes to, decided in the order of the log.

Pure: it is given what the database holds and returns the rows that change it. When that happens, and in which
transaction, is left to ``store``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unreadable
from contracts.cloudevents.writing import write_headers
from contracts.fields import MAX_MESSAGE_BYTES
from contracts.inbound import BudgetRelease
from contracts.inbox import Arrival
from contracts.records import Headers, Outgoing, Record
from contracts.topics import TopicNames
from handlers.budget import Budget
from handlers.decide import decide, hold, lift_planned_hold
from handlers.decision import DeadLetter, Outcome, Situation, Verdict
from handlers.ids import name_effect
from outbox.rules import RulesVersion

DECISION_FAILED: Final = "deciding on it failed"
"""The reason of a hold that no recovery has planned."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DEAD_LETTER_BYTES: Final = MAX_MESSAGE_BYTES + 512 * 1024
"""What a dead letter may hold of the original, so that its own headers still fit the topic's 17 MiB."""


class Identity(NamedTuple):
    """What makes a message the same message for ever: its project, its source, its id."""

    company_id: int
    project_id: int
    source: str
    id: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the database holds of a batch's messages and budgets before it is decided."""

    known: frozenset[Identity]
    budgets: Mapping[BudgetKey, tuple[Budget, int]]
    """Each budget with the revision that was loaded."""
    claims: Mapping[tuple[int, int], int]
    """The budget of each project that is under way, synced or in Spectrum."""
    held: Mapping[BudgetKey, tuple[Message, ...]] = field(default_factory=dict)
    """What is held of budgets that are to be released, in order."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """What is not decided on but held: messages on which deciding failed, and budgets that a recovery found wanting."""

    messages: frozenset[Identity] = frozenset()
    budgets: Mapping[BudgetKey, str] = field(default_factory=dict)
    """Each with the reason; it counts from the budget's next message on."""


class Hold(NamedTuple):
    """A budget put on hold at a record of the inbox."""

    budget: BudgetKey
    reason: str
    inbox_offset: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One message for history, with what became of it."""

    arrival: Arrival
    identity: Identity
    at: datetime
    verdict: Verdict
    detail: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to send: its place in the outbox, and its final bytes."""

    inbox_offset: int
    ordinal: int
    id: UUID
    at: datetime
    type: str | None
    budget: BudgetKey | None
    record: Outgoing


@dataclass(slots=True)
class DecidedBatch:
    """What a batch comes to, filled record by record."""

    rules: RulesVersion
    """The version that it was decided by."""
    entries: list[HistoryEntry] = field(default_factory=list)
    repeats: list[Arrival] = field(default_factory=list)
    resolved: list[tuple[Identity, Verdict, str]] = field(default_factory=list)
    budgets: dict[BudgetKey, Budget] = field(default_factory=dict)
    """The budgets that changed."""
    rows: list[OutboxRow] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)


class DecisionFailedError(Exception):
    """Deciding on a message failed: a bug of ours, never the message's fault."""

    def __init__(self, arrival: Arrival, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.arrival = arrival


def identify(arrival: Arrival) -> Identity:
    """Tell the identity of a message; what cannot be read has none but its origin.

    To that belongs its time: a topic that was made anew has other records at the same places.
    """
    message = arrival.message
    if isinstance(message, Message):
        return Identity(message.body.company_id, message.body.project_id, message.source, message.id)
    place, timestamp_ms = arrival.original.place, arrival.original.timestamp_ms
    return Identity(0, 0, f"{place.topic}/{place.partition}", f"{place.offset}@{timestamp_ms}")


def tell_time(record: Record) -> datetime:
    """Tell the time of an inbox record, which is the only clock that deciding sees."""
    return _EPOCH + timedelta(milliseconds=record.timestamp_ms)


def decide_batch(
    arrivals: Iterable[Arrival], held: Loaded, rules: RulesVersion, topics: TopicNames, suspects: Suspects
) -> DecidedBatch:
    """Decide a batch in the order of the log; what is suspect is put on hold.

    Raises ``StumbledError`` with the arrival at which deciding failed.
    """
    batch = _Batch(held, rules, topics, suspects)
    for arrival in arrivals:
        identity = identify(arrival)
        if identity in batch.seen:
            batch.done.repeats.append(arrival)
            continue
        batch.seen.add(identity)
        if isinstance(arrival.message, Unreadable):
            _set_aside(batch.done, arrival, arrival.message, topics)
        else:
            batch.take(arrival, identity, arrival.message)
    return batch.done


class _Batch:
    """A batch while it is decided: what the database holds, as the messages so far have changed it."""

    def __init__(self, held: Loaded, rules: RulesVersion, topics: TopicNames, suspects: Suspects) -> None:
        self.done = DecidedBatch(rules)
        self.seen = set(held.known)
        self._rules = rules.rules
        self._topics = topics
        self._stumbling = suspects.messages
        self._to_hold = dict(suspects.budgets)
        self._stored = held.budgets
        self._claims = dict(held.claims)
        self._held = {key: list(messages) for key, messages in held.held.items()}

    def take(self, arrival: Arrival, identity: Identity, message: Message) -> None:
        """Decide on one message, or put its budget on hold."""
        key = message.body.key
        before = self.done.budgets.get(key) or (self._stored[key][0] if key in self._stored else Budget(key))
        claimant = self._claims.get(key[:2])
        situation = Situation(
            tell_time(arrival.inbox),
            self._rules,
            claimant if claimant != key.budget_id else None,
            tuple(self._held.get(key, ())) if isinstance(message.body, BudgetRelease) else (),
        )
        try:
            if reason := self._find_reason_to_hold(identity, before):
                if isinstance(message.body, BudgetRelease) and reason != DECISION_FAILED:
                    outcome = lift_planned_hold(before, message.body)
                else:
                    outcome = hold(before, situation, reason)
                self.done.holds.append(Hold(key, reason, arrival.inbox.place.offset))
            else:
                outcome = decide(before, message, situation)
            _take_down(self.done, arrival, message, outcome, self._topics)
        except Exception as error:
            raise DecisionFailedError(arrival, error) from error
        self._remember(message, before, outcome)

    def _find_reason_to_hold(self, identity: Identity, budget: Budget) -> str | None:
        if identity in self._stumbling:
            return DECISION_FAILED
        return None if budget.on_hold else self._to_hold.pop(budget.key, None)

    def _remember(self, message: Message, before: Budget, outcome: Outcome) -> None:
        """Let the following messages see what this one has changed."""
        budget = outcome.step.budget
        key = budget.key
        if outcome.verdict is Verdict.HELD:
            self._held.setdefault(key, []).append(message)
        elif not budget.on_hold:
            self._held.pop(key, None)
        if budget.claims_job:
            self._claims[key[:2]] = key.budget_id
        elif self._claims.get(key[:2]) == key.budget_id:
            del self._claims[key[:2]]
        if budget is not before:
            self.done.budgets[key] = budget


def _take_down(done: DecidedBatch, arrival: Arrival, message: Message, outcome: Outcome, topics: TopicNames) -> None:
    """Take down what one message came to: the rows that it sends, its verdict, and those of earlier ones."""
    identity, at = identify(arrival), tell_time(arrival.inbox)
    rows = list(_write_rows(arrival, identity, outcome, message.trace, topics))
    done.rows.extend(rows)
    done.entries.append(HistoryEntry(arrival, identity, at, outcome.verdict, outcome.detail, outcome.warning))
    done.resolved.extend(
        (
            Identity(identity.company_id, identity.project_id, resolved.source, resolved.id),
            resolved.verdict,
            resolved.detail,
        )
        for resolved in outcome.step.resolved
    )


def _write_rows(
    arrival: Arrival, identity: Identity, outcome: Outcome, trace: Headers, topics: TopicNames
) -> Iterator[OutboxRow]:
    at = tell_time(arrival.inbox)
    for ordinal, send in enumerate(outcome.step.sends):
        row_id = name_effect(identity, ordinal)
        if isinstance(send, DeadLetter):
            yield _write_dead_letter(arrival, row_id, ordinal, send, topics)
            continue
        value = send.model_dump_json().encode()
        if len(value) > MAX_MESSAGE_BYTES:
            message = f"{send.type} would have {len(value)} bytes; the contract allows {MAX_MESSAGE_BYTES}"
            raise ValueError(message)
        record = Outgoing(
            topics.full(send.topic), str(send.key).encode(), value, write_headers(send, row_id, at, trace)
        )
        yield OutboxRow(arrival.inbox.place.offset, ordinal, row_id, at, send.type, send.key, record)


def _set_aside(done: DecidedBatch, arrival: Arrival, unreadable: Unreadable, topics: TopicNames) -> None:
    identity, at = identify(arrival), tell_time(arrival.inbox)
    letter = DeadLetter(unreadable.reason, unreadable.detail)
    done.rows.append(_write_dead_letter(arrival, name_effect(identity, 0), 0, letter, topics))
    detail = f"{unreadable.reason}: {unreadable.detail}"
    done.entries.append(HistoryEntry(arrival, identity, at, Verdict.DEAD_LETTERED, detail))


def _write_dead_letter(
    arrival: Arrival, row_id: UUID, ordinal: int, letter: DeadLetter, topics: TopicNames
) -> OutboxRow:
    original, message = arrival.original, arrival.message
    headers: Headers = (
        *original.headers,
        ("dead_letter_reason", letter.reason.encode()),
        ("dead_letter_detail", letter.detail.encode()),
        ("dead_letter_topic", original.place.topic.encode()),
        ("dead_letter_partition", b"%d" % original.place.partition),
        ("dead_letter_offset", b"%d" % original.place.offset),
    )
    value = original.value
    room = _DEAD_LETTER_BYTES - sum(len(name) + len(text or b"") for name, text in headers)
    if value is not None and len(value) > room:
        headers = (*headers, ("dead_letter_cut_from_bytes", b"%d" % len(value)))
        value = value[:room]
    record = Outgoing(topics.dead_letters, original.key, value, headers)
    body = message.body if isinstance(message, Message) else None
    at = tell_time(arrival.inbox)
    return OutboxRow(
        arrival.inbox.place.offset, ordinal, row_id, at, body.type if body else None, body.key if body else None, record
    )


def pack_headers(headers: Headers) -> str:
    """Write headers as JSON that any bytes come back from: a character of Latin-1 stands for a byte."""
    return json.dumps([[name, None if value is None else value.decode("latin-1")] for name, value in headers])


def unpack_headers(packed: str) -> Headers:
    """Read what ``pack_headers`` wrote."""
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(packed))

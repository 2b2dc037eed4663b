"""Signed messages as they arrive, rules that want signatures, and a lane of one budget that decides by them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from contracts.cloudevents.message import Message
from contracts.cloudevents.writing import write_attributes
from contracts.fields import write_time
from contracts.inbound import InboundMessage
from contracts.inbox import Arrival, copy_to_inbox, open_arrival
from contracts.records import Headers, Place, Record
from contracts.signature.signing import PrivateKey, generate_key, sign_headers
from contracts.topics import SOURCES
from handlers.budget import Budget
from handlers.budget_release import decides_held
from handlers.rules import Rules
from handlers.signers import Signer
from outbox.batch import DecidedBatch, Loaded, decide_batch, prove_arrivals
from outbox.held_messages import HeldMessage
from outbox.identity import Identity, identify
from outbox.rules import RulesVersion
from tests.integration.records import AT, TOPICS
from tests.unit.builders import KEY, RULES, STEEL, accept, hash_of

ANN: Final = generate_key("ann-1", "ann")
BOB: Final = generate_key("bob-1", "bob", "ES256")
OLGA: Final = generate_key("olga-1", "olga")
SPECTRUM: Final = generate_key("spectrum-1", "spectrum")
STRANGER: Final = generate_key("stranger-1", "ann")
"""Nobody lists it."""
NOW: Final = datetime.fromtimestamp(AT / 1000, UTC)
"""When the record at offset 0 arrives; the others come a second apart."""
COMPANY, PROJECT = KEY.project
SIGNERS: Final = (
    Signer("ann-1", "ann", COMPANY, PROJECT, frozenset({"decision"})),
    Signer("bob-1", "*", COMPANY, None, frozenset({"decision"})),
    Signer("olga-1", "olga", COMPANY, None, frozenset({"retry", "release", "reset"})),
    Signer("spectrum-1", "spectrum", COMPANY, None, frozenset({"acknowledgement"})),
)
SIGNED: Final = replace(
    RULES,
    signing_keys={key.public.kid: key.public for key in (ANN, BOB, OLGA, SPECTRUM)},
    signers=SIGNERS,
    signatures_required=frozenset({"decision", "retry", "release", "reset", "acknowledgement"}),
)
HASH: Final = hash_of(STEEL)


def accept_signed(version: int = 1, **fields: Any) -> InboundMessage:
    """An acceptance that names its content, as every signed one must."""
    return accept(version, **{"content_hash": HASH} | fields)


def arrive_signed(
    offset: int,
    body: InboundMessage,
    message_id: str = "one",
    *,
    key: PrivateKey | None = ANN,
    signed_at: datetime | None = None,
    subject: str | None = None,
    topic: str | None = None,
) -> Arrival:
    """A signed message as it is in the inbox; without a key it is not signed."""
    chosen = topic or next(name for name, models in SOURCES.items() if type(body) in models)
    at = NOW + timedelta(seconds=offset)
    time = write_time(signed_at or at)
    headers = write_attributes(body.type, "test", message_id, time=time, subject=subject or str(body.key))
    value = json.dumps(body.model_dump(mode="json")).encode()
    return arrive_with(offset, sign_headers(headers, value, key) if key else headers, value, chosen)


def arrive_with(offset: int, headers: Headers, value: bytes, topic: str = "procore.approvals") -> Arrival:
    """A record with these headers and this value, as it is in the inbox."""
    at_ms = AT + offset * 1000
    original = Record(Place(TOPICS.full(topic), 3, 100 + offset), at_ms, b"key", value, headers)
    copy = copy_to_inbox(original, TOPICS.inbox)
    return open_arrival(Record(Place(copy.topic, 0, offset), at_ms, copy.key, copy.value, copy.headers), TOPICS)


@dataclass
class SignedLane:
    """One budget, and what the database keeps of it; the records come in one batch after the other."""

    rules: Rules = SIGNED
    budget: Budget = field(default_factory=lambda: Budget(KEY))
    known: set[Identity] = field(default_factory=set)
    held: list[HeldMessage] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    """Of each record of the last batch."""
    details: list[str] = field(default_factory=list)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Type and data of everything that was sent."""

    def take(self, *arrivals: Arrival, failing: Iterable[Arrival] = ()) -> "SignedLane":
        """Decide records as one batch."""
        proven = prove_arrivals(arrivals, self.rules)
        held = {KEY: tuple(self.held)} if any(_releases(one) for one in proven) else {}
        loaded = Loaded(frozenset(self.known), {KEY: (self.budget, 1)}, {}, held)
        version = RulesVersion(1, "", self.rules)
        decided = decide_batch(proven, loaded, version, TOPICS, frozenset(map(identify, failing)))
        self._keep(decided)
        return self

    def _keep(self, decided: DecidedBatch) -> None:
        self.budget = decided.budgets.get(KEY, self.budget)
        self.known |= {entry.identity for entry in decided.entries}
        for entry in decided.entries:
            message = entry.arrival.message
            if entry.verdict.value == "held" and isinstance(message, Message):
                place = entry.arrival.inbox.place
                self.held.append(HeldMessage(message, entry.arrival.original, (place.partition, place.offset)))
        done = [one for one in decided.resolved if one[1].value != "held"]
        self.held = [one for one in self.held if not _is_done(one, [identity for identity, *_ in done])]
        self.verdicts = [entry.verdict.value for entry in decided.entries] + ["repeat"] * len(decided.repeats)
        self.details = [entry.detail for entry in decided.entries]
        self.details += [detail for _, _, detail in decided.resolved]
        for row in decided.rows:
            self.sent.append((row.type or "", json.loads(row.record.value or b"{}")))

    def find(self, kind: str) -> list[dict[str, Any]]:
        """Find what was sent of a type, in order."""
        return [data for found, data in self.sent if found == kind]

    @property
    def refusals(self) -> list[str]:
        """The codes of everything that was refused."""
        return [data["code"] for data in self.find("request.refused.v1")]


def _releases(arrival: Arrival) -> bool:
    return isinstance(arrival.message, Message) and decides_held(arrival.message.body)


def _is_done(held: HeldMessage, done: Sequence[Identity]) -> bool:
    message = held.message
    return isinstance(message, Message) and (message.source, message.id) in {(one.source, one.id) for one in done}

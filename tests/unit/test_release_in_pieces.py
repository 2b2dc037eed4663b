"""The law of releases: a budget released in pieces comes to what it comes to when all is decided at once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.cloudevents.message import Message, Unreadable
from contracts.inbound import InboundMessage
from contracts.inbox import Arrival
from contracts.records import Place
from handlers.budget import Budget
from handlers.decision import MessageId
from outbox import held_messages
from outbox.batch import Loaded, decide_batch, split_at_releases
from outbox.held_messages import HeldMessage, cut_piece, name_held
from outbox.identity import identify
from outbox.rules import RulesVersion
from tests.integration.records import AT, TOPICS, arrive
from tests.unit.builders import (
    CONCRETE,
    KEY,
    RULES,
    STEEL,
    accept,
    acknowledge,
    lock,
    pass_deadline,
    reject,
    release,
    reset,
    retrieve,
    retry,
)

PAST = datetime(2020, 1, 1, tzinfo=UTC)
"""Before every record of the tests."""

VERSION = RulesVersion(1, "", RULES)
BODIES: Sequence[InboundMessage] = (
    lock(),
    lock(2),
    lock(2, CONCRETE),
    lock(3, STEEL | {"original_amount": "7.00"}),
    accept(),
    accept(2),
    accept(3),
    reject(2),
    retrieve(2),
    acknowledge("success"),
    acknowledge("failed"),
    acknowledge("success", 2),
    acknowledge("success", 9),
    retry(),
    reset(),
)


class Lane:
    """One budget and what is held of it, as the database keeps them; each record is a batch."""

    def __init__(self) -> None:
        self.budget = Budget(KEY)
        self.held: list[HeldMessage] = []
        self.verdicts: dict[str, str] = {}
        self.sent: list[tuple[str, bytes | None]] = []
        self.dues: list[object] = []
        self._offset = 0

    def take(self, body: InboundMessage, message_id: str, *, fails: bool = False) -> str:
        """Decide the next record; returns its verdict."""
        self._offset += 1
        arrival = arrive(self._offset, body, message_id)
        # As in the database, all records have another time; here they have one, so that nothing else differs.
        arrival = replace(arrival, inbox=replace(arrival.inbox, timestamp_ms=AT))
        # The same with their places, which refusals name.
        assert isinstance(arrival.message, Message)
        place = Place("test", 0, crc32(message_id.encode()))
        arrival = replace(arrival, message=replace(arrival.message, place=place))
        following = tuple(self.held[: len(cut_piece(self.held)) + 1])
        loaded = Loaded(frozenset(), {KEY: (self.budget, 1)}, {}, {KEY: following})
        failing = frozenset({identify(arrival)} if fails else ())
        decided = decide_batch([arrival], loaded, VERSION, TOPICS, failing)
        self._store(arrival, decided.entries[0].verdict.value)
        for identity, verdict, _ in decided.resolved:
            self.verdicts[identity.id] = verdict.value
            done = MessageId(identity.type, identity.source, identity.id)
            self.held = [one for one in self.held if name_held(one) != done]
        self.budget = decided.budgets.get(KEY, self.budget)
        self.sent += [(row.record.topic, row.record.value) for row in decided.rows]
        return decided.entries[0].verdict.value

    def _store(self, arrival: Arrival, verdict: str) -> None:
        assert isinstance(arrival.message, Message)
        self.verdicts[arrival.message.id] = verdict
        if verdict == "held":
            place = arrival.inbox.place
            self.held.append(HeldMessage(arrival.message, arrival.original, (place.partition, place.offset)))

    def next_piece(self, *, fails: bool = False) -> str:
        """Let the timer ask for the next piece."""
        assert self.budget.release_due_at
        self.dues.append(self.budget.release_due_at)
        return self.take(pass_deadline("release", PAST), f"piece {len(self.dues)}", fails=fails)


def hold(lane: Lane, before: Sequence[InboundMessage], held: Sequence[InboundMessage]) -> None:
    for number, body in enumerate(before):
        lane.take(body, f"before {number}")
    for number, body in enumerate(held):
        assert lane.take(body, f"held {number}", fails=number == 0) == "held"


bodies = st.lists(st.sampled_from(BODIES), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    before=bodies,
    held=bodies.filter(bool),
    meanwhile=bodies,
    action=st.sampled_from(["retry", "skip"]),
    size=st.integers(1, 5),
    size_in_bytes=st.sampled_from([1, 600, 1 << 22]),
    data=st.data(),
)
def test_pieces_come_to_the_same_as_all_at_once(
    before: list[InboundMessage],
    held: list[InboundMessage],
    meanwhile: list[InboundMessage],
    action: str,
    size: int,
    size_in_bytes: int,
    data: st.DataObject,
) -> None:
    whole, pieces = Lane(), Lane()
    given_action = release("skip" if action == "skip" else "retry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_messages, "RELEASE_MESSAGES", 1000)
        hold(whole, before, held)
        assert whole.take(given_action, "release") == "applied"
        assert (whole.held, whole.budget.releasing) == ([], False)
        for number, body in enumerate(meanwhile):
            whole.take(body, f"meanwhile {number}")
        patch.setattr(held_messages, "RELEASE_MESSAGES", size)
        patch.setattr(held_messages, "RELEASE_BYTES", size_in_bytes)
        hold(pieces, before, held)
        pieces.take(given_action, "release")
        left = list(enumerate(meanwhile))
        while pieces.budget.releasing or left:
            if pieces.budget.releasing and (not left or data.draw(st.booleans())):
                assert pieces.next_piece() == "applied"
                continue
            number, body = left.pop(0)
            verdict = pieces.take(body, f"meanwhile {number}")
            assert not pieces.held or verdict == "held"
    assert pieces.sent == whole.sent
    assert {name: found for name, found in pieces.verdicts.items() if "piece" not in name} == whole.verdicts
    assert pieces.budget._replace(release_due_at=None) == whole.budget
    # Each piece has a time of its own, though the log's stands still: the id of the message that asks for it has it.
    assert pieces.dues == sorted(set(pieces.dues), key=str)


def test_a_piece_that_fails_puts_the_budget_on_hold_again_and_keeps_its_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_messages, "RELEASE_MESSAGES", 2)
    lane = Lane()
    hold(lane, [lock()], [lock(number) for number in range(2, 8)])
    lane.take(release(), "release")
    assert (lane.budget.on_hold, lane.budget.releasing, len(lane.held)) == (False, True, 4)
    assert lane.take(release(), "impatient") == "ignored"
    assert lane.next_piece(fails=True) == "ignored"
    assert (lane.budget.on_hold, lane.budget.releasing, len(lane.held)) == (True, False, 4)
    assert lane.next_piece() == "ignored"
    assert lane.take(accept(7), "late") == "held"
    assert lane.take(release("skip"), "again") == "applied"
    assert lane.next_piece() == "applied"
    assert lane.budget.releasing
    assert lane.next_piece() == "applied"
    assert (lane.held, lane.budget.releasing) == ([], False)
    names = ["held 0", "held 1", "held 2", "held 3", "held 4", "held 5", "late"]
    assert [lane.verdicts[name] for name in names] == ["applied"] * 2 + ["ignored"] + ["applied"] * 4


def test_a_held_message_that_this_version_cannot_read_keeps_its_budget_on_hold() -> None:
    lane = Lane()
    hold(lane, [lock()], [lock(2), accept(2)])
    unreadable = Unreadable("unreadable", "of another version")
    lane.held[1] = lane.held[1]._replace(message=unreadable)
    assert lane.take(release(), "release") == "ignored"
    assert (lane.budget.on_hold, len(lane.held)) == (True, 2)


def test_the_dead_letter_of_a_held_message_has_its_own_origin_key_headers_and_body() -> None:
    strange = arrive(2, acknowledge("success", 9), "strange")
    assert isinstance(strange.message, Message)
    held = HeldMessage(strange.message, strange.original, (7, 2))
    arrival = arrive(5, release(), "release")
    budget = Budget(KEY)._replace(on_hold=True)
    loaded = Loaded(frozenset(), {KEY: (budget, 1)}, {}, {KEY: (held,)})
    decided = decide_batch([arrival], loaded, VERSION, TOPICS, frozenset())
    [letter] = decided.rows
    original = strange.original
    assert (letter.record.key, letter.record.value) == (original.key, original.value)
    assert letter.record.headers[: len(original.headers)] == original.headers
    told = dict(letter.record.headers)
    assert told["dead_letter_topic"] == original.place.topic.encode() == b"x.spectrum.acknowledgements"
    assert (told["dead_letter_partition"], told["dead_letter_offset"]) == (b"0", b"2")
    assert (letter.inbox_offset, letter.dead_letter_of, letter.budget) == (5, (7, 2), KEY)
    assert json.loads(letter.record.value or b"")["budget_version"] == 9


def test_a_batch_is_split_behind_each_release() -> None:
    bodies: list[InboundMessage] = [
        lock(),
        release(),
        release(),
        lock(),
        pass_deadline("release", PAST),
        pass_deadline("parked", PAST),
    ]
    parts = split_at_releases([arrive(offset, body) for offset, body in enumerate(bodies)])
    assert [len(part) for part in parts] == [2, 1, 2, 1]

"""The rows of the outbox: a record is measured as a whole, and a dead letter fits whatever was received."""

import json

import pytest

from contracts.cloudevents.message import Message, Unreadable
from contracts.fields import MAX_MESSAGE_BYTES
from contracts.inbox import Arrival
from contracts.records import Headers, Outgoing, Place, Record
from contracts.topics import TopicNames, list_topics
from handlers.budget import Budget
from handlers.decide import decide
from handlers.decision import DeadLetter, Situation
from handlers.ids import name_effect
from outbox.batch import Loaded, decide_batch
from outbox.identity import identify, identify_origin
from outbox.outbox_rows import inbox_time, measure_in_kafka, write_dead_letter, write_rows
from outbox.rules import RulesVersion
from outbox.stored_records import pack_headers, unpack_headers
from tests.unit.builders import KEY, NOON, RULES, accept, lock

TOPICS = TopicNames("x.")
MIB = 1024 * 1024
[LIMIT] = {int(topic.settings["max.message.bytes"]) for topic in list_topics() if topic.name == "bridge.dead-letters"}


def arrive(
    value: bytes | None = b"?",
    key: bytes | None = b"key",
    headers: Headers = (),
    place: Place = Place("x.procore.budgets", 3, 4),  # noqa: B008 - it is a value
    timestamp_ms: int = 5,
) -> Arrival:
    original = Record(place, timestamp_ms, key, value, headers)
    return Arrival(
        Record(Place("x.bridge.inbox", 0, 9), 1, None, value, ()), original, Unreadable("unreadable", "it is junk")
    )


def set_aside(arrival: Arrival) -> Outgoing:
    cause = identify(arrival)
    return write_dead_letter(arrival, name_effect(cause, 0), 0, DeadLetter("unreadable", "x"), TOPICS).record


def test_what_fits_is_set_aside_as_it_came_in() -> None:
    headers: Headers = (("a", b"\xff"), ("gr\udcf6sse", None), ("a", b""))
    letter = set_aside(arrive(b"v" * 16 * MIB, b"k", headers))
    assert (letter.key, letter.value, letter.headers[:3]) == (b"k", b"v" * 16 * MIB, headers)
    assert not any("cut" in name for name, _ in letter.headers)


@pytest.mark.parametrize(
    ("value", "key", "headers", "cut"),
    [
        (17 * MIB, 1, [], {"dead_letter_cut_from_bytes": b"%d" % (17 * MIB)}),
        (10, 1, [17 * MIB], {"dead_letter_headers_cut_from": b"1"}),
        (10, 1, [9, 17 * MIB, 9], {"dead_letter_headers_cut_from": b"3"}),
        (MIB, 1, [8 * MIB, 8 * MIB], {"dead_letter_cut_from_bytes": b"%d" % MIB}),
        (
            10,
            17 * MIB,
            [9],
            {"dead_letter_key_cut_from_bytes": b"%d" % (17 * MIB), "dead_letter_headers_cut_from": b"1"},
        ),
        (10, 1, [0] * 2_000_000, {"dead_letter_headers_cut_from": b"2000000"}),
    ],
)
def test_what_does_not_fit_is_cut_and_marked(value: int, key: int, headers: list[int], cut: dict[str, bytes]) -> None:
    arrival = arrive(b"v" * value, b"k" * key, tuple(("h", b"x" * size) for size in headers))
    letter = set_aside(arrival)
    assert measure_in_kafka(letter) <= LIMIT
    told = dict(letter.headers)
    assert cut.items() <= told.items()
    assert told["dead_letter_offset"] == b"4"
    assert (arrival.original.value or b"").startswith(letter.value or b"")
    kept = letter.headers[: len(letter.headers) - 5 - sum("_cut" in name for name, _ in letter.headers)]
    assert kept == arrival.original.headers[: len(kept)]


def test_texts_of_others_are_limited_in_a_dead_letter() -> None:
    letter = set_aside(arrive(place=Place("t" * 20 * MIB, 2**70, -1)))
    assert measure_in_kafka(letter) < 10_000


def test_a_record_is_measured_with_its_headers_and_the_message_names_its_size() -> None:
    trace: Headers = (("tracestate", b"x" * MAX_MESSAGE_BYTES),)
    body = lock()
    message = Message("s", "i", body, trace)
    outcome = decide(Budget(KEY), message, Situation(NOON, RULES))
    arrival = Arrival(arrive().inbox, arrive().original, message)
    with pytest.raises(
        ValueError, match=r"approval.requested.v1 would be a record of 16,77\d,\d{3} bytes .*16,777,216"
    ):
        list(write_rows(arrival, identify(arrival), outcome, trace, (), TOPICS))


@pytest.mark.parametrize("timestamp_ms", [-(2**63), -1, 2**62, 2**63 - 1])
def test_any_time_of_a_record_is_a_time(timestamp_ms: int) -> None:
    record = Record(Place("x.bridge.inbox", 0, 9), timestamp_ms, None, b"", ())
    assert inbox_time(record).year in {1970, 9999}


def test_odd_origins_have_identities_of_their_own_that_postgres_takes() -> None:
    topics = ["a", "a\x00", "a\\x00", "a\ufffd", "ä", "x" * 1000, "x" * 1001]
    places = [
        Place(topic, partition, offset) for topic in topics for partition in (1, 2**40) for offset in (1, 10**600)
    ]
    identities = {identify_origin(arrive(place=place)) for place in places}
    assert len(identities) == len(places)
    for identity in identities:
        assert len(identity.source) + len(identity.id) < 2000
        assert "\x00" not in identity.source + identity.id


def test_the_type_belongs_to_the_identity() -> None:
    bodies = [Message("s", "i", body, ()) for body in (lock(), lock(2))]
    other = Message("s", "i", accept(), ())
    base = arrive()
    same = {identify(Arrival(base.inbox, base.original, message)) for message in bodies}
    assert len(same) == 1
    assert identify(Arrival(base.inbox, base.original, other)) not in same


def test_a_conflict_is_set_aside_and_named_by_its_origin() -> None:
    arrival = Arrival(arrive().inbox, arrive().original, Message("s", "i", lock(), ()))
    origin = identify_origin(arrival)
    loaded = Loaded(frozenset({identify(arrival)}), {}, {}, conflicts={9: origin})
    decided = decide_batch([arrival, arrival], loaded, RulesVersion(1, "", RULES), TOPICS, frozenset())
    [entry], [row] = decided.entries, decided.rows
    assert entry.identity == origin
    assert entry.detail.startswith("conflicting_content: a budget.locked.v1 of source s with id i came before")
    assert row.record.topic == "x.bridge.dead-letters"
    assert (row.budget, len(decided.repeats)) == (KEY, 1)


@pytest.mark.parametrize(
    "headers",
    [(), (("ce_id", b"1"), ("null", None), ("", b"")), (('gr\udcf6\xdfe "\\\x00', bytes(range(256))),)],
    ids=["none", "usual", "odd"],
)
def test_headers_are_stored_as_pythons_json_writes_them(headers: Headers) -> None:
    packed = pack_headers(headers)
    assert packed == json.dumps(
        [[name, value if value is None else value.decode("latin-1")] for name, value in headers]
    )
    assert unpack_headers(packed) == headers

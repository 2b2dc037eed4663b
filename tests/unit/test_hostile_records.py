"""Whatever a record is, reading it raises nothing, is bounded, and leads to nothing that Postgres refuses."""

import json
import time
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.cloudevents.message import Message, Unreadable
from contracts.cloudevents.reading import read_message, read_project
from contracts.cloudevents.trace_context import read_trace
from contracts.cloudevents.writing import DEADLINES_SOURCE, SOURCE, write_attributes
from contracts.fields import MAX_INT64, MAX_MESSAGE_BYTES
from contracts.inbound import MAX_READ_LINES
from contracts.inbox import Arrival, copy_to_inbox, open_arrival
from contracts.records import Headers, Outgoing, Place, Record, digest_record
from contracts.samples import load_sample
from contracts.text import fold_text, has_format_character, is_blank
from contracts.topics import COMMANDS, SOURCES, TopicNames

TOPICS = TopicNames("x.")
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
KINDS = [(topic, model.type) for topic, models in SOURCES.items() for model in models]
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def make_record(kind: str, value: object, source: str = "test") -> Record:
    topic = next(topic for topic, found in KINDS if found == kind)
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = write_attributes(kind, source, "m1")
    return Record(Place(TOPICS.full(topic), 1, 2), int(AT.timestamp() * 1000), b"k", text, headers)


def travel(record: Record, **changes: Any) -> Arrival:
    """Carry a record through the inbox, where its time is the record's own."""
    copy = copy_to_inbox(record, TOPICS.inbox)
    digest_record(copy)
    inbox = Record(Place(copy.topic, 0, 5), int(AT.timestamp() * 1000), copy.key, copy.value, copy.headers)
    return open_arrival(replace(inbox, **changes), TOPICS)


def read_lock(**changes: Any) -> Message | Unreadable:
    record = make_record("budget.locked.v1", load_sample("budget.locked.v1") | changes)
    return read_message("procore.budgets", record)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["ce_id", "ce_type", "CE_SOURCE", "content-type", "origin_topic", "traceparent"]) | st.text(
    st.characters(exclude_categories=()), max_size=6
)
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=20)), max_size=6).map(tuple)


@st.composite
def draw_value(draw: st.DrawFn, kind: str) -> bytes | None:
    """A sample with fields put in, replaced and removed; or any JSON; or any bytes."""
    data = dict(load_sample(kind))
    for name in draw(st.lists(st.sampled_from(sorted(data)), max_size=3)):
        data[name] = draw(JSON)
    text = json.dumps(draw(st.just(data) | JSON)).encode()
    return draw(st.just(text) | st.none() | st.binary() | st.integers(0, len(text)).map(lambda end: text[:end]))


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_nothing_raises(data: st.DataObject) -> None:
    topic, kind = data.draw(st.sampled_from(KINDS))
    value = data.draw(draw_value(kind))
    headers: Headers = (*write_attributes(kind, "test", "m1"), *data.draw(HEADERS))
    at = data.draw(st.integers(-MAX_INT64 - 1, MAX_INT64))
    record = Record(Place(TOPICS.full(topic), 1, 2), at, data.draw(st.none() | st.binary()), value, headers)
    arrival = travel(record)
    assert arrival.original.value == value
    assert isinstance(read_message(topic, record), Message | Unreadable)
    project = read_project(record)
    if isinstance(arrival.message, Message):
        assert project == arrival.message.body.key.project


@given(HEADERS, st.integers(-MAX_INT64 - 1, MAX_INT64), st.binary(max_size=30))
@settings(max_examples=300, deadline=None)
def test_a_forged_inbox_record_leads_to_nothing_that_postgres_refuses(headers: Headers, at: int, value: bytes) -> None:
    origin = tuple((name, value) for name in ("origin_topic", "origin_partition", "origin_offset", "origin_key"))
    for found in (headers, (*headers, *origin, ("origin_timestamp", value))):
        place = open_arrival(Record(Place("x.bridge.inbox", 0, 5), at, None, value, found), TOPICS).original.place
        assert "\x00" not in place.topic
        assert 0 <= place.partition < 2**31
        assert 0 <= place.offset < 2**63


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin_topic", b"x.procore\x00budgets"),
        ("origin_topic", b"x.procore.\xff"),
        ("origin_topic", None),
        ("origin_partition", b"2147483648"),
        ("origin_partition", b"-1"),
        ("origin_partition", b" 1"),
        ("origin_partition", "١".encode()),
        ("origin_offset", b"9223372036854775808"),
        ("origin_offset", b"9" * 5000),
        ("origin_offset", b"1_0"),
        ("origin_timestamp", b"9223372036854775808"),
        ("origin_timestamp", b""),
    ],
)
def test_an_origin_that_no_kafka_has_is_none(name: str, value: bytes | None) -> None:
    copy = copy_to_inbox(make_record("budget.locked.v1", load_sample("budget.locked.v1")), TOPICS.inbox)
    headers = tuple((found, value if found == name else was) for found, was in copy.headers)
    arrival = travel(make_record("budget.locked.v1", load_sample("budget.locked.v1")), headers=headers)
    assert isinstance(arrival.message, Unreadable)
    assert arrival.original is arrival.inbox


def fill(unit: bytes, before: bytes = b'{"x":[', after: bytes = b"1]}") -> bytes:
    """As many of a unit as a message can hold."""
    return before + unit * ((MAX_MESSAGE_BYTES - len(before) - len(after)) // len(unit)) + after


@pytest.mark.parametrize(
    "value",
    [
        fill(b"[],"),
        fill(b"{},", b'{"lines":[', b"{}]}"),
        fill(b"[[[[]]]],"),
        fill(b'{"":1.5},'),
        fill(b"1.1,"),
        fill(b"[", b"", b""),
        fill(b'{"a":', b"", b""),
        fill(b"1", b'{"total_amount":', b"}"),
        fill(b"1", b'{"locked_at":"2026-11-24T08:00:00.', b'Z"}'),
        fill("\U000e0001".encode(), b'{"created_by":"', b'"}'),
    ],
)
def test_the_largest_records_are_read_in_time(value: bytes) -> None:
    record = make_record("budget.locked.v1", value)
    began = time.process_time()
    assert read_project(record) is None
    found = read_message("procore.budgets", record)
    assert time.process_time() - began < 3
    assert isinstance(found, Unreadable)
    assert len(found.detail) < 2000


def test_lines_are_read_up_to_a_limit_and_fail_fast() -> None:
    line = load_sample("budget.locked.v1")["lines"][0]
    assert isinstance(read_lock(lines=[line] * MAX_READ_LINES), Message)
    found = read_lock(lines=[line] * (MAX_READ_LINES + 1))
    assert isinstance(found, Unreadable)
    assert found.detail.startswith("data.lines: ")
    found = read_lock(lines=[line, {}, {}])
    assert isinstance(found, Unreadable)
    assert "data.lines.1" in found.detail
    assert "data.lines.2" not in found.detail


@pytest.mark.parametrize(("amount", "fits"), [("1" * 40, True), ("1" * 41, False), ("-1." + "0" * 38, False)])
def test_an_amount_has_at_most_40_characters(amount: str, fits: bool) -> None:  # noqa: FBT001
    assert isinstance(read_lock(total_amount=amount), Message) is fits


@pytest.mark.parametrize(
    ("headers", "passed_on"),
    [
        ((("traceparent", PARENT), ("tracestate", b"a=1")), ("traceparent", "tracestate")),
        ((("TraceParent", PARENT), ("tracestate", b"x" * 512)), ("traceparent", "tracestate")),
        ((("traceparent", PARENT), ("tracestate", b"x" * 513)), ("traceparent",)),
        ((("traceparent", PARENT), ("tracestate", b"a=\x00")), ("traceparent",)),
        ((("traceparent", PARENT + b"0"), ("tracestate", b"a=1")), ()),
        ((("traceparent", PARENT + b"\n"),), ()),
        ((("traceparent", PARENT.upper()),), ()),
        ((("traceparent", b"00-" + b"0" * 32 + PARENT[35:]),), ()),
        ((("traceparent", PARENT[:36] + b"0" * 16 + PARENT[52:]),), ()),
        ((("traceparent", b"01" + PARENT[2:]),), ()),
        ((("tracestate", b"a=1"),), ()),
    ],
)
def test_a_trace_context_is_passed_on_in_its_form_alone(headers: Headers, passed_on: tuple[str, ...]) -> None:
    assert tuple(name for name, _ in read_trace(headers)) == passed_on


@pytest.mark.parametrize("source", [SOURCE, DEADLINES_SOURCE])
@pytest.mark.parametrize(("topic", "kind"), KINDS)
def test_the_bridge_speaks_for_itself_on_its_own_topic_alone(topic: str, kind: str, source: str) -> None:
    found = read_message(topic, make_record(kind, load_sample(kind), source))
    assert isinstance(found, Message) is (topic == COMMANDS)
    assert isinstance(read_message(topic, make_record(kind, load_sample(kind), f"{SOURCE}/operator")), Message)


@pytest.mark.parametrize(("ahead", "read"), [(60, True), (61, False), (10**10, False)])
def test_a_deadline_is_not_later_than_its_record(ahead: int, read: bool) -> None:  # noqa: FBT001
    due_at = (AT + timedelta(seconds=ahead)).isoformat()
    arrival = travel(make_record("deadline.passed.v1", load_sample("deadline.passed.v1") | {"due_at": due_at}))
    assert isinstance(arrival.message, Message) is read
    forged = travel(make_record("deadline.passed.v1", load_sample("deadline.passed.v1")), timestamp_ms=MAX_INT64)
    assert isinstance(forged.message, Unreadable)


@pytest.mark.parametrize(
    "user", ["a\x00nn", "ann\u200b", "\u202eann", "ann\ufeff", "a\u034fnn", "ann\n", " ", "\u2800"]
)
def test_users_can_be_distinguished(user: str) -> None:
    found = read_lock(sent_by=user)
    assert isinstance(found, Unreadable)
    assert found.detail.startswith("data.sent_by: a user")


@pytest.mark.parametrize(
    "spelling",
    ["José", "Jose\u0301", " JOSÉ ", "ＪＯＳÉ", "Jo\u200bsé", "José\ufeff", "José\u00a0", "Jo\u00adsé", "\x00José"],
)
def test_one_person_by_any_spelling(spelling: str) -> None:
    assert fold_text(spelling) == "josé"


def test_every_format_character_of_unicode_is_known() -> None:
    missed = [
        hex(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs"} and not has_format_character(chr(code))
    ]
    assert missed == []
    assert not has_format_character("José Núñez <j.n@example.org> 李 علي")


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\ufeff \u00a0", "\u2800", "\u3164", "\x00", "\u3000"])
def test_what_cannot_be_seen_is_blank(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(f"{text}x")


def test_a_copy_of_any_record_can_be_digested() -> None:
    assert digest_record(Outgoing("t", None, None, (("\ud800\udcff", None),)))

"""Bytes in, messages or a reason out: CloudEvents, tolerant where the contract is, exact everywhere else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.cloudevents.message import Message, Unreadable
from contracts.cloudevents.reading import read_message, read_project
from contracts.export_lines import ExportLine
from contracts.fields import write_cents
from contracts.inbound import ApprovalDecision, BudgetLocked, ErpAcknowledgement
from contracts.inbox import copy_to_inbox, open_arrival
from contracts.outbound import ApprovalRequested, SpectrumExport, SpectrumResync
from contracts.records import Headers, Place, Record
from contracts.samples import load_sample
from contracts.topics import SOURCES, TopicNames, list_topics

BUDGETS = "procore.budgets"
KINDS = [(topic, model.type) for topic, models in SOURCES.items() for model in models]


def binary(kind: str, data: object, **attributes: bytes | None) -> Record:
    usual: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": b"7",
        "ce_source": b"there",
        "ce_type": kind.encode(),
        "content-type": b"application/json; charset=utf-8",
    }
    given = {name.replace("content_type", "content-type"): value for name, value in attributes.items()}
    headers = {**usual, **given}
    value = data if isinstance(data, bytes | None) else json.dumps(data).encode()
    return Record(Place("x.procore.budgets", 3, 14), 1000, b"k", value, tuple(headers.items()))


def structured(kind: str, data: object, headers: Headers = (), **attributes: object) -> Record:
    event = {"specversion": "1.0", "id": "7", "source": "there", "type": kind, "data": data} | attributes
    return Record(Place("x.procore.budgets", 3, 14), 1000, b"k", json.dumps(event).encode(), headers)


def lock(**changes: Any) -> dict[str, Any]:
    return load_sample("budget.locked.v1") | changes


def read_lock(**changes: Any) -> BudgetLocked:
    message = read_message(BUDGETS, binary("budget.locked.v1", lock(**changes)))
    assert isinstance(message, Message), message
    assert isinstance(message.body, BudgetLocked)
    return message.body


def refuse(record: Record, topic: str = BUDGETS) -> str:
    found = read_message(topic, record)
    assert isinstance(found, Unreadable), found
    return f"{found.reason}: {found.detail}"


@pytest.mark.parametrize(("topic", "kind"), KINDS)
@pytest.mark.parametrize("mode", [binary, structured])
def test_every_sample_is_read_in_both_modes(topic: str, kind: str, mode: Callable[..., Record]) -> None:
    record = mode(kind, load_sample(kind))
    message = read_message(topic, record)
    assert isinstance(message, Message)
    assert (message.source, message.id, message.body.type) == ("there", "7", kind)
    assert read_project(record) == (4211, 90071)


def test_structured_by_content_type_or_by_absence() -> None:
    for headers in ((), (("content-type", b"application/cloudevents+json; charset=UTF-8"),), (("other", None),)):
        assert isinstance(read_message(BUDGETS, structured("budget.locked.v1", lock(), headers)), Message)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ce_specversion": b"0.3"}, "unreadable: specversion"),
        ({"ce_specversion": None}, "unreadable: specversion"),
        ({"ce_type": None}, "unreadable: type: it is missing"),
        ({"ce_id": b""}, "unreadable: id: it is missing"),
        ({"ce_id": b"a\x00b"}, "unreadable: id"),
        ({"ce_id": b"\xff"}, "unreadable: id"),
        ({"ce_source": "é".encode() * 501}, "unreadable: source"),
        ({"ce_source": None}, "unreadable: source: it is missing"),
        ({"ce_type": b"budget.locked.v2"}, "unknown_type: type: 'budget.locked.v2' is not known on procore.budgets"),
        ({"ce_type": b"approval.decision.v1"}, "unknown_type"),
        ({"content_type": b"application/avro"}, "unreadable: content-type"),
    ],
)
def test_what_is_wrong_with_the_event(changes: dict[str, bytes | None], said: str) -> None:
    assert refuse(binary("budget.locked.v1", lock(), **changes)).startswith(said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "the value is null"),
        (b"", "no JSON"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b"[1]", "a JSON object is expected"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"company_id": 1', "line 1, column"),
    ],
)
def test_what_is_wrong_with_the_bytes(value: bytes | None, said: str) -> None:
    assert said in refuse(binary("budget.locked.v1", value))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"company_id": 0}, "data.company_id"),
        ({"company_id": True}, "data.company_id"),
        ({"company_id": "1.0"}, "data.company_id"),
        ({"company_id": 4211.0}, "data.company_id"),
        ({"company_id": 2**63}, "data.company_id"),
        ({"company_id": "9" * 5000}, "data.company_id"),
        ({"budget_version": 2**63}, "data.budget_version"),
        ({"currency": "usd"}, "data.currency"),
        ({"currency": "USD\n"}, "data.currency"),
        ({"total_amount": "NaN"}, "data.total_amount"),
        ({"total_amount": ".5"}, "data.total_amount"),
        ({"total_amount": "1e3"}, "data.total_amount"),
        ({"total_amount": 1e300}, "data.total_amount"),
        ({"total_amount": float("nan")}, "data.total_amount"),
        ({"total_amount": "１"}, "data.total_amount"),
        ({"total_amount": True}, "data.total_amount"),
        ({"created_by": ""}, "data.created_by"),
        ({"created_by": "x" * 256}, "data.created_by"),
        ({"created_by": 5}, "data.created_by"),
        ({"created_by": "\ud800"}, "data.created_by"),
        ({"locked_at": "2026-11-24T08:00:00"}, "data.locked_at"),
        ({"locked_at": "2026-13-24T08:00:00Z"}, "data.locked_at"),
        ({"locked_at": 1700000000}, "data.locked_at"),
        ({"locked_at": "0001-01-01T00:00:00+23:00"}, "data.locked_at"),
        ({"lines": {}}, "data.lines"),
        ({"lines": [5]}, "data.lines.0"),
    ],
)
def test_what_is_wrong_with_the_data_and_where(changes: dict[str, Any], where: str) -> None:
    assert refuse(binary("budget.locked.v1", lock(**changes))).startswith(f"unreadable: {where}")
    assert refuse(structured("budget.locked.v1", lock(**changes))).startswith(f"unreadable: {where}")


def test_many_problems_are_reported_up_to_the_first_line() -> None:
    detail = refuse(binary("budget.locked.v1", {"lines": [{}] * 500}))
    assert "data.company_id: Field required" in detail
    assert "data.lines.0.cost_code: Field required" in detail
    assert "data.lines.1" not in detail
    assert len(detail) < 1500


def test_numbers_are_read_exactly() -> None:
    data = json.dumps(lock()).replace('"1190250.50"', "1190250.50000000000000000000000000000001").encode()
    message = read_message(BUDGETS, binary("budget.locked.v1", data))
    assert isinstance(message, Message)
    assert isinstance(message.body, BudgetLocked)
    assert message.body.total_amount == "1190250.50000000000000000000000000000001"
    assert read_lock(total_amount=12).total_amount == "12"
    assert read_lock(total_amount=10**39).total_amount == str(10**39)


def test_fields_are_compared_by_value() -> None:
    lines = load_sample("budget.locked.v1")["lines"]
    other = [lines[0] | {"original_amount": lines[0]["original_amount"] + "0", "quantity": None}, *lines[1:]]
    body = read_lock()
    again = read_lock(total_amount="1190250.500", lines=other)
    assert body.total_amount != again.total_amount
    assert body.list_values() == again.list_values()
    for changes in ({"total_amount": "1190250.51"}, {"sent_by": "sue"}, {"lines": [lines[0], lines[0]]}):
        assert body.list_values() != read_lock(**changes).list_values()


def test_reading_is_tolerant() -> None:
    body = read_lock(company_id="4211", unknown={"a": 1}, locked_at="2026-11-24t10:00:00.123456789+02:00")
    assert body.company_id == 4211
    assert body.locked_at.isoformat() == "2026-11-24T08:00:00.123456+00:00"
    decision = ApprovalDecision.model_validate(load_sample("approval.decision.v1") | {"reason": "x" * 2000})
    assert decision.reason == "x" * 1000
    answer = load_sample("erp.acknowledgement.v1")
    answer["lines"][0] |= {"error_code": "EE", "error_description": "d" * 300, "error_column": "c" * 300}
    [line] = ErpAcknowledgement.model_validate(answer).lines
    assert (line.error_code, len(line.error_description or ""), len(line.error_column or "")) == ("E", 250, 100)


def test_the_last_of_two_keys_counts_for_both_readings() -> None:
    value = json.dumps(lock()).replace('"company_id": 4211', '"company_id": 1, "company_id": 2').encode()
    record = binary("budget.locked.v1", value)
    message = read_message(BUDGETS, record)
    assert isinstance(message, Message)
    assert read_project(record) == (message.body.company_id, message.body.project_id) == (2, 90071)


class TestInbox:
    def travel(self, record: Record, **changes: Any) -> Any:
        copy = copy_to_inbox(record, "x.bridge.inbox")
        inbox = Record(Place(copy.topic, 0, 5), 2000, copy.key, copy.value, copy.headers)
        for name, value in changes.items():
            object.__setattr__(inbox, name, value)
        return open_arrival(inbox, TopicNames("x."))

    def test_a_record_comes_out_as_it_went_in(self) -> None:
        record = binary("budget.locked.v1", lock())
        arrival = self.travel(record)
        assert arrival.original == record
        assert arrival.inbox.key == b"4211/90071"
        assert isinstance(arrival.message, Message)

    def test_without_a_project_it_is_keyed_by_its_origin(self) -> None:
        arrival = self.travel(binary("budget.locked.v1", b"junk", extra=None))
        assert arrival.inbox.key == b"x.procore.budgets/3/14"
        assert isinstance(arrival.message, Unreadable)
        assert arrival.original.headers[-1] == ("extra", None)

    def test_keyed_by_another_project_it_is_set_aside(self) -> None:
        arrival = self.travel(binary("budget.locked.v1", lock()), key=b"1/1")
        assert isinstance(arrival.message, Unreadable)

    def test_headers_that_pretend_an_origin_are_kept_as_they_are(self) -> None:
        record = binary("budget.locked.v1", lock(), origin_topic=b"elsewhere")
        assert self.travel(record).original == record

    def test_without_an_origin_it_is_set_aside(self) -> None:
        arrival = self.travel(binary("budget.locked.v1", lock()), headers=())
        assert isinstance(arrival.message, Unreadable)
        assert arrival.original.place.topic == "x.bridge.inbox"


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-100, "-1.00"), (9_999_999_999_99, "9999999999.99")]
)
def test_money_is_written_with_two_places(cents: int, text: str) -> None:
    assert write_cents(cents) == text


@pytest.mark.parametrize(
    ("field", "fits", "does_not"),
    [
        ("phase_code", "1" * 20, "1" * 21),
        ("phase_code", "01510", "01-510"),
        ("cost_type", "LAB", "LABO"),
        ("description", "x" * 25, "x" * 26),
        ("original_estimate_cost", "99999999.99", "100000000.00"),
        ("original_estimate_cost", "-99999999.99", "-100000000.00"),
        ("revision_amount", "9999999999.99", "10000000000.00"),
        ("revision_amount", "-0.05", "0.050"),
        ("original_change", "1234567890123.00", "1"),
        ("previous_revision_amount", "0.00", "0.00\n"),
    ],
)
def test_writing_is_strict(field: str, fits: object, does_not: object) -> None:
    line = {
        "budget_line_item_id": 1,
        "phase_code": "1",
        "cost_type": "L",
        "description": "d",
        "original_estimate_cost": "0.00",
        "revision_amount": "0.00",
        "price_method_code": "T",
        "change": "add",
        "previous_original_estimate_cost": None,
        "previous_revision_amount": None,
        "original_change": "0.00",
        "revision_change": "0.00",
        "keep_description": False,
    }
    assert getattr(ExportLine.model_validate(line | {field: fits}), field) == fits
    with pytest.raises(ValidationError):
        ExportLine.model_validate(line | {field: does_not})


@pytest.mark.parametrize("measured", [False, True])
def test_the_rows_of_a_message_are_lines(measured: bool) -> None:  # noqa: FBT001
    sample = load_sample("spectrum.export.v1")
    more = {"original_estimate_quantity": "1.50", "unit_of_measure": None} if measured else {}
    lines = [line | more for line in sample["lines"]]
    rows = [tuple(line.values()) for line in lines]
    message = SpectrumExport.model_validate(sample | {"lines": rows})
    assert json.loads(message.write()) == sample | {"lines": lines}
    description = list(ExportLine.model_fields).index("description")
    for wrong in ((*rows[0], "1.00"), rows[0][:-1], (*rows[0][:description], "x" * 26, *rows[0][description + 1 :])):
        with pytest.raises(ValidationError):
            SpectrumExport.model_validate(sample | {"lines": [*rows[1:], wrong]})


@pytest.mark.parametrize("model", [ApprovalRequested, SpectrumExport, SpectrumResync])
@pytest.mark.parametrize("text", ['","notices":[', '"}', '\\","lines":[', ""])
def test_lines_are_written_in_their_place(model: type[ApprovalRequested | SpectrumExport], text: str) -> None:
    sample = load_sample(model.type)
    notice = {"budget_line_item_id": None, "code": "found_differs", "message": text}
    texts = {"currency": text, "sent_by": text, "approved_by": text, "notices": [notice] if text else []}
    given = [tuple(line.values()) for line in sample["lines"]]
    for rows in (given, given[:0]):
        message = model.model_validate(sample | texts | {"lines": rows})
        assert message.write() == message.model_dump_json().encode()


def test_the_topics_fit_their_messages() -> None:
    settings = {topic.name: topic.settings for topic in list_topics()}
    assert len(settings) == 14
    assert settings["bridge.inbox"]["message.timestamp.type"] == "LogAppendTime"
    assert settings["bridge.inbox"]["retention.ms"] == "-1"
    assert settings["bridge.status"]["cleanup.policy"] == "compact"
    assert {name for name, found in settings.items() if found["max.message.bytes"] == str(17 * 2**20)} == {
        "bridge.inbox",
        "bridge.dead-letters",
    }
    assert SpectrumExport.topic == "spectrum.exports"

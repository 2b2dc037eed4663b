"""Records of every kind, from the bytes that come in to the bytes that leave and are stored, compared with files.

``test_golden`` follows a budget through its life; this is about what may be in a message. What is long is kept by its
digest. ``python -m tests.unit.test_golden_inputs`` writes the files.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from contracts.cloudevents.writing import write_attributes
from contracts.inbox import Arrival, copy_to_inbox, open_arrival
from contracts.records import Place, Record
from contracts.topics import SOURCES, TopicNames
from handlers.ids import name_export
from handlers.rules import CostType, Phase
from outbox.batch import Loaded, decide_batch
from outbox.budget_state import read_state, write_state
from outbox.outbox_rows import OutboxRow
from outbox.rules import RulesVersion
from tests.unit.builders import CONCRETE, KEY, NOON, RULES, STEEL, Line, add_up

FOLDER: Final = Path(__file__).parent / "golden" / "inputs"
TOPICS: Final = TopicNames("x.")
LONGEST: Final = 1500
"""Characters of what is kept as it is; of more the digest is kept."""

MANY: Final = 200
WIDE: Final = replace(
    RULES,
    phases={
        **RULES.phases,
        **{f"c{number}": Phase(f"{number:05d}", None) for number in range(MANY)},
        "ü-1": Phase("Ü1", 'Ä "quoted" \\ 木工'),
    },
    cost_types={**RULES.cost_types, "木": CostType("木", "U")},
)


class Input(NamedTuple):
    """One record of a source topic."""

    kind: str
    value: bytes
    structured: bool = False


def write(kind: str, **data: Any) -> Input:
    """Write a message as it comes in."""
    return Input(kind, json.dumps({**KEY._asdict(), "budget_version": 1} | data).encode())


def lock(version: int = 1, *lines: Line, **fields: Any) -> Input:
    chosen = lines or (STEEL,)
    usual = {
        "budget_version": version,
        "currency": "USD",
        "total_amount": add_up(chosen) if "total_amount" not in fields else "",
        "created_by": "carla",
        "locked_by": "lou",
        "sent_by": "sam",
        "locked_at": "2026-11-24T08:00:00Z",
        "lines": chosen,
    }
    return write("budget.locked.v1", **usual | fields)


def decide(version: int = 1, **fields: Any) -> Input:
    usual = {"decision": "accept", "decided_by": "ann", "decided_at": "2026-11-24T09:00:00.5+01:00"}
    return write("approval.decision.v1", budget_version=version, **usual | fields)


def retrieve(version: int = 1, **fields: Any) -> Input:
    usual = {"retrieved_by": "mia", "retrieved_at": "2026-11-24T10:00:00Z"}
    return write("budget.retrieved.v1", budget_version=version, **usual | fields)


def acknowledge(status: str, version: int = 1, number: int | None = None, **fields: Any) -> Input:
    export_id = str(name_export(KEY, version, number or version))
    usual = {"export_id": export_id, "attempt": 1, "status": status, "acknowledged_at": "2026-11-24T11:00:00Z"}
    return write("erp.acknowledgement.v1", budget_version=version, **usual | fields)


def ask(kind: str, version: int = 1, **fields: Any) -> Input:
    return write(kind, budget_version=version, **{"requested_by": "olga", "reason": "it must be"} | fields)


def retype(found: Input, number: str, by: str) -> Input:
    """Put a JSON value where a text was, as it is written."""
    assert number in found.value.decode(), number
    return found._replace(value=found.value.decode().replace(number, by, 1).encode())


def make_lines(count: int, start: int = 0, **fields: Any) -> list[Line]:
    return [
        {
            "budget_line_item_id": number + 1,
            "cost_code": f"c{number}",
            "cost_type": "LMSE"[number % 4],
            "description": f"Concrete work {number}",
            "original_amount": f"{number * 977 % 5000}.{number * 31 % 100:02d}",
            "revision_amount": f"-{number}.50" if number % 3 else "0.00",
            "sub_job": None,
        }
        | fields
        for number in range(start, start + count)
    ]


def amount(original: str, revision: str = "0.00", **fields: Any) -> Line:
    return STEEL | {"original_amount": original, "revision_amount": revision} | fields


def lock_amount(version: int, original: str, revision: str = "0.00", **fields: Any) -> Input:
    return lock(version, amount(original, revision), **fields)


ODD_TEXT: Final = '"q" \\ / é ß 木\u2028\x7f😀'
PARTLY: Final = [
    {"phase_code": "05120", "cost_type": "S", "status": "failed", "error_code": "EE", "error_description": "ü" * 300},
    {"phase_code": "09900", "cost_type": "S", "status": "failed"},
]
MEASURED: Final = {"quantity": "12.5", "unit_of_measure": "m³"}
RULES_OF: Final[dict[str, dict[str, Any]]] = {
    "quantities": {"quantities": True},
    "texts": {"long_descriptions": "reject"},
    "blocked": {"removed_lines": "block"},
    "hash_required": {"require_content_hash": True},
}
HISTORIES: Final[dict[str, tuple[Input, ...]]] = {
    "one_line": (lock(), decide(), acknowledge("success"), lock(2), lock(2), lock(1)),
    "twenty_lines": (
        lock(1, *make_lines(20)),
        decide(),
        acknowledge("success"),
        lock(2, *make_lines(18, 5)),
        decide(2),
        acknowledge("success", 2),
        lock(3, *make_lines(20)),
        decide(3),
    ),
    "two_hundred_lines": (
        lock(1, *make_lines(200)),
        decide(),
        acknowledge("success"),
        lock(2, *make_lines(150, 20, description="Another work")),
        decide(2),
        acknowledge("partial", 2, lines=PARTLY),
        decide(2, decision="reject", reason="wrong"),
        lock(3, *reversed(make_lines(200))),
        decide(3),
    ),
    "amounts": (
        lock_amount(1, "99999999.99", "9999999999.99"),
        lock_amount(2, "-99999999.99", "-9999999999.99"),
        lock_amount(3, "100000000.00", "10000000000.00"),
        lock_amount(4, "-0.00", "-0.01"),
        lock_amount(5, "1.100", "00012.50"),
        lock_amount(6, "1.001", "0.0000001"),
        lock_amount(7, "1" * 40, "0." + "0" * 37 + "1"),
        lock_amount(8, "1000", "1200000"),
        lock_amount(9, "10.10", "5", total_amount="15.1"),
        lock_amount(10, "10.10", "5", total_amount="15.10000"),
        lock_amount(11, "10.10", "5", total_amount="15.11"),
        lock_amount(12, "10.10", "5", total_amount="15.10001"),
        lock_amount(13, "1" * 41),
        lock_amount(13, "10", total_amount=""),
        lock_amount(13, "1", total_amount="1."),
        lock_amount(13, "1", total_amount="+1"),
        lock_amount(13, "1", total_amount=" 1"),
        lock_amount(13, "1", total_amount="1\n"),
        lock_amount(13, "1", total_amount="١"),
    ),
    "numbers": (
        retype(lock_amount(1, "1250.10"), '"1250.10"', "1250.10"),
        retype(lock_amount(2, "1250"), '"1250"', "1250"),
        retype(lock_amount(3, "0.1234567890123456789"), '"0.1234567890123456789"', "0.1234567890123456789"),
        retype(lock_amount(4, "1250.10"), '"1250.10"', "1.25010e3"),
        retype(lock_amount(4, "1250.10"), '"1250.10"', "true"),
        retype(lock_amount(4, "1250.10"), '"1250.10"', "null"),
        retype(lock_amount(4, "1250.10"), '"1250.10"', "NaN"),
        retype(lock_amount(4, "12345678901234567890123"), '"12345678901234567890123"', "12345678901234567890123"),
        retype(lock_amount(4, "5"), "4211", '"4211"'),
        retype(lock_amount(5, "5"), "4211", "4211.0"),
        retype(lock_amount(5, "5"), '"budget_version": 5', '"budget_version": "5"'),
        retype(lock_amount(6, "5"), '"budget_line_item_id": 1', '"budget_line_item_id": "-9223372036854775808"'),
        retype(lock_amount(7, "5"), '"budget_line_item_id": 1', '"budget_line_item_id": -9223372036854775809'),
        retype(lock_amount(7, "5"), '"budget_version": 7', '"budget_version": 9223372036854775808'),
        retype(lock_amount(7, "5"), '"currency": "USD"', '"currency": "USD", "currency": "EUR", "x": [NaN, 1e999]'),
        retype(lock_amount(8, "5"), '"lines"', '"deep": ' + "[" * 300 + "]" * 300 + ', "lines"'),
    ),
    "texts": (
        lock(1, STEEL | {"description": "Größe 木工 😀"}, created_by="José", sent_by="Zoë"),
        lock(2, STEEL | {"description": 'a "b" \\ c'}),
        lock(3, STEEL | {"description": ODD_TEXT}),
        lock(4, STEEL | {"description": "tab\there"}),
        lock(5, STEEL | {"description": "\u2800 \u200b"}),
        lock(6, STEEL | {"description": " padded "}),
        lock(7, STEEL | {"description": "x" * 26}),
        lock(8, STEEL | {"description": "x" * 256}),
        lock(8, STEEL | {"cost_code": "ü-1", "cost_type": "木", "description": ""}),
        lock(9, STEEL | {"cost_code": "?" * 64, "cost_type": "??"}),
        lock(10, STEEL | {"sub_job": "A" * 50}),
        lock(11, STEEL | {"sub_job": " ", "unit_of_measure": "anything at all"}),
        lock(12, sent_by="a\u200bb"),
        lock(12, created_by=" "),
        lock(12, created_by="x" * 256),
        lock(12, currency="usd"),
        lock(12, locked_at="2026-11-24T08:00:00.123456789+02:00"),
        lock(13, locked_at="2026-11-24 08:00:00z"),
        lock(14, locked_at="2026-11-24T08:00:00"),
        lock(14, locked_at="2026-02-30T08:00:00Z"),
        lock(14, surrogate="\ud800"),
        lock(15, STEEL | {"description": "\ud800"}),
        write("budget.locked.v1"),
        Input("budget.locked.v1", b'{"company_id":4211,"project_id":90071'),
        Input("budget.locked.v1", b"\xff{}"),
        lock(15)._replace(value=b"\xef\xbb\xbf" + lock(15).value),
        lock(15)._replace(value=lock(15).value + b" x"),
        Input("budget.locked.v1", lock(15).value.replace(b"carla", b"car\xffla")),
        Input("budget.locked.v2", b"{}"),
        lock(15, STEEL | {"description": "Größe 木工 😀"}, sent_by="Zoë"),
        decide(15, decided_by=" ANN "),
        lock(16, amount("7.001", description=ODD_TEXT), sent_by='"Zoë"'),
        lock(16, amount("7.0010", description=ODD_TEXT), sent_by='"Zoë"'),
    ),
    "lines": (
        lock(1, STEEL, CONCRETE, CONCRETE | {"budget_line_item_id": 3, "cost_code": "03-301", "cost_type": "L"}),
        lock(2, STEEL, STEEL),
        lock(3, STEEL, STEEL | {"budget_line_item_id": 2}),
        lock(4, CONCRETE, CONCRETE | {"budget_line_item_id": 3, "cost_code": "03-301", "description": "Other"}),
        lock(5, CONCRETE, CONCRETE | {"budget_line_item_id": 3, "cost_type": "L", "description": ""}),
        lock(6, CONCRETE | {"description": " "}),
        lock(7, STEEL | {"cost_type": "LAB"}, STEEL | {"budget_line_item_id": 9, "cost_type": "L"}),
        lock(8, lines=[], total_amount="0"),
        lock(9, lines=[STEEL | {"budget_line_item_id": number} for number in range(2001)], total_amount="1"),
        lock(10, STEEL | {"cost_code": "01-500", "description": "whatever"}),
        lock(11, *make_lines(3), {"cost_code": "c1"}, total_amount="1"),
        lock(11, STEEL | {"quantity": "1.001", "unit_of_measure": "long unit"}),
        lock(12, STEEL | {"quantity": None, "unit_of_measure": None}),
        lock(13, {name: value for name, value in STEEL.items() if name != "description"}),
    ),
    "structured": (lock(1)._replace(structured=True), lock(2, currency="x")._replace(structured=True)),
    "quantities": (
        lock(1, STEEL | MEASURED, CONCRETE | {"quantity": "-9999999.99"}),
        decide(),
        acknowledge("success"),
        lock(2, STEEL | MEASURED | {"unit_of_measure": " "}),
        decide(2),
        lock(3, STEEL | {"quantity": "10000000", "unit_of_measure": "long\x01"}),
        acknowledge("success", 2),
    ),
    "shortened": (
        lock(1, STEEL | {"description": "Structural steel of the second floor"}, CONCRETE | {"description": "x" * 30}),
        decide(),
        lock(2, STEEL | {"description": "\u200b" * 26 + "x"}),
    ),
    "blocked": (
        lock(1, STEEL, CONCRETE),
        decide(),
        acknowledge("success"),
        lock(2),
        decide(2),
        lock(3, STEEL, CONCRETE),
    ),
    "hash_required": (lock(), decide(), decide(content_hash="0" * 64), decide(2, content_hash="0" * 64)),
    "refusals": (
        decide(3),
        decide(3, decided_by="eve", content_hash="1"),
        decide(3, decision="reject", reason="too high"),
        decide(3, decision="reject", reason="too high"),
        lock(1),
        decide(1, decided_by="eve"),
        decide(1, decided_by="sam"),
        decide(1, decision="reject"),
        decide(1, decision="reject", reason=" \u200b"),
        decide(1, content_hash="00"),
        decide(1, decision="maybe"),
        decide(1),
        decide(1, decision="reject", reason="late"),
        retrieve(1),
        ask("export.retry.v1"),
        ask("export.retry.v1", 7),
        acknowledge("failed", message="x" * 1001, lines=PARTLY),
        ask("budget.reset.v1", 1),
        retrieve(1),
        retrieve(9),
        ask("budget.release.v1", action="retry"),
        write("deadline.passed.v1", deadline="parked", due_at="2026-11-24T12:00:00Z"),
        write("deadline.passed.v1", deadline="acknowledgement", due_at="2027-11-24T12:00:00Z"),
    ),
    "waiting": (
        lock(1, STEEL, CONCRETE),
        decide(),
        lock(2, amount("7.10", "-0.00"), sent_by="é"),
        lock(2, amount("7.1", "0")),
        lock(2, amount("7.2", "0")),
        acknowledge("success"),
        decide(2),
        retype(lock_amount(3, "1.5"), '"1.5"', "1.5"),
    ),
}


def carry(inputs: Iterable[Input]) -> Iterator[Arrival]:
    """Carry records through the inbox, a minute apart."""
    for offset, (kind, data, structured) in enumerate(inputs):
        name = "budget.locked.v1" if kind == "budget.locked.v2" else kind
        topic = next(topic for topic, models in SOURCES.items() if name in {model.type for model in models})
        value, headers = data, write_attributes(kind, "tést", f"m{offset}")
        if structured:
            event = {"specversion": "1.0", "id": f"m{offset}", "source": "test", "type": kind}
            value, headers = json.dumps(event | {"data": json.loads(data)}).encode(), ()
        at = int((NOON + timedelta(minutes=offset)).timestamp() * 1000)
        copy = copy_to_inbox(Record(Place(TOPICS.full(topic), 3, offset), at, b"k", value, headers), TOPICS.inbox)
        yield open_arrival(Record(Place(copy.topic, 0, offset), at + 5, copy.key, copy.value, copy.headers), TOPICS)


def shorten(text: str) -> str:
    """Keep a text, or the digest of a long one."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:100]} … {len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def describe(row: OutboxRow) -> str:
    """Describe one record as it leaves."""
    headers = " ".join(f"{name}={(value or b'').decode()}" for name, value in row.record.headers)
    value = (row.record.value or b"").decode("utf-8", "backslashreplace")
    return f"  {row.record.topic} {(row.record.key or b'').decode()} {shorten(headers)}\n  {shorten(value)}"


def play(inputs: Iterable[Input], **rules: Any) -> str:
    """Play a history and describe every verdict, every record that it causes, and the states that are stored."""
    version = RulesVersion(1, "", replace(WIDE, **rules))
    loaded = Loaded(frozenset(), {}, {})
    text: list[str] = []
    for arrival in carry(inputs):
        batch = decide_batch([arrival], loaded, version, TOPICS, frozenset())
        [entry] = batch.entries
        text.append(f"# {arrival.inbox.place.offset}: {arrival.inbox.key!r}: {entry.verdict}: {shorten(entry.detail)}")
        text.extend(describe(row) for row in batch.rows)
        text.extend(f"  became {verdict}: {identity}: {detail}" for identity, verdict, detail in batch.resolved)
        for key, budget in batch.budgets.items():
            stored = write_state(budget)
            text.append(f"  = {shorten(stored)}")
            claims = {key.project: key.budget_id} if budget.claims_job else {}
            loaded = Loaded(frozenset(), {key: (read_state(stored), 1)}, claims)
    return "\n".join(text).replace("\x7f", "<DEL>").replace("\u2028", "<LS>") + "\n"


@pytest.mark.parametrize("history", HISTORIES)
def test_what_becomes_of_these_bytes(history: str) -> None:
    written = play(HISTORIES[history], **RULES_OF.get(history, {}))
    assert written == (FOLDER / f"{history}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for history, inputs in HISTORIES.items():
        (FOLDER / f"{history}.txt").write_text(play(inputs, **RULES_OF.get(history, {})), encoding="utf-8")

"""The watch without Faust: what it keeps of the records that it reads, and how much."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from contracts.cloudevents.writing import write_attributes
from contracts.records import Place, Record
from contracts.stubs import make_stub_header
from contracts.topics import TopicNames
from tests.unit.builders import KEY
from worker.telemetry.logs import configure_log
from worker.watch import watcher
from worker.watch.budget_checks import TimeLimits
from worker.watch.observe import MAX_NAME
from worker.watch.observed_budget import MAX_PER_KIND
from worker.watch.watcher import SETTLED_MS, Watcher, WatchTables

LIMITS = TimeLimits(exported_within=60_000, acknowledged_within=3_600_000, pending_within=86_400_000)
BEGIN_MS = 1_800_000_000_000


def make_watcher(tables: WatchTables | None = None) -> Watcher:
    tables = tables or WatchTables({}, {})
    return Watcher(tables, TopicNames("t."), LIMITS, configure_log("json"), lambda _: None)


class Topics:
    """Writes records, each topic with one partition that holds all its records."""

    def __init__(self) -> None:
        self._next: Counter[str] = Counter()

    def write(self, topic: str, kind: str, data: dict[str, Any], at_ms: int, message_id: str = "") -> Record:
        offset = self._next[topic]
        self._next[topic] += 1
        headers = write_attributes(kind, "test", message_id or str(offset))
        value = json.dumps({**KEY._asdict(), **data}).encode()
        return Record(Place("t." + topic, 0, offset), at_ms, None, value, headers)

    def accept(self, at_ms: int, version: int = 1, message_id: str = "", **changes: object) -> Record:
        data = {
            "budget_version": version,
            "decision": "accept",
            "decided_by": "ann",
            "decided_at": "2026-01-31T00:00:00Z",
        }
        return self.write("procore.approvals", "approval.decision.v1", data | changes, at_ms, message_id)

    def status(self, at_ms: int, status: str, **changes: object) -> Record:
        data = {"budget_version": 1, "status": status, "since": "2026-01-31T00:00:00Z"}
        return self.write("bridge.status", "budget.status.v1", data | changes, at_ms)


@pytest.fixture
def topics() -> Topics:
    return Topics()


def test_each_record_stores_one_small_entry_whatever_came_before(topics: Topics) -> None:
    tables = WatchTables({}, {})
    watch = make_watcher(tables)
    sizes = set()
    for number in range(50):
        before = dict(tables.observations)
        watch.read(topics.accept(BEGIN_MS + number))
        [changed] = [entry for entry in tables.observations.items() if before.get(entry[0]) != entry[1]]
        sizes.add(len(json.dumps(changed)))
    assert max(sizes) < 250


def test_what_a_flood_of_one_budget_leaves_is_bounded(topics: Topics) -> None:
    tables = WatchTables({}, {})
    watch = make_watcher(tables)
    for number in range(3 * MAX_PER_KIND):
        watch.read(topics.accept(BEGIN_MS + number, message_id=f"{number}" + "x" * 900))
    assert len(tables.observations) == MAX_PER_KIND + 1
    assert max(map(len, tables.observations)) < 3 * MAX_NAME


def test_a_settled_budget_is_dropped_after_its_time_and_an_open_one_is_kept(topics: Topics) -> None:
    tables = WatchTables({}, {})
    watch = make_watcher(tables)
    watch.read(topics.accept(BEGIN_MS))
    watch.read(topics.status(BEGIN_MS, "PENDING_APPROVAL", budget_id=2))
    watch.read(topics.status(BEGIN_MS, "EXPORT_FAILED", budget_id=3))
    asyncio.run(watch.judge(BEGIN_MS + SETTLED_MS - 1))
    assert {key.split()[0].rpartition("/")[2] for key in tables.observations} == {str(KEY.budget_id), "2", "3"}
    asyncio.run(watch.judge(BEGIN_MS + SETTLED_MS + 1))
    assert {key.split()[0].rpartition("/")[2] for key in tables.observations} == {"2", "3"}


def test_the_number_of_settled_budgets_is_bounded(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MAX_SETTLED", 3)
    tables = WatchTables({}, {})
    watch = make_watcher(tables)
    for number in range(10):
        watch.read(topics.accept(BEGIN_MS, budget_id=number + 1))
        asyncio.run(watch.judge(BEGIN_MS + 1))
    assert [key.split()[0].rpartition("/")[2] for key in tables.observations] == ["8", "9", "10"]


def test_started_again_it_finds_what_it_found(topics: Topics) -> None:
    tables = WatchTables({}, {})
    watch = make_watcher(tables)
    watch.read(topics.status(BEGIN_MS, "PENDING_APPROVAL"))
    asyncio.run(watch.judge(BEGIN_MS))
    found = watch.list_findings()
    assert [finding.kind for finding in found] == ["pending_too_long"]
    stored = json.loads(json.dumps(tables.observations))
    again = make_watcher(WatchTables(stored, dict(tables.starts)))
    asyncio.run(again.judge(BEGIN_MS))
    assert again.list_findings() == found


def test_a_refused_acceptance_is_none(topics: Topics) -> None:
    watch = make_watcher()
    watch.read(topics.accept(BEGIN_MS, message_id="m1"))
    refusal = {
        "budget_version": 1,
        "message_type": "approval.decision.v1",
        "message_source": "test",
        "message_id": "m1",
    }
    watch.read(topics.write("procore.returns", "request.refused.v1", refusal, BEGIN_MS + 1))
    export = {
        "budget_version": 1,
        "export_id": "8e9b1a14-3a4f-4a1c-9c39-3a2c41f1f0a1",
        "attempt": 1,
        "export_number": 1,
    }
    watch.read(topics.write("spectrum.exports", "spectrum.export.v1", export, BEGIN_MS + 2))
    asyncio.run(watch.judge(BEGIN_MS + 1000))
    assert "exported_without_acceptance" in {finding.kind for finding in watch.list_findings()}


@pytest.mark.parametrize(
    ("topic", "value", "headers"),
    [
        ("procore.approvals", b"{", ()),
        ("procore.approvals", None, ()),
        ("procore.approvals", b"", (make_stub_header("its batch cannot be decoded"),)),
        ("procore.approvals", b"[" * 100_000, ()),
        ("procore.budgets", b"{}" + b" " * (17 * 1024 * 1024), ()),
        ("spectrum.exports", b"{}", (("ce_type", b"spectrum.export.v1"),)),
        ("spectrum.exports", b"{}", (("ce_type", b"\xff" * 10_000),)),
        ("spectrum.exports", b"{}", (("ce_type", None),)),
        ("bridge.status", b'{"budget_version": 1e400}', (("ce_type", b"budget.status.v1"),)),
        ("bridge.status", b'{"company_id": ' + b"9" * 5000 + b"}", (("ce_type", b"budget.status.v1"),)),
    ],
)
def test_a_record_that_cannot_be_read_is_counted_and_the_next_one_is_read(
    topics: Topics, topic: str, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    tables = WatchTables({}, {})
    watch = make_watcher(tables)
    watch.read(Record(Place("t." + topic, 0, 0), BEGIN_MS, None, value, headers))
    assert watch.unreadable == 1
    watch.read(topics.accept(BEGIN_MS))
    assert watch.unreadable == 1
    assert len(tables.observations) == 1

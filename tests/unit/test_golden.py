"""The bytes that leave: whole histories through the inbox, the decision and the outbox, compared with files.

``python -m tests.unit.test_golden`` writes the files; their diff is what a change means on the wire.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from contracts.cloudevents.writing import write_attributes
from contracts.inbound import DeadlinePassed, InboundMessage
from contracts.inbox import Arrival, copy_to_inbox, open_arrival
from contracts.records import Headers, Place, Record
from contracts.topics import SOURCES, TopicNames
from handlers.budget import Status
from handlers.ids import name_request
from handlers.rules import Phase
from outbox.batch import Loaded, decide_batch
from outbox.outbox_rows import OutboxRow
from outbox.rules import RulesVersion
from tests.unit.builders import (
    CONCRETE,
    KEY,
    NOON,
    RULES,
    STEEL,
    accept,
    acknowledge,
    apply_import,
    bring_to,
    decide_drift,
    hash_of,
    list_held,
    lock,
    pass_deadline,
    read_line,
    reject,
    request_import,
    request_snapshot,
    reset,
    retrieve,
    retry,
    snapshot,
)

FOLDER: Final = Path(__file__).parent / "golden"
TOPICS: Final = TopicNames("x.")
PHASES: Final = dict(RULES.phases) | {"03-300": Phase("03300", None, preferred=True)}
FAILED_LINE: Final = {
    "phase_code": "05120",
    "cost_type": "S",
    "status": "failed",
    "error_code": "E",
    "error_description": "closed",
    "error_column": "Cost_Type",
}
TRACE: Final = (("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", b"a=1"))


def read_back() -> tuple[InboundMessage, ...]:
    """A job is asked for and read, a cent differs, and the version is restated."""
    scenario = bring_to(Status.SYNCED).send(request_snapshot())
    assert scenario.budget.base
    assert scenario.budget.open_request
    typed = list_held(scenario.budget.base, S05120={"original_estimate_cost": "640000.01"})
    found = snapshot(*typed, begun=scenario.budget.base, request_id=scenario.budget.open_request.id)
    restate = decide_drift("restate", scenario.send(found).find("erp.drift.v1").drift_hash)
    return (lock(), accept(), acknowledge("success"), request_snapshot(), found, restate)


def import_job() -> tuple[InboundMessage, ...]:
    """A job is imported, taken in part, and a version lacks what was taken."""
    held = (read_line(STEEL), read_line(CONCRETE | {"cost_type": "S"}, original_estimate_cost="5.00"))
    page = snapshot(*held, request_id=str(name_request(KEY, 1)))
    told = (("05120", "S", None, "success"), ("03300", "S", None, "it exists"))
    return (request_import(), page, apply_import("partial", 1, *told), request_import("eve"), lock(1, CONCRETE))


HISTORIES: Final[dict[str, tuple[InboundMessage | bytes, ...]]] = {
    "read_back": read_back(),
    "import": import_job(),
    "export_and_resync": (
        lock(1, STEEL, CONCRETE),
        accept(),
        acknowledge("in_progress"),
        acknowledge("success"),
        lock(2, CONCRETE | {"revision_amount": "1"}),
        accept(2),
        acknowledge("success", 2),
    ),
    "rejected_and_retrieved": (lock(), reject(), lock(2), retrieve(2), accept(2)),
    "invalid": (lock(1, STEEL | {"cost_code": "?", "description": ""}, total_amount="1.001"), accept()),
    "failed_and_retried": (
        lock(),
        accept(),
        acknowledge("partial", lines=[FAILED_LINE]),
        retry(),
        acknowledge("failed", attempt=2),
        reject(),
    ),
    "overdue_and_reset": (
        lock(),
        accept(),
        pass_deadline("acknowledgement", NOON + timedelta(days=1)),
        reset(),
        retry(),
        acknowledge("failed", attempt=2),
        reset(),
        lock(2),
        accept(2),
    ),
    "early_and_waiting": (
        retrieve(2),
        lock(),
        accept(2, content_hash=hash_of(CONCRETE)),
        accept(),
        lock(2, CONCRETE),
        acknowledge("success"),
    ),
    "dead_letters": (lock(), lock(1, CONCRETE), acknowledge("success"), b"{", b"[1]"),
}


def carry(bodies: Iterable[InboundMessage | bytes]) -> Iterator[Arrival]:
    """Carry messages through the inbox, a minute apart; a timer speaks when its time has come."""
    for offset, body in enumerate(bodies):
        kind = "budget.locked.v1" if isinstance(body, bytes) else body.type
        topic = next(name for name, models in SOURCES.items() if kind in {model.type for model in models})
        value = body if isinstance(body, bytes) else body.model_dump_json().encode()
        headers: Headers = (*write_attributes(kind, "test", f"m{offset}"), *TRACE)
        time = NOON + timedelta(minutes=offset)
        at = int((body.due_at if isinstance(body, DeadlinePassed) else time).timestamp() * 1000)
        copy = copy_to_inbox(Record(Place(TOPICS.full(topic), 3, offset), at, b"k", value, headers), TOPICS.inbox)
        inbox = Record(Place(copy.topic, 0, offset), at + 5, copy.key, copy.value, copy.headers)
        yield open_arrival(inbox, TOPICS)


def describe(row: OutboxRow) -> Iterator[str]:
    """Describe one record as it leaves: topic and key, headers, value."""
    yield f"{row.record.topic} {(row.record.key or b'').decode()}"
    yield from (f"  {name}: {(value or b'').decode()}" for name, value in row.record.headers)
    yield f"  {(row.record.value or b'').decode()}"


def play(history: str) -> str:
    """Play a history and describe every verdict and every record that it causes."""
    loaded = Loaded(frozenset(), {}, {})
    batch = decide_batch(
        list(carry(HISTORIES[history])), loaded, RulesVersion(1, "", replace(RULES, phases=PHASES)), TOPICS, frozenset()
    )
    lines: list[str] = []
    for entry in batch.entries:
        offset = entry.arrival.inbox.place.offset
        lines.append(f"# {offset}: {entry.verdict}: {entry.detail}")
        lines.extend(line for row in batch.rows if row.inbox_offset == offset for line in describe(row))
    lines.extend(f"# became {verdict}: {identity}: {detail}" for identity, verdict, detail in batch.resolved)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("history", HISTORIES)
def test_the_bytes_that_leave(history: str) -> None:
    assert play(history) == (FOLDER / f"{history}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for history in HISTORIES:
        (FOLDER / f"{history}.txt").write_text(play(history), encoding="utf-8")

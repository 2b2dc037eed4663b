"""What ``reconcile`` finds among exports: attempts that nobody asked for, and attempts that are not the same."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from contracts.cloudevents.writing import write_attributes
from contracts.inbound import InboundMessage
from contracts.outbound import SpectrumExport
from contracts.records import Place, Record
from handlers.budget import Status
from outbox.audit import Granted
from tests.unit.builders import (
    KEY,
    NOON,
    accept,
    acknowledge,
    bring_to,
    decide_drift,
    list_held,
    lock,
    reset,
    retry,
    snapshot,
)
from worker.reconcile.exports import check_exports, note_export, open_exports
from worker.reconcile.findings import Findings
from worker.reconcile.reconciliation import Reconciliation
from worker.sent_exports import read_export

LATER = "2026-11-25T09:00:00Z"
AGAIN = accept(1, "bob", decided_at=LATER, effective_date="2026-12-01")


class GrantedOnly:
    """A snapshot that holds nothing but what was granted."""

    def __init__(self, bodies: Sequence[InboundMessage]) -> None:
        self._bodies = bodies

    async def read_granted(self) -> AsyncIterator[Granted]:
        for number, body in enumerate(self._bodies):
            headers = write_attributes(body.type, "test", f"m{number}")
            yield Granted(
                KEY,
                body.version or 0,
                body.type,
                headers,
                body.model_dump_json().encode(),
                "test",
                f"m{number}",
                1,
                NOON,
            )


def find(exports: Sequence[SpectrumExport], *granted: InboundMessage) -> list[str]:
    """Check exports against what was granted; returns what differs."""
    snapshot: Any = GrantedOnly(granted)
    nothing: Any = None
    reconciliation = Reconciliation(Findings(), nothing, snapshot, {}, {})
    with open_exports() as database:
        for offset, export in enumerate(exports):
            record = Record(Place("spectrum.exports", 0, offset), 0, None, export.write(), ())
            note_export(database, record, read_export(record.value))
        asyncio.run(check_exports(reconciliation, database))
    return [difference.what for difference in reconciliation.findings.first]


def list_exports(*bodies: InboundMessage) -> list[SpectrumExport]:
    """List what a budget exports, from an accepted version 1 on."""
    scenario = bring_to(Status.EXPORTING).send(*bodies)
    return [send for send in scenario.sent if isinstance(send, SpectrumExport)]


def test_an_acceptance_for_the_export_and_a_request_for_each_attempt() -> None:
    attempts = list_exports(acknowledge("failed"), retry(), acknowledge("failed", attempt=2), AGAIN)
    assert [export.attempt for export in attempts] == [1, 2, 3]
    assert find(attempts, accept(), retry(), AGAIN) == []
    for granted in ((accept(), retry()), (accept(), AGAIN)):
        assert find(attempts, *granted) == [
            "version 1: it has 3 attempts, but 2 acceptances and retries were granted",
        ]


def test_a_version_that_is_exported_again_after_a_reset() -> None:
    exports = list_exports(acknowledge("failed"), reset(), lock(), accept(decided_at=LATER))
    assert len({export.export_id for export in exports}) == 2
    assert find(exports, accept(), accept(decided_at=LATER)) == []
    assert find(exports, accept()) == [
        "version 1: nobody accepted the version that was exported",
        "version 1: it has 2 attempts, but 1 acceptances and retries were granted",
    ]


def test_a_restatement_has_a_decision_of_its_own_and_the_approval_of_the_base() -> None:
    scenario = bring_to(Status.SYNCED)
    base = scenario.budget.base
    assert base
    found = scenario.send(snapshot(*list_held(base, S05120={"original_estimate_cost": "1.00"}), begun=base))
    restate = decide_drift("restate", found.find("erp.drift.v1").drift_hash)
    scenario.send(restate, acknowledge("failed", number=2), retry())
    exports = [send for send in scenario.sent if isinstance(send, SpectrumExport)]
    assert [(export.restatement, export.attempt) for export in exports] == [(0, 1), (1, 1), (1, 2)]
    assert find(exports, accept(), restate, retry()) == []
    assert find(exports, accept(), retry()) == ["it was restated 1 times, but 0 decisions to restate were granted"]
    assert find(exports, accept(), restate) == [
        "version 1: it has 2 attempts, but 1 acceptances and retries were granted",
    ]
    assert "version 1: nobody accepted the version that was exported" in find(exports, restate, retry(), AGAIN)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"total_amount": "0.01"}, "its attempts have different content"),
        ({"attempt": 1}, "attempt 1 is in Kafka more than once"),
        ({"approved_by": "eve"}, "nobody accepted the version that was exported"),
    ],
)
def test_an_attempt_that_is_not_the_same(change: dict[str, Any], what: str) -> None:
    first, second = list_exports(acknowledge("failed"), AGAIN)
    assert f"version 1: {what}" in find([first, second.model_copy(update=change)], accept(), AGAIN)

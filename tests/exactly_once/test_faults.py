"""The checker is checked: each planted fault turns the reconciliation red, and for the right reason."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from contracts.records import Outgoing
from contracts.signature.keys import write_public_jwk
from contracts.signature.signing import generate_key
from tests.exactly_once.deployment import BUDGETS, RunningDeployment, create_database
from tests.exactly_once.planted import FAULTS
from tests.unit.builders import CONCRETE, KEY, STEEL, acknowledge, decide_drift, read_line
from worker.reconcile.findings import Findings

FOUND_BY: dict[str, set[str]] = {
    "the relay skips a row": {"published: lost"},
    "the relay sends a row twice": {"published: doubled"},
    "the relay sends rows in another order": {"order: reordered"},
    "the relay sends a cent less": {"known: unexplained", "published: lost"},
    "the relay commits the offset before sending": {"published: lost"},
    "the intake commits before appending": {"sources: lost"},
    "the core sends an export twice": {"exports: doubled"},
    "the core reads a cent more than came in": {"readings: altered"},
    "the core restates what is to be kept": {"restatements: doubled"},
    "the core asks for no signature": {"signatures: unexplained"},
    "the core sends the acceptance of another budget": {"signatures: unexplained"},
    "the lane passes over a record": {"verdicts: lost"},
}
"""What each fault is found by, at least."""


SIGNED = {"the core asks for no signature", "the core sends the acceptance of another budget"}
ANN = generate_key("ann-1", "ann")
SIGNED_RULES = {
    "rules_toml": '[signatures]\nrequire = ["decision"]\n',
    "signers.jwks_json": json.dumps({"keys": [write_public_jwk(ANN.public)]}),
    "signers_csv": "kid,user,company_id,project_id,may,valid_from,valid_until\nann-1,ann,4211,,decision,,\n",
}


def list_broken_claims(findings: Findings) -> set[str]:
    return {f"{name}: {kind}" for name, claim in findings.claims.items() for kind in claim.differences}


def test_every_fault_is_tried() -> None:
    assert FOUND_BY.keys() == FAULTS.keys()


async def test_a_worker_with_a_fault_is_found_out(tmp_path: Path, kafka: str, postgres: str) -> None:
    turns = asyncio.Semaphore(4)

    async def find_broken_claims(number: int, fault: str) -> set[str]:
        async with turns:
            folder = tmp_path / str(number)
            folder.mkdir()
            return list_broken_claims(
                await find_out(fault, RunningDeployment(folder, kafka, await create_database(postgres)))
            )

    async with asyncio.TaskGroup() as group:
        looking = {fault: group.create_task(find_broken_claims(number, fault)) for number, fault in enumerate(FAULTS)}
    assert {fault: found.result() & FOUND_BY[fault] for fault, found in looking.items()} == FOUND_BY


async def find_out(fault: str, deployment: RunningDeployment) -> Findings:
    try:
        await deployment.prepare()
        if fault in SIGNED:
            deployment.write_rules(**SIGNED_RULES)
        worker = deployment.start_planted(FAULT=fault)
        if fault == "the relay sends rows in another order":
            # Decided early, a lock at once has two statuses: an order that can be wrong.
            await deployment.decide_early()
            await deployment.wait_until_parked()
        await deployment.load(key=ANN if fault in SIGNED else None)
        if fault in {"the relay commits the offset before sending", "the intake commits before appending"}:
            await deployment.wait_for_death(worker)
            deployment.start()
        if fault in {"the core reads a cent more than came in", "the core restates what is to be kept"}:
            await keep_what_was_read(deployment)
        return await deployment.wait_until_carried()
    finally:
        await deployment.close()


async def keep_what_was_read(deployment: RunningDeployment) -> None:
    """Let Spectrum take an export, read another figure there, and keep that."""
    key = KEY._replace(project_id=1)
    await deployment.wait_for("spectrum.export.v1", 1, project_id=1)
    await deployment.send(acknowledge("success", key=key))
    await deployment.wait_for("spectrum.snapshot_requested.v1", 1, project_id=1)
    typed = {"original_estimate_cost": "1.00", "current_estimate_cost": "1.00"}
    await deployment.read_job(1, read_line(STEEL, **typed), read_line(CONCRETE))
    drift = await deployment.wait_for("erp.drift.v1", 1, project_id=1, state="differs")
    kept = decide_drift("keep", drift["drift_hash"], reason="as it should be")
    await deployment.send(kept.model_copy(update={"project_id": 1}))


async def spoil_database(deployment: RunningDeployment, statement: str) -> None:
    connection = await asyncpg.connect(deployment.database_url)
    try:
        changed = await connection.execute(statement)
        assert changed.endswith(" 1"), changed
    finally:
        await connection.close()


def by_hand(statement: str) -> Callable[[RunningDeployment], Awaitable[None]]:
    return lambda deployment: spoil_database(deployment, statement)


async def send_an_export_of_nobody(deployment: RunningDeployment) -> None:
    [export] = [
        record
        for record in deployment.seen
        if record.place.topic.endswith("spectrum.exports") and record.key == str(KEY._replace(project_id=1)).encode()
    ]
    value = (export.value or b"").replace(b'"attempt":1', b'"attempt":2')
    await deployment.append([Outgoing(export.place.topic, export.key, value, export.headers)])


SPOILT: dict[str, tuple[Callable[[RunningDeployment], Awaitable[None]], str]] = {
    "somebody else writes to our topic": (send_an_export_of_nobody, "known: unexplained"),
    "a state is changed by hand": (
        by_hand(
            "update budgets set state = replace(state::text, '\"overdue\":false', '\"overdue\":true')::json "
            "where project_id = 2"
        ),
        "decided-again: altered",
    ),
    "a verdict is changed by hand": (
        by_hand("update history set verdict = 'refused' where project_id = 3 and type = 'approval.decision.v1'"),
        "decided-again: altered",
    ),
    "a message is taken out of history": (
        by_hand("delete from history where project_id = 4 and type = 'approval.decision.v1'"),
        "verdicts: lost",
    ),
    "a message is added to history": (
        by_hand(
            "insert into history select company_id, project_id, source, 'another', inbox_partition, "
            "inbox_offset + 1000, at, origin_topic, origin_partition, origin_offset, origin_timestamp_ms, type, "
            "budget_id, budget_version, key, headers, body, verdict, detail, rules_id from history "
            "where project_id = 5 and type = 'budget.locked.v1'"
        ),
        "verdicts: unexplained",
    ),
    "bytes of history are changed": (
        by_hand("update history set body = body || ' '::bytea where project_id = 6 and type = 'budget.locked.v1'"),
        "verdicts: altered",
    ),
    "a row is taken out of the outbox": (
        by_hand("delete from outbox where project_id = 7 and type = 'spectrum.export.v1'"),
        "known: unexplained",
    ),
    "a reading is changed by hand": (
        by_hand(
            "update readings set content = replace(content::text, 'Structural steel', 'Steel')::json "
            "where project_id = 9"
        ),
        "budgets: altered",
    ),
    "a budget's row is deleted": (by_hand("delete from budgets where project_id = 8"), "budgets: altered"),
    "a position is moved back": (
        by_hand(
            "update positions set next_offset = next_offset - 1, last_offset = null, last_timestamp_ms = null, "
            "last_hash = null where inbox_partition = 0"
        ),
        "lanes: altered",
    ),
}


async def test_what_is_spoilt_by_hand_is_found(tmp_path: Path, kafka: str, database_url: str) -> None:
    """One after the other on one deployment: each is found by its own claim, which was not red before."""
    deployment = RunningDeployment(tmp_path, kafka, database_url)
    try:
        await deployment.prepare()
        await deployment.load()
        worker = deployment.start()
        await deployment.wait_for_everything(BUDGETS)
        await deployment.read_job(9, read_line(STEEL), read_line(CONCRETE))
        findings = await deployment.wait_until_carried()
        await deployment.stop(worker)
        assert findings.are_clean, findings.first
        for what, (spoil, claim) in SPOILT.items():
            before = sum(findings.count().values())
            await spoil(deployment)
            findings = await deployment.reconcile()
            assert claim in list_broken_claims(findings), (what, findings.first)
            assert sum(findings.count().values()) > before, what
    finally:
        await deployment.close()

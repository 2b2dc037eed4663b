"""Signed decisions through the real worker, byte for byte: a forgery, an operator's key, and keys that change."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.body import Inbound
from contracts.cloudevents.writing import write_attributes
from contracts.fields import write_time
from contracts.records import Outgoing, Place
from contracts.signature.keys import write_public_jwk
from contracts.signature.signing import PrivateKey, generate_key, sign_headers, write_private_key
from contracts.signature.verifying import Verified, verify_event
from tests.end_to_end.harness import Bridge
from tests.unit.builders import CONCRETE, KEY, accept, acknowledge, lock

ANN, ANN_AGAIN = generate_key("ann-1", "ann"), generate_key("ann-2", "ann", "ES256")
OLGA = generate_key("olga-1", "olga")
ALL = (ANN, ANN_AGAIN, OLGA)
POLICY = '[signatures]\nrequire = ["decision", "retry"]\n'
COLUMNS = "kid,user,company_id,project_id,may,valid_from,valid_until\n"
ANNS = "ann-1,ann,4211,,decision,,\n"
OLGAS = "olga-1,olga,4211,,retry,,\n"


def list_keys(*keys: PrivateKey, rows: str) -> dict[str, str]:
    """The files of the rules that list these keys."""
    listed = json.dumps({"keys": [write_public_jwk(key.public) for key in keys]})
    return {"rules_toml": POLICY, "signers.jwks_json": listed, "signers_csv": COLUMNS + rows}


async def send(bridge: Bridge, body: Inbound, message_id: str, key: PrivateKey | None) -> Place:
    """Send a message, signed or not; returns its place."""
    body = bridge.complete(body)
    value, now = body.model_dump_json().encode(), write_time(datetime.now(UTC))
    headers = write_attributes(body.type, "ui", message_id, time=now, subject=str(body.key))
    signed = sign_headers(headers, value, key) if key else headers
    return await bridge.appender.append_one(Outgoing(bridge.prefix + bridge.find_topic(body), b"any", value, signed))


async def run(bridge: Bridge, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(bridge.command, *arguments, **environment)


async def apply_rules(bridge: Bridge, **files: str) -> None:
    bridge.write_rules(**files)
    done = await run(bridge, "rules", "apply", "--by", "bob", "--why", "keys")
    assert done.returncode == 0, done.stdout + done.stderr


async def read_history(bridge: Bridge) -> list[dict[str, Any]]:
    shown = await run(bridge, "status", str(KEY), "--json")
    history: list[dict[str, Any]] = json.loads(shown.stdout)["history"]
    return history


async def test_a_forgery_is_refused_and_the_genuine_decision_is_exported_with_its_proof(
    bridge: Bridge, tmp_path: Path
) -> None:
    bridge.write_rules(**list_keys(*ALL, rows=ANNS + OLGAS))
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")

    forged = await send(bridge, accept(), "one", None)
    refusal = await bridge.wait_for("request.refused.v1", 1, code="signature_missing")
    assert (refusal["message_topic"], refusal["message_partition"], refusal["message_offset"]) == forged
    assert (refusal["message_id"], refusal["requested_by"]) == ("one", "ann")
    await send(bridge, accept(), "one", ANN)
    export = await bridge.wait_for("spectrum.export.v1")
    proof = verify_event(export["approval"], {key.public.kid: key.public for key in ALL})
    assert isinstance(proof, Verified)
    assert (proof.kid, json.loads(proof.data)["content_hash"]) == ("ann-1", export["content_hash"])
    shown = [(one["verdict"], one["type"], one["kid"]) for one in await read_history(bridge)]
    assert shown == [
        ("applied", "budget.locked.v1", None),
        ("refused", "approval.decision.v1", None),
        ("applied", "approval.decision.v1", "ann-1"),
    ]
    text = (await run(bridge, "status", str(KEY))).stdout
    assert ("signature_missing" in text, "signed by" in text, "ann-1" in text) == (True, True, True), text

    await bridge.send(acknowledge("failed"))
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")
    why = ("--why", "the period is open again")
    unsigned = await run(bridge, "retry", str(KEY), "--by", "olga", *why)
    assert unsigned.returncode == 1
    assert "refused: signature_missing: " in unsigned.stdout
    assert "OPERATOR_KEY_FILE" in unsigned.stdout
    file = tmp_path / "olga.jwk.json"
    file.touch(mode=0o600)
    file.write_bytes(write_private_key(OLGA))
    retried = await run(bridge, "retry", str(KEY), *why, OPERATOR_KEY_FILE=str(file))
    assert (retried.returncode, "applied: sent again for olga" in retried.stdout) == (0, True), retried.stdout
    again = await bridge.wait_for("spectrum.export.v1", attempt=2)
    assert again | {"attempt": 1} == export

    refused = [line for line in bridge.read_log() if line["event"] == "message.refused"]
    assert [(line["level"], line["type"]) for line in refused] == [
        ("warning", "approval.decision.v1"),
        ("warning", "export.retry.v1"),
    ]
    checks = json.loads((await run(bridge, "doctor", "--json")).stdout)
    [checked] = [check for check in checks if check["about"] == "signatures"]
    assert (checked["state"], "decision, retry must be signed" in checked["found"]) == ("ok", True)
    await bridge.wait_until_carried()
    await bridge.stop(worker)
    recovered = await run(bridge, "recover", "--dry-run")
    assert (recovered.returncode, "nothing needs repair" in recovered.stdout) == (0, True), recovered.stdout
    # The bytes of the lock, the answer and both forgeries go; what people have signed stays.
    pruned = await run(bridge, "prune", "--older-than", "0s", "--yes")
    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    kept = await bridge.fetch("select kid from history where not pruned order by inbox_offset")
    assert {row["kid"] for row in kept} >= {"ann-1", "olga-1"}
    assert [one["verdict"] for one in await read_history(bridge)].count("refused") == 2


async def test_keys_change_while_a_decision_waits_and_everything_still_fits(bridge: Bridge) -> None:
    bridge.write_rules(**list_keys(ANN, rows=ANNS))
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await send(bridge, accept(), "one", ANN)
    await bridge.wait_for("spectrum.export.v1")
    # Two decisions on what is not there yet: by a key that stays, and by one that is taken away.
    await bridge.send(lock(2, CONCRETE))
    await bridge.wait_for("budget.status.v1", waiting_version=2)
    both = ANNS + "ann-2,ann,4211,,decision,,\n"
    await apply_rules(bridge, **list_keys(ANN, ANN_AGAIN, rows=both))
    await send(bridge, accept(2), "old key", ANN)
    await send(bridge, accept(2), "new key", ANN_AGAIN)
    await bridge.wait_until_carried()
    assert [one["verdict"] for one in await read_history(bridge)][-2:] == ["parked", "parked"]

    await apply_rules(bridge, **list_keys(ANN_AGAIN, rows="ann-2,ann,4211,,decision,,\n"))
    await bridge.send(acknowledge("success"))
    resync = await bridge.wait_for("spectrum.resync.v1")
    assert (resync["approval"]["id"], resync["budget_version"]) == ("new key", 2)
    [refusal] = bridge.messages("request.refused.v1")
    assert (refusal["code"], refusal["message_id"]) == ("signer_not_allowed", "old key")
    late = await send(bridge, accept(2), "late", ANN)
    place = {"message_partition": late.partition, "message_offset": late.offset}
    refusal = await bridge.wait_for("request.refused.v1", 1, **place)
    assert refusal["code"] == "signature_invalid"
    findings = await bridge.wait_until_carried()
    assert findings.are_clean, findings.first
    assert findings.claims["signatures"].checked == 2
    # Each message is proven again by its own rules, so a budget that was changed by hand can be rebuilt.
    await bridge.stop(worker)
    await bridge.fetch("update budgets set state = replace(state::text, '\"overdue\":false', '\"overdue\":true')::json")
    rebuilt = await run(bridge, "recover", "--yes")
    assert "rebuild them from the inbox" in rebuilt.stdout, rebuilt.stdout
    checked = await run(bridge, "recover", "--dry-run")
    assert (checked.returncode, "nothing needs repair" in checked.stdout) == (0, True), checked.stdout


async def test_without_a_policy_an_envelope_is_a_header_like_any_other(bridge: Bridge) -> None:
    bridge.start()
    await bridge.send(lock())
    await send(bridge, accept(), "one", ANN)
    export = await bridge.wait_for("spectrum.export.v1")
    assert export["approval"] is None
    assert {one["kid"] for one in await read_history(bridge)} == {None}

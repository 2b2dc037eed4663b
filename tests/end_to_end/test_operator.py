"""Operators' commands: each with a name and a reason, with a verdict, and kept in the history."""

import asyncio
import json
import shutil
import subprocess

from tests.end_to_end.harness import Bridge
from tests.unit.builders import CONCRETE, KEY, STEEL, accept, acknowledge, apply_import, lock, read_line, snapshot

WHO = ("--by", "olga", "--why", "the period is open again")


async def run(bridge: Bridge, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(bridge.command, *arguments)


async def test_retry_acknowledge_and_reset(bridge: Bridge) -> None:
    bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    too_early = await run(bridge, "retry", str(KEY), *WHO)
    assert (too_early.returncode, "refused: not_failed" in too_early.stdout) == (1, True)
    none = await run(bridge, "acknowledge", str(KEY), *WHO, "--status", "success", "--yes")
    assert (none.returncode, "no export that could be acknowledged" in none.stderr) == (1, True)
    await bridge.send(accept())
    await bridge.wait_for("spectrum.export.v1")
    await bridge.send(acknowledge("failed"))
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")

    again = await run(bridge, "retry", str(KEY), *WHO)
    assert (again.returncode, "applied: sent again for olga: the period is open again" in again.stdout) == (0, True)
    await bridge.wait_for("spectrum.export.v1", attempt=2)
    answered = await run(bridge, "acknowledge", str(KEY), *WHO, "--status", "success", "--yes")
    assert answered.returncode == 0, answered.stdout + answered.stderr
    await bridge.wait_for("budget.status.v1", status="SYNCED")

    unsure = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-c", f"echo n | python -m worker reset {KEY} --by olga --why moved"],
        env=bridge.environment | {"PATH": f"{bridge.python_folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (unsure.returncode, "Check Spectrum first" in unsure.stdout) == (1, True)
    done = await run(bridge, "reset", str(KEY), *WHO, "--yes")
    assert (done.returncode, "2 exports or attempts were sent" in done.stdout) == (0, True)
    await bridge.wait_for("budget.returned.v1", cause="reset", returned_by="olga")
    await bridge.send(lock(2, STEEL))
    await bridge.wait_for("approval.requested.v1", budget_version=2, kind="export")
    status = json.loads((await run(bridge, "status", str(KEY), "--json")).stdout)
    details = [entry["detail"] for entry in status["history"] if entry["source"] == "budget-bridge/operator"]
    assert [detail for detail in details if "olga: the period is open again" in detail] == [details[1], details[3]]


async def test_what_spectrum_holds_is_asked_for_and_what_differs_is_shown(bridge: Bridge) -> None:
    bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    nothing = await run(bridge, "snapshot", str(KEY), *WHO)
    assert (nothing.returncode, "refused: nothing_held" in nothing.stdout) == (1, True)
    assert "no budget differs" in (await run(bridge, "drift")).stdout
    await bridge.send(accept())
    export = await bridge.wait_for("spectrum.export.v1")
    await bridge.send(acknowledge("success"))
    asked = await bridge.wait_for("spectrum.snapshot_requested.v1")
    open_already = await run(bridge, "snapshot", str(KEY), *WHO)
    assert (open_already.returncode, "duplicate: a request" in open_already.stdout) == (1, True)

    typed = read_line(STEEL, original_estimate_cost="640000.01", current_estimate_cost="640000.01")
    begun = {"export_id": export["export_id"], "attempt": 1, "whole": True}
    lines = (typed, read_line(CONCRETE))
    page = snapshot(*lines, job_number="J90071", last_begun=begun, request_id=asked["request_id"])
    await bridge.send(page)
    drift = await bridge.wait_for("erp.drift.v1", state="differs")
    await bridge.wait_for("budget.status.v1", read_back="differs")
    listed = json.loads((await run(bridge, "drift", "--json")).stdout)
    assert (listed["total"], listed["counts"]) == (1, {"differs": 1})
    assert (listed["budgets"][0]["key"], listed["budgets"][0]["drift_amount"]) == (str(KEY), "0.01")
    assert f"{KEY}  differs" in (await run(bridge, "drift")).stdout
    shown = json.loads((await run(bridge, "drift", str(KEY), "--json")).stdout)
    assert shown == {"budget": KEY._asdict(), "read_back": "differs", "drift": drift}
    assert "another original estimate" in (await run(bridge, "drift", str(KEY))).stdout
    overview = json.loads((await run(bridge, "status", "--json")).stdout)
    assert [(one["state"], one["budgets"]) for one in overview["read_backs"]] == [("differs", 1)]
    assert "figures in Spectrum" in (await run(bridge, "status")).stdout

    again = await run(bridge, "snapshot", str(KEY), *WHO)
    assert (again.returncode, "applied: asked by olga: the period is open again" in again.stdout) == (0, True)
    await bridge.wait_for("spectrum.snapshot_requested.v1", 2)
    status = json.loads((await run(bridge, "status", str(KEY), "--json")).stdout)
    assert (status["read_back"]["state"], status["read_back"]["request"]["requested_by"]) == ("differs", "olga")
    assert status["last_reading"]["snapshot_id"] == "s1"


async def test_a_budget_is_imported_before_it_was_ever_locked(bridge: Bridge) -> None:
    bridge.start()
    asked = ("import", str(KEY), "--currency", "USD", "--by")
    stranger = await run(bridge, *asked, "eve")
    assert (stranger.returncode, "refused: not_authorised" in stranger.stdout) == (1, True)
    taken = await run(bridge, *asked, "ann")
    assert (taken.returncode, "import ASKED (take), asked for by ann" in taken.stdout) == (0, True)
    request = await bridge.wait_for("spectrum.snapshot_requested.v1", purpose="import")
    await bridge.send(snapshot(read_line(STEEL), job_number="J90071", request_id=request["request_id"]))
    offer = await bridge.wait_for("budget.import_ready.v1")
    assert [(line["cost_code"], line["change"]) for line in offer["lines"]] == [("05-120", "add")]
    status = json.loads((await run(bridge, "status", str(KEY), "--json")).stdout)
    assert (status["status"], status["import"]["state"]) == (None, "READY")
    assert "import READY" in (await run(bridge, "status", str(KEY))).stdout
    await bridge.send(apply_import("whole"))
    await bridge.wait_for("budget.import_ended.v1", cause="applied")
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1", base_import_id=offer["import_id"])


async def test_nobody_answers_and_nothing_is_known(bridge: Bridge) -> None:
    assert (await run(bridge, "release", "1/2/3", *WHO)).returncode == 1
    assert (await run(bridge, "release", "nonsense", *WHO)).returncode == 2
    assert (await run(bridge, "snapshot", "1/2/3", *WHO)).returncode == 1
    assert [(await run(bridge, "drift", key)).returncode for key in ("1/2/3", "nonsense")] == [1, 2]


async def test_an_operator_signs_with_the_key_that_signers_new_has_made(bridge: Bridge) -> None:
    made = json.loads((await run(bridge, "signers", "new", bridge.prefix + "olga", "--user", "olga", "--json")).stdout)
    kid, key = made["signer"]["kid"], bridge.folder / made["file"]
    shutil.move(made["file"], key)
    bridge.write_rules(
        rules_toml='[signatures]\nrequire = ["retry", "reset"]\n',
        signers_csv="kid,user,company_id,project_id,may,valid_from,valid_until\n" + f"{kid},olga,4211,,retry,,\n",
        **{"signers.jwks_json": json.dumps({"keys": [made["public_jwk"]]})},
    )
    bridge.start()
    await bridge.send(lock(), accept())
    await bridge.wait_for("spectrum.export.v1")
    await bridge.send(acknowledge("failed"))
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")
    unsigned = await run(bridge, "retry", str(KEY), *WHO)
    assert (unsigned.returncode, "refused: signature_missing" in unsigned.stdout) == (1, True), unsigned.stdout
    assert "OPERATOR_KEY_FILE" in unsigned.stdout
    bridge.settings["OPERATOR_KEY_FILE"] = str(key)
    both = await run(bridge, "retry", str(KEY), *WHO)
    assert (both.returncode, "--by: leave it out" in both.stderr) == (2, True)
    other = await run(bridge, "reset", str(KEY), *WHO[2:], "--yes")
    assert (other.returncode, "refused: signer_not_allowed" in other.stdout) == (1, True), other.stdout
    signed = await run(bridge, "retry", str(KEY), *WHO[2:])
    assert (signed.returncode, "applied: sent again for olga" in signed.stdout) == (0, True), signed.stdout
    await bridge.wait_for("spectrum.export.v1", attempt=2)

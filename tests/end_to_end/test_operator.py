"""Operators' commands: each with a name and a reason, with a verdict, and kept in the history."""

import asyncio
import json
import subprocess

from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, STEEL, accept, acknowledge, lock

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


async def test_nobody_answers_and_nothing_is_known(bridge: Bridge) -> None:
    assert (await run(bridge, "release", "1/2/3", *WHO)).returncode == 1
    assert (await run(bridge, "release", "nonsense", *WHO)).returncode == 2

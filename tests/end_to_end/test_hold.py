"""A bug of ours holds one budget and nothing else; a release decides everything that was held, in order."""

import asyncio
import subprocess

from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import KEY, STEEL, accept, acknowledge, lock, release

ITS_KEY = KEY._replace(project_id=7)


async def test_a_bug_holds_one_budget_until_it_is_released(deployment: RunningDeployment) -> None:
    worker = deployment.start_planted(FAILS_ON_PROJECT="7")
    await deployment.send(lock(1, key=ITS_KEY))
    await deployment.wait_for("approval.requested.v1")
    await deployment.load(1, 10)
    held = await deployment.wait_for("budget.status.v1", project_id=7, on_hold=True)
    assert held["status"] == "PENDING_APPROVAL"
    await deployment.wait_until(lambda: len(deployment.messages("spectrum.export.v1")) == 9, "all others")
    # Everything that comes later is kept behind it, also what another worker takes in after a restart.
    await deployment.send(lock(2, STEEL | {"original_amount": "7.00"}, key=ITS_KEY))
    await deployment.send(release(key=ITS_KEY))
    await deployment.wait_until_carried()
    printed = await asyncio.to_thread(deployment.command, "status", str(ITS_KEY))
    assert f"on hold: deciding on it failed; `budget-bridge release {ITS_KEY}` releases it" in printed.stdout
    await deployment.stop(worker)
    deployment.start()
    await deployment.send(accept(2, key=ITS_KEY))
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    assert len(deployment.messages("spectrum.export.v1")) == 9

    await deployment.send(release(key=ITS_KEY))
    await deployment.wait_for("spectrum.export.v1", project_id=7, budget_version=1)
    await deployment.wait_for("budget.status.v1", project_id=7, status="EXPORTING", waiting_version=2, on_hold=False)
    await deployment.send(acknowledge("success", key=ITS_KEY))
    resync = await deployment.wait_for("spectrum.resync.v1", project_id=7, budget_version=2)
    assert resync["total_amount"] == "7.00"
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    assert deployment.count_repeats() == 0


async def test_what_is_skipped_is_shown_before_it_is_left_out(deployment: RunningDeployment) -> None:
    worker = deployment.start_planted(FAILS_ON_PROJECT="7")
    await deployment.send(lock(1, key=ITS_KEY))
    await deployment.wait_for("approval.requested.v1")
    await deployment.send(accept(1, key=ITS_KEY), message_id="the one")
    await deployment.wait_for("budget.status.v1", project_id=7, on_hold=True)
    await deployment.send(lock(2, STEEL | {"original_amount": "7.00"}, key=ITS_KEY))
    await deployment.wait_until_carried()
    await deployment.stop(worker)
    deployment.start()
    skip = ["release", str(ITS_KEY), "--by", "olga", "--why", "withdrawn", "--action", "skip"]
    asked = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-c", f"echo n | python -m worker {' '.join(skip)}"],
        env=deployment.environment | {"PATH": f"{deployment.python_folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 1, asked.stderr
    assert "approval.decision.v1 of version 1, received at " in asked.stdout
    assert "  id the one\nHeld messages behind it, which are decided: 1" in asked.stdout
    assert (await deployment.fetch("select count(*) from history where verdict = 'held'"))[0][0] == 2
    done = await asyncio.to_thread(deployment.command, *skip, "--yes")
    assert (done.returncode, "applied: 1 held messages decided" in done.stdout) == (0, True), done.stderr
    await deployment.wait_for("approval.requested.v1", project_id=7, budget_version=2)
    skipped = await deployment.fetch("select verdict, detail from history where id = 'the one'")
    assert [tuple(row) for row in skipped] == [("ignored", "skipped by olga: withdrawn")]
    nothing = await asyncio.to_thread(deployment.command, *skip, "--yes")
    assert (nothing.returncode, "there is none to skip" in nothing.stderr) == (1, True)
    assert (await deployment.wait_until_carried()).are_clean

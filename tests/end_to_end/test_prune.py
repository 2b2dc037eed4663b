"""A deployment is pruned while it works: nothing that is still needed is deleted, and reconciling still works."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from contracts.records import Outgoing
from tests.end_to_end.harness import Bridge
from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import KEY, STEEL, accept, acknowledge, lock, release

KEYS = [KEY._replace(project_id=project) for project in range(1, 5)]
CHANGED = STEEL | {"original_amount": "7.00"}


async def prune(bridge: Bridge, *options: str, age: str = "0s") -> dict[str, Any]:
    done = await asyncio.to_thread(bridge.command, "prune", "--older-than", age, "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def answer(bridge: Bridge, typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "prune", "--older-than", "0s"],
        env=bridge.environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_a_deployment_that_works_on(bridge: Bridge) -> None:
    bridge.start()
    synced, exporting, parked, pending = KEYS
    await bridge.send(lock(key=synced), message_id="the lock")
    await bridge.send(lock(key=exporting), lock(key=parked), lock(key=pending))
    await bridge.wait_for("approval.requested.v1", 4)
    # An acceptance that comes before its lock names the content that it is for.
    bridge.remember_locks([lock(2, key=parked)])
    await bridge.send(accept(key=synced), accept(key=exporting), accept(2, key=parked))
    await bridge.send_raw("procore.budgets", b"no message", key=b"the same")
    await bridge.wait_for("spectrum.export.v1", 2)
    await bridge.send(acknowledge("success", key=synced))
    await bridge.wait_for("budget.status.v1", status="SYNCED")
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == 1, "the dead letter")
    await bridge.wait_until_carried()
    story = json.loads((await asyncio.to_thread(bridge.command, "status", str(synced), "--json")).stdout)
    listed = (await asyncio.to_thread(bridge.command, "dead-letters", "list", "--json")).stdout
    [letter] = json.loads(listed)["dead_letters"]
    rows = len(await bridge.fetch("select from outbox"))

    # Nothing is that old; a dry run and a no change nothing.
    assert (await prune(bridge, "--yes", age="1d"))["rows"] == 0
    planned = await prune(bridge, "--dry-run")
    assert (planned["rows"], planned["messages"], planned["dry_run"]) == (rows, 6, True)
    refused = await asyncio.to_thread(answer, bridge, "n\n")
    assert (refused.returncode, f"{rows} messages of the outbox" in refused.stderr) == (1, True)
    assert len(await bridge.fetch("select from outbox")) == rows

    done = await asyncio.to_thread(answer, bridge, "y\n")
    assert (done.returncode, f"pruned: {rows} messages of the outbox" in done.stdout) == (0, True), done.stderr
    assert await bridge.fetch("select from outbox") == []
    kept = await bridge.fetch("select distinct type from history where body is not null")
    assert [row["type"] for row in kept] == ["approval.decision.v1"]
    findings = await bridge.reconcile()
    assert findings.are_clean, findings.first
    assert findings.claims["known"].notes.total() == rows
    assert findings.claims["verdicts"].notes.total() == 6
    assert findings.claims["decided-again"].notes.total() == 4 + 1

    # The record still has everything but what was sent; the dead letter is gone, and the output says why.
    printed = json.loads((await asyncio.to_thread(bridge.command, "status", str(synced), "--json")).stdout)
    assert (printed["status"], printed["history"], printed["sent"]) == (story["status"], story["history"], [])
    assert printed["sent_pruned_before"] > printed["history"][-1]["at"]
    shown = (await asyncio.to_thread(bridge.command, "status", str(synced))).stdout
    assert "accepted by ann" in shown
    assert "are pruned" in shown
    gone = await asyncio.to_thread(bridge.command, "dead-letters", "replay", letter["id"])
    assert (gone.returncode, "are pruned" in gone.stderr) == (1, True)

    await go_on(bridge)
    await prune(bridge, "--yes")
    await find_what_is_wrong(bridge)


async def go_on(bridge: Bridge) -> None:
    """A pruned message that is sent again is a repeat; every budget continues from its state."""
    synced, exporting, parked, pending = KEYS
    await bridge.send(lock(key=synced), message_id="the lock")
    await bridge.send(lock(2, CHANGED, key=synced), lock(2, key=parked), accept(key=pending))
    await bridge.wait_for("spectrum.export.v1", project_id=parked.project_id, budget_version=2)
    await bridge.wait_for("spectrum.export.v1", project_id=pending.project_id)
    await bridge.wait_for("approval.requested.v1", project_id=synced.project_id, budget_version=2)
    await bridge.send(accept(2, key=synced), acknowledge("failed", key=exporting))
    await bridge.wait_for("spectrum.resync.v1", project_id=synced.project_id, budget_version=2)
    await bridge.send(acknowledge("success", 2, key=synced))
    await bridge.wait_for("budget.status.v1", project_id=synced.project_id, status="SYNCED", synced_version=2)
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")
    # A retry answers to an export that is pruned.
    command = ("retry", str(exporting), "--by", "olga", "--why", "open again")
    retried = await asyncio.to_thread(bridge.command, *command)
    assert retried.returncode == 0, retried.stderr
    await bridge.wait_for("spectrum.export.v1", project_id=exporting.project_id, attempt=2)
    findings = await bridge.wait_until_carried()
    assert findings.are_clean, findings.first
    assert findings.claims["verdicts"].notes["repeats of a message"] == 1


async def find_what_is_wrong(bridge: Bridge) -> None:
    """Reconciling still finds faults after it."""
    bridge.is_sound = False
    export = next(record for record in bridge.seen if record.place.topic.endswith("spectrum.exports"))
    again = Outgoing(export.place.topic, export.key, export.value, export.headers)
    letter = bridge.dead_letters()[0]
    await bridge.appender.append([again, Outgoing(letter.place.topic, letter.key, letter.value, letter.headers)])
    findings = await bridge.reconcile()
    assert findings.claims["published"].differences.total() == 2, findings.first
    unheard_of = tuple(
        (name, b"2099-01-01T00:00:00Z" if name == "ce_time" else value) for name, value in export.headers
    )
    unheard = Outgoing(export.place.topic, export.key, export.value, unheard_of)
    # As old as what is pruned, and no export.
    await bridge.appender.append([unheard, Outgoing(export.place.topic, export.key, b"{}", export.headers)])
    await bridge.fetch("delete from history where type = 'budget.locked.v1' and project_id = 2")
    findings = await bridge.reconcile()
    assert findings.claims["known"].differences.total() == 2, findings.first
    assert findings.claims["verdicts"].differences.total() == 1, findings.first


async def test_what_is_held_or_not_published_stays(deployment: RunningDeployment) -> None:
    held = KEY._replace(project_id=7)
    worker = deployment.start_planted(FAILS_ON_PROJECT="7")
    await deployment.send(lock(1, key=held))
    await deployment.wait_for("approval.requested.v1", project_id=7)
    await deployment.load(1, 5)
    await deployment.send(accept(1, key=held))
    await deployment.wait_for("budget.status.v1", project_id=7, on_hold=True)
    await deployment.wait_until(lambda: len(deployment.messages("spectrum.export.v1")) == 5, "the exports")
    await deployment.wait_until_carried()
    await deployment.stop(worker)
    dying = deployment.start_planted(CRASH_AT="publish: before the commit")
    later = [KEY._replace(project_id=project) for project in range(11, 41)]
    # Locks alone, so that whatever batch it dies in has something to publish.
    await deployment.send(*(lock(1, key=key) for key in later))
    await deployment.wait_for_death(dying)

    findings = await deployment.reconcile()
    waiting = findings.claims["published"].waiting
    assert waiting
    done = await prune(deployment, "--yes")
    assert done["rows"]
    assert len(await deployment.fetch("select from outbox")) == waiting
    assert await deployment.fetch("select from history where pruned and project_id = 7") == []
    [places] = await deployment.fetch(
        "select count(*) from outbox join history using (inbox_partition, inbox_offset) where history.pruned",
    )
    assert places["count"] == 0
    findings = await deployment.reconcile()
    assert findings.are_clean, findings.first

    deployment.start()
    await deployment.send(release(key=held), *(accept(1, key=key) for key in later))
    await deployment.wait_for("spectrum.export.v1", project_id=7)
    await deployment.wait_until(
        lambda: len({one["project_id"] for one in deployment.messages("spectrum.export.v1")}) == 36, "every export"
    )
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    assert deployment.count_repeats() == 0


async def test_a_lane_of_another_database_loses_nothing(bridge: Bridge) -> None:
    bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.wait_until_carried()
    bridge.is_sound = False
    await bridge.fetch("update deployment set id = gen_random_uuid()")
    assert (await prune(bridge, "--yes"))["rows"] == 0
    for environment in ({"KAFKA_GROUP_ID": "another"}, {"TOPIC_PREFIX": "another."}):
        done = await asyncio.to_thread(bridge.command, "prune", "--older-than", "0s", "--yes", **environment)
        assert (done.returncode, "pruned: 0 messages" in done.stdout) == (0, True), done.stderr
    refused = await asyncio.to_thread(bridge.command, "prune", "--older-than", "400")
    assert (refused.returncode, "such as 400d or 12h" in refused.stderr) == (2, True)


async def test_a_budget_that_was_changed_by_hand_is_found_and_rebuilt(deployment: RunningDeployment) -> None:
    """Also after a prune, when its history cannot be decided again: the field is named, and the log has the truth."""
    worker = deployment.start()
    await deployment.load(1, 3)
    await deployment.send(lock(1, key=KEY._replace(project_id=9)))
    await deployment.wait_for_everything(3)
    await deployment.wait_for("approval.requested.v1", project_id=9)
    await deployment.wait_until_carried()
    await deployment.stop(worker)
    states = "select project_id, state::text, on_hold from budgets order by 1"
    before = await deployment.fetch(states)
    assert (await prune(deployment, "--yes"))["messages"]

    await deployment.fetch(
        "update budgets set state = replace(state::text, '64000000', '64000001')::json where project_id = 9"
    )
    await deployment.fetch("delete from budgets where project_id = 1")
    findings = await deployment.reconcile()
    assert findings.claims["budgets"].differences.total() == 2, findings.first
    assert findings.claims["status"].differences.total() == 1, findings.first
    said = "\n".join(one.what for one in findings.first)
    assert "version.proposal.total is 64000001, and should be 64000000" in said
    assert "it has no row in budgets, but its messages produce EXPORTING, sequence 2" in said

    planned = await asyncio.to_thread(deployment.command, "recover", "--dry-run")
    assert planned.returncode == 1, planned.stdout + planned.stderr
    assert "2 budgets do not match their messages: 4211/1/55210" in planned.stdout
    one = await asyncio.to_thread(deployment.command, "recover", "--dry-run", "--budget", "4211/9/55210")
    assert "1 budgets do not match their messages: 4211/9/55210" in one.stdout, one.stdout + one.stderr
    done = await asyncio.to_thread(deployment.command, "recover", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert await deployment.fetch(states) == before
    findings = await deployment.reconcile()
    assert findings.are_clean, findings.first

    # A difference that stays can be accepted, by name and with a reason; then nothing else differs.
    await deployment.fetch("delete from history where project_id = 3 and type = 'budget.locked.v1'")
    differs = await asyncio.to_thread(deployment.command, "reconcile")
    assert differs.returncode == 1, differs.stdout + differs.stderr
    assert "1 lost; 1 budgets concerned" in differs.stdout
    refused = await asyncio.to_thread(deployment.command, "reconcile", "--accept", "all")
    assert (refused.returncode, "--by and --why" in refused.stderr) == (2, True)
    accepted = await asyncio.to_thread(
        deployment.command, "reconcile", "--accept", "4211/3/55210", "--by", "ann", "--why", "a test"
    )
    assert (accepted.returncode, "accepted: lost: budget 4211/3/55210" in accepted.stdout) == (0, True), accepted.stderr
    clean = await asyncio.to_thread(deployment.command, "reconcile")
    assert (clean.returncode, "1 differences were accepted before" in clean.stdout) == (0, True), clean.stdout
    listed = json.loads((await asyncio.to_thread(deployment.command, "reconcile", "--accepted", "--json")).stdout)
    assert [(row["accepted_by"], row["why"], row["budget"]) for row in listed] == [("ann", "a test", "4211/3/55210")]

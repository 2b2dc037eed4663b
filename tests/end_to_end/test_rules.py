"""Rules applied while two workers run: no restart, and every verdict names its version."""

import asyncio
import json
from typing import Any

from tests.end_to_end.harness import RULES, Bridge
from tests.unit.builders import KEY, STEEL, accept, lock

PROJECTS = range(1, 9)
BY = ("--by", "bob", "--why", "zoe takes over")
ONLY_ZOE = "company_id,project_id,user\n4211,,zoe\n"


async def ask(bridge: Bridge, *arguments: str, code: int = 0, **environment: str | None) -> str:
    done = await asyncio.to_thread(bridge.command, *arguments, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


async def read(bridge: Bridge, *arguments: str, code: int = 0, **environment: str | None) -> Any:
    return json.loads(await ask(bridge, *arguments, "--json", code=code, **environment))


def find_events(bridge: Bridge, event: str) -> list[dict[str, Any]]:
    return [line for line in bridge.read_log() if line["event"] == event]


async def wait_for_lanes(bridge: Bridge, workers: int) -> None:
    """Wait until each worker has a lane of the two, or the only one both; each that joins starts both again."""
    group = f"{bridge.prefix}bridge"

    def has_all() -> bool:
        lanes = [line["lane"] for line in find_events(bridge, "lane.started")]
        return len(find_events(bridge, "worker.started")) == workers and min(map(lanes.count, (0, 1))) >= workers

    await bridge.wait_until(has_all, f"the lanes of {group}")


async def test_rules_are_applied_without_a_restart(bridge: Bridge) -> None:
    bridge.start()
    await wait_for_lanes(bridge, 1)
    [applied] = find_events(bridge, "rules.applied")
    first, digest = applied["rules"].split()
    assert (applied["by"], len(digest)) == ("budget-bridge run", 10)
    # The files change; nobody applies them, and a second worker that reads them decides by what is in force.
    bridge.write_rules(approvers_csv=ONLY_ZOE, rules_toml="[waiting]\nparked_limit = 5\n")
    bridge.start()
    await bridge.wait_until(lambda: bool(find_events(bridge, "rules.folder_ignored")), "the worker's warning")
    [ignored] = find_events(bridge, "rules.folder_ignored")
    assert (ignored["why"], ignored["rules"]) == ("RULES_DIR differs from the version in force", applied["rules"])
    await wait_for_lanes(bridge, 2)
    keys = [KEY._replace(project_id=project) for project in PROJECTS]
    await bridge.send(*(lock(key=key) for key in keys))
    await bridge.wait_for("approval.requested.v1", len(keys))
    await bridge.send(*(accept(key=key) for key in keys))
    await bridge.wait_for("spectrum.export.v1", len(keys))
    await bridge.wait_until_carried()

    changes = (await read(bridge, "rules", "diff", code=1))["changes"]
    assert [(one["change"], one["key"]) for one in changes] == [
        ("changed", "waiting.parked_limit"),
        ("removed", "all of 4211, ann"),
        ("added", "all of 4211, zoe"),
    ]
    starts = len(find_events(bridge, "lane.started"))
    told = await ask(bridge, "rules", "apply", *BY)
    assert "is in force now: 401 jobs" in told
    assert "no budget is INVALID" in told
    history = (await read(bridge, "rules", "history"))["applications"]
    assert [(one["applied_by"], one["why"]) for one in history] == [
        ("bob", "zoe takes over"),
        ("budget-bridge run", "the first version: none was in force"),
    ]
    second = str(history[0]["rules_id"])

    await bridge.send(*(lock(2, STEEL | {"original_amount": "7.00"}, key=key) for key in keys))
    await bridge.wait_for("budget.status.v1", len(keys), waiting_version=2)
    others = [KEY._replace(project_id=project) for project in range(11, 19)]
    await bridge.send(*(lock(key=key) for key in others))
    await bridge.wait_for("approval.requested.v1", len(keys) + len(others))
    await bridge.send(*(accept(key=key) for key in others))
    await bridge.wait_for("request.refused.v1", len(others), code="not_authorised")
    await bridge.wait_until_carried()
    changed = find_events(bridge, "rules.changed")
    assert {line["lane"] for line in changed} == {0, 1}
    assert {(line["before"].split()[0], line["rules"].split()[0]) for line in changed} == {(first, second)}
    assert len(find_events(bridge, "lane.started")) == starts
    decided_by = await bridge.fetch("select budget_version, rules_id::text from history where project_id < 11")
    assert {tuple(row) for row in decided_by} == {(1, first), (2, second)}
    status = await read(bridge, "status", str(others[0]))
    assert [(row["verdict"], str(row["rules_id"])) for row in status["history"]] == [
        ("applied", second),
        ("refused", second),
    ]
    shown = await read(bridge, "rules", "show", first)
    assert not shown["in_force"]
    assert {"file": "approvers.csv", "key": "all of 4211, ann", "value": "approver"} in shown["rows"]
    # The fixture reconciles: every message is decided again by the version that its history row names.


async def test_what_apply_refuses_and_what_would_pass(bridge: Bridge) -> None:
    bridge.write_rules(phases_csv="cost_code,phase_code,description\n")
    assert (
        "no version of the rules is in force: run" in (await asyncio.to_thread(bridge.command, "rules", "show")).stderr
    )
    await ask(bridge, "rules", "apply", "--by", "ann", "--why", " ", code=2)
    await ask(bridge, "rules", "apply", "--by", "ann", "--why", "the start")
    # With rules in force a worker needs no folder.
    bridge.settings["RULES_DIR"] = ""
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("budget.returned.v1", cause="invalid")
    bridge.settings.clear()
    bridge.write_rules()
    assert "  + 05-120: phase 05120\n" in await ask(bridge, "rules", "diff", code=1)
    told = await read(bridge, "rules", "apply", *BY)
    assert told["first_passing"] == [{"budget": str(KEY), "version": 1}]
    assert (told["invalid_budgets"], told["passing_now"], told["is_new"]) == (1, 1, True)
    told = await ask(bridge, "rules", "apply", *BY)
    assert "was in force already; nothing was changed" in told
    assert "1 of 1 INVALID budget would pass now" in told
    assert "RULES_DIR is version" in await ask(bridge, "rules", "diff")
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.send(accept())
    await bridge.wait_for("spectrum.export.v1")
    bridge.write_rules(jobs_csv="company_id,project_id,company_code,job_number\n4211,1,001,J90071\n")
    for command in (["rules", "check"], ["rules", "apply", *BY]):
        done = await asyncio.to_thread(bridge.command, *command)
        assert (done.returncode, f"Spectrum may hold budget {KEY}" in done.stderr) == (2, True)
    assert (await read(bridge, "rules", "history"))["total"] == 2
    assert await bridge.stop(worker) == 0
    for name, text in RULES.items():
        (bridge.folder / "rules" / name).write_text("broken [" if name == "rules.toml" else text)
    await ask(bridge, "rules", "apply", *BY, code=2)
    bridge.start()
    await bridge.wait_until(lambda: bool(find_events(bridge, "rules.folder_ignored")), "the worker's warning")
    assert "rules.toml: it cannot be read" in find_events(bridge, "rules.folder_ignored")[0]["why"]

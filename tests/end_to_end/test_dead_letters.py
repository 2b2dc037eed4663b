"""Dead letters can be listed, shown and sent back."""

import asyncio
import json
import subprocess

from tests.end_to_end.harness import Bridge
from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import KEY, STEEL, lock


async def run(bridge: Bridge, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(bridge.command, "dead-letters", *arguments)


async def test_list_show_and_replay(bridge: Bridge) -> None:
    bridge.start()
    body = lock()
    broken = json.dumps(body.model_dump(mode="json") | {"total_amount": "much"}).encode()
    await bridge.send_raw("procore.budgets", broken, bridge.head(body, "m1"))
    await bridge.send_raw("procore.budgets", b"\xff\x00", bridge.head(body, "m2"))
    await bridge.send(body)
    await bridge.wait_for("approval.requested.v1")
    await bridge.send(lock(1, STEEL | {"original_amount": "1.00"}), message_id="m3")
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == 3, "the dead letters")

    listed = json.loads((await run(bridge, "list", "--json")).stdout)
    assert (listed["total"], listed["reasons"]) == (3, {"conflicting_content": 1, "unreadable": 2})
    of_budget = json.loads((await run(bridge, "list", "--json", "--budget", str(KEY))).stdout)["dead_letters"]
    assert [(one["message_id"], one["reason"]) for one in of_budget] == [
        ("m3", "conflicting_content"),
        (None, "unreadable"),
    ]
    unreadable = json.loads((await run(bridge, "list", "--json", "--reason", "unreadable")).stdout)["dead_letters"]
    assert len(unreadable) == 2
    assert json.loads((await run(bridge, "list", "--json", "--since", "2099-01-01")).stdout)["total"] == 0
    unknown = await run(bridge, "list", "--reason", "nosuch")
    assert (unknown.returncode, "the reasons are" in " ".join(unknown.stderr.split())) == (2, True)
    text = (await run(bridge, "list", "--limit", "1")).stdout
    assert of_budget[0]["id"] in text
    assert "3 in all; the latest 1 are listed" in text

    shown = {one["id"]: (await run(bridge, "show", one["id"])).stdout for one in unreadable}
    assert any("data.total_amount" in text and '"total_amount": "much"' in text for text in shown.values())
    assert any("ff 00" in text for text in shown.values())
    assert (await run(bridge, "show", "00000000-0000-0000-0000-000000000000")).returncode == 1

    refused = await run(bridge, "replay", of_budget[0]["id"])
    assert (refused.returncode, "under a new id" in refused.stderr) == (1, True)
    [much] = [letter for letter, text in shown.items() if "much" in text]
    assert (await run(bridge, "replay", much)).returncode == 0
    # Its cause is not gone: it is set aside again, from its new place.
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == 4, "another dead letter")
    values = [record.value for record in bridge.dead_letters()]
    assert values.count(broken) == 2
    both = await run(bridge, "replay", "--reason", "unreadable", "--budget", str(KEY), "--yes")
    assert (both.returncode, "sent 2 of 2 back" in both.stdout) == (0, True)
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == 6, "two more dead letters")
    assert (await run(bridge, "replay")).returncode == 2


async def test_a_record_that_can_be_read_now_is_admitted_once(deployment: RunningDeployment) -> None:
    """Its cause was an older version of the code; however often it is sent back, it counts once."""
    older = deployment.start_planted(KNOWS_NOT="budget.locked.v1")
    await deployment.send(lock(), message_id="m1")
    await deployment.wait_until(lambda: len(deployment.dead_letters()) == 1, "the dead letter")
    await deployment.stop(older)
    [letter] = json.loads((await run(deployment, "list", "--json")).stdout)["dead_letters"]
    assert letter["reason"] == "unknown_type"
    deployment.start()
    for _ in range(3):
        assert (await run(deployment, "replay", letter["id"])).returncode == 0
    await deployment.wait_for("approval.requested.v1")
    findings = await deployment.wait_until_carried()
    assert findings.claims["verdicts"].notes["repeats of a message"] == 2
    assert len(deployment.messages("approval.requested.v1")) == 1
    assert len(deployment.dead_letters()) == 1

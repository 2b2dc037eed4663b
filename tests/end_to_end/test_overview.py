"""The overview of all budgets, and one budget's record, as text and as JSON."""

import asyncio
import json
from urllib.parse import urlsplit, urlunsplit

from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, acknowledge, lock, reject


async def test_the_overview_and_one_budget(bridge: Bridge) -> None:
    empty = await asyncio.to_thread(bridge.command, "status")
    assert (empty.returncode, "no budget is known yet" in empty.stdout) == (0, True)
    worker = bridge.start()
    keys = [KEY._replace(project_id=project) for project in range(1, 4)]
    await bridge.send(*(lock(1, key=key) for key in keys))
    await bridge.wait_for("approval.requested.v1", 3)
    await bridge.send(accept(1, key=keys[0]), accept(1, key=keys[1]), reject(2, key=keys[2]))
    await bridge.wait_for("spectrum.export.v1", 2)
    await bridge.send(acknowledge("success", key=keys[0]), acknowledge("failed", key=keys[1]))
    await bridge.wait_for("budget.status.v1", status="SYNCED")
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")
    await bridge.wait_until_carried()

    done = await asyncio.to_thread(bridge.command, "status", "--json")
    found = json.loads(done.stdout)
    assert {one["status"]: (one["budgets"], one["parked"]) for one in found["statuses"]} == {
        "EXPORT_FAILED": (1, 0),
        "PENDING_APPROVAL": (1, 1),
        "SYNCED": (1, 0),
    }
    assert [(one["key"], one["why"]) for one in found["waiting"]] == [
        ("4211/2/55210", "failed"),
        ("4211/3/55210", "pending approval"),
    ]
    assert [(lane["undecided"], lane["unpublished"]) for lane in found["lanes"]] == [(0, 0), (0, 0)]
    await bridge.stop(worker)
    shown = (await asyncio.to_thread(bridge.command, "status")).stdout
    assert "waits for a person" in shown
    assert "4211/2/55210" in shown
    asked = await asyncio.to_thread(
        bridge.command, "status", "--json", "--worker", "127.0.0.1:1", "--worker", "http://127.0.0.1:2/"
    )
    workers = [(one["url"], one["answers"]) for one in json.loads(asked.stdout)["workers"]]
    assert workers == [("http://127.0.0.1:1", False), ("http://127.0.0.1:2", False)]
    failed = json.loads(
        (await asyncio.to_thread(bridge.command, "status", "--status", "export_failed", "--json")).stdout
    )
    assert ([one["key"] for one in failed["budgets"]], failed["total"]) == (["4211/2/55210"], 1)
    assert (await asyncio.to_thread(bridge.command, "status", "--status", "nosuch")).returncode == 2
    record = (await asyncio.to_thread(bridge.command, "status", str(keys[1]))).stdout
    assert "EXPORT_FAILED: version 1" in record
    assert "accepted by ann" in record
    assert "it waits for an operator (`retry`) or approver, to send it again" in record
    # Where in Kafka each message is.
    sent = json.loads((await asyncio.to_thread(bridge.command, "status", str(keys[1]), "--json")).stdout)["sent"]
    places = {(dict(record.headers).get("ce_id") or b"").decode(): record.place for record in bridge.seen}
    assert [(one["topic"], one["partition"], one["offset"]) for one in sent] == [places[one["id"]] for one in sent]
    assert "/".join(map(str, places[sent[0]["id"]])) in record
    alone = await asyncio.to_thread(bridge.command, "status", str(keys[1]), KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (alone.returncode, "accepted by ann" in alone.stdout) == (0, True)
    assert "it is not known where the messages are in Kafka: 127.0.0.1:1 refuses the connection" in alone.stderr
    for command in ("status", "topics", "reconcile"):
        nowhere = await asyncio.to_thread(bridge.command, command, KAFKA_BOOTSTRAP="127.0.0.1:1")
        assert (nowhere.returncode, "127.0.0.1:1 refuses the connection" in nowhere.stderr) == (2, True)
    parts = urlsplit(bridge.database_url)
    url = urlunsplit(parts._replace(netloc="127.0.0.1:1"))
    nowhere = await asyncio.to_thread(bridge.command, "status", DATABASE_URL=url)
    assert (nowhere.returncode, "database at 127.0.0.1:1 refuses" in nowhere.stderr) == (2, True)

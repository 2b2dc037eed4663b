"""Each line of an audit trail is found in Kafka: the same bytes at the place that it names."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from contracts.records import Place
from contracts.topics import INBOX
from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, acknowledge, lock
from worker.kafka.connection import KafkaConnection
from worker.kafka.topic_log import open_topic_log


def digest(value: bytes | None) -> str:
    return sha256(value or b"").hexdigest()


def read_place(written: Mapping[str, Any]) -> Place:
    return Place(written["topic"], written["partition"], written["offset"])


async def test_each_line_names_a_record_with_the_same_bytes(bridge: Bridge) -> None:
    worker = bridge.start()
    await bridge.send(lock(1))
    await bridge.wait_for("approval.requested.v1")
    await bridge.send(accept(1))
    await bridge.wait_for("spectrum.export.v1")
    await bridge.send(acknowledge("success"))
    await bridge.wait_for("budget.status.v1", status="SYNCED")
    await bridge.wait_until_carried()
    done = await asyncio.to_thread(bridge.command, "audit", str(KEY))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    received = [line for line in lines if line["kind"] == "received"]
    assert [line["type"] for line in received[:3]] == [
        "budget.locked.v1",
        "approval.decision.v1",
        "erp.acknowledgement.v1",
    ]
    in_kafka: dict[Place, str] = {}
    for topic in {line["origin"]["topic"] for line in received} | {bridge.prefix + INBOX}:
        async with open_topic_log(KafkaConnection(bridge.kafka), topic) as log:
            async for records in log.read():
                in_kafka |= {record.place: digest(record.value) for record in records}
    for line in received:
        assert in_kafka[read_place(line["origin"])] == line["value_sha256"]
        assert in_kafka[read_place(line["inbox"])] == line["value_sha256"]
    published = {dict(record.headers)["ce_id"]: record for record in bridge.seen}
    sent = [line for line in lines if line["kind"] == "sent"]
    assert "spectrum.export.v1" in {line["type"] for line in sent}
    for line in sent:
        record = published[line["id"].encode()]
        assert (record.place.topic, digest(record.value)) == (line["topic"], line["value_sha256"])
    await bridge.stop(worker)

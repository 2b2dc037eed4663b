"""The doctor: it reports what is ok, and each problem with what to do, whatever else is broken."""

import asyncio
import json
import time
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, lock


async def ask(bridge: Bridge, **environment: str | None) -> tuple[int, list[dict[str, str]]]:
    done = await asyncio.to_thread(bridge.command, "doctor", "--json", **environment)
    assert done.stderr == ""
    # Nothing has to be signed in these deployments, which is a warning of its own.
    return done.returncode, [check for check in json.loads(done.stdout) if check["about"] != "signatures"]


async def find_problems(bridge: Bridge, **environment: str | None) -> dict[str, str]:
    """Warnings and errors, each with what to do."""
    _, checks = await ask(bridge, **environment)
    problems = [check for check in checks if check["state"] != "ok"]
    assert all(check["to_do"] for check in problems), problems
    return {check["found"]: check["to_do"] for check in problems}


async def reports(bridge: Bridge, found: str, to_do: str, **environment: str | None) -> None:
    until = time.monotonic() + 30
    while True:
        problems = await find_problems(bridge, **environment)
        if any(found in one and to_do in what for one, what in problems.items()):
            return
        # A broker may know what it was just granted, or lost, only a moment later.
        assert time.monotonic() < until, (found, to_do, problems)


async def test_a_healthy_deployment_has_only_ok_checks(bridge: Bridge) -> None:
    bridge.start()
    await bridge.send(lock(), accept())
    await bridge.wait_for("spectrum.export.v1")
    await bridge.wait_until_carried()
    status, checks = await ask(bridge)
    assert (status, [check for check in checks if check["state"] != "ok"]) == (0, [])
    assert {check["about"] for check in checks} == {
        "clock",
        "configuration",
        "database",
        "encryption",
        "group",
        "kafka",
        "lanes",
        "permissions",
        "readings",
        "rules",
        "sources",
        "topics",
    }
    shown = await asyncio.to_thread(bridge.command, "doctor")
    assert (shown.returncode, "1 warning, 0 errors" in shown.stdout) == (0, True)


async def test_whatever_is_broken_the_rest_is_checked(bridge: Bridge) -> None:
    bridge.write_rules(jobs_csv="company_id,project_id,company_code,job_number\n0,1,0011,J#1\n")
    bridge.settings["HTTP_PORT"] = "no port"
    status, checks = await ask(bridge, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert status == 1
    wrong = {check["found"]: check["about"] for check in checks if check["state"] == "error"}
    assert any("HTTP_PORT" in found for found in wrong)
    assert any("jobs.csv, row 2" in found for found in wrong)
    assert any("127.0.0.1:1 refuses the connection" in found for found in wrong)
    assert "database" not in wrong.values()
    await reports(bridge, "DATABASE_URL: it is not set", "the README", DATABASE_URL=None)
    away = urlunsplit(urlsplit(bridge.database_url)._replace(netloc="127.0.0.1:1"))
    await reports(bridge, "127.0.0.1:1 refuses the connection", "fix DATABASE_URL", DATABASE_URL=away)
    await reports(bridge, "has no members", "budget-bridge run", DATABASE_URL=away)


async def test_topics_and_schema(bridge: Bridge) -> None:
    await reports(bridge, "other.bridge.inbox is missing", "budget-bridge topics", TOPIC_PREFIX="other.")
    stamp = {"message_timestamp_type": "LogAppendTime"}
    await bridge.set_up_topic("spectrum.snapshots", max_message_bytes="1000000")
    await bridge.set_up_topic("bridge.drift", max_message_bytes="16777216", cleanup_policy="delete", **stamp)
    await bridge.set_up_topic("spectrum.exports", max_message_bytes="1000000", **stamp)
    await bridge.set_up_topic("bridge.approval-requests", max_message_bytes="16777216")
    await bridge.set_up_topic("procore.approvals", max_message_bytes="16777216", cleanup_policy="compact")
    await bridge.set_up_topic("bridge.inbox", max_message_bytes="17825792", retention_ms="60000", **stamp)
    await reports(bridge, "spectrum.exports: max.message.bytes is 1000000", "set it to 16777216")
    await reports(bridge, "approval-requests: message.timestamp.type is CreateTime", "LogAppendTime")
    await reports(bridge, "procore.approvals: cleanup.policy is compact", "set it to delete")
    await reports(bridge, "bridge.inbox: retention.ms is 60000", "set it to -1")
    await reports(bridge, "spectrum.snapshots: max.message.bytes is 1000000", "set it to 16777216")
    await reports(bridge, "bridge.drift: cleanup.policy is delete", "set it to compact")
    refused = await asyncio.to_thread(bridge.command, "run")
    assert (refused.returncode, "spectrum.exports takes messages of 1000000 bytes" in refused.stderr) == (2, True)
    connection = await asyncpg.connect(bridge.database_url)
    await connection.execute("delete from migrations")
    await connection.close()
    bridge.is_sound = False
    await reports(bridge, "schema", "budget-bridge migrate")


async def test_lanes_sources_and_rights(bridge: Bridge) -> None:
    bridge.is_sound = False
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.wait_until_carried()
    await bridge.stop(worker)

    # Records that are gone before they were read, and one that soon will be.
    for number in range(8):
        await bridge.send(accept(key=KEY._replace(project_id=number + 1)))
    admin = AIOKafkaAdminClient(bootstrap_servers=bridge.kafka)
    await admin.start()
    topic = f"{bridge.prefix}procore.budgets"
    try:
        await bridge.send(*(lock(1, key=KEY._replace(project_id=project)) for project in range(1, 9)))
        ends = await admin.list_topics()
        assert topic in ends
        await admin.delete_records({TopicPartition(topic, number): RecordsToDelete(-1) for number in (0, 1)})
        await admin.create_partitions({f"{bridge.prefix}bridge.inbox": NewPartitions(3)})
    finally:
        await admin.close()
    # Past half of the seven days, and not so old that the broker removes it before the doctor comes.
    old_ms = int(time.time() * 1000) - 4 * 24 * 3_600_000
    producer = AIOKafkaProducer(bootstrap_servers=bridge.kafka)
    await producer.start()
    await producer.send_and_wait(f"{bridge.prefix}spectrum.acknowledgements", b"{}", partition=0, timestamp_ms=old_ms)
    await producer.stop()
    await reports(bridge, "were removed before they were read", "have them sent again")
    await reports(bridge, "a record has waited", "start a worker")
    await reports(bridge, "has 3 partitions, but was created with 2", "create the inbox again with 2 partitions")

    connection = await asyncpg.connect(bridge.database_url)
    await connection.execute("update deployment set id = gen_random_uuid()")
    await reports(bridge, "committed by another database", "budget-bridge recover --dry-run")
    shown = await asyncio.to_thread(bridge.command, "status")
    assert "refuses: the group's offset was committed by another database" in shown.stdout
    lanes = json.loads((await asyncio.to_thread(bridge.command, "status", "--json")).stdout)["lanes"]
    assert any(lane["refuses"] and lane["unpublished"] is None for lane in lanes)
    role = f"narrow_{bridge.prefix.strip('.')}"
    await connection.execute(f"create role {role} login password 'narrow'")
    await connection.execute(f"grant select on all tables in schema public to {role}")
    await connection.execute(f"grant insert on history to {role}")
    parts = urlsplit(bridge.database_url)
    narrow = urlunsplit(parts._replace(netloc=f"{role}:narrow@{parts.netloc.rpartition('@')[2]}"))
    await reports(bridge, "insert on outbox", "budget-bridge grants run", DATABASE_URL=narrow)
    assert "insert on history" not in str(await find_problems(bridge, DATABASE_URL=narrow))
    await connection.execute(f"drop owned by {role}")
    await connection.execute(f"drop role {role}")
    await connection.close()


async def test_a_writer_that_never_ends_its_transaction(bridge: Bridge) -> None:
    an_hour_ago_ms = int(time.time() * 1000) - 3_600_000
    writer = AIOKafkaProducer(bootstrap_servers=bridge.kafka, transactional_id=f"{bridge.prefix}writer")
    await writer.start()
    await writer.begin_transaction()
    topic = f"{bridge.prefix}procore.approvals"
    await writer.send_and_wait(topic, b"{}", partition=0, timestamp_ms=an_hour_ago_ms)
    await reports(bridge, "procore.approvals/0: a writer has not ended its transaction", "restart or stop that writer")
    await writer.abort_transaction()
    await writer.stop()

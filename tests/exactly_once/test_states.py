"""States that should not be, brought about for real: what the worker logs, and the repair."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest

from contracts.fields import write_time
from tests.exactly_once.deployment import RunningDeployment, create_database
from tests.unit.builders import KEY, STEEL, accept, acknowledge, lock, reject
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import commit_group_offsets, read_group_offsets
from worker.reconcile.findings import Findings


@pytest.fixture
async def deployment(tmp_path: Path, kafka: str, postgres: str) -> AsyncIterator[RunningDeployment]:
    """Ten budgets exported by a worker that is stopped; nothing differs."""
    opened = RunningDeployment(tmp_path, kafka, await create_database(postgres))
    await opened.prepare()
    try:
        await carry(opened, 1, 10)
        yield opened
    finally:
        await opened.close()


async def carry(deployment: RunningDeployment, first: int, last: int) -> Findings:
    """Carry some more budgets with a worker that is stopped again; returns what reconciling then finds."""
    worker = deployment.start()
    await deployment.load(first, last)
    await deployment.wait_for_everything(last)
    findings = await deployment.wait_until_carried()
    await deployment.stop(worker)
    await deployment.settle()
    return findings


async def command(
    deployment: RunningDeployment, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(deployment.command, *arguments, **environment)


async def recover(deployment: RunningDeployment, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await command(deployment, "recover", *options, **environment)


async def is_refused(deployment: RunningDeployment, said: str, *, by_all: bool = True) -> None:
    """A worker publishes nothing, and logs why; or only some of its lanes do."""
    before = len(deployment.seen)
    worker = deployment.start()
    await deployment.wait_until(
        lambda: any(
            line["event"] == "lane.refused" and said in line["why"] and "budget-bridge recover" in line["why"]
            for line in deployment.read_log()
        ),
        f"a refusal that says {said!r}",
    )
    await deployment.stop(worker)
    await deployment.settle()
    assert len(deployment.seen) == before or not by_all


async def recovers(deployment: RunningDeployment, said: str, *options: str) -> str:
    """The dry run names the repair and changes nothing; made, it is the end of it. Returns what was printed."""
    planned = await recover(deployment, *options, "--dry-run")
    assert (planned.returncode, said in planned.stdout) == (1, True), planned.stdout + planned.stderr
    again = await recover(deployment, *options, "--dry-run")
    assert again.stdout == planned.stdout
    done = await recover(deployment, *options, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    done = await recover(deployment, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    return planned.stdout


async def is_sound(deployment: RunningDeployment, budgets: int = 20) -> None:
    """It goes on, and in the end nothing differs and nobody saw anything twice."""
    findings = await carry(deployment, 11, budgets)
    assert findings.are_clean, findings.first
    assert deployment.count_repeats() == 0


async def delete_group(deployment: RunningDeployment, group: str) -> None:
    """Let a group's offsets be gone, as after they have expired."""
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.kafka)
    await admin.start()
    try:
        done = await admin._send_request(DeleteGroupsRequest([group]), await admin.find_coordinator(group))
        assert done.results == [(group, 0)], done
    finally:
        await admin.close()


@pytest.mark.parametrize("traced", [False, True])
async def test_a_database_restored_from_an_older_backup(deployment: RunningDeployment, traced: bool) -> None:  # noqa: FBT001
    if traced:
        # Each time a message is decided it gets another span, which is not compared.
        deployment.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
    backup = await deployment.back_up()
    await carry(deployment, 11, 20)
    await deployment.restore(backup)
    await is_refused(deployment, "an older backup")
    printed = await recovers(deployment, "no budget is held")
    assert "decide again the 20 messages" in printed
    await is_sound(deployment, 25)


async def test_a_restored_database_whose_rules_have_changed_since(deployment: RunningDeployment) -> None:
    """What was approved under other rules comes out otherwise: those budgets are held, and nothing of them leaves."""
    backup = await deployment.back_up()
    await carry(deployment, 11, 13)
    await deployment.restore(backup)
    deployment.write_rules(cost_types_csv="cost_type,spectrum_cost_type,price_method_code\nS,X,T\nM,M,T\n")
    assert (await command(deployment, "rules", "apply", "--by", "ann", "--why", "S is X now")).returncode == 0
    printed = await recovers(deployment, "3 budgets do not agree with what Kafka holds and are put on hold")
    assert "4211/12/55210" in printed
    assert "by version 2 (" in printed
    # On hold at once, and listed so, before any message of them.
    listed = json.loads((await command(deployment, "status", "--json")).stdout)
    on_hold = {row["key"] for row in listed["waiting"] if row["why"] == "on hold"}
    assert on_hold == {"4211/11/55210", "4211/12/55210", "4211/13/55210"}
    deployment.write_rules()
    assert (await command(deployment, "rules", "apply", "--by", "ann", "--why", "as it was")).returncode == 0
    worker = deployment.start()
    exports = len(deployment.messages("spectrum.export.v1"))
    await deployment.send(acknowledge("success", key=KEY._replace(project_id=12)))
    status = await deployment.wait_for("budget.status.v1", project_id=12, on_hold=True)
    # By the other rules its content has another hash than the one that was accepted.
    assert status["status"] == "PENDING_APPROVAL"
    await deployment.send(
        lock(2, STEEL, key=KEY._replace(project_id=12)), lock(2, STEEL, key=KEY._replace(project_id=1))
    )
    await deployment.wait_for("budget.status.v1", project_id=1, waiting_version=2)
    await deployment.wait_until_carried()
    assert len(deployment.messages("spectrum.export.v1")) == exports
    verdicts = await deployment.fetch("select verdict from history where project_id = 12 order by origin_topic, at")
    assert [row[0] for row in verdicts] == ["refused", "applied", "held", "held"], verdicts
    # Another, of which nothing has come since: one release is enough.
    released = await command(deployment, "release", "4211/13/55210", "--by", "olga", "--why", "settled")
    assert (released.returncode, "is lifted" in released.stdout) == (0, True), released.stdout + released.stderr
    assert await deployment.fetch("select from budgets where project_id = 13 and on_hold") == []
    await deployment.wait_until_carried()
    accepted = await command(deployment, "reconcile", "--accept", "all", "--by", "olga", "--why", "settled")
    assert accepted.returncode == 0, accepted.stderr
    clean = await command(deployment, "reconcile")
    assert (clean.returncode, "nothing else differs" in clean.stdout) == (0, True), clean.stdout
    await deployment.stop(worker)


async def test_a_new_database_takes_the_place_of_the_old_one(deployment: RunningDeployment) -> None:
    """Everything is decided again from the log: the database can be rebuilt from it."""
    before = await deployment.fetch("select state::text from budgets order by project_id")
    lost, deployment.database_url = deployment.database_url, await create_database(deployment.database_url)
    assert (await command(deployment, "migrate")).returncode == 0
    refused = await command(deployment, "run")
    assert (refused.returncode, "is carried by another database" in refused.stderr) == (2, True)
    assert "give this one a KAFKA_GROUP_ID of its own" in (await recover(deployment)).stdout
    await recovers(deployment, "no budget is held", "--adopt")
    assert await deployment.fetch("select state::text from budgets order by project_id") == before
    await is_sound(deployment)
    deployment.database_url, new = lost, deployment.database_url
    assert "another database" in (await command(deployment, "run")).stderr
    deployment.database_url = new


async def prune(deployment: RunningDeployment) -> None:
    done = await command(deployment, "prune", "--older-than", "0s", "--yes")
    assert (done.returncode, "pruned: 4" in done.stdout) == (0, True), done.stdout + done.stderr


async def test_a_backup_of_what_was_pruned_is_restored(deployment: RunningDeployment) -> None:
    """What Kafka holds of the pruned is taken for what it is: no budget is held for it."""
    await prune(deployment)
    backup = await deployment.back_up()
    await carry(deployment, 11, 20)
    await deployment.restore(backup)
    printed = await recovers(deployment, "no budget is held")
    assert "decide again the 20 messages" in printed
    await is_sound(deployment, 25)


async def test_the_groups_offsets_are_gone_and_all_is_pruned(deployment: RunningDeployment) -> None:
    await prune(deployment)
    await delete_group(deployment, f"{deployment.prefix}bridge")
    # Nobody knows any more how far the lanes are published.
    done = await command(deployment, "prune", "--older-than", "0s", "--yes")
    assert "pruned: 0 messages" in done.stdout
    await recovers(deployment, "and 0 are not: commit offset")
    await is_sound(deployment)


async def test_the_inbox_is_recreated_after_a_prune(deployment: RunningDeployment) -> None:
    """All sources are read again, and all of it known."""
    await prune(deployment)
    await deployment.recreate_topic("bridge.inbox")
    await recovers(deployment, "commit offset")
    await is_sound(deployment)


async def test_what_is_pruned_cannot_be_published_again(deployment: RunningDeployment) -> None:
    await prune(deployment)
    await carry(deployment, 11, 12)
    await deployment.recreate_topic("spectrum.exports")
    printed = await recover(deployment, "--dry-run")
    assert "spectrum.exports lacks 2 messages" in printed.stdout
    assert "cannot be published again" in printed.stdout
    done = await recover(deployment, "--publish-again", "--yes")
    assert done.returncode == 0, done.stdout
    findings = await deployment.reconcile()
    assert findings.are_clean, findings.first


async def test_two_deployments_never_share_a_group(deployment: RunningDeployment) -> None:
    """Also when both start at the same moment on a group that is new: the lane itself checks."""
    other = RunningDeployment(deployment.folder, deployment.kafka, await create_database(deployment.database_url))
    other.prefix = deployment.prefix
    assert (await command(other, "migrate")).returncode == 0
    refused = await command(other, "run")
    await other.close()
    assert refused.returncode == 2
    assert f"consumer group {deployment.prefix}bridge is carried by another database" in refused.stderr
    await is_sound(deployment)


async def test_the_groups_offsets_are_gone(deployment: RunningDeployment) -> None:
    await delete_group(deployment, f"{deployment.prefix}bridge")
    await is_refused(deployment, "the group has no offset")
    await recovers(deployment, "and 0 are not: commit offset")
    await is_sound(deployment)


async def test_offsets_are_gone_and_something_is_not_published(deployment: RunningDeployment) -> None:
    """What Kafka holds shows how far publishing had come."""
    await deployment.load(11, 20)
    worker = deployment.start_planted(CRASH_AT="publish: before the commit")
    await deployment.wait_for_death(worker)
    await deployment.settle()
    await delete_group(deployment, f"{deployment.prefix}bridge")
    printed = await recovers(deployment, "are not: commit offset")
    assert re.search(r"and [1-9][0-9]* are not", printed)
    await is_sound(deployment)


async def test_another_group_id_by_mistake(deployment: RunningDeployment) -> None:
    """It is refused before anything is copied; where it is meant, it is recorded, and the old name is refused."""
    another = f"{deployment.prefix}another"
    before = await deployment.count_records("bridge.inbox")
    for options in ([], ["--renamed"]):
        refused = await command(deployment, "run", KAFKA_GROUP_ID=another)
        assert (refused.returncode, f"belongs to consumer group {deployment.prefix}bridge" in refused.stderr) == (
            2,
            True,
        )
        planned = await recover(deployment, "--dry-run", *options, KAFKA_GROUP_ID=another)
        assert (planned.returncode, f"not to {another}" in planned.stdout) == (1, True)
    problems = (await command(deployment, "doctor", KAFKA_GROUP_ID=another)).stdout
    assert f"set KAFKA_GROUP_ID to {deployment.prefix}bridge" in problems
    assert await deployment.count_records("bridge.inbox") == before
    done = await recover(deployment, "--renamed", "--yes", KAFKA_GROUP_ID=another)
    assert done.returncode == 0, done.stdout + done.stderr
    refused = await command(deployment, "run")
    assert (refused.returncode, f"set KAFKA_GROUP_ID to {another}" in refused.stderr) == (2, True)
    back = await recover(deployment, "--renamed", "--yes")
    assert (back.returncode, "would be published again" in back.stdout) == (1, True)
    deployment.settings["KAFKA_GROUP_ID"] = another
    await is_sound(deployment)


async def test_offsets_and_outputs_are_gone(deployment: RunningDeployment) -> None:
    """Only a person knows whether what is stored was ever sent."""
    await delete_group(deployment, f"{deployment.prefix}bridge")
    for name in (
        "bridge.approval-requests",
        "spectrum.exports",
        "procore.returns",
        "bridge.status",
        "bridge.dead-letters",
    ):
        await deployment.recreate_topic(name)
    asked = await recover(deployment)
    assert asked.returncode == 1
    assert "--treat-as published" in asked.stdout
    deployment.forget_what_was_seen()
    done = await recover(deployment, "--treat-as", "unpublished", "--yes")
    assert done.returncode == 0, done.stdout
    await is_sound(deployment)
    assert len(deployment.messages("spectrum.export.v1")) == 20


async def test_the_intakes_offsets_are_gone(deployment: RunningDeployment) -> None:
    """Everything is copied again, and dropped as repeats."""
    await delete_group(deployment, f"{deployment.prefix}bridge.intake")
    await is_sound(deployment)
    findings = await deployment.reconcile()
    assert findings.claims["verdicts"].notes["repeats of a message"] == 20


@pytest.mark.parametrize("changed", ["recreated", "recreated, offsets kept", "truncated"])
async def test_the_inbox_is_recreated_or_truncated(deployment: RunningDeployment, changed: str) -> None:
    # Something is copied to the inbox and not yet decided, something decided and not yet published.
    await deployment.load(11, 40)
    worker = deployment.start_planted(CRASH_AT="publish: before the commit")
    await deployment.wait_for_death(worker)
    await deployment.settle()
    if changed == "truncated":
        await cut_off(deployment, "bridge.inbox")
        await is_refused(deployment, "recreated or truncated", by_all=False)
    elif changed == "recreated":
        await deployment.recreate_topic("bridge.inbox")
    else:
        async with keeping_offsets(deployment, deployment.groups[0], "bridge.inbox"):
            await deployment.recreate_topic("bridge.inbox")
    # Where Kafka has forgotten the offsets with the old inbox, that is repaired first.
    await recovers(deployment, "commit offset" if changed == "recreated" else "read the inbox from where it begins now")
    await is_sound(deployment, 40)


@asynccontextmanager
async def keeping_offsets(deployment: RunningDeployment, group: str, name: str) -> AsyncIterator[None]:
    """As where Kafka has not yet forgotten the offsets of a topic that is deleted meanwhile."""
    kafka = KafkaConnection(deployment.kafka)
    before = await read_group_offsets(kafka, group, [(deployment.prefix + name, number) for number in range(2)])
    yield
    await commit_group_offsets(kafka, group, before)


async def cut_off(deployment: RunningDeployment, name: str) -> None:
    """Remove every record of a topic, as a retention by mistake does."""
    topic = deployment.prefix + name
    consumer = AIOKafkaConsumer(bootstrap_servers=deployment.kafka)
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.kafka)
    await consumer.start()
    await admin.start()
    try:
        places = [TopicPartition(topic, number) for number in range(2)]
        # One beyond the position, so that what is cut off was not all decided.
        ends = await consumer.end_offsets(places)
        await admin.delete_records({place: RecordsToDelete(ends[place]) for place in places})
    finally:
        await admin.close()
        await consumer.stop()


async def test_a_source_topic_is_recreated(deployment: RunningDeployment) -> None:
    """Other records at offsets that were read before: they are read from the first on."""
    await deployment.recreate_topic("procore.budgets")
    await is_sound(deployment, 40)


async def test_a_source_topic_is_recreated_and_grows_while_nobody_reads(deployment: RunningDeployment) -> None:
    async with keeping_offsets(deployment, deployment.groups[1], "procore.budgets"):
        await deployment.recreate_topic("procore.budgets")
        await deployment.load(11, 40)
    await is_sound(deployment, 40)


async def test_an_output_topic_is_recreated(deployment: RunningDeployment) -> None:
    await deployment.recreate_topic("spectrum.exports")
    await carry(deployment, 11, 12)
    findings = await deployment.reconcile()
    assert findings.claims["published"].differences.total() == 10
    assert (await recover(deployment, "--yes")).returncode == 1
    await recovers(deployment, "spectrum.exports lacks 10 messages of 10 budgets", "--publish-again")
    findings = await deployment.reconcile()
    assert findings.are_clean, findings.first
    # The readers of the old topic have seen them: here, each once more.
    await deployment.read_what_there_is()
    assert deployment.count_repeats() == 10


async def test_an_output_topic_is_recreated_under_a_running_worker(deployment: RunningDeployment) -> None:
    deployment.start()
    await deployment.load(11, 12)
    await deployment.wait_for_everything(12)
    await deployment.recreate_topic("procore.returns")
    await deployment.send(lock(1, key=KEY._replace(project_id=13)))
    await deployment.send(reject(1, reason="too high", key=KEY._replace(project_id=13)))
    await deployment.wait_for("budget.status.v1", project_id=13, status="RETURNED")
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first


async def test_partitions_are_added_to_a_source_topic(deployment: RunningDeployment) -> None:
    """Also under a running worker: what is written to them is read from the first record on."""
    deployment.start()
    await deployment.wait_until(lambda: deployment.count_events("lane.started") >= 4, "the lanes")
    await add_partitions(deployment, "procore.budgets", 8)
    await add_partitions(deployment, "procore.approvals", 8)
    await deployment.appender.close(1.0)
    await deployment.load(11, 40)
    await deployment.wait_for_everything(40)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first


async def test_partitions_are_added_to_the_inbox(deployment: RunningDeployment) -> None:
    """A running worker keeps to the old ones; a new one refuses, and the way that it names is a way."""
    worker = deployment.start()
    await deployment.wait_until(lambda: deployment.count_events("lane.started") >= 4, "the lanes")
    await add_partitions(deployment, "bridge.inbox", 5)
    await deployment.load(11, 15)
    await deployment.wait_for_everything(15)
    await deployment.wait_until_carried()
    await deployment.stop(worker)
    refused = await command(deployment, "run")
    assert (refused.returncode, "has 5 partitions, but was created with 2" in refused.stderr) == (2, True)
    await deployment.settle()
    await deployment.recreate_topic("bridge.inbox")
    await recovers(deployment, "commit offset")
    await is_sound(deployment)


async def add_partitions(deployment: RunningDeployment, name: str, count: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.kafka)
    await admin.start()
    try:
        await admin.create_partitions({deployment.prefix + name: NewPartitions(count)})
    finally:
        await admin.close()


async def test_a_schema_newer_than_the_code(deployment: RunningDeployment) -> None:
    await deployment.fetch("insert into migrations (number, name) values (99, 'later')")
    for name in ("run", "recover", "reconcile", "migrate"):
        done = await command(deployment, name)
        assert (done.returncode, "use a newer budget-bridge" in done.stderr) == (2, True), (name, done.stderr)
    await deployment.fetch("delete from migrations where number = 99")


async def test_workers_whose_clocks_are_hours_apart(deployment: RunningDeployment) -> None:
    """No time that anybody sees comes from a worker's clock."""
    for hours in ("-2", "2"):
        deployment.start_planted(CLOCK_IS_OFF_BY_HOURS=hours)
    await deployment.wait_until(lambda: deployment.count_events("worker.started") >= 3, "both workers")
    await deployment.load(11, 40)
    await deployment.wait_for_everything(40)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    times = [message["since"] for message in deployment.messages("budget.status.v1")]
    assert max(times) < write_time(datetime.now(UTC))
    assert datetime.now(UTC) - datetime.fromisoformat(min(times)) < timedelta(minutes=5)


async def test_a_message_larger_than_the_broker_takes(deployment: RunningDeployment) -> None:
    """A worker does not start on such a topic; a lane that meets one later logs it, and waits until that is fixed."""
    await set_limit(deployment, "bridge.approval-requests", 2000)
    refused = await command(deployment, "run")
    assert (refused.returncode, "takes messages of 2000 bytes" in refused.stderr) == (2, True)
    await set_limit(deployment, "bridge.approval-requests", 16 * 1024 * 1024)
    worker = deployment.start()
    starts = deployment.count_events("worker.started")
    await deployment.wait_until(lambda: deployment.count_events("worker.started") > starts, "the worker")
    await set_limit(deployment, "bridge.approval-requests", 2000)
    lines = [STEEL | {"budget_line_item_id": n, "cost_code": f"c{n}", "original_amount": "1.00"} for n in range(30)]
    await deployment.send(lock(1, *lines, key=KEY._replace(project_id=11)))
    await deployment.wait_until(
        lambda: any("bridge.approval-requests" in str(line.get("why")) for line in deployment.read_log()),
        "what is too large, and where",
    )
    [said] = {line["why"] for line in deployment.read_log() if "bridge.approval-requests" in str(line.get("why"))}
    assert "max.message.bytes" in said
    await set_limit(deployment, "bridge.approval-requests", 16 * 1024 * 1024)
    await deployment.wait_for("approval.requested.v1", project_id=11)
    await deployment.send(accept(1, key=KEY._replace(project_id=11)))
    await deployment.wait_for_everything(11)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    await deployment.stop(worker)


async def set_limit(deployment: RunningDeployment, name: str, limit: int) -> None:
    await deployment.set_up_topic(name, max_message_bytes=str(limit), message_timestamp_type="LogAppendTime")


async def test_workers_must_be_stopped_for_a_recovery_but_not_for_a_dry_run(deployment: RunningDeployment) -> None:
    deployment.start()
    await deployment.wait_until(lambda: deployment.count_events("lane.started") >= 4, "the lanes")
    done = await recover(deployment)
    assert (done.returncode, "stop every worker first" in done.stderr) == (2, True)
    await deployment.load(11, 20)
    planned = await recover(deployment, "--dry-run")
    assert (planned.returncode, "nothing needs repair" in planned.stdout) == (0, True), planned.stdout

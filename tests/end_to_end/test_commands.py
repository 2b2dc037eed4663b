"""The command line: every problem at once, exit codes, and no start with a broken environment."""

import signal
import subprocess
import sys

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.end_to_end.harness import Bridge
from tests.unit.builders import accept, acknowledge, lock


async def test_all_problems_of_environment_and_rules_are_reported_at_once(bridge: Bridge) -> None:
    bridge.write_rules(
        rules_toml='[approval]\nfour_eyez = true\n[waiting]\nparked_expiry = "soon"\n',
        jobs_csv="company_id,project_id,company_code,job_number\n0,1,0011,J#1\n4211,2,001,J2\n4211,3,001,J2\n",
        phases_csv="cost_code,phase_code,description\nx,01-500,\n,1,\n",
        cost_types_csv="cost_type,price\n",
    )
    done = bridge.command("run", KAFKA_BOOTSTRAP="nowhere", DATABASE_URL=None, LOG_FORMAT="xml")
    assert done.returncode == 2
    for said in (
        "KAFKA_BOOTSTRAP: a list of servers",
        "DATABASE_URL: it is not set",
        "LOG_FORMAT",
        "rules.toml: approval.four_eyez: no such key",
        "rules.toml: waiting.parked_expiry",
        "jobs.csv, row 2: company_id",
        "jobs.csv, row 2: company_code: '0011' is longer than the 3",
        "jobs.csv, row 2: job_number: 'J#1' has '#'",
        "jobs.csv, row 4: job J2 of company 001 is in row 3 already",
        "phases.csv, row 2: phase_code: '01-500' has a dash",
        "phases.csv, row 3: cost_code: it is empty",
        "cost_types.csv, row 1: the columns",
    ):
        assert said in done.stderr, (said, done.stderr)
    checked = bridge.command("rules", "check")
    assert checked.returncode == 2
    assert "phases.csv, row 2" in checked.stderr


async def test_rules_are_checked_against_what_is_exported(bridge: Bridge) -> None:
    done = bridge.command("rules", "check")
    assert (done.returncode, "fit what was exported" in done.stdout) == (0, True)
    done = bridge.command("rules", "check", DATABASE_URL=None)
    assert (done.returncode, "not checked against what was exported" in done.stdout) == (0, True)
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.send(accept())
    await bridge.wait_for("spectrum.export.v1")
    await bridge.send(acknowledge("failed"))
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")
    await bridge.stop(worker)
    bridge.write_rules(jobs_csv="company_id,project_id,company_code,job_number\n4211,1,001,J90071\n")
    for command in (["rules", "check"], ["rules", "apply", "--by", "ann", "--why", "test"]):
        done = bridge.command(*command)
        assert done.returncode == 2
        assert "Spectrum may hold budget 4211/90071/55210" in done.stderr


async def test_missing_topics_and_schema_are_reported(bridge: Bridge) -> None:
    done = bridge.command("run", TOPIC_PREFIX="other.")
    assert (done.returncode, "run `budget-bridge topics`" in done.stderr) == (2, True)
    connection = await asyncpg.connect(bridge.database_url)
    bridge.is_sound = False
    await connection.execute("delete from migrations")
    await connection.close()
    done = bridge.command("run")
    assert (done.returncode, "run `budget-bridge migrate`" in done.stderr) == (2, True)


async def test_the_inbox_keeps_its_number_of_partitions(bridge: Bridge) -> None:
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.stop(worker)
    admin = AIOKafkaAdminClient(bootstrap_servers=bridge.kafka)
    await admin.start()
    await admin.create_partitions({f"{bridge.prefix}bridge.inbox": NewPartitions(3)})
    await admin.close()
    done = bridge.command("run")
    assert done.returncode == 2
    assert "has 3 partitions, but was created with 2" in done.stderr


async def test_a_lane_that_refuses_publishes_nothing(bridge: Bridge) -> None:
    """An older backup: the database is behind the group's offset."""
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.stop(worker)
    bridge.is_sound = False
    connection = await asyncpg.connect(bridge.database_url)
    await connection.execute(
        "update positions set next_offset = 0, last_offset = null, last_timestamp_ms = null, last_hash = null;"
        "delete from history; delete from budgets; delete from outbox"
    )
    await connection.close()
    before = len(bridge.seen)
    worker = bridge.start()
    await bridge.wait_until(
        lambda: any(line["event"] == "lane.refused" for line in bridge.read_log()), "the lane's refusal"
    )
    [said] = {line["why"] for line in bridge.read_log() if line["event"] == "lane.refused"}
    assert "an older backup" in said
    assert await bridge.stop(worker, signal.SIGTERM) == 0
    assert len(bridge.seen) == before


def test_help_and_keys() -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "worker", *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = run("--help")
    assert code == 0
    for command in (
        "migrate",
        "topics",
        "run",
        "status",
        "rules",
        "reconcile",
        "recover",
        "retry",
        "release",
        "reset",
        "acknowledge",
        "drift",
        "snapshot",
        "dead-letters",
    ):
        assert command in said
    for words in ((), ("status",), ("dead-letters", "list"), ("doctor",), ("drift",), ("prune",)):
        code, said = run(*words, "--help")
        assert (code, "For programs" in said) == (0, False)
    assert run("status", "nonsense")[0] == 2
    code, said = run("--version")
    assert (code, said.startswith("budget-bridge ")) == (0, True)
    code, said = run("demo")
    assert (code, "No such command 'demo'" in said, "Traceback" in said) == (2, True, False)

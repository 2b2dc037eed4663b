"""The embedded servers are the real ones, and they start and stop on request."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from demo import kafka_jars
from demo.kafka_jars import JarRefusedError
from demo.kafka_server import run_kafka, run_kafka_cluster, start_all
from demo.postgres_server import run_postgres
from demo.server_process import ServerFailedError, choose_ports


async def _create_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def _produce(bootstrap: str, topic: str, *values: bytes) -> None:
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{topic}-writer") as producer,
        producer.transaction(),
    ):
        for value in values:
            await producer.send_and_wait(topic, value)


async def _consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    consumer.assign([TopicPartition(topic, 0)])
    async with consumer:
        return [(await consumer.getone()).value for _ in range(count)]


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_kafka_carries_a_transaction(kafka: str) -> None:
    topic = "servers-roundtrip"
    await _create_topic(kafka, topic)

    await _produce(kafka, topic, b"one", b"two")

    assert await _consume(kafka, topic, 2) == [b"one", b"two"]


async def test_postgres_is_version_18_and_commits_durably(postgres: str) -> None:
    assert str(await _fetch(postgres, "SHOW server_version")).startswith("18.")
    assert await _fetch(postgres, "SHOW fsync") == "on"
    assert await _fetch(postgres, "SHOW synchronous_commit") == "on"


async def test_each_test_has_a_database_of_its_own(postgres: str, database_url: str) -> None:
    await _fetch(database_url, "CREATE TABLE mine ()")

    assert await _fetch(postgres, "SELECT to_regclass('mine')") is None


async def test_kafka_comes_back_with_its_data(tmp_path: Path) -> None:
    with run_kafka(tmp_path / "with spaces and ü") as kafka:
        await _create_topic(kafka.bootstrap, "kept")
        await _produce(kafka.bootstrap, "kept", b"one")
        pids = [kafka.pid]

        kafka.stop()
        pids.append(kafka.pid)
        kafka.start()
        kafka.start()  # starting twice does no harm
        pids.append(kafka.pid)
        kafka.kill()
        kafka.start()
        pids.append(kafka.pid)

        assert pids[1] is None
        assert len(set(pids)) == len(pids)

        assert await _consume(kafka.bootstrap, "kept", 1) == [b"one"]


async def test_postgres_comes_back_with_its_data(tmp_path: Path) -> None:
    with run_postgres(tmp_path) as postgres:
        await _fetch(postgres.url, "CREATE TABLE kept AS SELECT 1 AS one")

        postgres.stop()
        assert postgres.pid is None
        postgres.start()
        await _fetch(postgres.url, "INSERT INTO kept VALUES (2)")
        postgres.kill()
        postgres.start()

        assert await _fetch(postgres.url, "SELECT sum(one) FROM kept") == 3

    with run_postgres(tmp_path) as postgres:  # the same folder, another day
        assert await _fetch(postgres.url, "SELECT count(*) FROM kept") == 2


async def test_postgres_requires_its_password(postgres: str) -> None:
    if "TEST_DATABASE_URL" in os.environ:
        pytest.skip("another server, other rules")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres, password="a guess")


def test_a_path_longer_than_a_socket_may_have_is_allowed(tmp_path: Path) -> None:
    with run_postgres(tmp_path / ("long" * 40)) as postgres:
        assert asyncio.run(_fetch(postgres.url, "SELECT 1")) == 1


def test_a_server_that_fails_to_start_reports_why(tmp_path: Path) -> None:
    with run_postgres(tmp_path) as postgres:
        postgres.stop()
        settings = tmp_path / "data" / "postgresql.conf"
        settings.write_text("no_such_setting = on\n")
        with pytest.raises(ServerFailedError, match="no_such_setting"):
            postgres.start()
        assert postgres.pid is None


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only the Linux kernel offers it")
    program = (
        "import sys, time, pathlib\n"
        "from demo.postgres_server import run_postgres\n"
        "with run_postgres(pathlib.Path(sys.argv[1])) as postgres:\n"
        "    print(postgres.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    _wait_until_gone(pid)


async def test_a_server_started_in_a_thread_outlives_the_thread(
    tmp_path: Path,
) -> None:
    with run_postgres(tmp_path) as postgres:
        postgres.stop()
        thread = threading.Thread(target=postgres.start)
        thread.start()
        thread.join()

        assert await _fetch(postgres.url, "SELECT 1") == 1
        assert postgres.pid is not None


def test_the_command_runs_both_until_it_is_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "demo.servers"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as command:
        assert command.stdout is not None
        lines = [command.stdout.readline() for _ in range(2)]
        command.send_signal(signal.SIGINT)

    assert [line.partition("=")[0] for line in lines] == [
        "KAFKA_BOOTSTRAP",
        "DATABASE_URL",
    ]
    assert command.returncode == 0
    host, port = lines[0].strip().partition("=")[2].split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@pytest.fixture
def cache() -> Path:
    """The folder of Kafka's jars, fetched if they never were."""
    kafka_jars.fetch(print)
    return kafka_jars.find_cache()


def test_a_changed_jar_is_refused(cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache, tmp_path / "cache")
    path = kafka_jars.fetch(print, tmp_path / "cache")[0]
    with path.open("ab") as jar:
        jar.write(b"more")

    with pytest.raises(JarRefusedError, match=path.name):
        kafka_jars.fetch(print, tmp_path / "cache")


def test_two_fetches_at_once_leave_one_whole_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_fetched = threading.Barrier(2)

    def copy(_jars: object, repository: Path, _progress: object) -> None:
        shutil.copytree(source, repository, dirs_exist_ok=True)
        both_fetched.wait()

    source = cache / "jars"
    monkeypatch.setattr(kafka_jars, "_fetch_all", copy)

    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: kafka_jars.fetch(print, tmp_path), range(2)))

    assert paths[0] == paths[1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["jars"]


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # Where nobody reaps it, it stays a zombie.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


async def test_a_cluster_outlives_one_broker_and_keeps_what_it_took_when_all_die(tmp_path: Path) -> None:
    with run_kafka_cluster(tmp_path, choose_ports(3)) as brokers:
        everywhere = ",".join(broker.bootstrap for broker in brokers)
        admin = AIOKafkaAdminClient(bootstrap_servers=everywhere)
        await admin.start()
        try:
            made = await admin.create_topics([NewTopic("kept", 1, 3)])
        finally:
            await admin.close()
        assert made.topic_errors[0][1] == 0
        await _produce(everywhere, "kept", b"before")
        brokers[1].kill()
        await _produce(everywhere, "kept", b"with two of three")
        for broker in brokers:
            broker.kill()
        start_all(brokers)
        assert {broker.pid is not None for broker in brokers} == {True}
        assert await _consume(everywhere, "kept", 2) == [b"before", b"with two of three"]

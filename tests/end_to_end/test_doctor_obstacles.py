"""What keeps the doctor itself from a check is reported as well, and what is only busy is no error."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from demo import kafka_server
from tests.end_to_end.harness import Bridge
from tests.end_to_end.test_doctor import ask, reports
from tests.unit.builders import KEY, accept, lock


@pytest.fixture
def creating_kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker on which topics come into being when they are asked for."""
    configure = kafka_server._configure_kafka

    def create(node: kafka_server._Node, nodes: list[kafka_server._Node]) -> str:
        return configure(node, nodes).replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")

    monkeypatch.setattr(kafka_server, "_configure_kafka", create)
    with kafka_server.run_kafka(tmp_path / "creating", print) as started:
        yield started.bootstrap


async def test_a_role_without_rights(bridge: Bridge) -> None:
    connection = await asyncpg.connect(bridge.database_url)
    role = f"narrow_{secrets.token_hex(4)}"
    try:
        await connection.execute(f"create role {role} login password 'narrow'")
        parts = urlsplit(bridge.database_url)
        narrow = urlunsplit(parts._replace(netloc=f"{role}:narrow@{parts.netloc.rpartition('@')[2]}"))
        await reports(bridge, "select on migrations", "budget-bridge grants read", DATABASE_URL=narrow)
        await reports(bridge, "has no members", "budget-bridge run", DATABASE_URL=narrow)
        name = parts.path.strip("/")
        await connection.execute(f"revoke connect on database {name} from public")
        await reports(bridge, "does not permit this", "grant it to role", DATABASE_URL=narrow)
    finally:
        await connection.execute(f"drop role {role}")
        await connection.close()


async def test_settings_that_only_a_connection_shows_to_be_broken(bridge: Bridge) -> None:
    parts = urlsplit(bridge.database_url)
    no_port = urlunsplit(parts._replace(netloc="user:secret@localhost:port"))
    await reports(bridge, "DATABASE_URL: its host and port", "the environment", DATABASE_URL=no_port)
    no_certificate = bridge.folder / "ca.pem"
    no_certificate.write_text("no certificate")
    secured = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": str(no_certificate)}
    await reports(bridge, "KAFKA_SSL_CAFILE", "the environment", **secured)
    shown = await asyncio.to_thread(bridge.command, "doctor", RULES_DIR="/nowhere/[/rules]")
    assert "there is no folder /nowhere/[/rules]" in shown.stdout, shown.stderr


async def test_a_busy_deployment_has_no_errors(bridge: Bridge) -> None:
    bridge.start()
    keys = [KEY._replace(project_id=project) for project in range(1, 401)]
    await bridge.send(lock(1, key=keys[0]))
    await bridge.wait_for("approval.requested.v1")

    async def load() -> None:
        while True:
            for key in keys:
                await bridge.send(accept(1, key=key), lock(1, key=key))

    loading = asyncio.create_task(load())
    try:
        for _ in range(6):
            _, checks = await ask(bridge)
            problems = [check for check in checks if check["state"] != "ok" and check["about"] in {"lanes", "sources"}]
            assert problems == []
    finally:
        loading.cancel()
    await bridge.wait_until_carried()


async def test_an_inbox_that_is_another_one_of_the_same_length(bridge: Bridge) -> None:
    worker = bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.wait_until_carried()
    await bridge.stop(worker)
    bridge.is_sound = False
    connection = await asyncpg.connect(bridge.database_url)
    await connection.execute("update positions set last_hash = 'other' where last_hash is not null")
    await connection.close()
    await reports(bridge, "is not the one that was read there", "budget-bridge recover --dry-run")


async def test_asking_for_topics_makes_none(bridge: Bridge, creating_kafka: str) -> None:
    for _ in range(2):
        await reports(bridge, "bridge.inbox is missing", "budget-bridge topics", KAFKA_BOOTSTRAP=creating_kafka)
        refused = await asyncio.to_thread(bridge.command, "run", KAFKA_BOOTSTRAP=creating_kafka)
        assert (refused.returncode, "topics are missing" in refused.stderr) == (2, True)
    admin = AIOKafkaAdminClient(bootstrap_servers=creating_kafka)
    await admin.start()
    try:
        # Kafka's own topic of groups comes into being when anybody asks for a group.
        assert set(await admin.list_topics()) <= {"__consumer_offsets"}
    finally:
        await admin.close()

"""One deployment under test: its load, its workers with or without a planted crash or fault, and what was sent."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.protocol.group import LeaveGroupRequest

from contracts.body import Inbound
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import write_time
from contracts.records import Outgoing, Record
from contracts.signature.signing import PrivateKey, sign_headers
from contracts.topics import DEAD_LETTERS, OUTPUTS
from handlers.ids import name_export
from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, lock, snapshot
from tests.worker_process import ForkedProcess, WorkerProcess
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import read_group_offsets

BUDGETS: Final = 30
WITHIN_SECONDS: Final = 90.0


async def create_database(admin_url: str) -> str:
    """Create an empty database, and return its URL."""
    name = f"once_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"create database {name} template template0")
    finally:
        await connection.close()
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))


async def copy_database(url: str, name: str) -> str:
    """Take a backup, or restore one: a copy of a database that nobody uses."""
    admin, _, source = url.rpartition("/")
    connection = await asyncpg.connect(f"{admin}/postgres")
    try:
        await connection.execute(f"drop database if exists {name} with (force)")
        await connection.execute(f"create database {name} template {source}")
    finally:
        await connection.close()
    return f"{admin}/{name}"


class RunningDeployment(Bridge):
    """A bridge whose load is one lock and one acceptance of each of thirty budgets, each of its own project."""

    def start_planted(self, *command: str, **planted: str) -> WorkerProcess:
        """Start a worker, or another command, with a point of death or a fault in it."""
        log = self.folder / "worker.log"
        worker = ForkedProcess(command or ("run",), self.environment | planted, log, log, planted=True)
        self.workers.append(worker)
        return worker

    async def load(self, first: int = 1, last: int = BUDGETS, key: PrivateKey | None = None) -> None:
        """Send a lock and an acceptance for each project of a range, with a key all of them signed.

        It is chance which topic is read first, so some acceptances arrive before their lock.
        """
        budgets = [KEY._replace(project_id=project) for project in range(first, last + 1)]
        await self._append([*(lock(1, key=one) for one in budgets), *(accept(1, key=one) for one in budgets)], key)

    async def read_job(self, project: int, *lines: dict[str, Any]) -> None:
        """Send what the job of a project holds after its first export, one of these lines on each page."""
        key = KEY._replace(project_id=project)
        begun = {"export_id": str(name_export(key, 1, 1)), "attempt": 1, "whole": True}
        whole = snapshot(*lines, **key._asdict(), job_number=f"J{project}", last_begun=begun)
        for number, line in enumerate(lines, 1):
            page = whole.model_dump(mode="json") | {"pages": len(lines), "page": number, "lines": [line]}
            await self.send(ErpSnapshot.model_validate(page))

    async def decide_early(self) -> None:
        """Send every acceptance before its lock; when ``load`` sends them again, they are duplicates while parked."""
        keys = [KEY._replace(project_id=project) for project in range(1, BUDGETS + 1)]
        self.remember_locks(lock(1, key=key) for key in keys)
        await self._append([accept(1, key=key) for key in keys])

    async def wait_until_parked(self) -> None:
        """Wait until every acceptance sent early is parked."""
        deadline = time.monotonic() + WITHIN_SECONDS
        connection = await asyncpg.connect(self.database_url)
        try:
            while await connection.fetchval("select count(*) from history where verdict = 'parked'") < BUDGETS:
                assert time.monotonic() < deadline, "the acceptances were not parked"
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    async def _append(self, bodies: Sequence[Inbound], key: PrivateKey | None = None) -> None:
        self.remember_locks(bodies)
        await self.append([self._write(body, key) for body in map(self.complete, bodies)])

    def _write(self, body: Inbound, key: PrivateKey | None) -> Outgoing:
        value, headers = body.model_dump_json().encode(), self.head(body)
        if key:
            now = write_time(datetime.now(UTC))
            headers = sign_headers(
                (*headers, ("ce_time", now.encode()), ("ce_subject", str(body.key).encode())), value, key
            )
        return Outgoing(self.prefix + self.find_topic(body), str(body.project_id).encode(), value, headers)

    async def wait_for_death(self, worker: WorkerProcess) -> float:
        """Wait until a worker has died by its own hand, reading on meanwhile; gives when.

        If it was the only one, its groups are emptied at once, as Kafka itself does when the session of the dead ends.
        """
        await self.wait_until(lambda: worker.poll() is not None, "the worker's death")
        assert worker.returncode == -9, worker.returncode
        self.workers.remove(worker)
        died = time.monotonic()
        if not self.workers:
            await self._empty_groups()
        return died

    async def _empty_groups(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            for group in self.groups:
                coordinator = await admin.find_coordinator(group)
                [described] = await admin.describe_consumer_groups([group], coordinator)
                for member in described.groups[0][5]:
                    await admin._send_request(LeaveGroupRequest(group, member[0]), coordinator)
        finally:
            await admin.close()

    async def back_up(self) -> str:
        """Take a backup of the database, which nobody uses; gives its address."""
        return await copy_database(self.database_url, f"backup_{self.prefix.rstrip('.')}")

    async def restore(self, backup: str) -> None:
        """Put a backup in the place of the database."""
        await copy_database(backup, self.database_url.rpartition("/")[2])

    async def settle(self) -> None:
        """Wait until the groups are empty."""
        for group in self.groups:
            await self.wait_until_empty(group)

    async def recreate_topic(self, name: str, partitions: int = 2) -> None:
        """Delete a topic and create it again; Kafka has then forgotten the offsets of the old one."""
        topic = self.prefix + name
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            await admin.delete_topics([topic])
            while True:
                settings = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "17825792"}
                made = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
                if made.topic_errors[0][1] == 0:
                    break
                assert made.topic_errors[0][1] == TopicAlreadyExistsError.errno, made
        finally:
            await admin.close()
        await self._wait_until_forgotten(topic, partitions)

    async def _wait_until_forgotten(self, topic: str, partitions: int) -> None:
        """Wait for what Kafka does some time after a topic was deleted: remove its offsets from every group."""
        places = [(topic, number) for number in range(partitions)]
        deadline = time.monotonic() + WITHIN_SECONDS
        for group in self.groups:
            while await read_group_offsets(KafkaConnection(self.kafka), group, places):
                assert time.monotonic() < deadline, f"Kafka still holds offsets of {topic} for {group}"
                await asyncio.sleep(0.05)

    async def wait_for_everything(self, budgets: int = BUDGETS) -> None:
        """Wait until every budget has its export and its status EXPORTING."""
        await self.wait_until(
            lambda: (
                len({message["project_id"] for message in self.messages("spectrum.export.v1")}) >= budgets
                and len({message["project_id"] for message in self.messages("budget.status.v1", status="EXPORTING")})
                >= budgets
            ),
            "everything",
        )

    def count_events(self, event: str) -> int:
        """Count how often the workers logged an event."""
        return sum(line["event"] == event for line in self.read_log())

    def forget_what_was_seen(self, *topics: str) -> None:
        """Let a reader be new: these topics, by default all, are gone that it read before."""
        gone = {self.prefix + name for name in topics or OUTPUTS}
        self.seen = [record for record in self.seen if record.place.topic not in gone]

    async def read_what_there_is(self) -> None:
        """Read until no more messages arrive."""
        while await self.read(1.0):
            pass

    def count_repeats(self) -> int:
        """Count the messages that were read more than once."""
        ids = Counter(map(_identify, self.seen))
        return sum(number - 1 for number in ids.values())


def _identify(record: Record) -> tuple[bytes | None, ...]:
    """Identify a message of the bridge; a dead letter has whatever id somebody gave it, and so goes by its origin."""
    headers = dict(record.headers)
    is_dead = record.place.topic.endswith(DEAD_LETTERS)
    names = ("dead_letter_topic", "dead_letter_partition", "dead_letter_offset") if is_dead else ("ce_id",)
    return tuple(headers.get(name) for name in names)

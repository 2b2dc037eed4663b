"""The real worker as a process, with its own topics, group and database; bytes in, bytes out."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.body import Inbound
from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import write_attributes
from contracts.inbound import ApprovalDecision, BudgetLocked
from contracts.records import Headers, Outgoing, Place, Record
from contracts.topics import OUTPUTS, SOURCES, TopicNames, list_topics
from handlers.budget import Budget
from handlers.decision import Situation
from handlers.validation.check import Valid, check_budget
from handlers.validation.columns import read_columns
from outbox.database import DatabaseDown, open_session
from outbox.migrate import migrate
from tests.worker_process import ForkedProcess, WorkerProcess, run_forked
from worker.deployment import Deployment
from worker.kafka.admin import NewTopicSpec, count_partitions, create_topics, describe_group
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.kafka.producer import Appender
from worker.kafka.server_errors import ServerDown
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.source_topics import name_intake_group
from worker.reconcile.findings import Findings
from worker.reconcile.reconcile import reconcile
from worker.rules_files import read_rules

PATIENCE_SECONDS = 60.0
T = TypeVar("T")
RULES: dict[str, str] = {
    "rules.toml": "",
    "jobs.csv": "company_id,project_id,company_code,job_number\n"
    + "".join(f"4211,{project},001,J{project}\n" for project in (90071, *range(1, 401))),
    "phases.csv": "cost_code,phase_code,description\n"
    "05-120,05120,\n03-300,03300,\n09-900,09900,\n"
    + "".join(f"c{number},{number:05d},Phase\n" for number in range(2000)),
    "cost_types.csv": "cost_type,spectrum_cost_type,price_method_code\nS,S,T\nM,M,T\n",
    "approvers.csv": "company_id,project_id,user\n4211,,ann\n",
}


async def insist(do: Callable[[], Awaitable[T]], *errors: type[Exception]) -> T:
    """Do something again for as long as a server does not answer in time, as on a machine with too much to do.

    Without errors it is done again only where Kafka did not answer before anything was sent, so nothing is done twice.
    """
    passing = errors or (ServerDown,)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await do()
        except passing:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)


@dataclass
class Bridge:
    """One deployment of the bridge, as the outside sees it."""

    folder: Path
    kafka: str
    database_url: str
    prefix: str = field(default_factory=lambda: f"t{uuid4().hex[:8]}.")
    seen: list[Record] = field(default_factory=list)
    workers: list[WorkerProcess] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    """What the environment of this deployment has besides."""
    _locks: dict[tuple[BudgetKey, int], BudgetLocked] = field(default_factory=dict)
    _places: set[tuple[Place, int]] = field(default_factory=set)
    is_sound: bool = True
    """Whether nothing was planted by hand that a reconciliation must find."""

    def __post_init__(self) -> None:
        self.write_rules()
        self.appender = Appender(KafkaConnection(self.kafka))
        topics = [self.prefix + name for name in OUTPUTS]
        self.reader = Consumer(KafkaConnection(self.kafka), f"{self.prefix}test", topics, start="earliest")

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.kafka,
            "KAFKA_GROUP_ID": f"{self.prefix}bridge",
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "RULES_DIR": str(self.folder / "rules"),
            "LOG_FORMAT": "json",
            **self.settings,
        }

    @property
    def python_folder(self) -> Path:
        return Path(sys.executable).parent

    def write_rules(self, **files: str) -> None:
        (self.folder / "rules").mkdir(exist_ok=True)
        named = {".".join(key.rsplit("_", 1)): text for key, text in files.items()}
        for name, text in (RULES | named).items():
            (self.folder / "rules" / name).write_text(text)

    def command(self, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        found = {name: value for name, value in (self.environment | environment).items() if value is not None}
        if not any(name.startswith("PYTHON") for name in environment):
            return run_forked(arguments, found, 60.0)
        # What Python itself reads, it reads when it starts.
        return subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            env=found,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    async def fetch(self, statement: str) -> list[asyncpg.Record]:
        """What the database answers."""
        connection = await asyncpg.connect(self.database_url)
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    async def set_up_topic(self, name: str, **settings: str) -> None:
        """Give a topic these settings, written with underscores, and no others."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            configs = {setting.replace("_", "."): value for setting, value in settings.items()}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.prefix + name, configs=configs)])
        finally:
            await admin.close()

    async def prepare(self, partitions: int = 2) -> None:
        """Do what `budget-bridge migrate` and `topics` do, without two processes for it."""
        kafka, names = KafkaConnection(self.kafka), TopicNames(self.prefix)
        topics = [NewTopicSpec(names.full(topic.name), partitions, topic.settings) for topic in list_topics()]

        async def migrate_database() -> None:
            async with open_session(self.database_url) as connection:
                await migrate(connection)

        await insist(migrate_database, DatabaseDown)

        async def wait_for_topics() -> None:
            # A broker that has created them may not know them yet.
            if len(await count_partitions(kafka, [topic.name for topic in topics])) < len(topics):
                message = "not every topic is known yet"
                raise KafkaDown(message)

        await insist(lambda: create_topics(kafka, topics, None), KafkaDown)
        await insist(wait_for_topics, KafkaDown)
        await insist(self.reader.start, KafkaDown)

    def start(self) -> WorkerProcess:
        log = self.folder / "worker.log"
        worker = ForkedProcess(("run",), self.environment, log, log)
        self.workers.append(worker)
        return worker

    async def stop(self, worker: WorkerProcess, by: signal.Signals = signal.SIGTERM) -> int:
        worker.send_signal(by)
        self.workers.remove(worker)
        return await asyncio.to_thread(worker.wait, 15)

    @property
    def groups(self) -> tuple[str, str]:
        """The groups of the lanes and of the intake."""
        lanes = self.environment["KAFKA_GROUP_ID"]
        return lanes, name_intake_group(lanes)

    async def wait_until_empty(self, group: str) -> None:
        """Wait until a group has no member."""
        connection = KafkaConnection(self.kafka)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await describe_group(connection, group)).members:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.1)

    async def reconcile(self) -> Findings:
        """What `budget-bridge reconcile` finds."""
        group, topics = self.environment["KAFKA_GROUP_ID"], TopicNames(self.prefix)
        deployment = Deployment(KafkaConnection(self.kafka), self.database_url, group, topics)
        return await insist(lambda: reconcile(deployment), KafkaDown, DatabaseDown)

    async def count_records(self, name: str) -> int:
        """How many records a topic holds."""
        async with open_topic_log(KafkaConnection(self.kafka), self.prefix + name) as log:
            return sum(end - start for start, end in log.bounds.values())

    async def wait_until_carried(self) -> Findings:
        """Wait until nothing is on its way any more; return what reconciling then finds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            findings = await self.reconcile()
            waiting = [claim for claim in findings.claims.values() if claim.waiting]
            if not waiting:
                return findings
            assert time.monotonic() < deadline, waiting
            await asyncio.sleep(0.2)

    def read_log(self) -> list[dict[str, Any]]:
        found, log = [], self.folder / "worker.log"
        # A worker that has only just been started has not created it yet.
        for line in log.read_text().splitlines() if log.exists() else ():
            # A worker that was killed may have left half a line.
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    async def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        await self.reader.close(2.0)
        await self.appender.close(2.0)

    async def send(self, *bodies: Inbound, message_id: str | None = None) -> None:
        self.remember_locks(bodies)
        for body in map(self.complete, bodies):
            await self.send_raw(
                self.find_topic(body), json.dumps(body.model_dump(mode="json")).encode(), self.head(body, message_id)
            )

    def remember_locks(self, bodies: Iterable[Inbound]) -> None:
        """Remember what is locked, so that acceptances can name it, also those that come first."""
        self._locks |= {(body.key, body.budget_version): body for body in bodies if isinstance(body, BudgetLocked)}

    def complete(self, body: Inbound) -> Inbound:
        """An acceptance as people send it: with the hash of what they accept, if that was sent before."""
        lock = self._locks.get((body.key, body.version or 0))
        if not lock or not isinstance(body, ApprovalDecision) or body.decision != "accept" or body.content_hash:
            return body
        situation = Situation(lock.locked_at, read_rules(self.folder / "rules"))
        found = check_budget(lock, read_columns(lock.lines), Budget(body.key), situation)
        return body.model_copy(update={"content_hash": found.content_hash}) if isinstance(found, Valid) else body

    @staticmethod
    def find_topic(body: Inbound) -> str:
        return next(name for name, models in SOURCES.items() if type(body) in models)

    @staticmethod
    def head(body: Inbound, message_id: str | None = None) -> Headers:
        return write_attributes(body.type, "test", message_id or str(uuid4()))

    async def send_raw(
        self, topic: str, value: bytes | None, headers: Headers = (), key: bytes | None = b"any"
    ) -> None:
        await self.append([Outgoing(self.prefix + topic, key, value, headers)])

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append records, also where other tests keep Kafka from answering at once."""
        await insist(lambda: self.appender.append(records))

    def messages(self, kind: str, /, **fields: object) -> list[dict[str, Any]]:
        """What was seen of a type, with these fields."""
        found = []
        for record in self.seen:
            if dict(record.headers).get("ce_type") == kind.encode() and not record.place.topic.endswith("dead-letters"):
                data = json.loads(record.value or b"")
                if fields.items() <= data.items():
                    found.append(data)
        return found

    def dead_letters(self) -> list[Record]:
        return [record for record in self.seen if record.place.topic.endswith("dead-letters")]

    async def wait_for(self, kind: str, count: int = 1, /, **fields: object) -> dict[str, Any]:
        await self.wait_until(lambda: len(self.messages(kind, **fields)) >= count, f"{count} {kind} with {fields}")
        return self.messages(kind, **fields)[-1]

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > until:
                log = (self.folder / "worker.log").read_text()[-3000:]
                raise AssertionError(f"did not see {what}; the worker's log ends with:\n{log}")
            await self.read(0.05)

    async def read(self, within: float) -> bool:
        """Read what there is; returns whether there was any. A reader removed from its group starts again."""
        found = await self.reader.fetch_any(500, within)
        new = [record for record in found if (record.place, record.timestamp_ms) not in self._places]
        self._places.update((record.place, record.timestamp_ms) for record in new)
        self.seen.extend(new)
        return bool(found)

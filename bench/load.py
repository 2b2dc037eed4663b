"""What the benchmark sends, and the deployment of its own that each run sends it to."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg

from contracts.cloudevents.writing import write_attributes
from contracts.records import Outgoing
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender

LINES = 20
PARTITIONS = 4
COMPANY = 4211


def write_lock(project: int, version: int = 1) -> bytes:
    """Write a lock of twenty lines."""
    lines = [
        {
            "budget_line_item_id": project * 100 + number,
            "cost_code": f"03-3{number:02d}",
            "cost_type": "L",
            "description": f"Concrete work {number}",
            "original_amount": f"{project * 7 + number}.25",
            "revision_amount": "0.00",
        }
        for number in range(LINES)
    ]
    cents = sum((project * 7 + number) * 100 + 25 for number in range(LINES))
    return json.dumps(
        {
            **_key(project, version),
            "currency": "USD",
            "total_amount": f"{cents // 100}.{cents % 100:02d}",
            "created_by": "carla@example.org",
            "locked_by": "lou@example.org",
            "sent_by": "sam@example.org",
            "locked_at": "2026-11-24T08:00:00Z",
            "lines": lines,
        }
    ).encode()


def write_acceptance(project: int) -> bytes:
    """Write an acceptance of version 1; it may overtake its lock, so it names the content that it is for."""
    decision = {
        "decision": "accept",
        "decided_by": "ann@example.org",
        "decided_at": "2026-11-24T09:00:00Z",
        "content_hash": hash_content(project),
    }
    return json.dumps({**_key(project), **decision}).encode()


def hash_content(project: int) -> str:
    """Hash what version 1 would leave in Spectrum, as docs/messages.md describes ``content_hash``."""
    lines = [
        (f"033{number:02d}", "L", f"Concrete work {number}", (project * 7 + number) * 100 + 25, 0, "T", None, None)
        for number in range(LINES)
    ]
    content = ["001", f"J{project}", "USD", lines]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _key(project: int, version: int = 1) -> dict[str, int]:
    return {"company_id": COMPANY, "project_id": project, "budget_id": 1, "budget_version": version}


@dataclass
class BenchDeployment:
    """Topics, a database and rules that nothing else uses."""

    folder: Path
    kafka: str
    admin_url: str
    budgets: int
    prefix: str = field(default_factory=lambda: f"b{uuid4().hex[:8]}.")

    @property
    def database_url(self) -> str:
        return f"{self.admin_url.rpartition('/')[0]}/{self.prefix.rstrip('.')}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.kafka,
            "KAFKA_GROUP_ID": f"{self.prefix}bridge",
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "RULES_DIR": str(self.folder / self.prefix),
            "LOG_FORMAT": "json",
        }

    async def prepare(self) -> None:
        """Create the database, the topics and the rules."""
        connection = await asyncpg.connect(self.admin_url)
        await connection.execute(f"create database {self.prefix.rstrip('.')}")
        await connection.close()
        rules = self.folder / self.prefix
        rules.mkdir()
        (rules / "rules.toml").write_text("[approval]\nrequire_content_hash = false\n")
        jobs = "".join(f"{COMPANY},{project},001,J{project}\n" for project in range(1, self.budgets + 1))
        (rules / "jobs.csv").write_text("company_id,project_id,company_code,job_number\n" + jobs)
        phases = "".join(f"03-3{number:02d},033{number:02d},\n" for number in range(LINES))
        (rules / "phases.csv").write_text("cost_code,phase_code,description\n" + phases)
        (rules / "cost_types.csv").write_text("cost_type,spectrum_cost_type,price_method_code\nL,L,T\n")
        (rules / "approvers.csv").write_text(f"company_id,project_id,user\n{COMPANY},,ann@example.org\n")
        for command in (["migrate"], ["topics", "--partitions", str(PARTITIONS)]):
            await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "worker", *command],
                env=self.environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )

    async def send(self, projects: range) -> None:
        """Lock every budget, then accept every one."""
        appender = Appender(KafkaConnection(self.kafka))
        try:
            for topic, kind, write in (
                ("procore.budgets", "budget.locked.v1", write_lock),
                ("procore.approvals", "approval.decision.v1", write_acceptance),
            ):
                for start in range(projects.start, projects.stop, 500):
                    some = range(start, min(start + 500, projects.stop))
                    await appender.append([self.make_record(topic, kind, project, write(project)) for project in some])
        finally:
            await appender.close(2.0)

    async def send_versions(self, count: int) -> None:
        """Lock version after version of every budget, until ``count`` messages wait."""
        appender = Appender(KafkaConnection(self.kafka))
        try:
            for version in range(1, count // self.budgets + 1):
                for start in range(1, self.budgets + 1, 500):
                    some = range(start, min(start + 500, self.budgets + 1))
                    await appender.append(
                        [
                            self.make_record(
                                "procore.budgets", "budget.locked.v1", project, write_lock(project, version), version
                            )
                            for project in some
                        ]
                    )
        finally:
            await appender.close(2.0)

    def make_record(self, topic: str, kind: str, project: int, value: bytes, version: int = 1) -> Outgoing:
        headers = write_attributes(kind, "bench", f"{kind}/{project}/{version}")
        return Outgoing(self.prefix + topic, f"{COMPANY}/{project}/1".encode(), value, headers)

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a module as a program on this deployment."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )


async def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a program and wait for its end."""
    process.terminate()
    await asyncio.to_thread(process.wait)

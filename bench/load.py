"""What the benchmark sends, and the deployment of its own that each run sends it to."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import uuid4

import asyncpg

from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import write_attributes
from contracts.records import Headers, Outgoing
from contracts.signature.keys import write_public_jwk
from contracts.signature.signing import PrivateKey, sign_headers
from handlers.ids import name_export
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender

LINES = 20
PARTITIONS = 4
COMPANY = 4211
APPROVER = "ann@example.org"
CLICKING = tuple(f"approver-{number}@example.org" for number in range(50))
"""Approvers who click at the same time."""
OUTPUTS = ("spectrum.exports", "bridge.approval-requests", "procore.returns", "bridge.status", "bridge.dead-letters")
OUTPUTS_OF_A_MESSAGE = 2
"""A lock causes an approval request and a status, an acceptance an export and a status."""


def write_lock(project: int, version: int = 1, lines: int = LINES) -> bytes:
    """Write a lock."""
    # Another amount in each version, so that no two have the same content.
    amounts = [(project * 7 + version + number) * 100 + 25 for number in range(lines)]
    cents = sum(amounts)
    return json.dumps(
        {
            **_key(project, version),
            "currency": "USD",
            "total_amount": f"{cents // 100}.{cents % 100:02d}",
            "created_by": "carla@example.org",
            "locked_by": "lou@example.org",
            "sent_by": "sam@example.org",
            "locked_at": "2026-11-24T08:00:00Z",
            "lines": [
                {
                    "budget_line_item_id": project * 10_000 + number,
                    "cost_code": f"03-3{number:02d}",
                    "cost_type": "L",
                    "description": f"Concrete work {number}",
                    "original_amount": f"{amount // 100}.25",
                    "revision_amount": "0.00",
                }
                for number, amount in enumerate(amounts)
            ],
        }
    ).encode()


def write_acceptance(project: int, lines: int = LINES) -> bytes:
    """Write an acceptance of version 1; it may overtake its lock, so it names the content that it is for."""
    decision = {
        "decision": "accept",
        "decided_by": APPROVER,
        "decided_at": "2026-11-24T09:00:00Z",
        "content_hash": hash_content(project, lines),
    }
    return json.dumps({**_key(project), **decision}).encode()


def write_acknowledgement(project: int) -> bytes:
    """Write what Spectrum answers when it has taken the export of version 1 whole."""
    answer = {"export_id": _name_export(project), "attempt": 1, "status": "success"}
    return json.dumps({**_key(project), **answer, "acknowledged_at": "2026-11-24T10:00:00Z"}).encode()


def write_snapshot(project: int, lines: int = LINES) -> bytes:
    """Write what the job holds then, as one page."""
    amounts = [f"{project * 7 + 1 + number}.25" for number in range(lines)]
    total = f"{sum(project * 7 + 1 + number for number in range(lines)) + lines // 4}.{lines % 4 * 25:02d}"
    at = "2026-11-24T11:00:00Z"
    page = {
        **{name: value for name, value in _key(project).items() if name != "budget_version"},
        "request_id": None,
        "snapshot_id": f"s{project}",
        "page": 1,
        "pages": 1,
        "read_from": at,
        "read_to": at,
        "company_code": "001",
        "job_number": f"J{project}",
        "job_status": "A",
        "depth": "full",
        "complete": True,
        "last_begun": {"export_id": _name_export(project), "attempt": 1, "whole": True},
        "unposted": False,
        "line_count": lines,
        "total_original": total,
        "total_current": total,
        "lines": [_write_held(number, amount) for number, amount in enumerate(amounts)],
    }
    return json.dumps(page).encode()


def _write_held(number: int, amount: str) -> dict[str, str | None]:
    return {
        "phase_code": f"033{number:02d}",
        "cost_type": "L",
        "description": f"Concrete work {number}",
        "status": "A",
        "original_estimate_cost": amount,
        "bridge_revision": "0.00",
        "other_revision": "0.00",
        "current_estimate_cost": amount,
        "job_to_date_cost": None,
        "price_method_code": "T",
    }


def _name_export(project: int) -> str:
    return str(name_export(BudgetKey(COMPANY, project, 1), 1, 1))


def hash_content(project: int, lines: int = LINES) -> str:
    """Hash what version 1 would leave in Spectrum, as docs/messages.md describes ``content_hash``."""
    exported = sorted(
        (f"033{number:02d}", "L", f"Concrete work {number}", (project * 7 + 1 + number) * 100 + 25, 0, "T", None, None)
        for number in range(lines)
    )
    content = ["001", f"J{project}", "USD", exported]
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
    lines: int = LINES
    partitions: int = PARTITIONS
    checkout: Path | None = None
    """Where another commit of the worker is, which is to be compared with this one."""
    key: PrivateKey | None = None
    """The approver's, with which acceptances are signed; the rules then require it."""
    prefix: str = field(default_factory=lambda: f"b{uuid4().hex[:8]}.")

    @property
    def database_url(self) -> str:
        return f"{self.admin_url.rpartition('/')[0]}/{self.prefix.rstrip('.')}"

    @property
    def group(self) -> str:
        return f"{self.prefix}bridge"

    @property
    def outputs(self) -> list[str]:
        return [self.prefix + name for name in OUTPUTS]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.kafka,
            "KAFKA_GROUP_ID": self.group,
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "RULES_DIR": str(self.folder / self.prefix),
            "LOG_FORMAT": "json",
            "BENCH_PARTITIONS": str(self.partitions),
            **({"PYTHONPATH": str(self.checkout)} if self.checkout else {}),
        }

    @property
    def worker(self) -> str:
        """The module of the worker; older commits have it in a package, below ``src``."""
        return "budget_bridge" if self.checkout and self.checkout.name == "src" else "worker"

    async def prepare(self) -> None:
        """Create the database, the topics and the rules, and put those in force."""
        connection = await asyncpg.connect(self.admin_url)
        await connection.execute(f"create database {self.prefix.rstrip('.')}")
        await connection.close()
        rules = self.folder / self.prefix
        rules.mkdir()
        (rules / "rules.toml").write_text("[approval]\nrequire_content_hash = false\n")
        jobs = "".join(f"{COMPANY},{project},001,J{project}\n" for project in range(1, self.budgets + 1))
        (rules / "jobs.csv").write_text("company_id,project_id,company_code,job_number\n" + jobs)
        phases = "".join(f"03-3{number:02d},033{number:02d},\n" for number in range(self.lines))
        (rules / "phases.csv").write_text("cost_code,phase_code,description\n" + phases)
        (rules / "cost_types.csv").write_text("cost_type,spectrum_cost_type,price_method_code\nL,L,T\n")
        approvers = "".join(f"{COMPANY},,{user}\n" for user in (APPROVER, *CLICKING))
        (rules / "approvers.csv").write_text("company_id,project_id,user\n" + approvers)
        if self.key:
            self._require_signatures(rules, self.key)
        commands = [["migrate"], ["topics", "--partitions", str(self.partitions)]]
        if self.worker == "worker":
            commands.append(["rules", "apply", "--by", "bench", "--why", "a benchmark"])
        for command in commands:
            await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", self.worker, *command],
                cwd=self.checkout,
                env=self.environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )

    async def send(self) -> int:
        """Lock every budget, then accept every one.

        Returns:
            The number of messages.
        """
        return await self.send_locks() + await self.send_acceptances()

    async def send_locks(self) -> int:
        """Lock every budget; returns the number of messages."""
        await self._append(self.make_lock(project) for project in range(1, self.budgets + 1))
        return self.budgets

    async def send_acceptances(self) -> int:
        """Accept every budget; returns the number of messages."""
        await self._append(self.make_acceptance(project) for project in range(1, self.budgets + 1))
        return self.budgets

    async def send_acknowledgements(self) -> int:
        """Acknowledge every export with success; returns the number of messages."""
        for_each = range(1, self.budgets + 1)
        kind = "spectrum.acknowledgements", "erp.acknowledgement.v1"
        await self._append(self._make_record(*kind, project, write_acknowledgement(project)) for project in for_each)
        return self.budgets

    async def send_snapshots(self) -> int:
        """Send what every job holds; returns the number of messages."""
        pages = ((project, write_snapshot(project, self.lines)) for project in range(1, self.budgets + 1))
        await self._append(self._make_record("spectrum.snapshots", "erp.snapshot.v1", *page) for page in pages)
        return self.budgets

    async def send_versions(self, count: int) -> int:
        """Lock version after version of every budget, until ``count`` messages wait.

        Returns:
            The number of messages.
        """
        versions, projects = range(1, count // self.budgets + 1), range(1, self.budgets + 1)
        await self._append(self.make_lock(project, version) for version in versions for project in projects)
        return len(versions) * len(projects)

    def make_lock(self, project: int, version: int = 1) -> Outgoing:
        value = write_lock(project, version, self.lines)
        return self._make_record("procore.budgets", "budget.locked.v1", project, value, version)

    def make_acceptance(self, project: int) -> Outgoing:
        value = write_acceptance(project, self.lines)
        record = self._make_record("procore.approvals", "approval.decision.v1", project, value)
        if self.key is None:
            return record
        now = datetime.now(UTC).isoformat().encode()
        headers: Headers = (*record.headers, ("ce_subject", f"{COMPANY}/{project}/1".encode()), ("ce_time", now))
        return replace(record, headers=sign_headers(headers, value, self.key))

    def start(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a module as a program on this deployment; what it prints goes to a file, as it would elsewhere."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment | environment,
                cwd=self.checkout,
                stdout=log,
                stderr=log,
            )

    @staticmethod
    def _require_signatures(rules: Path, key: PrivateKey) -> None:
        with (rules / "rules.toml").open("a") as policies:
            policies.write('[signatures]\nrequire = ["decision"]\n')
        (rules / "signers.jwks.json").write_text(json.dumps({"keys": [write_public_jwk(key.public)]}))
        row = f"{key.public.kid},{key.user},{COMPANY},,decision,,"
        (rules / "signers.csv").write_text(f"kid,user,company_id,project_id,may,valid_from,valid_until\n{row}\n")

    def read_log(self) -> str:
        """Read the last of what programs printed."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.prefix}log"

    def _make_record(self, topic: str, kind: str, project: int, value: bytes, version: int = 1) -> Outgoing:
        headers = write_attributes(kind, "bench", f"{kind}/{project}/{version}")
        return Outgoing(self.prefix + topic, f"{COMPANY}/{project}/1".encode(), value, headers)

    async def _append(self, records: Iterable[Outgoing]) -> None:
        appender, following = Appender(KafkaConnection(self.kafka)), iter(records)
        try:
            while some := list(islice(following, 500)):
                await appender.append(some)
        finally:
            await appender.close(2.0)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a program and wait for its end; one that does not end within 15 s is killed."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""One deployment under test: its load, its workers with or without a planted crash or fault, and what was sent."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from contracts.inbound import Inbound
from contracts.records import Outgoing
from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, lock

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


class RunningDeployment(Bridge):
    """A bridge whose load is one lock and one acceptance of each of thirty budgets, each of its own project."""

    def start_planted(self, **planted: str) -> subprocess.Popen[bytes]:
        """Start a worker with a planted crash or fault; ``planted`` are variables that ``planted.prepare`` reads."""
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.exactly_once.planted", "run"],
                env=self.environment | {"PYTHONPATH": os.pathsep.join(sys.path)} | planted,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    async def load(self, first: int = 1, last: int = BUDGETS) -> None:
        """Send a lock and an acceptance for each project of a range.

        It is chance which topic is read first, so some acceptances arrive before their lock.
        """
        keys = [KEY._replace(project_id=project) for project in range(first, last + 1)]
        await self._append([*(lock(1, key=key) for key in keys), *(accept(1, key=key) for key in keys)])

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

    async def _append(self, bodies: Sequence[Inbound]) -> None:
        self.remember_locks(bodies)
        await self.appender.append(
            [
                Outgoing(
                    self.prefix + self.find_topic(body),
                    str(body.project_id).encode(),
                    body.model_dump_json().encode(),
                    self.head(body),
                )
                for body in map(self.complete, bodies)
            ]
        )

    async def wait_for_death(self, worker: subprocess.Popen[bytes]) -> float:
        """Wait until a worker has killed itself, and read meanwhile; returns when (``time.monotonic``)."""
        await self.wait_until(lambda: worker.poll() is not None, "the worker's death")
        assert worker.returncode == -9, worker.returncode
        self.workers.remove(worker)
        return time.monotonic()

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

    def forget_what_was_seen(self) -> None:
        """Forget what was read: the topics that it came from no longer exist."""
        self.seen.clear()

    async def read_what_there_is(self) -> None:
        """Read until no more messages arrive."""
        while await self.read(1.0):
            pass

    def count_repeats(self) -> int:
        """Count the messages that were read more than once."""
        ids = Counter(dict(record.headers).get("ce_id") for record in self.seen)
        return sum(number - 1 for number in ids.values())

"""Breaks servers, workers and connections while budgets are carried; at the end everything is reconciled.

Three brokers (three replicas, of which two must be in sync) and PostgreSQL, each of which the workers reach through a
wire that can be cut. A seed chooses what breaks next.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from demo.kafka_server import Kafka, start_all
from demo.postgres_server import Postgres
from demo.server_process import choose_ports
from tests.end_to_end.odd_records import list_odd_records, produce
from tests.exactly_once.deployment import RunningDeployment
from tests.exactly_once.people import People
from tests.exactly_once.proxy import Proxy
from tests.unit.builders import KEY, lock
from tests.worker_process import WorkerProcess
from worker.reconcile.findings import Findings

BUDGETS: Final = 24
PARTITIONS: Final = 4
MOST_WORKERS: Final = 4
QUIET_SECONDS: Final = 150.0
ODD_PROJECT: Final = 399
FROZEN_SECONDS: Final = 13.0
"""Longer than the group's session, so that another worker takes over before it wakes."""


class ChaosDeployment(RunningDeployment):
    """A deployment whose workers reach the servers through proxies."""

    through: dict[str, str] = {}  # noqa: RUF012 - set once, before any worker starts

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the workers."""
        return super().environment | self.through


@dataclass
class Report:
    """The result of a chaos run."""

    seed: int
    seconds: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    """How often each disruption was caused."""
    sent: int = 0
    """Messages sent to the bridge."""
    versions: int = 0
    published: int = 0
    lanes_started: int = 0
    repeats: int = 0
    wrong_figures: list[str] = field(default_factory=list)
    quiet_after: float = 0.0
    findings: Findings = field(default_factory=Findings)

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs, nobody saw a repeat, and Spectrum holds the right figures."""
        return self.findings.are_clean and not self.repeats and not self.wrong_figures


class Chaos:
    """Disrupts servers, wires and workers."""

    def __init__(
        self, brokers: Sequence[Kafka], wires: Mapping[Proxy, int], postgres: Postgres, database_wire: Proxy
    ) -> None:
        self._brokers = brokers
        self._wires = list(wires)
        self._addresses = list(wires.values())
        """Where each broker sends its clients: another port than the one by which they find it."""
        self._postgres = postgres
        self._database_wire = database_wire
        self._workers: list[WorkerProcess] = []

    async def run(
        self, deployment: ChaosDeployment, seconds: float, seed: int, announce: Callable[[str], None]
    ) -> Report:
        """Cause disruptions, then repair everything and wait until all budgets are synced.

        Args:
            deployment: the deployment, whose servers are those of this object.
            seconds: for how long.
            seed: chooses the disruptions and their order.
            announce: called with a line about each of them.
        """
        report, chance = Report(seed), random.Random(seed)
        self._deployment, self._chance = deployment, chance
        people = People(deployment, BUDGETS)
        self._working = asyncio.create_task(people.work())
        began = time.monotonic()
        try:
            self._start_worker()
            self._start_worker()
            await self._wait_for(
                lambda: any(people.locked[key] > 1 for key in people.locked), "a first version", people
            )
            deck: list[tuple[str, Callable[[], Awaitable[None]]]] = []
            while time.monotonic() - began < seconds:
                if not deck:
                    deck = list(self._list_disruptions())
                    chance.shuffle(deck)
                name, do = deck.pop()
                self._check_people()
                announce(f"{time.monotonic() - began:6.1f} s  {name}")
                report.done[name] += 1
                await do()
                # Sometimes it has a moment to recover.
                await asyncio.sleep(chance.uniform(0.0, 3.0))
            people.enough = True
            announce(f"{time.monotonic() - began:6.1f} s  everything is repaired; waiting until it is quiet")
            repaired = time.monotonic()
            await self._wait_for(lambda: people.are_done, "every budget synced", people)
            report.findings = await deployment.wait_until_carried()
            report.quiet_after = time.monotonic() - repaired
        finally:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        report.seconds = time.monotonic() - began
        report.sent, report.versions = people.sent, people.locked.total()
        report.published = len({record.place for record in deployment.seen})
        report.lanes_started = deployment.count_events("lane.started")
        report.repeats = deployment.count_repeats()
        report.wrong_figures = people.find_wrong_figures()
        return report

    async def _wait_for(self, holds: Callable[[], bool], what: str, people: People) -> None:
        deadline = time.monotonic() + QUIET_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                log = (self._deployment.folder / "worker.log").read_text()[-6000:]
                findings = await self._deployment.reconcile()
                waiting = {claim.name: claim.waiting for claim in findings.claims.values()}
                undone = people.list_undone()[:3]
                raise AssertionError(
                    f"did not see {what}: {undone}; on its way: {waiting}; the log of the workers ends with:\n{log}"
                )
            self._check_people()
            await asyncio.sleep(0.1)

    def _check_people(self) -> None:
        """Check that they still work: they have no reason to stop, so whatever stopped them is what went wrong."""
        if self._working.done():
            raise AssertionError(f"the people have stopped: {self._working}") from self._find_why()

    def _find_why(self) -> BaseException | None:
        return None if self._working.cancelled() else self._working.exception()

    def _start_worker(self) -> None:
        self._workers.append(self._deployment.start())

    async def _end_worker(self, by: signal.Signals) -> None:
        worker = self._chance.choice(self._workers)
        worker.send_signal(by)
        self._workers.remove(worker)
        self._deployment.workers.remove(worker)
        await asyncio.to_thread(worker.wait, 30)

    def _list_disruptions(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        return [
            ("a worker is killed", self._kill_worker),
            ("a worker is frozen past its session, and wakes", self._freeze_worker),
            ("all workers are replaced, one after the other", self._replace_workers),
            ("a worker is added or removed", self._change_number_of_workers),
            ("a broker is killed", self._kill_broker),
            ("the group's coordinator is killed", self._kill_coordinator),
            ("two brokers of three are killed", self._kill_two_brokers),
            ("all brokers are killed", self._kill_all_brokers),
            ("Postgres is restarted", self._restart_postgres),
            ("Postgres is killed", self._kill_postgres),
            ("Postgres and all brokers are killed", self._kill_both),
            ("connections to Kafka are cut", self._cut_kafka),
            ("connections to Postgres are cut", self._cut_postgres),
            ("nothing reaches Kafka, answers do", self._silence_kafka),
            ("Kafka's answers do not come back", self._deafen_kafka),
            ("commits reach Postgres, its answers do not come back", self._deafen_postgres),
            ("the database is slow", self._slow_postgres),
            ("the database is read-only", self._make_read_only),
            ("the database's disk is full", self._fill_disk),
            ("a table is locked for longer than statements wait", self._lock_table),
            ("a broker accepts and never answers", self._mute_broker),
            ("a broker is frozen", self._freeze_broker),
            ("nobody reads a worker's log any more", self._close_log),
            ("odd records come in", self._send_odd_records),
            ("a broker, or all, come back at other addresses", self._move_brokers),
            ("other rules are applied, and the former again", self._apply_rules),
        ]

    async def _some_time(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most))

    async def _kill_worker(self) -> None:
        await self._end_worker(signal.SIGKILL)
        self._start_worker()

    async def _freeze_worker(self) -> None:
        worker = self._chance.choice(self._workers)
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(FROZEN_SECONDS)
        worker.send_signal(signal.SIGCONT)

    async def _replace_workers(self) -> None:
        for _ in range(len(self._workers)):
            self._start_worker()
            await self._end_worker(signal.SIGTERM)

    async def _change_number_of_workers(self) -> None:
        if len(self._workers) == MOST_WORKERS or (len(self._workers) > 2 and self._chance.random() < 0.5):
            await self._end_worker(signal.SIGTERM)
        else:
            self._start_worker()

    async def _kill_broker(self) -> None:
        await self._kill_brokers([self._chance.choice(self._brokers)])

    async def _kill_coordinator(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._deployment.kafka)
        await admin.start()
        try:
            number = await admin.find_coordinator(f"{self._deployment.prefix}bridge")
        finally:
            await admin.close()
        await self._kill_brokers([self._brokers[number - 1]])

    async def _kill_two_brokers(self) -> None:
        await self._kill_brokers(self._chance.sample(self._brokers, 2))

    async def _kill_all_brokers(self) -> None:
        await self._kill_brokers(self._brokers)

    async def _move_brokers(self) -> None:
        moving = self._chance.choice([[self._chance.randrange(len(self._brokers))], list(range(len(self._brokers)))])
        for number in moving:
            broker, wire, old = self._brokers[number], self._wires[number], self._addresses[number]
            (new,) = choose_ports(1)
            configuration = broker.log.parent / "server.properties"
            text = configuration.read_text()
            assert f"PROXIED://127.0.0.1:{old}" in text
            await asyncio.to_thread(broker.kill)
            configuration.write_text(text.replace(f"PROXIED://127.0.0.1:{old}", f"PROXIED://127.0.0.1:{new}"))
            await wire.start(new)
            wire.leave(old)
            self._addresses[number] = new
        await asyncio.to_thread(start_all, [self._brokers[number] for number in moving])

    async def _apply_rules(self) -> None:
        for limit in (30, 20):
            self._deployment.write_rules(rules_toml=f"[waiting]\nparked_limit = {limit}\n")
            done = await asyncio.to_thread(
                self._deployment.command, "rules", "apply", "--by", "ann", "--why", f"{limit} may be parked"
            )
            # A lane that is coming to itself may hold its batch for longer than the command waits.
            assert done.returncode == 0 or "Postgres" in done.stderr, done.stderr
            await self._some_time(0.5, 3.0)

    async def _kill_brokers(self, brokers: Sequence[Kafka]) -> None:
        for broker in brokers:
            await asyncio.to_thread(broker.kill)
        await self._some_time(1.0, 5.0)
        await asyncio.to_thread(start_all, brokers)

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.stop)
        await self._some_time(0.5, 4.0)
        await asyncio.to_thread(self._postgres.start)

    async def _kill_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.kill)
        await self._some_time(0.5, 4.0)
        await asyncio.to_thread(self._postgres.start)

    async def _kill_both(self) -> None:
        await asyncio.gather(self._kill_postgres(), self._kill_all_brokers())

    async def _cut_kafka(self) -> None:
        for _ in range(5):
            self._chance.choice(self._wires).cut()
            await self._some_time(0.0, 0.5)

    async def _cut_postgres(self) -> None:
        for _ in range(10):
            self._database_wire.cut()
            await self._some_time(0.0, 0.5)

    async def _silence_kafka(self) -> None:
        await self._block(self._wires, to_server=True, to_client=False)

    async def _deafen_kafka(self) -> None:
        await self._block(self._wires, to_server=False, to_client=True)

    async def _deafen_postgres(self) -> None:
        await self._block([self._database_wire], to_server=False, to_client=True)

    async def _block(self, wires: Sequence[Proxy], *, to_server: bool, to_client: bool) -> None:
        for wire in wires:
            wire.block(to_server=to_server, to_client=to_client)
        await self._some_time(2.0, 9.0)
        for wire in wires:
            wire.heal()

    async def _slow_postgres(self) -> None:
        self._database_wire.slow(0.2)
        await self._some_time(3.0, 6.0)
        self._database_wire.heal()

    async def _make_read_only(self) -> None:
        await self._change_postgres("alter system set default_transaction_read_only = on", "select pg_reload_conf()")
        await self._some_time(1.0, 4.0)
        await self._change_postgres("alter system reset default_transaction_read_only", "select pg_reload_conf()")

    async def _fill_disk(self) -> None:
        await self._change_postgres(
            "create or replace function fill_disk() returns trigger language plpgsql as "
            "$$ begin raise exception 'no space left on device' using errcode = 'disk_full'; end $$",
            "create trigger full_disk before insert on outbox for each statement execute function fill_disk()",
        )
        await self._some_time(1.0, 4.0)
        await self._change_postgres("drop trigger full_disk on outbox")

    async def _lock_table(self) -> None:
        name = urlsplit(self._deployment.database_url).path[1:]
        await self._change_postgres(f"alter database {name} set lock_timeout = '300ms'")
        # Open sessions keep their settings.
        self._database_wire.cut()
        connection = await asyncpg.connect(self._deployment.database_url)
        try:
            async with connection.transaction():
                await connection.execute("set local lock_timeout = 0")
                await connection.execute("lock table outbox in access exclusive mode")
                await self._some_time(1.0, 4.0)
        finally:
            await connection.close()
            await self._change_postgres(f"alter database {name} reset lock_timeout")

    async def _mute_broker(self) -> None:
        await self._block([self._chance.choice(self._wires)], to_server=True, to_client=True)

    async def _freeze_broker(self) -> None:
        broker = self._chance.choice(self._brokers)
        if broker.pid:
            os.kill(broker.pid, signal.SIGSTOP)
            await self._some_time(3.0, 12.0)
            os.kill(broker.pid, signal.SIGCONT)

    async def _close_log(self) -> None:
        reading, writing = os.pipe()
        worker = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-m", "worker", "run"],
            env=self._deployment.environment,
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        await self._some_time(0.0, 3.0)
        os.close(reading)
        self._workers.append(worker)
        self._deployment.workers.append(worker)

    async def _send_odd_records(self) -> None:
        client = AIOKafkaClient(bootstrap_servers=self._deployment.kafka)
        await client.bootstrap()
        spoilt = lock(1, key=KEY._replace(project_id=ODD_PROJECT)).model_dump(mode="json")
        odd = [record for record in list_odd_records(spoilt) if "MiB" not in record.name]
        topic = f"{self._deployment.prefix}procore.budgets"
        try:
            for record in self._chance.sample(odd, 10):
                with suppress(KafkaError):
                    await produce(client, topic, record.write())
        finally:
            await client.close()

    async def _change_postgres(self, *statements: str) -> None:
        connection = await asyncpg.connect(
            self._deployment.database_url, server_settings={"default_transaction_read_only": "off"}
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            with suppress(OSError):
                await connection.close()


def lead_through(url: str, port: int) -> str:
    """Return the URL of a server as reached through a wire on a local port."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


def list_through(wires: Sequence[int], database_url: str, database_port: int) -> dict[str, str]:
    """List the variables by which a worker reaches the servers through wires.

    Args:
        wires: local ports of the wires to Kafka.
        database_url: where Postgres itself is.
        database_port: local port of the wire to Postgres.
    """
    return {
        "KAFKA_BOOTSTRAP": ",".join(f"127.0.0.1:{port}" for port in wires),
        "DATABASE_URL": lead_through(database_url, database_port),
    }

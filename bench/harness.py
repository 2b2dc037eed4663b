"""What all parts share: the servers, and carrying one load with one program."""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import asyncpg

from bench.cpu import Processes
from bench.load import OUTPUTS_OF_A_MESSAGE, BenchDeployment, stop
from bench.measuring import Outputs, ProgramStuckError, evaluate, follow, open_outputs
from bench.results import Results, Run
from contracts.signature.signing import PrivateKey
from demo.kafka_server import Kafka, run_kafka
from demo.postgres_server import Postgres, run_postgres
from worker.kafka.admin import describe_group
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown

JOIN_SECONDS = 30.0


class Program(NamedTuple):
    """A program that carries budgets."""

    module: str
    arguments: tuple[str, ...] = ()


WORKER = Program("worker", ("run",))


class Load(NamedTuple):
    """What one run carries."""

    name: str
    messages: int
    each: int = OUTPUTS_OF_A_MESSAGE
    """How many records each of them causes."""
    stop_early: int = 0
    """End after so many messages; 0 is after all."""


@dataclass
class Bench:
    """The servers of a run of the benchmark, and how large its loads are."""

    kafka: Kafka
    postgres: Postgres
    folder: Path
    results: Results
    report: Callable[[str, float], None]
    """Is called with what is being done, and how much of it, from 0 to 1."""
    scale: float = 1.0
    turns: int = 3
    against: str = ""
    """Another commit whose worker is measured as well."""

    def size(self, budgets: int) -> int:
        """Scale a load."""
        return max(int(budgets * self.scale), 20)

    async def prepare(
        self, budgets: int, lines: int = 20, partitions: int = 4, key: PrivateKey | None = None
    ) -> BenchDeployment:
        """Prepare a deployment."""
        deployment = BenchDeployment(
            self.folder, self.kafka.bootstrap, self.postgres.url, budgets, lines=lines, partitions=partitions, key=key
        )
        await deployment.prepare()
        return deployment

    def list_processes(self, *programs: subprocess.Popen[bytes]) -> Processes:
        """List what is measured."""
        servers = {"kafka": self.kafka.pid, "postgres": self.postgres.pid}
        return Processes(
            {"program": [program.pid for program in programs]}
            | {name: [pid] for name, pid in servers.items() if pid is not None},
            parents=frozenset({"postgres"}),
        )

    async def carry(self, name: str, program: Program, budgets: int) -> Run:
        """Lock and accept budgets, which all wait in the source topics when the program starts."""
        deployment = await self.prepare(budgets)
        return await self.carry_on(deployment, Load(name, await deployment.send()), program)

    async def carry_on(self, deployment: BenchDeployment, load: Load, program: Program) -> Run:
        """Let a program carry what waits in the source topics of a deployment that has not been used."""
        async with open_outputs(self.kafka.bootstrap, deployment.outputs) as outputs:
            with self.run(deployment, program) as process:
                return await self.measure(deployment, outputs, load, [process])

    async def measure(
        self, deployment: BenchDeployment, outputs: Outputs, load: Load, processes: list[subprocess.Popen[bytes]]
    ) -> Run:
        """Measure until everything is visible.

        Raises:
            ProgramStuckError: it never will be; with what the program printed last.
        """
        expected = load.each * (load.stop_early or load.messages)
        try:
            samples, ids = await follow(
                outputs,
                self.list_processes(*processes),
                expected,
                lambda share: self.report(load.name, share),
                stop_early=bool(load.stop_early),
            )
        except ProgramStuckError as stuck:
            raise ProgramStuckError(f"{load.name}: {stuck}\n{deployment.read_log()}") from None
        return evaluate(load.name, samples, ids, expected, load.each)

    @contextmanager
    def run(self, deployment: BenchDeployment, program: Program) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program, and stop it in the end."""
        process = deployment.start(program.module, *program.arguments)
        try:
            yield process
        finally:
            stop(process)

    async def carry_with_bytes(self, name: str, program: Program, budgets: int) -> Run:
        """Carry as ``carry`` does, and measure what is written to disk for each message."""
        deployment = await self.prepare(budgets)
        messages = await deployment.send()
        before = await self.measure_bytes(deployment)
        run = await self.carry_on(deployment, Load(name, messages), program)
        after = await self.measure_bytes(deployment)
        return replace(run, bytes_written={kind: (after[kind] - before[kind]) / messages for kind in after})

    async def measure_bytes(self, deployment: BenchDeployment) -> dict[str, float]:
        """Measure the database, the log of the server, and the segments of the topics, in bytes."""
        async with open_session(deployment.database_url) as session:
            database = await session.fetchval("select pg_database_size(current_database())")
            wal = await session.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn")
        segments = (self.folder / "kafka" / "data").glob(f"{deployment.prefix}*/*.log")
        return {"database": float(database), "wal": float(wal), "kafka": float(sum(f.stat().st_size for f in segments))}

    async def await_members(self, deployment: BenchDeployment, count: int) -> None:
        """Wait until workers have joined both groups, and share the partitions."""
        connection = KafkaConnection(self.kafka.bootstrap)
        async with asyncio.timeout(JOIN_SECONDS):
            for group in (deployment.group, f"{deployment.group}.intake"):
                while not await _is_joined(connection, group, count):  # noqa: ASYNC110 - only Kafka knows
                    await asyncio.sleep(0.1)


async def _is_joined(connection: KafkaConnection, group: str, count: int) -> bool:
    try:
        found = await describe_group(connection, group)
    except KafkaDown:
        return False
    return (found.state, found.members) == ("Stable", count)


@contextmanager
def check_out(commit: str) -> Iterator[Path]:
    """Check out another commit in a folder of its own; yields where its packages are."""
    with tempfile.TemporaryDirectory(prefix="budget-bridge-commit-") as name:
        folder = Path(name) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", folder, commit], check=True)
        try:
            yield folder / "src" if (folder / "src").is_dir() else folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], check=True)


@asynccontextmanager
async def open_session(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a session without the limits of the worker's."""
    session = await asyncpg.connect(url)
    try:
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def hold_snapshot(url: str) -> AsyncIterator[None]:
    """Hold a snapshot, as a long report or a forgotten transaction does: nothing that dies can be vacuumed."""
    async with open_session(url) as session:
        await session.execute("begin isolation level repeatable read")
        await session.fetchval("select count(*) from deployment")
        yield


@contextmanager
def start_bench(
    results: Results, report: Callable[[str, float], None], *, scale: float, turns: int, against: str = ""
) -> Iterator[Bench]:
    """Start Kafka and Postgres, which writes the log that a change-data-capture peer needs."""
    with tempfile.TemporaryDirectory(prefix="budget-bridge-bench-") as name:
        folder = Path(name)
        with (
            run_kafka(folder / "kafka", lambda text: report(text, 0.0), compile_fully=True) as kafka,
            run_postgres(folder / "postgres", lambda text: report(text, 0.0)) as postgres,
        ):
            asyncio.run(_log_logically(postgres.url))
            postgres.stop()
            postgres.start()
            yield Bench(kafka, postgres, folder, results, report, scale, turns, against)


async def _log_logically(url: str) -> None:
    async with open_session(url) as session:
        await session.execute("alter system set wal_level = 'logical'")

"""``python -m demo``: the whole job on real parts, played before your eyes and then checked.

It starts Kafka and Postgres unless it is pointed at others, runs the real worker as its own process, and plays
Spectrum and the people around it.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final
from uuid import uuid4

import typer
from rich.console import Console

from contracts.budget_key import BudgetKey
from demo.accounting import SpectrumConnector
from demo.kafka_server import run_kafka
from demo.postgres_server import run_postgres
from demo.stage import Data, NotAsExpectedError, Stage, open_stage
from demo.stories import COMPANY, STORIES, write_decision, write_lock
from worker.kafka.connection import KafkaConnection

SOMETHING_OFF: Final = 1
KILLED_BUDGETS: Final = 40
_FIRST_KILLED_PROJECT: Final = 91001


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the demo is played: two servers, and the names used there."""

    bootstrap: str
    database_url: str
    topic_prefix: str
    folder: Path

    def list_environment(self) -> dict[str, str]:
        """List what the worker and its commands are configured by."""
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "KAFKA_GROUP_ID": f"{self.topic_prefix}budget-bridge",
            "TOPIC_PREFIX": self.topic_prefix,
            "DATABASE_URL": self.database_url,
            "RULES_DIR": str(self.folder / "rules"),
            "LOG_FORMAT": "json",
        }


@dataclass(slots=True)
class Worker:
    """The real worker, as a process of its own."""

    place: Surroundings
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it; its log goes to a file."""
        with (self.place.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run"],
                env=self.place.list_environment(),
                stdout=log,
                stderr=log,
            )

    def end(self, by: signal.Signals) -> int:
        """End it with a signal; returns its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(by)
        code = self.process.wait(15)
        self.process = None
        return code


def demo() -> None:
    """Play real budgets through real parts, and check what comes of them. Nothing needs to be installed."""
    console = Console()
    with ExitStack() as stack:
        place = stack.enter_context(_prepare(console))
        try:
            stage = asyncio.run(_play(place, console))
        except NotAsExpectedError as missing:
            console.print(f"\n[bold red]✗ {missing}[/bold red]")
            console.print((place.folder / "worker.log").read_text()[-3000:], markup=False, style="dim")
            raise typer.Exit(SOMETHING_OFF) from missing
    failed = [what for what, holds in stage.checks if not holds]
    if failed:
        console.print(f"\n[bold red]✗ {len(failed)} of {len(stage.checks)} checks failed[/bold red]")
        raise typer.Exit(SOMETHING_OFF)
    console.print(f"\n[bold green]✓ all {len(stage.checks)} checks hold[/bold green]")


@contextmanager
def _prepare(console: Console) -> Iterator[Surroundings]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="budget-bridge-")))
        with console.status("starting …") as status:
            bootstrap, database_url = _find_servers(stack, folder, lambda text: status.update(f"{text} …"))
            place = Surroundings(bootstrap, database_url, f"demo-{uuid4().hex[:8]}.", folder)
            _write_rules(folder / "rules")
            status.update("migrating the database and making topics …")
            for command in (["migrate"], ["topics", "--partitions", "4"]):
                _run_command(place, command)
        console.print(f"Apache Kafka at {bootstrap}, PostgreSQL beside it, topics under {place.topic_prefix}")
        yield place


def _find_servers(stack: ExitStack, folder: Path, tell: Callable[[str], None]) -> tuple[str, str]:
    """Find the servers that the environment names, or start our own; the database is a fresh one."""
    bootstrap, database_url = os.environ.get("KAFKA_BOOTSTRAP"), os.environ.get("TEST_DATABASE_URL")
    if bootstrap and database_url:
        return bootstrap, database_url
    return (
        bootstrap or stack.enter_context(run_kafka(folder / "kafka", tell)).bootstrap,
        database_url or stack.enter_context(run_postgres(folder / "postgres", tell)).url,
    )


def _write_rules(folder: Path) -> None:
    """Write the demo's rules, with the projects of the budgets that are under way when the worker is killed."""
    folder.mkdir()
    for file in (files(__package__) / "rules").iterdir():
        (folder / file.name).write_text(file.read_text())
    with (folder / "jobs.csv").open("a") as jobs:
        jobs.writelines(f"{COMPANY},{project},001,26-{project}\n" for project in _list_killed_projects())


def _list_killed_projects() -> range:
    return range(_FIRST_KILLED_PROJECT, _FIRST_KILLED_PROJECT + KILLED_BUDGETS)


def _run_command(place: Surroundings, command: list[str], fine: Container[int] = (0,)) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "worker", *command],
        env=place.list_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in fine:
        message = f"budget-bridge {' '.join(command)} ended with {done.returncode}: {done.stderr or done.stdout}"
        raise NotAsExpectedError(message)
    return done.stdout


async def _play(place: Surroundings, console: Console) -> Stage:
    connection = KafkaConnection(place.bootstrap)

    async def ask_status(budget: BudgetKey) -> Data:
        found: Data = json.loads(
            await asyncio.to_thread(_run_command, place, ["status", str(budget), "--json"], {0, 1}) or "{}"
        )
        return found

    stage = open_stage(console, connection, place.topic_prefix, ask_status)
    spectrum = SpectrumConnector(connection, place.topic_prefix)
    worker = Worker(place)
    worker.start()
    try:
        await stage.reader.start()
        async with spectrum.working():
            for number, story in enumerate(STORIES, 1):
                _tell_title(console, number, story.__doc__ or "")
                await story(stage, spectrum)
            _tell_title(console, len(STORIES) + 1, _kill_worker.__doc__ or "")
            await _kill_worker(stage, worker)
            await _check_everything(stage)
            stopped = worker.end(signal.SIGTERM)
            stage.check("asked to stop, the worker finishes and ends cleanly", holds=stopped == 0)
    finally:
        worker.end(signal.SIGKILL)
        await stage.reader.close(2.0)
        await stage.appender.close(2.0)
    return stage


def _tell_title(console: Console, number: int, title: str) -> None:
    console.print(f"\n[bold]{number}. {title.strip()}[/bold]")


async def _kill_worker(stage: Stage, worker: Worker) -> None:
    """The worker is killed in the middle of its work, and started again."""
    budgets = [BudgetKey(COMPANY, project, 1) for project in _list_killed_projects()]
    line = ((1, "02-310", "E", "Earthwork and grading", "1000.01"),)
    for budget in budgets:
        await stage.send("budget.locked.v1", budget, 1, write_lock(line))
        await stage.send("approval.decision.v1", budget, 1, write_decision("accept"))
    stage.tell("→", "people", f"lock and accept {len(budgets)} budgets")

    def count(kind: str, **fields: object) -> int:
        keys = {str(budget) for budget in budgets}
        return sum(
            sight.type == kind and sight.key in keys and fields.items() <= sight.data.items() for sight in stage.sights
        )

    await stage.wait_until(lambda: count("spectrum.export.v1") > 0, "the first of the exports")
    worker.end(signal.SIGKILL)
    stage.tell("✗", "worker", f"killed with SIGKILL; {count('spectrum.export.v1')} exports were out", style="bold red")
    worker.start()
    stage.tell("→", "worker", "started again")
    await stage.wait_until(
        lambda: count("budget.status.v1", status="SYNCED") >= len(budgets), f"{len(budgets)} budgets synced"
    )
    exports = Counter(sight.key for sight in stage.sights if sight.type == "spectrum.export.v1")
    stage.check(
        f"each of the {len(budgets)} budgets was exported once: none lost, none doubled",
        holds=all(exports[str(budget)] == 1 for budget in budgets),
    )
    for sight in stage.sights:
        if sight.key in {str(budget) for budget in budgets}:
            sight.expected = True


async def _check_everything(stage: Stage) -> None:
    """Check what must hold over the whole run, whatever the stories were."""
    stage.console.print("\n[bold]In the end[/bold]")
    ids = Counter(sight.id for sight in stage.sights)
    stage.check(f"{len(stage.sights)} messages were sent, each with an id of its own", holds=max(ids.values()) == 1)
    unexpected = [f"{sight.type} of {sight.key}" for sight in stage.sights if not sight.expected]
    stage.check("; ".join(["nothing was sent that a story did not expect", *unexpected[:3]]), holds=not unexpected)
    sequences: dict[str, list[int]] = {}
    for sight in stage.sights:
        if sight.type == "budget.status.v1":
            sequences.setdefault(sight.key, []).append(sight.data["sequence"])
    stage.check(
        f"the statuses of all {len(sequences)} budgets came in order, without a gap",
        holds=all(found == list(range(1, len(found) + 1)) for found in sequences.values()),
    )
    budget = BudgetKey(COMPANY, 90071, 55210)
    told = await stage.ask_status(budget)
    shown = [sight.data for sight in stage.sights if sight.type == "budget.status.v1" and sight.key == str(budget)]
    stage.check("`budget-bridge status` tells what the topic tells", holds=told["status"] == shown[-1])


if __name__ == "__main__":
    typer.run(demo)

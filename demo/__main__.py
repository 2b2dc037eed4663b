"""``python -m demo``: carries budgets through the whole path, prints what happens, and checks the result.

It starts Kafka and PostgreSQL unless the environment names others, runs the real worker as a process of its own, and
plays Spectrum and the people around it.
"""

import asyncio
import json
import os
import shlex
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
from contracts.topics import TopicNames
from demo.bridge_client import Data, UnexpectedError, connect_bridge
from demo.kafka_server import run_kafka
from demo.keys import Keys, make_keys, read_approvals, require_signatures
from demo.postgres_server import run_postgres
from demo.scenarios import SCENARIOS
from demo.scene import COMPANY, COMPANY_CODE, Line, Scene, hash_content, write_acceptance, write_lock
from demo.spectrum import Spectrum
from demo.spectrum_connector import SpectrumConnector
from demo.timeline import Timeline
from worker.kafka.connection import KafkaConnection

BUDGET_BRIDGE: Final = tuple(shlex.split(os.environ.get("BUDGET_BRIDGE", ""))) or (sys.executable, "-m", "worker")
"""What is demonstrated: this checkout, or the command that the environment names, such as one from the wheel."""

CHECK_FAILED: Final = 1
"""The exit code when a check fails."""
_DONE: Final = ("SYNCED", "matches")
_KILL_PROJECTS: Final = range(91001, 91041)
"""Projects whose budgets are under way when the worker is killed."""


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """The servers that the demo runs on, and the names that it uses there."""

    bootstrap: str
    database_url: str
    topics: TopicNames
    folder: Path
    keys: Keys

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the worker and its commands."""
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "KAFKA_GROUP_ID": self.topics.full("budget-bridge"),
            "TOPIC_PREFIX": self.topics.prefix,
            "DATABASE_URL": self.database_url,
            "RULES_DIR": str(self.folder / "rules"),
            "LOG_FORMAT": "json",
        }

    @property
    def worker_log(self) -> Path:
        """The file that the worker's log goes to."""
        return self.folder / "worker.log"


@dataclass(slots=True)
class WorkerProcess:
    """The real worker, as a process of its own."""

    setup: DemoSetup
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it."""
        with self.setup.worker_log.open("ab") as log:
            self.process = subprocess.Popen([*BUDGET_BRIDGE, "run"], env=self.setup.environment, stdout=log, stderr=log)

    def end(self, by: signal.Signals) -> int:
        """End it with a signal; returns its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(by)
        code = self.process.wait(15)
        self.process = None
        return code


def demo() -> None:
    """Carry budgets from lock to Spectrum with real Kafka, PostgreSQL and worker, and check the outcome.

    Exit code 1 if a check fails, or if the bridge does not do what a scenario expects.
    """
    console = Console()
    with ExitStack() as stack:
        setup = stack.enter_context(_prepare(console))
        try:
            checks = asyncio.run(_play(setup, Timeline(console)))
        except UnexpectedError as error:
            console.print(f"\n✗ {error}", markup=False, style="bold red")
            if setup.worker_log.exists():
                console.print("\nThe worker's log ends with:", style="dim")
                console.print(setup.worker_log.read_text()[-3000:], markup=False, style="dim")
            raise typer.Exit(CHECK_FAILED) from error
    failed = sum(not holds for _, holds in checks)
    if failed:
        console.print(f"\n[bold red]✗ {failed} of {len(checks)} checks failed[/bold red]")
        raise typer.Exit(CHECK_FAILED)
    console.print(f"\n[bold green]✓ all {len(checks)} checks passed[/bold green]")


@contextmanager
def _prepare(console: Console) -> Iterator[DemoSetup]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="budget-bridge-")))
        with console.status("Starting …") as status:
            bootstrap, database_url = _find_servers(stack, folder, lambda step: status.update(f"{step} …"))
            setup = DemoSetup(
                bootstrap, database_url, TopicNames(f"demo-{uuid4().hex[:8]}."), folder, make_keys(folder)
            )
            _write_rules(folder / "rules", setup.keys)
            for step, command in (
                ("Creating the database schema", ["migrate"]),
                ("Creating the topics", ["topics", "--partitions", "4"]),
            ):
                status.update(f"{step} …")
                _run_command(setup, command)
        console.print(
            f"Apache Kafka at {bootstrap}, PostgreSQL beside it; topics are named {setup.topics.prefix}*",
            soft_wrap=True,
        )
        yield setup


def _find_servers(stack: ExitStack, folder: Path, progress: Callable[[str], None]) -> tuple[str, str]:
    """Return Kafka's and PostgreSQL's address: those that the environment names, or of servers started here."""
    return (
        os.environ.get("KAFKA_BOOTSTRAP") or stack.enter_context(run_kafka(folder / "kafka", progress)).bootstrap,
        os.environ.get("TEST_DATABASE_URL") or stack.enter_context(run_postgres(folder / "postgres", progress)).url,
    )


def _write_rules(folder: Path, keys: Keys) -> None:
    """Write the demo's rules, with a job for each project whose budget is under way when the worker is killed."""
    folder.mkdir()
    for file in (files(__package__) / "rules").iterdir():
        (folder / file.name).write_text(file.read_text())
    with (folder / "jobs.csv").open("a") as jobs:
        jobs.writelines(f"{COMPANY},{project},{COMPANY_CODE},{_name_job(project)}\n" for project in _KILL_PROJECTS)
    require_signatures(folder, keys)


def _name_job(project: int) -> str:
    return f"26-{project}"


def _run_command(setup: DemoSetup, command: list[str], accepted_codes: Container[int] = (0,)) -> str:
    done = subprocess.run(
        [*BUDGET_BRIDGE, *command],
        env=setup.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in accepted_codes:
        problem = f"budget-bridge {' '.join(command)} ended with exit code {done.returncode}"
        raise UnexpectedError(f"{problem}: {done.stderr or done.stdout}")
    return done.stdout


async def _play(setup: DemoSetup, timeline: Timeline) -> list[tuple[str, bool]]:
    """Play every scenario; returns each check and whether it holds."""
    connection = KafkaConnection(setup.bootstrap)

    async def read_status(budget: BudgetKey) -> Data:
        # 1 is the exit code for a budget that does not exist yet.
        output = await asyncio.to_thread(_run_command, setup, ["status", str(budget), "--json"], {0, 1})
        status: Data = json.loads(output or "{}")
        return status

    keys = setup.keys.by_type
    bridge = connect_bridge(connection, setup.topics, keys, read_status)
    spectrum = Spectrum(approvals=read_approvals(setup.folder / "rules"))
    connector = SpectrumConnector(spectrum, connection, setup.topics, keys)
    scene = Scene(bridge, spectrum, timeline)
    worker = WorkerProcess(setup)
    worker.start()
    try:
        await bridge.reader.start()
        async with connector.running():
            for number, scenario in enumerate(SCENARIOS, 1):
                timeline.print_title(number, scenario.__doc__ or "")
                await scenario(scene)
            timeline.print_title(len(SCENARIOS) + 1, _kill_worker.__doc__ or "")
            await _kill_worker(scene, worker)
            await _check_everything(scene)
            exit_code = worker.end(signal.SIGTERM)
            timeline.check("asked to stop, the worker finishes its work and exits with 0", holds=exit_code == 0)
    finally:
        worker.end(signal.SIGKILL)
        await bridge.reader.close(2.0)
        await bridge.appender.close(2.0)
    return timeline.checks


async def _kill_worker(scene: Scene, worker: WorkerProcess) -> None:
    """The worker is killed in the middle of its work and started again."""
    bridge, timeline = scene.bridge, scene.timeline
    budgets = [BudgetKey(COMPANY, project, 1) for project in _KILL_PROJECTS]
    lines = (Line(1, "02-310", "E", "Earthwork and grading", "1000.01"),)
    for budget in budgets:
        await bridge.send("budget.locked.v1", budget, 1, write_lock(lines))
        content_hash = hash_content(_name_job(budget.project_id), lines)
        await bridge.send("approval.decision.v1", budget, 1, write_acceptance(content_hash))
    timeline.print_event("→", "people", f"lock and accept {len(budgets)} budgets")

    def count_exports() -> int:
        return sum(bool(bridge.list_sent("spectrum.export.v1", budget)) for budget in budgets)

    def count_synced() -> int:
        last = (bridge.list_sent("budget.status.v1", budget)[-1:] for budget in budgets)
        return sum(bool(status) and (status[0]["status"], status[0]["read_back"]) == _DONE for status in last)

    await bridge.wait_until(lambda: count_exports() > 0, "the first of the exports")
    worker.end(signal.SIGKILL)
    what = f"is killed by SIGKILL, with {count_exports()} of {len(budgets)} exports sent"
    timeline.print_event("✗", "worker", what, style="bold red")
    worker.start()
    timeline.print_event("→", "worker", "is started again")
    await bridge.wait_until(lambda: count_synced() == len(budgets), f"{len(budgets)} budgets synced and read back")
    timeline.check(
        f"each of the {len(budgets)} budgets was exported exactly once",
        holds=all(len(bridge.list_sent("spectrum.export.v1", budget)) == 1 for budget in budgets),
    )
    keys = {str(budget) for budget in budgets}
    for sent in bridge.sent:
        sent.was_expected |= sent.key in keys


async def _check_everything(scene: Scene) -> None:
    """Check what must hold over the whole run, whatever the scenarios were."""
    bridge, timeline = scene.bridge, scene.timeline
    timeline.console.print("\n[bold]Over the whole run[/bold]")
    ids = Counter(sent.id for sent in bridge.sent)
    timeline.check(
        f"all {len(bridge.sent)} messages that were sent have an id of their own", holds=len(ids) == len(bridge.sent)
    )
    unexpected = [f"{sent.type} of {sent.key}" for sent in bridge.sent if not sent.was_expected]
    what = "every message that was sent was expected by a scenario"
    timeline.check(": ".join([what, *unexpected[:3]]), holds=not unexpected)
    sequences: dict[str, list[int]] = {}
    for sent in bridge.sent:
        if sent.type == "budget.status.v1":
            sequences.setdefault(sent.key, []).append(sent.data["sequence"])
    timeline.check(
        f"the statuses of each of the {len(sequences)} budgets arrived in order and without a gap",
        holds=all(found == list(range(1, len(found) + 1)) for found in sequences.values()),
    )
    budget = BudgetKey(COMPANY, 90071, 55210)
    status = (await bridge.read_status(budget))["status"]
    latest = bridge.list_sent("budget.status.v1", budget)[-1]
    timeline.check("`budget-bridge status` prints what the status topic holds", holds=status == latest)


if __name__ == "__main__":
    typer.run(demo)

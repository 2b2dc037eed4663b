"""What the demo runs on: the servers, the rules, and the worker as a process of its own."""

import csv
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Final
from uuid import uuid4

from rich.console import Console

from contracts.topics import TopicNames
from demo import child_process
from demo.bridge_client import UnexpectedError
from demo.kafka_server import run_kafka
from demo.keys import Keys, make_keys
from demo.postgres_server import run_postgres
from demo.scene import COMPANY, COMPANY_CODE

BUDGET_BRIDGE: Final = tuple(shlex.split(os.environ.get("BUDGET_BRIDGE", ""))) or (sys.executable, "-m", "worker")
"""What is demonstrated: this checkout, or the command that the environment names, such as one from the wheel."""


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
            "RULES_DIR": str(self.rules),
            "LOG_FORMAT": "json",
        }

    @property
    def rules(self) -> Path:
        """The folder of the rules."""
        return self.folder / "rules"


@dataclass(slots=True)
class LastingProcess:
    """A program of the deployment that keeps running, as a process of its own that ends with us and not by Ctrl+C."""

    setup: DemoSetup
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its environment has besides."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """The file that its log goes to."""
        return self.setup.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it."""
        self.process = child_process.start(
            self.command,
            log=self.log,
            folder=Path.cwd(),
            environment={**self.setup.environment, **self.environment},
        )

    def end(self, by: signal.Signals) -> int:
        """End it with a signal; returns its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(by)
        code = self.process.wait(15)
        self.process = None
        return code


def make_worker(setup: DemoSetup) -> LastingProcess:
    """Make the real worker, which is not started yet."""
    return LastingProcess(setup, "worker", [*BUDGET_BRIDGE, "run"])


@contextmanager
def prepare(console: Console, write_rules: Callable[[Path, Keys], None]) -> Iterator[DemoSetup]:
    """Start the servers, unless the environment names others, and create schema and topics.

    Args:
        console: shows the progress.
        write_rules: writes the rules' files into a folder, with the keys of those who sign.

    Yields:
        Where everything is; the servers that were started here are stopped in the end.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="budget-bridge-")))
        with console.status("Starting …") as status:
            setup = _start(stack, folder, write_rules, lambda step: status.update(f"{step} …"))
        console.print(
            f"Apache Kafka at {setup.bootstrap}, PostgreSQL beside it; topics are named {setup.topics.prefix}*",
            soft_wrap=True,
        )
        yield setup


def _start(
    stack: ExitStack, folder: Path, write_rules: Callable[[Path, Keys], None], progress: Callable[[str], None]
) -> DemoSetup:
    """Start what the environment does not name; Kafka takes the longest, so the schema is created meanwhile."""
    database_url = (
        os.environ.get("TEST_DATABASE_URL") or stack.enter_context(run_postgres(folder / "postgres", progress)).url
    )
    names = TopicNames(f"demo-{uuid4().hex[:8]}.")
    with ThreadPoolExecutor(1) as meanwhile:
        # The address of Kafka does not matter to it.
        without_kafka = DemoSetup(
            os.environ.get("KAFKA_BOOTSTRAP", "127.0.0.1:9"), database_url, names, folder, make_keys(folder)
        )
        migrated = meanwhile.submit(run_command, without_kafka, ["migrate"])
        bootstrap = (
            os.environ.get("KAFKA_BOOTSTRAP") or stack.enter_context(run_kafka(folder / "kafka", progress)).bootstrap
        )
        setup = replace(without_kafka, bootstrap=bootstrap)
        write_rules(setup.rules, setup.keys)
        progress("Creating the topics")
        run_command(setup, ["topics", "--partitions", "4"])
        progress("Creating the database schema")
        migrated.result()
    return setup


def copy_rules(folder: Path, jobs: Mapping[int, str]) -> None:
    """Copy the demo's rules into a new folder.

    Args:
        folder: is created.
        jobs: the job of each further project.
    """
    folder.mkdir()
    for file in (files(__package__) / "rules").iterdir():
        (folder / file.name).write_text(file.read_text())
    append_rows(folder / "jobs.csv", ((COMPANY, project, COMPANY_CODE, job) for project, job in jobs.items()))


def append_rows(file: Path, rows: Iterable[Sequence[object]]) -> None:
    """Append rows to a file of the rules."""
    with file.open("a", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows(rows)


def run_command(setup: DemoSetup, command: Sequence[str], accepted_codes: Container[int] = (0,)) -> str:
    """Run a command of the bridge to its end; returns what it printed.

    Raises:
        UnexpectedError: it ended with another exit code.
    """
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

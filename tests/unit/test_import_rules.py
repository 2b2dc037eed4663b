"""An import in a wrong direction turns ``make check`` red: each is planted in a copy of the tree."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PACKAGES = ("contracts", "desk", "handlers", "outbox", "worker", "demo", "bench")


class Planted(NamedTuple):
    """A module is added to ``package``, and it imports ``imported``."""

    package: str
    imported: str
    module: str

    @property
    def file(self) -> Path:
        return Path(*self.package.split("."), f"{self.module}.py")

    @property
    def reported_as(self) -> str:
        return f"{self.package}.{self.module}->{self.imported}"


def number(*pairs: tuple[str, str]) -> list[Planted]:
    return [Planted(package, imported, f"planted_{place}") for place, (package, imported) in enumerate(pairs)]


WRONG_IMPORTS = number(
    # Between the rooms.
    ("contracts", "handlers"),
    ("contracts", "outbox"),
    ("contracts", "worker.settings"),
    ("handlers", "outbox"),
    ("handlers", "worker.settings"),
    ("outbox", "worker.settings"),
    ("worker.pipeline", "demo"),
    ("worker.reports", "bench"),
    ("outbox", "demo"),
    # Inside worker: commands → reports and repairs → pipeline → kafka, resilience, telemetry.
    ("worker.reports", "worker.commands.problems"),
    ("worker.reconcile", "worker.commands.problems"),
    ("worker.recover", "worker.commands.problems"),
    ("worker.doctor", "worker.commands.problems"),
    ("worker.pipeline", "worker.commands.problems"),
    ("worker.pipeline", "worker.reports"),
    ("worker.pipeline", "worker.reconcile"),
    ("worker.pipeline", "worker.recover"),
    ("worker.pipeline", "worker.doctor.check"),
    ("worker.kafka", "worker.pipeline"),
    ("worker.resilience", "worker.pipeline"),
    ("worker.telemetry", "worker.pipeline"),
    ("worker.telemetry", "worker.kafka"),
    ("worker.kafka", "worker.resilience"),
    ("worker.commands", "worker.__main__"),
    # The watch is independent, and nothing imports it.
    ("worker.watch", "handlers"),
    ("worker.watch", "outbox"),
    ("worker.watch", "worker.pipeline"),
    ("worker.watch", "worker.reports"),
    ("worker.watch", "worker.commands"),
    ("worker.commands", "worker.watch"),
    ("worker.reports", "worker.watch"),
    ("demo", "worker.watch"),
    # Nobody imports the desk, and only the desk serves web pages.
    ("worker.commands", "desk"),
    ("outbox", "desk"),
    ("worker.telemetry", "starlette"),
    ("worker.reports", "jinja2"),
    ("worker.commands", "authlib"),
    ("demo", "uvicorn"),
    ("desk", "asyncpg"),
    ("desk", "aiokafka"),
    # Each library in its place.
    ("worker.pipeline", "aiokafka"),
    ("worker.reports", "asyncpg"),
    ("worker.commands", "faust"),
    ("demo", "aiokafka"),
    ("outbox", "aiokafka"),
    ("handlers", "asyncpg"),
    ("worker.pipeline", "rich"),
    ("outbox", "typer"),
    # The core is pure, and contracts are data.
    ("handlers", "asyncio"),
    ("handlers", "os"),
    ("handlers", "pydantic"),
    ("handlers", "random"),
    ("handlers", "time"),
    ("contracts", "asyncio"),
    ("contracts", "os"),
    ("contracts", "time"),
    ("outbox", "os"),
)

WRONG_CALLS = {
    "handlers/planted_clock.py": "import datetime\n\nnow = datetime.datetime.now(datetime.UTC)\n",
    "worker/pipeline/planted_clock.py": "import time\n\nnow = time.time()\n",
    "worker/pipeline/planted_client.py": "import aiokafka\n\nclient = aiokafka\n",
    "worker/reports/planted_client.py": "import asyncpg\n\nclient = asyncpg\n",
    "worker/commands/planted_faust.py": "import faust\n\napp = faust\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages and of what configures their checks."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> tuple[int, str]:
    """The exit code, and the report without the line breaks that it puts into names."""
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, re.sub(r"\s", "", done.stdout + done.stderr)


def test_the_tree_as_it_is_passes(tree: Path) -> None:
    code, report = lint_imports(tree)
    assert code == 0, report


def test_each_wrong_import_is_reported(tree: Path) -> None:
    # All in one tree: each is reported by its own name, so none hides another.
    for planted in WRONG_IMPORTS:
        (tree / planted.file).write_text(f"import {planted.imported}\n")
    code, report = lint_imports(tree)
    assert code == 1
    missed = [planted for planted in WRONG_IMPORTS if planted.reported_as not in report]
    assert not missed


@pytest.mark.parametrize("planted", [WRONG_IMPORTS[3], WRONG_IMPORTS[13], WRONG_IMPORTS[-1]], ids=str)
def test_one_wrong_import_is_enough(tree: Path, planted: Planted) -> None:
    (tree / planted.file).write_text(f"import {planted.imported}\n")
    assert lint_imports(tree)[0] == 1


def test_a_module_of_worker_without_a_layer_is_reported(tree: Path) -> None:
    (tree / "worker" / "planted.py").touch()
    code, report = lint_imports(tree)
    assert code == 1
    assert "worker.planted" in report


def test_clocks_and_clients_out_of_place_are_reported_by_ruff(tree: Path) -> None:
    for name, text in WRONG_CALLS.items():
        (tree / name).write_text(text)
    done = subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--select=TID251", "--output-format=concise", "."],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    reported = {line.partition(":")[0] for line in done.stdout.splitlines() if "TID251" in line}
    assert reported == set(WRONG_CALLS)

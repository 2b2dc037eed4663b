"""The wheel and the sdist carry the five rooms, whole, and nothing that belongs to the checkout."""

import os
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution, PathDistribution, distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import ROOT, Built
from tests.packaging.root_packages import DISTRIBUTION, ROOT_PACKAGES, find_owners

# Everything of the rooms: a file that is read at run time is there, whatever its ending.
SOURCES = {
    str(file.relative_to(ROOT))
    for room in ROOT_PACKAGES
    for file in (ROOT / room).rglob("*")
    if file.is_file() and "__pycache__" not in file.parts
}

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
rooms = [importlib.import_module(name) for name in ("contracts", "desk", "handlers", "outbox", "worker")]
names = [found.name for room in rooms for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")]
for name in names:
    importlib.import_module(name)
print({module.__file__ for name, module in sys.modules.items() if name in names and module.__file__})
"""


@pytest.fixture
def installed(built: Built, tmp_path: Path) -> Path:
    """A folder that the wheel is unpacked into, as pip does."""
    with ZipFile(built.wheel) as wheel:
        wheel.extractall(tmp_path)
    return tmp_path


def list_wheel(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_carries_the_rooms_and_nothing_else(built: Built) -> None:
    assert {"outbox/migrations/0001_first.sql", "contracts/samples/budget.locked.v1.json"} <= SOURCES
    assert list_wheel(built.wheel) == SOURCES


def test_the_sdist_carries_the_rooms_and_what_builds_them(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {"/".join(Path(name).parts[1:]) for name in archive.getnames()}
    besides = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
    besides |= {str(file.relative_to(ROOT)) for file in (ROOT / "requirements").iterdir() if file.is_file()}
    assert names == SOURCES | besides


def test_a_wheel_built_from_the_sdist_is_the_same(built: Built, wheel_from_sdist: Path) -> None:
    assert wheel_from_sdist.read_bytes() == built.wheel.read_bytes()


def test_every_module_of_the_wheel_can_be_imported_without_the_checkout(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        cwd=installed,
        env=os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stdout
    assert str(ROOT) not in done.stdout


def test_the_command_is_the_one_of_the_rooms(installed: Path) -> None:
    (ours,) = distributions(path=[str(installed)])
    (command,) = ours.entry_points
    assert command.name == "budget-bridge"
    assert command.module == "desk.__main__"
    assert callable(command.load())


def test_nothing_else_that_is_installed_uses_the_names_of_the_rooms(installed: Path) -> None:
    # In the tests' environment the checkout itself is installed, as a link without files: the wheel stands in for it.
    others = [one for one in distributions() if one.name != DISTRIBUTION]
    assert len(others) > len(ROOT_PACKAGES)
    owners = find_owners([*distributions(path=[str(installed)]), *others])
    assert owners == {name: {DISTRIBUTION} for name in ROOT_PACKAGES}


def test_a_distribution_that_uses_a_name_of_a_room_is_found(tmp_path: Path) -> None:
    info = tmp_path / "celery_worker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: celery-worker\nVersion: 1.0\n")
    (info / "RECORD").write_text("worker/__init__.py,,\noutbox.py,,\n")
    (tmp_path / "worker").mkdir()
    for file in ("worker/__init__.py", "outbox.py"):
        (tmp_path / file).touch()
    planted: Distribution = PathDistribution(info)
    assert find_owners([planted]) == {
        "contracts": set(),
        "desk": set(),
        "handlers": set(),
        "outbox": {"celery-worker"},
        "worker": {"celery-worker"},
    }


def test_it_can_be_uploaded_to_no_index(installed: Path) -> None:
    (ours,) = distributions(path=[str(installed)])
    assert "Private :: Do Not Upload" in (ours.metadata.get_all("Classifier") or ())

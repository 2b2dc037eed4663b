import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Built(NamedTuple):
    """What ``python -m hatchling build`` makes of the checkout."""

    wheel: Path
    sdist: Path


def build(source: Path, into: Path, *options: str) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", into, *options], cwd=source, check=True)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel and the sdist of this checkout."""
    into = tmp_path_factory.mktemp("dist")
    build(ROOT, into)
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="session")
def wheel_from_sdist(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that somebody builds who has the sdist only."""
    unpacked, into = tmp_path_factory.mktemp("sdist"), tmp_path_factory.mktemp("dist-of-sdist")
    with tarfile.open(built.sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    build(source, into, "-t", "wheel")
    (wheel,) = into.glob("*.whl")
    return wheel

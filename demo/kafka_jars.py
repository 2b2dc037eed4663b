"""Fetch the jars of Apache Kafka once, and only the very jars we pinned.

``kafka.lock.toml`` is a lock file of jgo's: the 45 jars of
``org.apache.kafka:kafka_2.13:4.2.0`` and the binding that lets them log, each with
its SHA-256. Nothing is resolved here; what is not in the file is not fetched, and a
jar that differs is refused, on the day it is fetched and on every start after.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION: Final = "4.2.0"
_FETCHES_AT_ONCE: Final = 8
_TIMEOUT_SECONDS: Final = 60


class JarRefusedError(Exception):
    """A jar is not the one that was pinned."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    sha256: str

    def place(self, repository: Path) -> Path:
        """Where it lies in a folder laid out as Maven does."""
        name = f"{self.artifact}-{self.version}.jar"
        group = self.group.replace(".", "/")
        return repository / group / self.artifact / self.version / name

    def check(self, repository: Path) -> Path:
        """Return its place, or raise if what lies there is not what was pinned."""
        path = self.place(repository)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            message = f"{path}: SHA-256 is {found}, pinned is {self.sha256}"
            raise JarRefusedError(message)
        return path


def find_cache() -> Path:
    """Return the folder that outlives the run, in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "budget-bridge" / f"kafka-{VERSION}"


def fetch(progress: Callable[[str], None], cache: Path | None = None) -> list[Path]:
    """Return the class path of Kafka, fetched first where it is not in the cache.

    A fetch fills a folder of its own and is then renamed into place, so the cache is
    there whole or not at all. Two processes may fetch at once; the second to finish
    drops its copy.
    """
    jars = _read_lock()
    repository = (cache or find_cache()) / "jars"
    if not repository.exists():
        repository.parent.mkdir(parents=True, exist_ok=True)
        fetched = Path(tempfile.mkdtemp(prefix="fetching-", dir=repository.parent))
        try:
            _fetch_all(jars, fetched, progress)
            _publish(fetched, repository)
        finally:
            shutil.rmtree(fetched, ignore_errors=True)
    return [jar.check(repository) for jar in jars]


def _read_lock() -> list[Jar]:
    text = resources.files(__package__).joinpath("kafka.lock.toml").read_text("utf-8")
    return [
        Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])
        for entry in tomllib.loads(text)["dependencies"]
    ]


def _fetch_all(jars: list[Jar], repository: Path, progress: Callable[[str], None]) -> None:
    from jgo.config import GlobalSettings  # noqa: PLC0415 - the [demo] extra
    from jgo.maven import MavenContext  # noqa: PLC0415

    # A mirror named in the user's own configuration of jgo replaces Maven Central.
    repositories = GlobalSettings.load().repositories or None
    context = MavenContext(repo_cache=repository, remote_repos=repositories, timeout=_TIMEOUT_SECONDS)

    def fetch_one(jar: Jar) -> Jar:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        component.artifact().resolve()
        jar.check(repository)
        return jar

    progress(f"Fetching Apache Kafka {VERSION}: {len(jars)} jars, 43 MB, only once")
    with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
        for count, jar in enumerate(pool.map(fetch_one, jars), start=1):
            progress(f"Fetched {count} of {len(jars)}: {jar.artifact} {jar.version}")


def _publish(fetched: Path, repository: Path) -> None:
    try:
        fetched.rename(repository)
    except OSError:
        if not repository.exists():
            raise

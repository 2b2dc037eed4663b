"""A server process that can be started, stopped and started again, and the free ports that it listens on.

What Kafka and PostgreSQL have in common. Both listen on 127.0.0.1 alone, keep their data and their log in the folder
they are given, and never outlive the process that started them (``child_process``).
"""

from __future__ import annotations

import random
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demo import child_process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02

# Below the range the kernel hands out for outgoing connections. A client that keeps
# trying a stopped server's port could otherwise be given that very port to call from.
_PORTS: Final = range(20_000, 32_000)


class ServerFailedError(Exception):
    """A server did not start. The message ends with the last lines of its log."""


@dataclass(slots=True)
class ServerProcess:
    """A server, how to start it, and how to find out that it is ready."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    """Its working directory."""
    log: Path
    is_ready: Callable[[int], bool]
    """Whether the server with this process id serves clients."""
    stop_signal: signal.Signals
    kill_signal: signal.Signals
    unprivileged: bool = False
    """Run as the user ``nobody`` where we are root."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Its process id, or None while it does not run."""
        if self.process is None or self.process.poll() is not None:
            return None
        return self.process.pid

    def start(self) -> None:
        """Start the process, unless it is running, and wait until it is ready.

        Raises:
            ServerFailedError: it ended, or was not ready in time.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        if self.pid is None:
            self.process = child_process.start(
                self.command,
                log=self.log,
                folder=self.folder,
                death_signal=self.kill_signal,
                unprivileged=self.unprivileged,
            )

    def wait(self) -> None:
        """Wait until it is ready; a server that fails is ended.

        Raises:
            ServerFailedError: it ended, or was not ready in time.
        """
        if self.process is None:
            return
        try:
            self._wait_until_ready(self.process)
        except BaseException:
            self.end(self.kill_signal)
            raise

    def end(self, by: signal.Signals) -> None:
        """End the process with a signal, and with SIGKILL if that takes too long."""
        if self.process is not None:
            child_process.stop(self.process, by=by, within=_STOP_SECONDS)
            self.process = None

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready(process.pid):
            if process.poll() is not None:
                problem = f"ended with exit code {process.returncode}"
            elif time.monotonic() > deadline:
                problem = f"was not ready within {_START_SECONDS:.0f} s"
            else:
                time.sleep(_POLL_SECONDS)
                continue
            message = f"{self.name} {problem}. Its log, {self.log}, ends with:\n"
            raise ServerFailedError(message + child_process.read_tail(self.log))


def run_to_completion(command: Sequence[str | Path], *, log: Path, folder: Path, unprivileged: bool = False) -> None:
    """Run one of a server's tools and wait for it.

    Args:
        command: the program and its arguments.
        log: the file that everything it prints is appended to.
        folder: its working directory.
        unprivileged: run it as the user ``nobody`` where we are root.

    Raises:
        ServerFailedError: it ended with another exit code than 0.
    """
    process = child_process.start(command, log=log, folder=folder, unprivileged=unprivileged)
    try:
        code = process.wait(_START_SECONDS)
    finally:
        child_process.stop(process, by=signal.SIGKILL, within=_STOP_SECONDS)
    if code != 0:
        message = f"{Path(command[0]).name} ended with exit code {code}. {log} ends with:\n"
        raise ServerFailedError(message + child_process.read_tail(log))


def choose_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody is listening on."""
    ports: list[int] = []
    # By the system: whoever has seeded the usual generator alike in two processes would get the same ports in both.
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    message = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise OSError(message)


def is_free(port: int) -> bool:
    """Check that nobody is listening on a port of 127.0.0.1."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def ignore_progress(_: str) -> None:
    """Show nothing of what a server is doing; the default of those that start one."""

"""Processes of the worker and its commands that are forked from one that has imported everything: a second faster."""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final, Protocol

_FORKING: Final[ForkServerContext] = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["worker.__main__", "tests.exactly_once.planted"])


class WorkerProcess(Protocol):
    """What tests do with a worker, whether it was forked or is a ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


class ForkedProcess:
    """One command of ``budget-bridge`` in a process of its own, with its outputs appended to files."""

    def __init__(
        self,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        out: Path,
        errors: Path,
        *,
        planted: bool = False,
    ) -> None:
        arguments = command, dict(environment), out, errors, planted
        self._process = _FORKING.Process(target=run_command, args=arguments, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("budget-bridge", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_command(
    command: tuple[str, ...],
    environment: dict[str, str],
    out: Path,
    errors: Path,
    planted: bool,  # noqa: FBT001 - the target of a process takes what it is given
) -> None:
    """Be the command, in the forked process."""
    for path, number in ((out, 1), (errors, 2)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["budget-bridge", *command]
    # Imported already where this is forked.
    from tests.exactly_once.planted import prepare  # noqa: PLC0415
    from worker.__main__ import main  # noqa: PLC0415

    if planted:
        prepare()
    try:
        main()
    finally:
        # As at the end of any other process: multiprocessing leaves them out, and the log would lose its last lines.
        atexit._run_exitfuncs()


def run_forked(
    command: tuple[str, ...], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; like ``subprocess.run``."""
    with tempfile.TemporaryDirectory() as name:
        out, errors = Path(name) / "out", Path(name) / "errors"
        process = ForkedProcess(command, environment, out, errors)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, code, out.read_text(), errors.read_text())

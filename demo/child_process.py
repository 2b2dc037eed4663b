"""A child process that never outlives its parent and never runs as root.

This file is both sides: ``start`` runs in the parent, and the code at the bottom runs in the child, which prepares
itself and then becomes the server by ``exec``. It is a launcher and not a ``preexec_fn`` because Python code between
fork and exec can deadlock in a program with threads. It imports only the standard library and costs about 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NOBODY: Final = "nobody"
"""The user that a server runs as when we are root: PostgreSQL refuses to run as root."""

# From <linux/prctl.h> and <linux/capability.h>.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_KEEPCAPS: Final = 8
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAP_DAC_OVERRIDE: Final = 1
_CAPABILITY_VERSION_3: Final = 0x20080522


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that a Ctrl-C in the terminal reaches us and not it.

    Args:
        command: the program and its arguments.
        log: the file that everything it prints is appended to.
        folder: its working directory.
        environment: its environment; ours by default.
        death_signal: on Linux, the signal that the kernel sends it when we end, even by SIGKILL. The kernel watches
            the *thread* that starts the child, so only the main thread asks for this; a server that another thread
            starts is stopped by its context manager alone.
        unprivileged: run it as the user ``nobody`` where we are root.

    Returns:
        The process.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    launcher = [sys.executable, "-I", "-S", __file__]
    arguments = [
        str(os.getpid()),
        str(int(death_signal) if in_main_thread else 0),
        NOBODY if unprivileged and os.geteuid() == 0 else "",
    ]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launcher, *arguments, *map(str, command)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def give_to_nobody(folder: Path) -> None:
    """Let a server that is started ``unprivileged`` write to ``folder``."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam(NOBODY)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


def stop(process: subprocess.Popen[bytes], *, by: signal.Signals, within: float) -> None:
    """Send a process a signal, wait up to ``within`` seconds until it ends, and then kill it."""
    if process.poll() is None:
        process.send_signal(by)
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_tail(log: Path, lines: int = 30) -> str:
    """Return the last lines of a server's log."""
    with log.open(encoding="utf-8", errors="replace") as file:
        return "".join(deque(file, maxlen=lines))


def _become(parent: int, death_signal: int, user: str, command: list[str]) -> None:
    if user:
        _drop_root(user)
    # After the change of user, which clears it.
    if death_signal and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it ended before we could ask
            sys.exit("the parent process has ended")
    os.execv(command[0], command)  # noqa: S606 - no shell wanted


def _drop_root(user: str) -> None:
    """Become ``user``, still able to enter folders that only root may enter.

    A virtual environment under /root, or a temporary folder of pytest, cannot be entered by another user. Rather than
    opening those folders to everybody, the child keeps the one capability that ignores permissions, CAP_DAC_OVERRIDE;
    root has it in a container too, unless it was dropped on purpose.
    """
    entry = pwd.getpwnam(user)
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc:
        libc.prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if libc:
        bit = 1 << _CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        libc.capset(header, sets)
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
    os.environ["HOME"] = "/"


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])

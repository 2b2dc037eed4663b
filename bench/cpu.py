"""CPU time and memory of processes, each with its children."""

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import psutil

MEGABYTE: Final = 1024 * 1024


class Processes:
    """The processes of one run, by what they are; the program under test may be several.

    Args:
        pids: for each name the processes that count.
    """

    def __init__(self, pids: Mapping[str, list[int]]) -> None:
        self._processes = {name: [psutil.Process(pid) for pid in some] for name, some in pids.items()}

    def read_cpu(self) -> dict[str, float]:
        """Read the CPU seconds that each has used since it started, ended children included."""
        return {name: sum(map(_read_cpu, some)) for name, some in self._processes.items()}

    def read_megabytes(self, name: str) -> float:
        """Read how much memory the largest process of one name has resident."""
        sizes = [0.0]
        for process in self._processes[name]:
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss / MEGABYTE)
        return max(sizes)


def _read_cpu(process: psutil.Process) -> float:
    """Read the CPU of a process, of the children that it waited for, and of those that run."""
    seconds = 0.0
    with suppress(psutil.NoSuchProcess):
        own = process.cpu_times()
        seconds += own.user + own.system + getattr(own, "children_user", 0.0) + getattr(own, "children_system", 0.0)
        for child in process.children():
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                seconds += times.user + times.system
    return seconds


def describe_machine() -> dict[str, str]:
    """Describe what matters for the figures, and nothing that names the machine."""
    memory = psutil.virtual_memory().total / MEGABYTE / 1024
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GB",
        "python": platform.python_version(),
        "commit": _find_commit(),
    }


def _find_commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"

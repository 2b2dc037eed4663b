"""CPU time and memory of processes; Postgres has one for each session."""

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import psutil

MEGABYTE: Final = 1024 * 1024

LOOK_EVERY: Final = 10
"""How many readings use one list of children: listing them costs several milliseconds."""


class Processes:
    """The processes of one run, by what they are; the program under test may be several.

    Args:
        pids: for each name the processes that count.
        parents: the names whose children count as well.
    """

    def __init__(self, pids: Mapping[str, list[int]], parents: frozenset[str] = frozenset()) -> None:
        self._processes = {name: [psutil.Process(pid) for pid in some] for name, some in pids.items()}
        self._parents = parents
        self._children: dict[str, list[psutil.Process]] = {}
        self._readings = 0

    def read_cpu(self) -> dict[str, float]:
        """Read the CPU seconds that each has used since it started; children that have ended are in their parent's."""
        if self._readings % LOOK_EVERY == 0:
            for name in self._parents:
                self._children[name] = [child for one in self._processes[name] for child in one.children()]
        self._readings += 1
        return {
            name: sum(map(_read_with_ended, some)) + sum(map(_read_own, self._children.get(name, ())))
            for name, some in self._processes.items()
        }

    def read_megabytes(self, name: str) -> float:
        """Read how much memory the largest process of one name has resident."""
        sizes = [0.0]
        for process in self._processes[name]:
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss / MEGABYTE)
        return max(sizes)


def _read_own(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _read_with_ended(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        # macOS does not have the last two.
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return float(times.user + times.system + ended)
    return 0.0


def describe_machine() -> dict[str, str]:
    """Describe what matters for the figures, and nothing that names the machine."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / MEGABYTE / 1024:.0f} GB",
        "python": platform.python_version(),
        "commit": done.stdout.strip() or "unknown",
    }

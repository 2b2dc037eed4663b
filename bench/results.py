"""What was measured, kept as JSON; the pages are written from it."""

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Run:
    """One program that carried one load."""

    name: str
    messages: int
    """Counted after the warm-up; of a relay, rows of the outbox."""
    seconds: float
    cpu_seconds: dict[str, float]
    """By process: ``program``, ``kafka``, ``postgres``, ``yardstick``; each by itself, and for the same messages."""
    peak_megabytes: float
    missing: int = 0
    repeated: int = 0
    bytes_written: dict[str, float] = field(default_factory=dict)
    """Of each message in ``database``, ``wal`` and ``kafka``, where it was measured."""

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    def cpu_ms(self, process: str) -> float:
        """Milliseconds of CPU of a process for each message."""
        return self.cpu_seconds.get(process, 0.0) / self.messages * 1000


@dataclass(frozen=True)
class Latency:
    """How long single messages took, in milliseconds."""

    name: str
    milliseconds: list[float]

    def quantile(self, share: float) -> float:
        """Find the time that ``share`` of the messages did not exceed."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@dataclass
class Part:
    """What one part of the benchmark measured."""

    runs: list[Run] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """What could not be run, with the reason."""
    seconds: float = 0.0
    machine: dict[str, str] = field(default_factory=dict)
    command: str = ""

    def names(self) -> list[str]:
        """Name the programs and variants, in the order in which they were measured first."""
        return list(dict.fromkeys(run.name for run in self.runs))

    def summarize(self, name: str, of: Callable[[Run], float]) -> "Spread":
        """Summarize a figure of all runs of one name."""
        return Spread.of(of(run) for run in self.runs if run.name == name)

    def rate(self, name: str) -> float:
        """Find the median rate of one name, in messages per second."""
        return self.summarize(name, lambda run: run.rate).median

    def cpu_ms(self, name: str, process: str) -> float:
        """Find the median CPU of a process for each message, in milliseconds."""
        return self.summarize(name, lambda run: run.cpu_ms(process)).median

    def latency(self, name: str) -> Latency:
        """Join the latencies of one name."""
        found = [one for latency in self.latencies if latency.name == name for one in latency.milliseconds]
        return Latency(name, found)


@dataclass(frozen=True)
class Spread:
    """The median of some figures, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> "Spread":
        """Summarize figures; there is at least one."""
        found = list(figures)
        return cls(statistics.median(found), min(found), max(found))


Results = dict[str, Part]
"""Everything that was measured, by part."""


def read_results(docs: Path) -> Results:
    """Read the results; empty where nothing was measured yet."""
    file = _find_file(docs)
    return {name: _read_part(part) for name, part in json.loads(file.read_text()).items()} if file.exists() else {}


def _read_part(part: dict[str, Any]) -> Part:
    records = {
        "runs": [Run(**run) for run in part["runs"]],
        "latencies": [Latency(**latency) for latency in part["latencies"]],
    }
    return Part(**part | records)


def write_results(results: Results, docs: Path) -> None:
    """Write the results, rounded to what can be distinguished."""
    file = _find_file(docs)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({name: _round(asdict(part)) for name, part in results.items()}, indent=1) + "\n")


def _find_file(docs: Path) -> Path:
    return docs / "benchmarks" / "results.json"


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _round(one) for name, one in value.items()}
    return [_round(one) for one in value] if isinstance(value, list) else value

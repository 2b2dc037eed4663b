"""``python -m bench``: the whole path against its two yardsticks, its memory, and the time of a lone message.

Everything is measured in one run on one machine, so the ratios count, not the figures.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import Deployment, stop
from contracts.records import Record
from demo.kafka_server import run_kafka
from demo.postgres_server import run_postgres
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer

OUTPUTS = ("spectrum.exports", "bridge.approval-requests", "bridge.status")


@dataclass(frozen=True)
class Findings:
    """What one run of the benchmark found."""

    worker: list[float]
    naive: list[float]
    floor: list[float]
    waiting: int
    peak_megabytes: float
    latency_ms: list[float]
    parts_ms: dict[str, float]


async def watch(deployment: Deployment, until: Callable[[list[Record]], bool]) -> list[tuple[float, Record]]:
    """Watch what is sent until there is enough of it, each record with the moment it was seen."""
    topics = [deployment.prefix + name for name in OUTPUTS]
    reader = Consumer(KafkaConnection(deployment.kafka), f"{deployment.prefix}watch", topics, start="earliest")
    await reader.start()
    seen: list[tuple[float, Record]] = []
    deadline = time.monotonic() + 300
    try:
        while not until([record for _, record in seen[-1:]] if len(seen) < 1 else [record for _, record in seen]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(seen)} records came")
            seen.extend((time.monotonic(), record) for record in await reader.fetch_any(2000, 0.05))
    finally:
        await reader.close(1.0)
    return seen


async def measure_rate(folder: Path, kafka: str, url: str, budgets: int, program: tuple[str, ...]) -> float:
    """Measure messages per second: everything waits in the source topics; from first output to last."""
    deployment = Deployment(folder, kafka, url, budgets)
    await deployment.prepare()
    await deployment.send(range(1, budgets + 1))
    process = deployment.start(*program)
    try:
        seen = await watch(deployment, lambda records: len(records) >= 4 * budgets)
    finally:
        await stop(process)
    times = [moment for moment, _ in seen]
    return 2 * budgets / (max(times) - min(times))


async def measure_memory(folder: Path, kafka: str, url: str, waiting: int, worked: int) -> float:
    """Measure the worker's peak memory while it works through a backlog, in megabytes."""
    deployment = Deployment(folder, kafka, url, 1000)
    await deployment.prepare()
    await deployment.send_versions(waiting)
    process = deployment.start("worker", "run")
    try:
        await watch(deployment, lambda records: len(records) >= 2 * worked)
        return read_peak(process)
    finally:
        await stop(process)


def read_peak(process: subprocess.Popen[bytes]) -> float:
    """Read the most memory that a process has had resident, in megabytes."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise LookupError("no peak memory is told on this system")


async def measure_latency(folder: Path, kafka: str, url: str, count: int) -> tuple[list[float], dict[str, float]]:
    """Measure a lone lock: from before it is appended until its approval request is visible; and its parts."""
    deployment = Deployment(folder, kafka, url, count + 5)
    await deployment.prepare()
    process = deployment.start("worker", "run")
    topics = [f"{deployment.prefix}bridge.approval-requests", f"{deployment.prefix}bridge.inbox"]
    reader = Consumer(KafkaConnection(kafka), f"{deployment.prefix}watch", topics, start="earliest")
    await reader.start()
    taken: list[float] = []
    parts: dict[str, list[float]] = {"appended to the source": [], "copied to the inbox": [], "decided, published": []}
    from worker.kafka.producer import Appender  # noqa: PLC0415 - kept warm for this measurement alone

    appender = Appender(KafkaConnection(kafka))
    try:
        for project in range(1, count + 6):
            record = deployment._record("procore.budgets", "budget.locked.v1", project, _lock(project))
            await asyncio.sleep(0.03)
            began = time.monotonic()
            await appender.append([record])
            appended = time.monotonic()
            marks: dict[str, float] = {}
            while len(marks) < 2:
                for found in await reader.fetch_any(100, 0.2):
                    marks[found.place.topic] = time.monotonic()
            if project > 5:  # the first ones open connections
                ended = marks[topics[0]]
                taken.append((ended - began) * 1000)
                parts["appended to the source"].append((appended - began) * 1000)
                parts["copied to the inbox"].append(max(0.0, marks[topics[1]] - appended) * 1000)
                parts["decided, published"].append((ended - marks[topics[1]]) * 1000)
    finally:
        await stop(process)
        await reader.close(1.0)
        await appender.close(1.0)
    return taken, {name: statistics.median(times) for name, times in parts.items()}


def _lock(project: int) -> bytes:
    from bench.load import write_lock  # noqa: PLC0415 - beside its only use

    return write_lock(project)


async def measure(asked: Any, kafka: str, url: str, folder: Path, say: Callable[[str], None]) -> Findings:
    """Measure everything, the three programs in turn so that the machine's moods hit all."""
    rates: dict[str, list[float]] = {"worker": [], "naive": [], "floor": []}
    programs = {"worker": ("worker", "run"), "floor": ("bench.floor",), "naive": ("bench.naive",)}
    for turn in range(asked.turns):
        for name, program in programs.items():
            say(f"{name}, turn {turn + 1} of {asked.turns}")
            budgets = max(50, asked.budgets // 10) if name == "naive" else asked.budgets
            rates[name].append(await measure_rate(folder, kafka, url, budgets, program))
    say("the time of a lone message")
    latency, parts = await measure_latency(folder, kafka, url, asked.lone)
    say(f"memory with {asked.waiting:,} messages waiting")
    peak = await measure_memory(folder, kafka, url, asked.waiting, min(asked.waiting, asked.worked))
    return Findings(rates["worker"], rates["naive"], rates["floor"], asked.waiting, peak, latency, parts)


def show(found: Findings, console: Console) -> None:
    """Show the findings to a person."""
    worker, naive, floor = (statistics.median(rates) for rates in (found.worker, found.naive, found.floor))
    table = Table("what", "measured", "aim", title="budget-bridge, 20-line budgets, 4 partitions a topic")
    table.add_row("whole path, lock and accept", f"{worker:,.0f} messages/s", "")
    table.add_row("naive worker", f"{naive:,.0f} messages/s", "")
    table.add_row("floor: the same I/O, no decisions", f"{floor:,.0f} messages/s", "")
    table.add_row("whole path / naive", f"{worker / naive:.1f}", "10 at least")
    table.add_row("whole path / floor", f"{worker / floor:.2f}", "0.6 at least")
    table.add_row(f"peak memory, {found.waiting:,} waiting", f"{found.peak_megabytes:.0f} MB", "under 150 MB")
    ordered = sorted(found.latency_ms)
    table.add_row("lone lock to approval request, p50", f"{statistics.median(ordered):.1f} ms", "under 25 ms")
    table.add_row("the same, p95", f"{ordered[int(len(ordered) * 0.95)]:.1f} ms", "")
    for part, taken in found.parts_ms.items():
        table.add_row(f"  of it: {part}", f"{taken:.1f} ms", "")
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--budgets", type=int, default=4000, help="budgets of one turn, each locked and accepted")
    parser.add_argument("--turns", type=int, default=3, help="turns of each program")
    parser.add_argument("--waiting", type=int, default=100_000, help="messages that wait when memory is measured")
    parser.add_argument("--worked", type=int, default=30_000, help="how many of them are worked")
    parser.add_argument("--lone", type=int, default=100, help="lone messages")
    parser.add_argument("--quick", action="store_true", help="a look: everything small")
    parser.add_argument("--json", action="store_true", help="for programs")
    asked = parser.parse_args()
    if asked.quick:
        asked.budgets, asked.turns, asked.waiting, asked.lone = 500, 1, 2000, 20
    console = Console(stderr=asked.json)
    with tempfile.TemporaryDirectory(prefix="budget-bridge-bench-") as name, console.status("starting ...") as status:
        folder = Path(name)
        with run_kafka(folder / "kafka", compile_fully=True) as kafka, run_postgres(folder / "postgres") as postgres:
            found = asyncio.run(measure(asked, kafka.bootstrap, postgres.url, folder, status.update))
    if asked.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        show(found, console)


if __name__ == "__main__":
    main()

"""``python -m bench``: throughput against two yardsticks, peak memory, and the latency of a single message.

Everything is measured in one run on one machine: the ratios count, not the figures.
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

from rich.console import Console
from rich.table import Table

from bench.load import BenchDeployment, stop, write_lock
from contracts.records import Record
from demo.kafka_server import run_kafka
from demo.postgres_server import run_postgres
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer

OUTPUTS = ("spectrum.exports", "bridge.approval-requests", "bridge.status")


@dataclass(frozen=True)
class BenchmarkResult:
    """What one run of the benchmark measured; rates are messages per second of each turn."""

    worker: list[float]
    naive: list[float]
    floor: list[float]
    waiting: int
    peak_megabytes: float
    latency_ms: list[float]
    parts_ms: dict[str, float]


async def read_outputs(
    deployment: BenchDeployment, until: Callable[[list[Record]], bool]
) -> list[tuple[float, Record]]:
    """Read what the program sends until there is enough of it; each record with the moment at which it was read."""
    topics = [deployment.prefix + name for name in OUTPUTS]
    reader = Consumer(KafkaConnection(deployment.kafka), f"{deployment.prefix}watch", topics, start="earliest")
    await reader.start()
    seen: list[tuple[float, Record]] = []
    deadline = time.monotonic() + 300
    try:
        while not until([record for _, record in seen]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(seen)} records arrived in time")
            seen.extend((time.monotonic(), record) for record in await reader.fetch_any(2000, 0.05))
    finally:
        await reader.close(1.0)
    return seen


async def measure_rate(folder: Path, kafka: str, url: str, budgets: int, program: tuple[str, ...]) -> float:
    """Measure messages per second, from the first output to the last, with everything waiting in the source topics."""
    deployment = BenchDeployment(folder, kafka, url, budgets)
    await deployment.prepare()
    await deployment.send(range(1, budgets + 1))
    process = deployment.start(*program)
    try:
        seen = await read_outputs(deployment, lambda records: len(records) >= 4 * budgets)
    finally:
        await stop(process)
    times = [moment for moment, _ in seen]
    return 2 * budgets / (max(times) - min(times))


async def measure_memory(folder: Path, kafka: str, url: str, waiting: int, worked: int) -> float:
    """Measure the worker's peak memory in megabytes while it decides ``worked`` of ``waiting`` messages."""
    deployment = BenchDeployment(folder, kafka, url, 1000)
    await deployment.prepare()
    await deployment.send_versions(waiting)
    process = deployment.start("worker", "run")
    try:
        await read_outputs(deployment, lambda records: len(records) >= 2 * worked)
        return read_peak(process)
    finally:
        await stop(process)


def read_peak(process: subprocess.Popen[bytes]) -> float:
    """Read the peak resident memory of a process, in megabytes."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise LookupError("this system does not report the peak memory of a process")


async def measure_latency(folder: Path, kafka: str, url: str, count: int) -> tuple[list[float], dict[str, float]]:
    """Measure how long a single lock takes until its approval request is visible, in milliseconds, and its parts."""
    deployment = BenchDeployment(folder, kafka, url, count + 5)
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
            record = deployment.make_record("procore.budgets", "budget.locked.v1", project, write_lock(project))
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


async def measure(
    options: argparse.Namespace, kafka: str, url: str, folder: Path, progress: Callable[[str], None]
) -> BenchmarkResult:
    """Measure everything, the three programs in turn, so that other load on the machine affects all of them."""
    rates: dict[str, list[float]] = {"worker": [], "naive": [], "floor": []}
    programs = {"worker": ("worker", "run"), "floor": ("bench.floor",), "naive": ("bench.naive",)}
    for turn in range(options.turns):
        for name, program in programs.items():
            progress(f"{name}, turn {turn + 1} of {options.turns}")
            budgets = max(50, options.budgets // 10) if name == "naive" else options.budgets
            rates[name].append(await measure_rate(folder, kafka, url, budgets, program))
    progress("latency of a single message")
    latency, parts = await measure_latency(folder, kafka, url, options.lone)
    progress(f"memory with {options.waiting:,} messages waiting")
    peak = await measure_memory(folder, kafka, url, options.waiting, min(options.waiting, options.worked))
    return BenchmarkResult(rates["worker"], rates["naive"], rates["floor"], options.waiting, peak, latency, parts)


def print_result(result: BenchmarkResult, console: Console) -> None:
    """Print the result as a table."""
    worker, naive, floor = (statistics.median(rates) for rates in (result.worker, result.naive, result.floor))
    table = Table("", "measured", "target", title="budget-bridge, 20-line budgets, 4 partitions a topic")
    table.add_row("whole path, lock and accept", f"{worker:,.0f} messages/s", "")
    table.add_row("naive worker", f"{naive:,.0f} messages/s", "")
    table.add_row("floor: the same I/O, no decisions", f"{floor:,.0f} messages/s", "")
    table.add_row("whole path / naive", f"{worker / naive:.1f}", "at least 10")
    table.add_row("whole path / floor", f"{worker / floor:.2f}", "at least 0.6")
    table.add_row(f"peak memory, {result.waiting:,} waiting", f"{result.peak_megabytes:.0f} MB", "under 150 MB")
    ordered = sorted(result.latency_ms)
    table.add_row("single lock to approval request, p50", f"{statistics.median(ordered):.1f} ms", "under 25 ms")
    table.add_row("the same, p95", f"{ordered[int(len(ordered) * 0.95)]:.1f} ms", "")
    for part, taken in result.parts_ms.items():
        table.add_row(f"  of which {part}", f"{taken:.1f} ms", "")
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--budgets", type=int, default=4000, help="budgets of one turn, each locked and accepted")
    parser.add_argument("--turns", type=int, default=3, help="turns of each program")
    parser.add_argument("--waiting", type=int, default=100_000, help="messages that wait while memory is measured")
    parser.add_argument("--worked", type=int, default=30_000, help="how many of them are decided")
    parser.add_argument("--lone", type=int, default=100, help="single messages whose latency is measured")
    parser.add_argument("--quick", action="store_true", help="a quick run: everything small")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.quick:
        options.budgets, options.turns, options.waiting, options.lone = 500, 1, 2000, 20
    console = Console(stderr=options.json)
    with tempfile.TemporaryDirectory(prefix="budget-bridge-bench-") as name, console.status("starting ...") as status:
        folder = Path(name)
        with run_kafka(folder / "kafka", compile_fully=True) as kafka, run_postgres(folder / "postgres") as postgres:
            result = asyncio.run(measure(options, kafka.bootstrap, postgres.url, folder, status.update))
    if options.json:
        print(json.dumps(asdict(result), indent=2))
    else:
        print_result(result, console)


if __name__ == "__main__":
    main()

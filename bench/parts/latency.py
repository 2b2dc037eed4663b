"""How long single messages take: alone, and while the worker is half busy."""

import asyncio
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from bench.cpu import Processes
from bench.harness import WORKER, Bench
from bench.load import BenchDeployment
from bench.measuring import Outputs, open_outputs, read_some
from bench.results import Latency, Part
from contracts.cloudevents.reading import read_claimed_type
from contracts.inbound import BudgetLocked
from contracts.records import Outgoing
from demo.server_process import choose_ports

LONE: Final = 100
WARM_UP: Final = 10
PAUSE_SECONDS: Final = 0.03
HALF_LOAD_SECONDS: Final = 15
ACCEPTED_AFTER_SECONDS: Final = 2
TICK_SECONDS: Final = 0.005
FALLBACK_RATE: Final = 600.0
"""Messages per second that half a load is half of, where the path was not measured."""

LONE_LOCK: Final = "lone lock"
APPENDED: Final = "of which: appended to its source topic"
COPIED: Final = "of which: copied to the inbox"
DECIDED: Final = "of which: decided, stored, published"
PUBLISHED: Final = "publishing a stored batch of one, mean"
HALF_LOAD: Final = "half load"
HALF_LOAD_COPIED: Final = "half load, of which: copied to the inbox"
BUSY: Final = "busy at half load"
LOADING: Final = "sending and reading"


async def measure_latency(bench: Bench) -> Part:
    """Measure both."""
    part = Part()
    for _ in range(bench.turns):
        part.latencies += await measure_lone(bench)
    path = bench.results.get("path")
    rate = (path.rate("worker") if path else FALLBACK_RATE) / 2
    latencies, cores = await measure_half_load(bench, rate)
    part.latencies += latencies
    part.notes[HALF_LOAD] = f"{rate:,.0f} messages per second"
    part.notes[BUSY] = ", ".join(f"{name} {share:.2f}" for name, share in cores.items())
    return part


async def measure_lone(bench: Bench) -> list[Latency]:
    """Measure how long a lone lock takes until its approval request is visible, and the parts of that."""
    count = max(bench.size(LONE), WARM_UP * 2)
    deployment = await bench.prepare(count)
    (port,) = choose_ports(1)
    process = deployment.start(WORKER.module, *WORKER.arguments, HTTP_PORT=str(port))
    names = (LONE_LOCK, APPENDED, COPIED, DECIDED)
    found = {name: Latency(name, []) for name in names}
    producer = AIOKafkaProducer(bootstrap_servers=bench.kafka.bootstrap)
    topics = [f"{deployment.prefix}bridge.inbox", f"{deployment.prefix}bridge.approval-requests"]
    try:
        await bench.await_members(deployment, 1)
        async with producer, open_outputs(bench.kafka.bootstrap, topics) as outputs:
            for project in range(1, count + 1):
                bench.report(LONE_LOCK, project / count)
                await asyncio.sleep(PAUSE_SECONDS)
                began = time.monotonic()
                await send(producer, deployment.make_lock(project))
                appended = time.monotonic()
                copied, ended = await see_each(outputs, topics)
                if project > WARM_UP:
                    for name, seconds in zip(
                        names,
                        (ended - began, appended - began, max(copied - appended, 0.0), ended - copied),
                        strict=True,
                    ):
                        found[name].milliseconds.append(seconds * 1000)
            published = await asyncio.to_thread(read_publish_ms, port)
    finally:
        process.terminate()
        process.wait()
    return [*found.values(), Latency(PUBLISHED, [published])]


async def send(producer: AIOKafkaProducer, record: Outgoing) -> None:
    """Append a record and wait for it."""
    await producer.send_and_wait(record.topic, record.value, record.key, headers=list(record.headers))


async def see_each(outputs: Outputs, topics: list[str]) -> list[float]:
    """Wait for a record of each topic; returns when each was seen."""
    seen: dict[str, float] = {}
    while len(seen) < len(topics):
        for raw in await read_some(outputs.consumer, 0.2):
            seen.setdefault(raw.topic, time.monotonic())
    return [seen[topic] for topic in topics]


def read_publish_ms(port: int) -> float:
    """Read from the worker's own metrics how long publishing a batch took on average."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    step = 'budget_bridge_step_seconds_{}{{step="publish"}}'
    return figures[step.format("sum")] / figures[step.format("count")] * 1000


async def measure_half_load(bench: Bench, rate: float) -> tuple[list[Latency], dict[str, float]]:
    """Measure how long locks take at half of what the worker can carry of the same load, locks and acceptances.

    Returns:
        The latencies, and how many cores each process kept busy meanwhile.
    """
    count = max(int(rate * HALF_LOAD_SECONDS * min(bench.scale, 1.0)) // 2, 100)
    deployment = await bench.prepare(count)
    behind = int(rate * ACCEPTED_AFTER_SECONDS / 2)
    total, copied = Latency(HALF_LOAD, []), Latency(HALF_LOAD_COPIED, [])
    sent: dict[bytes, float] = {}
    seen = 0

    def note(raw: Any, moment: float) -> float:
        nonlocal seen
        # An acceptance is copied under the same key, two seconds later.
        latency = (
            total if raw.topic == requests else copied if read_claimed_type(raw.headers) == BudgetLocked.type else None
        )
        if latency and len(sent) > count // 5:
            key = raw.key if latency is total else raw.key + b"/1"
            latency.milliseconds.append((moment - sent[key]) * 1000)
        seen += int(raw.topic == requests)
        return seen / count

    inbox, requests = (f"{deployment.prefix}{name}" for name in ("bridge.inbox", "bridge.approval-requests"))
    with bench.run(deployment, WORKER) as process:
        await bench.await_members(deployment, 1)
        processes = bench.list_processes(process)
        async with open_outputs(bench.kafka.bootstrap, [inbox, requests]) as outputs:
            reading = asyncio.create_task(note_all(outputs, note, lambda share: bench.report(HALF_LOAD, share)))
            began, before = time.monotonic(), read_cpu(processes)
            await send_evenly(bench.kafka.bootstrap, deployment, rate / 2, behind, sent)
            seconds, after = time.monotonic() - began, read_cpu(processes)
            await asyncio.wait_for(reading, 60)
    return [total, copied], {name: (after[name] - before[name]) / seconds for name in after}


def read_cpu(processes: Processes) -> dict[str, float]:
    """Read the CPU seconds of the processes, and of this one."""
    return processes.read_cpu() | {LOADING: time.process_time()}


async def send_evenly(
    kafka: str, deployment: BenchDeployment, rate: float, behind: int, sent: dict[bytes, float]
) -> None:
    """Send locks at a rate, each with the acceptance of an earlier one, and note by key when each lock was sent."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        began = time.monotonic()
        while len(sent) < deployment.budgets:
            due = min(int((time.monotonic() - began) * rate) + 1, deployment.budgets)
            for project in range(len(sent) + 1, due + 1):
                lock = deployment.make_lock(project)
                sent[lock.key or b""] = time.monotonic()
                await append(producer, lock)
                if project > behind:
                    await append(producer, deployment.make_acceptance(project - behind))
            await asyncio.sleep(TICK_SECONDS)


async def append(producer: AIOKafkaProducer, record: Outgoing) -> None:
    """Append a record, without waiting for the broker."""
    await producer.send(record.topic, record.value, record.key, headers=list(record.headers))


async def note_all(outputs: Outputs, note: Callable[[Any, float], float], progress: Callable[[float], None]) -> None:
    """Note when each record was seen, until ``note`` returns that all of them were."""
    share = 0.0
    while share < 1.0:
        raws = await read_some(outputs.consumer, 0.2)
        moment = time.monotonic()
        for raw in raws:
            share = note(raw, moment)
        progress(share)

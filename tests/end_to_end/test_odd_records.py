"""The law: whatever one record is, the next one of its partition is decided within 5 s and 300 MB."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient

from demo.server_process import choose_ports
from tests.end_to_end.harness import Bridge
from tests.end_to_end.odd_records import OddRecord, list_odd_records, produce
from tests.end_to_end.odd_snapshots import list_odd_snapshots
from tests.end_to_end.test_health import ask
from tests.unit.builders import CONCRETE, KEY, STEEL, lock, read_line, snapshot
from tests.worker_process import WorkerProcess

# Of the worker's CPU: other tests keep it waiting.
WITHIN_SECONDS = 5.0
WITHIN_KB = 300 * 1024
SPOILT = json.loads(json.dumps(lock(1, key=KEY._replace(budget_id=9)).model_dump(mode="json")))


READ = snapshot(
    read_line(STEEL), read_line(CONCRETE), **KEY._replace(budget_id=9)._asdict(), job_number="J90071"
).model_dump(mode="json")


def list_all_odd() -> Iterator[OddRecord]:
    yield from list_odd_records(SPOILT)
    yield from list_odd_snapshots(READ)


def measure_cpu(worker: WorkerProcess) -> float:
    """Measure the CPU that the worker has used so far, in seconds."""
    # The second field, a name in brackets, may hold spaces; of those after it, 12 and 13 are user's and system's ticks.
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def measure_memory(worker: WorkerProcess) -> int:
    """Measure the most memory that the worker has had so far, in kB."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    names = [record.name for record in list_all_odd()]
    assert len(names) == len(set(names)) >= 100
    assert sum(record.topic == "spectrum.snapshots" for record in list_all_odd()) >= 40


@pytest.mark.timeout(900)
async def test_whatever_one_record_is_the_next_is_decided(bridge: Bridge) -> None:
    worker = bridge.start()
    client = AIOKafkaClient(bootstrap_servers=bridge.kafka, request_timeout_ms=30_000)
    await client.bootstrap()
    spent, slow = measure_cpu(worker), dict[str, float]()
    taken: dict[tuple[str, int], OddRecord] = {}
    refused: dict[str, int] = {}
    try:
        for number, odd in enumerate(list_all_odd(), 1):
            topic = bridge.prefix + odd.topic
            offset = await produce(client, topic, odd.write())
            if offset < 0:
                # What a broker takes from nobody can hurt nobody.
                refused[odd.name] = -offset
                continue
            taken[topic, offset] = odd
            key = KEY._replace(project_id=number)
            await bridge.send(lock(1, key=key))
            await bridge.wait_for("approval.requested.v1", 1, **key._asdict())
            before, spent = spent, measure_cpu(worker)
            slow[odd.name] = spent - before
            memory = measure_memory(worker)
            assert memory < WITHIN_KB, f"{memory // 1024} MB after {odd.name}"
    finally:
        await client.close()
    assert len(taken) >= 100, refused
    assert not {name: seconds for name, seconds in slow.items() if seconds > WITHIN_SECONDS}
    assert worker.poll() is None
    await check_dead_letters(bridge, taken)
    await check_commands(bridge)
    await check_watch(bridge)


async def check_dead_letters(bridge: Bridge, taken: dict[tuple[str, int], OddRecord]) -> None:
    """A dead letter is byte for byte what was received, or has a header about what was cut."""
    letters = 0
    for record in bridge.dead_letters():
        headers = dict(record.headers)
        place = ((headers["dead_letter_topic"] or b"").decode(), int(headers["dead_letter_offset"] or b""))
        if (odd := taken.get(place)) is None:
            continue
        letters += 1
        if "bridge_unreadable" in headers or "dead_letter_cut_from_bytes" in headers:
            assert (odd.value or b"").startswith((record.value or b"")[:1000]), odd.name
            continue
        assert (record.key, record.value) == (odd.key, odd.value), odd.name
        own = [header for header in record.headers if not header[0].startswith("dead_letter")]
        if not odd.names:
            assert own == list(odd.headers) or odd.name == "a dead letter", odd.name
    assert letters >= 90


async def check_commands(bridge: Bridge) -> None:
    """No command ends in a traceback, whatever it is to show."""
    [letter, *_] = json.loads((await run(bridge, "dead-letters", "list", "--json", "--limit", "5")).stdout)[
        "dead_letters"
    ]
    for command in (
        ["status"],
        ["status", str(KEY._replace(budget_id=9))],
        ["drift"],
        ["drift", str(KEY._replace(budget_id=9))],
        ["dead-letters", "list"],
        ["dead-letters", "show", letter["id"]],
        ["doctor"],
        ["reconcile"],
    ):
        done = await run(bridge, *command)
        assert "Traceback" not in done.stdout + done.stderr, (command, done.stderr[-2000:])
        assert done.returncode in {0, 1}, (command, done.stdout, done.stderr)
        assert "\x1b" not in done.stdout, command


async def check_watch(bridge: Bridge) -> None:
    """The watch reads all of it to the end."""
    [port] = choose_ports(1)
    log = bridge.folder / "watch.log"
    with log.open("wb") as output:
        watch = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-m", "worker", "watch"],
            env={**bridge.environment, "HTTP_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + 90
        while True:
            status, text = await ask(port, "/findings.json")
            if status == 200 and json.loads(text)["judged_ms"]:
                break
            assert watch.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            await asyncio.sleep(0.5)
    finally:
        watch.terminate()
        await asyncio.to_thread(watch.wait, 30)
    assert "Traceback" not in log.read_text()


async def run(bridge: Bridge, *command: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(bridge.command, *command)

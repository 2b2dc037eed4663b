"""How a worker behaves when Kafka, its output or the machine fails; each test has servers of its own."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from demo.kafka_server import Kafka, run_kafka
from demo.server_process import choose_ports
from tests.end_to_end.harness import Bridge
from tests.end_to_end.test_health import ask, wait_for_answer
from tests.exactly_once.proxy import Proxy
from tests.unit.builders import KEY, accept, lock
from tests.worker_process import WorkerProcess

STOP_SECONDS = 10.0
MOVED_SECONDS = 60.0
"""How soon records must be carried again after all brokers have moved."""


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
async def own(tmp_path: Path, database_url: str) -> AsyncIterator[tuple[Bridge, Kafka]]:
    """A deployment with a broker of its own, which can be stopped or frozen."""
    with run_kafka(tmp_path / "kafka") as kafka:
        bridge = Bridge(tmp_path, kafka.bootstrap, database_url)
        try:
            await bridge.prepare()
            yield bridge, kafka
        finally:
            thaw(kafka)
            await bridge.close()


def freeze(kafka: Kafka) -> None:
    if kafka.pid:
        os.kill(kafka.pid, signal.SIGSTOP)


def thaw(kafka: Kafka) -> None:
    if kafka.pid:
        os.kill(kafka.pid, signal.SIGCONT)


async def wait_for_event(bridge: Bridge, event: str, count: int = 1) -> None:
    """Wait for an event of the log, without asking Kafka, which may be frozen."""
    until = time.monotonic() + 60
    while [line["event"] for line in bridge.read_log()].count(event) < count:
        assert time.monotonic() < until, (event, (bridge.folder / "worker.log").read_text()[-3000:])
        await asyncio.sleep(0.05)


async def measure_stop(worker: WorkerProcess) -> float:
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.wait, 60)
    return time.monotonic() - began


async def test_a_bootstrap_server_that_never_answers_costs_nothing(bridge: Bridge, silent_server: str) -> None:
    bridge.settings["KAFKA_BOOTSTRAP"] = f"{silent_server},{bridge.kafka}"
    bridge.start()
    await bridge.send(lock(), accept())
    began = time.monotonic()
    await bridge.wait_for("spectrum.export.v1")
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert (await asyncio.to_thread(bridge.command, "status", str(KEY), "--json")).returncode == 0
    assert time.monotonic() - began < 8


async def test_sigterm_while_kafka_never_answers_at_the_start(bridge: Bridge, silent_server: str) -> None:
    bridge.settings["KAFKA_BOOTSTRAP"] = silent_server
    worker = bridge.start()
    await wait_for_event(bridge, "kafka.lost")
    assert await measure_stop(worker) < STOP_SECONDS
    assert worker.returncode == 0


async def test_sigterm_while_the_broker_is_frozen(own: tuple[Bridge, Kafka]) -> None:
    bridge, kafka = own
    worker = bridge.start()
    await bridge.send(lock(), accept())
    await bridge.wait_for("spectrum.export.v1")
    freeze(kafka)
    assert await measure_stop(worker) < STOP_SECONDS
    assert worker.returncode == 0
    # While it tries to start.
    starting = bridge.start()
    await wait_for_event(bridge, "kafka.lost")
    assert await measure_stop(starting) < STOP_SECONDS
    # And with something in flight.
    thaw(kafka)
    worker = bridge.start()
    await wait_for_event(bridge, "lane.started", 4)
    await bridge.send(*(lock(1, key=KEY._replace(project_id=project)) for project in range(1, 60)))
    freeze(kafka)
    assert await measure_stop(worker) < STOP_SECONDS
    thaw(kafka)
    bridge.start()
    await bridge.wait_until(lambda: len(bridge.messages("approval.requested.v1")) >= 60, "all of them")
    await bridge.wait_until_carried()


async def test_brokers_that_come_back_elsewhere_are_found_behind_the_same_bootstrap_address(
    tmp_path: Path, database_url: str
) -> None:
    [port] = choose_ports(1)
    bridge = Bridge(tmp_path, f"127.0.0.1:{port}", database_url)
    try:
        with run_kafka(tmp_path / "kafka") as before:
            async with stand_before(before, port):
                await bridge.prepare()
                bridge.start()
                await bridge.send(lock())
                await bridge.wait_for("approval.requested.v1")
        with run_kafka(tmp_path / "kafka") as after:
            assert after.bootstrap != before.bootstrap
            async with stand_before(after, port):
                began = time.monotonic()
                await bridge.reader.rejoin()
                await bridge.appender.close(1.0)
                await bridge.send(accept())
                await bridge.wait_for("spectrum.export.v1")
                assert time.monotonic() - began < MOVED_SECONDS
                await bridge.wait_until_carried()
                await bridge.close()
    finally:
        await bridge.close()


@contextlib.asynccontextmanager
async def stand_before(kafka: Kafka, port: int) -> AsyncIterator[None]:
    """Lead an address of its own to a broker, which names its real one to whoever comes."""
    host, _, real = kafka.bootstrap.rpartition(":")
    proxy = Proxy(host, int(real))
    await proxy.start(port)
    try:
        yield
    finally:
        await proxy.close()


async def test_kafka_gone_while_nothing_is_in_flight_is_noticed_and_said_once(own: tuple[Bridge, Kafka]) -> None:
    bridge, kafka = own
    [port] = choose_ports(1)
    bridge.settings["HTTP_PORT"] = str(port)
    bridge.start()
    await wait_for_answer(bridge, port, "/health/ready", 200)
    # A worker has joined before its lanes have committed their first offsets.
    await wait_for_event(bridge, "lane.started", 2)
    await asyncio.to_thread(kafka.stop)
    began = time.monotonic()
    while (await ask(port, "/health/ready"))[0] != 503:
        assert time.monotonic() - began < 15
        await asyncio.sleep(0.1)
    body = json.loads((await ask(port, "/health/ready"))[1])
    assert (body["away"], body["breakers"]["kafka"] != "closed") == (["kafka"], True)
    assert (await ask(port, "/health/live"))[0] == 200
    await asyncio.to_thread(kafka.start)
    await wait_for_answer(bridge, port, "/health/ready", 200)
    assert [line["event"] for line in bridge.read_log()].count("kafka.lost") == 1
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")


async def test_without_its_output_a_worker_carries_on(bridge: Bridge) -> None:
    [port] = choose_ports(1)
    reading, writing = os.pipe()
    environment = {**bridge.environment, "HTTP_PORT": str(port)}
    worker = subprocess.Popen(  # noqa: ASYNC220 - it only starts
        [sys.executable, "-m", "worker", "run"], env=environment, stdout=writing, stderr=writing
    )
    os.close(writing)
    try:
        await wait_for_answer(bridge, port, "/health/ready", 200)
        os.close(reading)
        await bridge.send(lock(), accept())
        await bridge.wait_for("spectrum.export.v1")
        _, metrics = await ask(port, "/metrics")
        lost = next(line for line in metrics.splitlines() if line.startswith("budget_bridge_log_lines_lost_total"))
        assert float(lost.split()[1]) > 0
        assert (await ask(port, "/health/ready"))[0] == 200
        await bridge.wait_until_carried()
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)


async def test_a_terminal_that_closes_does_not_end_a_worker(bridge: Bridge) -> None:
    worker = bridge.start()
    await wait_for_event(bridge, "lane.started")
    worker.send_signal(signal.SIGHUP)
    await wait_for_event(bridge, "signal.ignored")
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")


async def test_half_sent_requests_use_up_neither_threads_nor_files(bridge: Bridge) -> None:
    [port] = choose_ports(1)
    bridge.settings["HTTP_PORT"] = str(port)
    worker = bridge.start()
    await wait_for_answer(bridge, port, "/health/ready", 200)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            half.sendall(b"GET /health/ready HTTP/1.1\r\nHost: ")
        threads = len(list(Path(f"/proc/{worker.pid}/task").iterdir()))  # noqa: ASYNC240 - no disk
        assert threads < 60
        # Within their time limit the places are free again, with the half-sent requests still open.
        await wait_for_answer(bridge, port, "/health/live", 200)
    await wait_for_answer(bridge, port, "/health/ready", 200)

"""The health port answers, whatever else is connected to it."""

import asyncio
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from prometheus_client.exposition import ThreadingWSGIServer

from demo.server_process import choose_ports
from worker.telemetry import health_server
from worker.telemetry.health_server import MAX_REQUESTS, Readiness, serve_health


async def test_a_machine_without_threads_for_a_moment_does_not_cost_places(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = choose_ports(1)
    refusals: list[bool] = []

    def refuse(*_: object) -> None:
        refusals.append(True)
        message = "can't start new thread"
        raise RuntimeError(message)

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
            return client.recv(100)

    async with serve_health(port, "127.0.0.1"):
        with monkeypatch.context() as patched:
            patched.setattr(ThreadingWSGIServer, "process_request", refuse)
            for _ in range(MAX_REQUESTS):
                with suppress(ConnectionError):
                    await asyncio.to_thread(ask)
        assert len(refusals) == MAX_REQUESTS
        assert b" 200 OK" in await asyncio.to_thread(ask)


async def test_a_byte_now_and_then_does_not_keep_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_server, "REQUEST_SECONDS", 0.2)
    (port,) = choose_ports(1)

    def ask() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=2) as answer:
            status: int = answer.status
            return status

    async with serve_health(port, "127.0.0.1"):
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_REQUESTS)]
        for _ in range(8):
            for one in slow:
                try:
                    one.sendall(b"G")
                except OSError:
                    continue
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(ask) == 200
        for one in slow:
            one.close()


async def test_a_loop_that_is_blocked_is_reported_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """And by nothing that the blocked loop has to do: readiness is determined by the loop alone."""
    monkeypatch.setattr(health_server, "ALIVE_SECONDS", 0.3)
    monkeypatch.setattr(health_server, "UPDATE_SECONDS", 0.01)
    (port,) = choose_ports(1)
    asked_by: set[int] = set()

    def find_readiness() -> Readiness:
        asked_by.add(threading.get_ident())
        return Readiness(is_ready=True, details={})

    def ask(path: str) -> tuple[int, bool]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{path}", timeout=5) as answer:
                return answer.status, True
        except urllib.error.HTTPError as error:
            with error:
                return error.code, next(iter(json.load(error).values()))

    async with serve_health(port, "127.0.0.1") as health:
        health.find_readiness = find_readiness
        stopping = asyncio.Event()
        running = asyncio.create_task(health.run(stopping))
        await asyncio.sleep(0)
        assert [await asyncio.to_thread(ask, path) for path in ("live", "ready")] == [(200, True), (200, True)]
        with ThreadPoolExecutor() as pool:
            time.sleep(0.5)  # noqa: ASYNC251 - it blocks the loop
            assert [pool.submit(ask, path).result() for path in ("live", "ready")] == [(503, False), (503, False)]
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(ask, "live") == (200, True)
        stopping.set()
        await running
    assert asked_by == {threading.get_ident()}


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("PUT", 405), ("DELETE", 405)])
async def test_nothing_but_get_and_head_is_answered(method: str, status: int) -> None:
    (port,) = choose_ports(1)

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(f"{method} /health/live HTTP/1.0\r\n\r\n".encode())
            return client.recv(100)

    async with serve_health(port, "127.0.0.1"):
        assert f" {status} ".encode() in await asyncio.to_thread(ask)

"""The health port answers, whatever else is connected to it."""

import asyncio
import socket
import urllib.request
from contextlib import suppress

import pytest
from prometheus_client.exposition import ThreadingWSGIServer

from demo.server_process import choose_ports
from worker.telemetry import health_server
from worker.telemetry.health_server import MAX_REQUESTS, serve_health


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

"""Liveness, readiness and metrics of a process over HTTP."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from worker.resilience.backoff import wait_unless
from worker.resilience.breaker import Breakers
from worker.resilience.outage import list_away
from worker.settings import ConfigurationBroken
from worker.telemetry.census import CENSUS_SECONDS, take_census

ALIVE_SECONDS: Final = 10.0
"""A worker whose loop has not turned for so long is not alive: something blocks it."""


Answer = Callable[[str, list[tuple[str, str]]], object]


class Health:
    """How the worker is, told from another thread so that it can be told when the loop stands still."""

    def __init__(self, breakers: Breakers) -> None:
        self.started = False
        """Whether it has joined its groups."""
        self.list_silent: Callable[[], list[str]] = list
        """Which of its readers hand out nothing of what is there."""
        self._breakers = breakers
        self._turned_at = time.monotonic()

    async def run(self, stopping: asyncio.Event, database_url: str) -> None:
        """Notice that the loop turns, and count the budgets now and then."""
        counted_at = -CENSUS_SECONDS
        while not stopping.is_set():
            self._turned_at = time.monotonic()
            # Not before the schema was found fit.
            if self.started and self._turned_at - counted_at > CENSUS_SECONDS:
                counted_at = self._turned_at
                await take_census(database_url)
            await wait_unless(stopping, 1.0)

    @property
    def is_alive(self) -> bool:
        """Whether the loop turns."""
        return time.monotonic() - self._turned_at < ALIVE_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether it carries: it has started, waits for nothing that is away, and no reader of it is silent."""
        return self.started and self.is_alive and not list_away() and not self.list_silent()

    def answer(self, environ: dict[str, Any], start: Answer) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path == "/metrics":
            found: Iterable[bytes] = make_wsgi_app()(environ, start)
            return found
        if path == "/health/live":
            return _say(start, ok=self.is_alive, said={"alive": self.is_alive})
        if path == "/health/ready":
            said = {
                "ready": self.is_ready,
                "started": self.started,
                "breakers": self._breakers.tell(),
                "away": sorted(list_away()),
                "silent": self.list_silent(),
            }
            return _say(start, ok=self.is_ready, said=said)
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/health/live, /health/ready and /metrics are here\n"]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: whoever asks every few seconds is no event."""


@asynccontextmanager
async def serve_health(port: int | None, breakers: Breakers) -> AsyncIterator[Health]:
    """Serve it on a port, if one is given; raises ``ConfigurationBroken`` where that cannot be had."""
    health = Health(breakers)
    if port is None:
        yield health
        return
    try:
        server = make_server("", port, health.answer, ThreadingWSGIServer, _Silent)
    except OSError as error:
        problem = f"HTTP_PORT: port {port} cannot be used ({error.strerror})"
        raise ConfigurationBroken((problem,)) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield health
    finally:
        server.shutdown()
        server.server_close()


def _say(start: Answer, *, ok: bool, said: dict[str, object]) -> list[bytes]:
    start("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(said).encode() + b"\n"]

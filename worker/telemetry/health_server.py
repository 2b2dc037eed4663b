"""Serves liveness, readiness and metrics of a process over HTTP."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from worker.settings import ConfigurationError

ALIVE_SECONDS: Final = 10.0
"""A worker whose event loop has not turned for this long is not alive: something blocks it."""

REQUEST_SECONDS: Final = 5.0
"""A request that is not complete and answered within this time is dropped."""

MAX_REQUESTS: Final = 16
"""Requests that are answered at the same time; more are dropped, so that no prober can use up threads or files."""

UPDATE_SECONDS: Final = 0.5
"""How often readiness is updated; what is served is never older."""

_StartResponse = Callable[[str, list[tuple[str, str]]], object]


class Readiness(NamedTuple):
    """Whether a process does its work, and the details that ``/health/ready`` reports."""

    is_ready: bool
    details: Mapping[str, object]


class Health:
    """The health of a process, as of the last time its event loop turned.

    The event loop updates it and another thread serves it, so that a blocked loop can be reported, and no request reads
    what the loop is changing.
    """

    def __init__(self) -> None:
        self.find_readiness: Callable[[], Readiness] = lambda: Readiness(is_ready=False, details={})
        """Determines the readiness at this moment; called by the event loop alone."""
        self._seen = Readiness(is_ready=False, details={})
        self._turned_at = monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Record that the loop turns, and whether the process is ready."""
        while not stopping.is_set():
            self._turned_at = monotonic()
            self._seen = self.find_readiness()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), UPDATE_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether the loop turns."""
        return monotonic() - self._turned_at < ALIVE_SECONDS

    def answer(self, environ: dict[str, Any], start: _StartResponse) -> Iterable[bytes]:
        """Answer one request, as an application of WSGI does."""
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            start("405 Method Not Allowed", [("Content-Type", "text/plain"), ("Allow", "GET, HEAD")])
            return [b"only GET and HEAD are answered\n"]
        if path == "/metrics":
            found: Iterable[bytes] = make_wsgi_app()(environ, start)
            return found
        if path == "/health/live":
            return _respond(start, ok=self.is_alive, body={"alive": self.is_alive})
        if path == "/health/ready":
            seen = self._seen
            is_ready = seen.is_ready and self.is_alive
            return _respond(start, ok=is_ready, body={"ready": is_ready, **seen.details})
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/health/live, /health/ready and /metrics are here\n"]


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log nothing: a probe every few seconds is no event."""


class _BoundedServer(ThreadingWSGIServer):
    """Answers a limited number of requests at once, and drops the rest unread."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._places = threading.Semaphore(MAX_REQUESTS)
        super().__init__(*arguments, **named)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there is a place for one."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            # The machine gives no more threads at present.
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then give the place to the next.

        A socket's own time-out begins again with every byte, so one byte now and then would keep a place forever.
        """
        limit = threading.Timer(REQUEST_SECONDS, _drop, (request,))
        limit.daemon = True
        try:
            limit.start()
            super().process_request_thread(request, client_address)
        finally:
            limit.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a probe that closes its connection is no event."""


def _drop(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def serve_health(port: int | None, host: str = "") -> AsyncIterator[Health]:
    """Serve liveness, readiness and metrics.

    Args:
        port: where; ``None`` serves nothing.
        host: the address to listen on; empty is every one.

    Yields:
        The health that is served; the caller runs it and sets how readiness is determined.

    Raises:
        ConfigurationError: the port cannot be used.
    """
    health = Health()
    if port is None:
        yield health
        return
    try:
        server = make_server(host, port, health.answer, _BoundedServer, _QuietHandler)
    except OSError as error:
        problem = f"HTTP_PORT: port {port} cannot be used ({error.strerror})"
        raise ConfigurationError((problem,)) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield health
    finally:
        server.shutdown()
        server.server_close()


def _respond(start: _StartResponse, *, ok: bool, body: dict[str, object]) -> list[bytes]:
    start("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]

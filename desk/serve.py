"""Runs the desk until it is asked to stop: the people's port, and beside it health and metrics."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn

from desk.app import make_app
from desk.forms import Forms
from desk.identity import Identity
from desk.rights import Operators
from desk.seals import read_secrets
from desk.services import Services
from desk.settings import DeskSettings
from outbox.database import DatabaseDown
from outbox.reader import Reader
from outbox.server import DatabaseUnfit
from worker.kafka.connection import connect_kafka
from worker.kafka.producer import Appender
from worker.key_files import read_key_file
from worker.resilience.backoff import wait_unless
from worker.settings import ConfigurationError
from worker.shutdown import end_process_later
from worker.supervise import Supervisor
from worker.telemetry.health_server import Health, Readiness, serve_health
from worker.telemetry.logs import Logger

CLOSE_SECONDS: Final = 2.0
"""How long the clients of Kafka and Postgres may take to close."""

_BACKLOG: Final = 1024

CHECK_SECONDS: Final = 5.0
"""How often readiness looks whether the database answers."""


class _Server(uvicorn.Server):
    """Leaves signals to the desk: uvicorn raises them again once it has ended, which ends the process there."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _listen_for_signals(server: uvicorn.Server, log: Logger) -> None:
    """Stop on SIGTERM and SIGINT, from the first moment on."""

    def stop(number: int) -> None:
        if not server.should_exit:
            end_process_later(log)
        # It is also what tells streams to end.
        server.handle_exit(number, None)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)


async def serve_desk(settings: DeskSettings, identity: Identity, log: Logger) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: the environment.
        identity: how people sign in.
        log: where to log.

    Raises:
        ConfigurationError: a port cannot be used, or the schema is not this program's.
    """
    kafka = connect_kafka(settings)
    reader = Reader(settings.desk_database_url.get_secret_value())
    operators = Operators(settings.operators_file, log)
    forms = Forms(read_secrets(settings.desk_secret_file), read_clock)
    key = read_key_file("DESK_KEY_FILE", settings.desk_key_file) if settings.desk_key_file else None
    services = Services(reader, kafka, Appender(kafka), read_clock, identity, operators.list, forms, log, key)
    app = make_app(settings, services)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(CLOSE_SECONDS),
    )
    server, stopping = _Server(config), asyncio.Event()
    _listen_for_signals(server, log)
    supervisor = Supervisor(stopping, log)
    await _check_schema(reader)
    with _listen(settings) as listening:
        async with serve_health(settings.http_port, settings.http_bind) as health:
            supervisor.start("health", health.run)
            supervisor.start("live", app.state.live.run)
            supervisor.start("database", partial(_check_database, reader, health))
            log.info("desk.started", url=settings.desk_url, port=settings.desk_port)
            try:
                await server.serve([listening])
            finally:
                stopping.set()
                await supervisor.end(CLOSE_SECONDS)
                await services.appender.close(CLOSE_SECONDS)
                await reader.close()
    log.info("desk.stopped")


def read_clock() -> datetime:
    """Read the time."""
    return datetime.now(UTC)  # noqa: TID251 - when people act, and how long ago something was


def _listen(settings: DeskSettings) -> socket.socket:
    try:
        if settings.desk_bind.startswith("unix:"):
            return _listen_on_path(settings.desk_bind.removeprefix("unix:"))
        family = socket.AF_INET6 if ":" in settings.desk_bind else socket.AF_INET
        return socket.create_server((settings.desk_bind, settings.desk_port), family=family, backlog=_BACKLOG)
    except OSError as error:
        problem = f"DESK_PORT: port {settings.desk_port} of {settings.desk_bind} cannot be used ({error.strerror})"
        raise ConfigurationError((problem,)) from error


def _listen_on_path(path: str) -> socket.socket:
    """Listen on a unix socket that the group may use; one that an earlier desk has left is replaced."""
    Path(path).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    Path(path).chmod(0o660)
    listening.listen(_BACKLOG)
    return listening


async def _check_schema(reader: Reader) -> None:
    """Refuse a schema of another version; a database that is unavailable may come back with the right one."""
    try:
        async with reader.read():
            pass
    except DatabaseUnfit as unfit:
        raise ConfigurationError((str(unfit),)) from unfit
    except DatabaseDown:
        return


async def _check_database(reader: Reader, health: Health, stopping: asyncio.Event) -> None:
    """Keep readiness up to date: the desk is ready while the database can be read."""
    while not stopping.is_set():
        problem = None
        try:
            async with reader.read():
                pass
        except (DatabaseDown, DatabaseUnfit) as down:
            problem = str(down)
        health.find_readiness = partial(Readiness, problem is None, {"database": problem})
        await wait_unless(stopping, CHECK_SECONDS)

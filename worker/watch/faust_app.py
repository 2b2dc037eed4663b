"""The Faust app that runs the watch: its topics, tables, timer and pages.

It reads topics only, never our database or our core, and carries no business message. Only its command imports it.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Final

import faust
from faust.transport.drivers import aiokafka as driver
from prometheus_client import generate_latest

from contracts.records import Place, Record
from contracts.topics import DEAD_LETTERS, OUTPUTS, SOURCES, TopicNames
from worker.kafka import record_decoding
from worker.kafka.admin import count_brokers
from worker.kafka.connection import KafkaConnection
from worker.telemetry.logs import Logger, capture_libraries
from worker.watch.budget_checks import TimeLimits
from worker.watch.findings_page import write_findings, write_page
from worker.watch.metrics import BEHIND, RATE
from worker.watch.watcher import Watcher, WatchTables

_MARGIN_MS: Final = 5_000
"""By then agents have handled what was fetched."""
_JUDGE_SECONDS: Final = 2.0
_WINDOW_SECONDS: Final = 60.0

# Inbound and outbound messages. A dead letter has no budget, and its record was not decided.
_TOPICS: Final = tuple(name for name in (*SOURCES, *OUTPUTS) if name != DEAD_LETTERS)


# No record may stop Faust's own reading either: importing this module replaces the decoder for the whole process.
_DECODER: Final = record_decoding.TolerantRecords


class _ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Reads committed records only; Faust does so only where it runs transactions, which the watch does not need."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust has no setting; it is read at the start
        return consumer


class _ReadCommittedConsumer(driver.Consumer):
    def _new_consumer_thread(self) -> Any:
        return _ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class _ReadCommittedTransport(driver.Transport):
    Consumer = _ReadCommittedConsumer


class _DisklessApp(faust.App):
    """Creates no folder: tables are in memory and in Kafka, and the file system may be read-only."""

    def _create_directories(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """The deployment that the watch reads, its time limits, and where it serves its pages."""

    kafka: KafkaConnection
    group_id: str
    topics: TopicNames
    http_bind: str
    http_port: int | None
    limits: TimeLimits


class WatchApp:
    """A Faust app that feeds a ``Watcher``."""

    def __init__(self, settings: WatchSettings, brokers: int, log: Logger) -> None:
        self._topics = settings.topics
        self._log = log
        self.faust = _make_faust_app(settings, brokers)
        # One partition each, so that all topics share one table.
        options: dict[str, Any] = {"partitions": 1, "use_partitioner": True}
        tables = WatchTables(
            self.faust.GlobalTable("observations", recovery_buffer_size=1, **options),
            self.faust.GlobalTable("starts", recovery_buffer_size=1, **options),
        )
        rates = self.faust.Table("rates", default=int, **options)
        self._rates = rates.tumbling(_WINDOW_SECONDS, expires=10 * _WINDOW_SECONDS)
        # It is read outside any stream, where Faust knows no time that windows could be relative to.
        self._last_minute = self._rates.clone(relative_to=lambda _: time.time() - _WINDOW_SECONDS)
        self._types: set[str] = set()
        self._read_ms: dict[tuple[str, int], int] = {}
        """For each partition the time of the record that was read last."""
        self.watcher = Watcher(tables, settings.topics, settings.limits, log, self._count_message)
        for name in _TOPICS:
            self._read_topic(settings.topics.full(name))
        self.faust.timer(_JUDGE_SECONDS)(self._judge)
        BEHIND.set_function(self.watcher.measure_lag)
        self._serve_pages()

    def list_rates(self) -> dict[str, int]:
        """List how many messages of each type the last whole minute had."""
        return {kind: self._last_minute[kind].value() for kind in self._types}

    def _count_message(self, kind: str) -> None:
        self._types.add(kind)
        self._rates[kind] += 1

    def _read_topic(self, topic: str) -> None:
        async def read(stream: Any) -> None:
            async for event in stream.events():
                record = _read_record(event.message)
                self.watcher.read(record)
                self._read_ms[record.place.topic, record.place.partition] = record.timestamp_ms

        channel = self.faust.topic(topic, key_serializer="raw", value_serializer="raw", allow_empty=True)
        self.faust.agent(channel, name=f"watch.{topic}")(read)

    async def _judge(self) -> None:
        try:
            for kind, count in self.list_rates().items():
                RATE.labels(kind).set(count)
            read_until_ms = await self._find_read_until(int(time.time() * 1000))
            if read_until_ms is not None:
                await self.watcher.judge(read_until_ms - _MARGIN_MS)
        except Exception:  # noqa: BLE001 - it would end the app; BEHIND shows that nothing is judged
            self._log.exception("watch.failed")

    async def _find_read_until(self, now_ms: int) -> int | None:
        """Find the moment up to which every partition has been read; ``None`` until all of them are assigned."""
        names = {self._topics.full(name) for name in _TOPICS}
        consumer = self.faust.consumer
        partitions = [partition for partition in consumer.assignment() if partition.topic in names]
        if not partitions or self.faust.rebalancing or self.faust.in_recovery:
            return None
        moments = [now_ms]
        for partition in partitions:
            end = consumer.highwater(partition)
            if end is None:
                return None
            # The position also moves past transaction markers and aborted records, which no agent receives.
            if await consumer.position(partition) < end:
                moments.append(self._read_ms.get((partition.topic, partition.partition), 0))
        return min(moments)

    def _serve_pages(self) -> None:
        watcher = self.watcher

        async def serve_findings(view: Any, _: Any) -> Any:
            findings = watcher.list_findings()
            return view.html(write_page(findings, watcher.judged_ms, self.list_rates(), watcher.unreadable))

        async def serve_json(view: Any, _: Any) -> Any:
            return view.json({"judged_ms": watcher.judged_ms, "findings": write_findings(watcher.list_findings())})

        async def serve_metrics(view: Any, _: Any) -> Any:
            return view.bytes(generate_latest(), content_type="text/plain; version=0.0.4")

        async def serve_liveness(view: Any, _: Any) -> Any:
            # An answer means that the loop turns, and nothing else; a metric shows how far behind it is.
            return view.json({"live": True})

        self.faust.page("/", name="findings")(serve_findings)
        self.faust.page("/findings.json", name="findings as JSON")(serve_json)
        self.faust.page("/metrics", name="metrics")(serve_metrics)
        self.faust.page("/health/live", name="liveness")(serve_liveness)


def _make_faust_app(settings: WatchSettings, brokers: int) -> Any:
    kafka = settings.kafka
    app: Any = _DisklessApp(
        f"{settings.group_id}.watch",
        broker=[f"aiokafka://{server}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_find_credentials(kafka),
        consumer_auto_offset_reset="earliest",
        topic_replication_factor=min(3, brokers),
        topic_disable_leader=True,
        store="memory://",
        web_enabled=settings.http_port is not None,
        web_port=settings.http_port or 6066,
        web_bind=settings.http_bind,
        # Faust's own pages show tables, servers and tracebacks to whoever asks.
        web_router_enabled=False,
        web_tables_enabled=False,
        web_graph_enabled=False,
        web_stats_enabled=False,
        web_metrics_enabled=False,
        stream_wait_empty=False,
        broker_commit_interval=2.0,
    )
    app.transport = _ReadCommittedTransport(app.conf.broker_consumer, app)
    return app


def _read_record(message: Any) -> Record:
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    place = Place(message.topic, message.partition, message.offset)
    return Record(place, int(message.timestamp * 1000), message.key, message.value, tuple(headers))


def _find_credentials(kafka: KafkaConnection) -> Any:
    context = kafka.list_options().get("ssl_context")
    if kafka.tokens:
        return faust.OAuthCredentials(oauth_cb=kafka.tokens, ssl_context=context)
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context=context) if context else None


def run_watch(settings: WatchSettings, log: Logger) -> None:
    """Watch until SIGTERM or SIGINT.

    Raises:
        KafkaDown: Kafka does not answer at the start.
    """
    app = WatchApp(settings, asyncio.run(count_brokers(settings.kafka)), log).faust
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(app, loglevel="WARNING", loop=loop, redirect_stdouts=False, quiet=True)
    # It writes control characters between the lines of the log.
    worker.spinner = None

    def log_warnings(root: logging.Logger, _level: int) -> None:
        # Its own handler would write lines of another format between those of the log.
        root.handlers.clear()
        capture_libraries(log)

    worker.on_setup_root_logger = log_warnings  # type: ignore[method-assign,assignment]  # it is made for this
    log.info("watch.started", group=app.conf.id, topics=len(_TOPICS))
    worker.execute_from_commandline()

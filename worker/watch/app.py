"""The independent watch, a process of its own on Faust: it joins what came in with what went out.

It reads topics only, never asks our database or our core, and carries no business message. Nothing imports it but
its command.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import faust
from faust.transport.drivers import aiokafka as driver
from prometheus_client import generate_latest

from contracts.records import Place, Record
from contracts.topics import DEAD_LETTERS, OUTPUTS, SOURCES, TopicNames
from worker.kafka.admin import count_brokers
from worker.kafka.connection import KafkaConnection
from worker.telemetry.logs import Logger
from worker.watch.judgement import Finding, Limits, Watched, count_kinds, is_settled, judge
from worker.watch.messages import Seen, UnreadableError, see
from worker.watch.metrics import BEHIND, FINDINGS, RATE, RECORDS, UNREADABLE
from worker.watch.page import write_findings, write_page

MARGIN_MS: Final = 5_000
"""What was fetched so long ago has been looked at."""
JUDGE_SECONDS: Final = 2.0
TOGETHER: Final = 200
"""Budgets that are judged before others get their turn."""
WINDOW_SECONDS: Final = 60.0

# What came in and what went out. A dead letter has no budget, and what was refused as unreadable was no decision.
TOPICS: Final = tuple(name for name in (*SOURCES, *OUTPUTS) if name != DEAD_LETTERS)


class _ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Faust reads what is not committed, unless it runs its own transactions, which the watch has no use for."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - read when it starts; no other way in
        return consumer


class _ReadCommittedConsumer(driver.Consumer):
    def _new_consumer_thread(self) -> Any:
        return _ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class _ReadCommitted(driver.Transport):
    Consumer = _ReadCommittedConsumer


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Where the watch looks, and what it calls too long."""

    kafka: KafkaConnection
    group_id: str
    topics: TopicNames
    port: int | None
    limits: Limits


class WatchedPartition(NamedTuple):
    """One partition that is read."""

    topic: str
    number: int


class Watch:
    """What the watch knows: its tables are kept in topics of its own, so that it goes on where it was."""

    def __init__(self, app: Any, settings: WatchSettings, log: Logger) -> None:
        self._app = app
        self._settings = settings
        self._log = log
        self._started = time.time()
        # One partition, so that a budget has one place whatever topic speaks of it.
        kept: dict[str, Any] = {"partitions": 1, "use_partitioner": True}
        self._table = app.GlobalTable("budgets", recovery_buffer_size=1, **kept)
        self._starts = app.GlobalTable("starts", recovery_buffer_size=1, **kept)
        self._rates = app.Table("rates", default=int, **kept).tumbling(WINDOW_SECONDS, expires=10 * WINDOW_SECONDS)
        # Asked from outside of any stream, where Faust knows no time to be relative to.
        self._last_minute = self._rates.clone(relative_to=lambda _: time.time() - WINDOW_SECONDS)
        self._watched: dict[str, Watched] = {}
        self._open: set[str] = set()
        """Budgets of which something may be found."""
        self._found: dict[str, tuple[Finding, ...]] = {}
        self._read_ms: dict[WatchedPartition, int] = {}
        self._types: set[str] = set()
        self.judged_ms: int | None = None
        self.unreadable = 0

    def look(self, record: Record) -> None:
        """Look at a record. Whatever is wrong with it is counted, and nothing of it raises."""
        topic = self._settings.topics.short(record.place.topic)
        RECORDS.labels(topic).inc()
        try:
            self._note_start(record)
            self._note(see(topic, record))
        except UnreadableError as why:
            self._pass_over(topic, record, str(why))
        except Exception as bug:  # noqa: BLE001 - Faust would take it for read: it is counted and told instead
            self._pass_over(topic, record, repr(bug))
        self._read_ms[WatchedPartition(record.place.topic, record.place.partition)] = record.timestamp_ms

    def _note_start(self, record: Record) -> None:
        """Note when what a partition holds begins, where its first records are gone."""
        start = f"{record.place.topic}/{record.place.partition}"
        if start not in self._starts:
            self._starts[start] = record.timestamp_ms if record.place.offset else 0

    def _note(self, seen: Seen) -> None:
        self._types.add(seen.type)
        self._rates[seen.type] += 1
        if seen.sight is None:
            return
        before = self._recall(seen.budget)
        after = before.note(seen.sight)
        if after != before:
            self._watched[seen.budget] = after
            self._open.add(seen.budget)
            self._table[seen.budget] = after.model_dump(mode="json")

    def _recall(self, budget: str) -> Watched:
        if budget not in self._watched:
            stored = self._table.get(budget)
            self._watched[budget] = Watched.model_validate(stored) if stored else Watched()
        return self._watched[budget]

    def _pass_over(self, topic: str, record: Record, why: str) -> None:
        UNREADABLE.labels(topic).inc()
        self.unreadable += 1
        self._log.warning(
            "watch.unreadable", topic=topic, partition=record.place.partition, offset=record.place.offset, why=why[:500]
        )

    async def judge(self) -> None:
        """Judge every budget as of the moment up to which everything has been read."""
        try:
            await self._judge()
        except Exception:  # noqa: BLE001 - it would end the app; that nothing is judged shows in BEHIND
            self._log.exception("watch.failed")

    async def _judge(self) -> None:
        for kind, count in self.list_rates().items():
            RATE.labels(kind).set(count)
        read_ms = await self._find_moment(int(time.time() * 1000))
        if read_ms is None:
            return
        moment = read_ms - MARGIN_MS
        horizon_ms = max(map(int, self._starts.values()), default=0)
        if self.judged_ms is None:
            self._open.update(self._table.keys())
        found: dict[str, tuple[Finding, ...]] = {}
        for number, budget in enumerate(list(self._open)):
            if number % TOGETHER == 0:
                await asyncio.sleep(0)
            watched = self._recall(budget)
            if ends := tuple(judge(budget, watched, moment, self._settings.limits, horizon_ms)):
                found[budget] = ends
            elif is_settled(watched, moment, horizon_ms):
                self._open.discard(budget)
                del self._watched[budget]
        self._tell(found)
        self._found, self.judged_ms = found, moment
        for kind, count in count_kinds(found).items():
            FINDINGS.labels(kind).set(count)

    def _tell(self, found: dict[str, tuple[Finding, ...]]) -> None:
        before = {finding for findings in self._found.values() for finding in findings}
        now = {finding for findings in found.values() for finding in findings}
        for finding in sorted(now - before):
            self._log.error("watch.found", kind=finding.kind, budget=finding.budget, what=finding.says)
        for finding in sorted(before - now):
            self._log.info("watch.ended", kind=finding.kind, budget=finding.budget, what=finding.says)

    async def _find_moment(self, now_ms: int) -> int | None:
        """Find the moment up to which every partition has been read; none before each was read at all."""
        names = {self._settings.topics.full(name) for name in TOPICS}
        places = [place for place in self._app.consumer.assignment() if place.topic in names]
        if not places or self._app.rebalancing or self._app.in_recovery:
            return None
        moments = []
        for place in places:
            end = self._app.consumer.highwater(place)
            if end is None:
                return None
            # Past markers and what was aborted, too, which no agent ever sees.
            at_end = await self._app.consumer.position(place) >= end
            moments.append(now_ms if at_end else self._read_ms.get(WatchedPartition(place.topic, place.partition), 0))
        return min(now_ms, *moments)

    def list_findings(self) -> list[Finding]:
        """List what is not as it should be, latest first."""
        found = (finding for findings in self._found.values() for finding in findings)
        return sorted(found, key=lambda finding: finding.since_ms, reverse=True)

    def list_rates(self) -> dict[str, int]:
        """List the messages of each type in the last whole minute."""
        return {kind: self._last_minute[kind].value() for kind in self._types}

    def measure_delay(self) -> float:
        """Measure how many seconds ago the moment was up to which it has judged, or that it was started."""
        return time.time() - (self.judged_ms / 1000 if self.judged_ms is not None else self._started)


def make_app(settings: WatchSettings, brokers: int, log: Logger) -> Any:
    """Make the Faust app: an agent for each topic, a timer, and three pages."""
    kafka = settings.kafka
    app: Any = faust.App(
        f"{settings.group_id}.watch",
        broker=[f"aiokafka://{server}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_find_credentials(kafka),
        consumer_auto_offset_reset="earliest",
        topic_replication_factor=min(3, brokers),
        topic_disable_leader=True,
        store="memory://",
        web_enabled=settings.port is not None,
        web_port=settings.port or 6066,
        web_bind="0.0.0.0",  # noqa: S104 - as the worker's health, for whoever watches over it
        stream_wait_empty=False,
        broker_commit_interval=2.0,
    )
    app.transport = _ReadCommitted(app.conf.broker_consumer, app)
    watch = Watch(app, settings, log)
    for name in TOPICS:
        _read(app, watch, settings.topics.full(name))
    app.timer(JUDGE_SECONDS)(watch.judge)
    BEHIND.set_function(watch.measure_delay)
    _serve(app, watch)
    return app


def _read(app: Any, watch: Watch, topic: str) -> None:
    async def look(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            place = Place(message.topic, message.partition, message.offset)
            headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
            record = Record(place, int(message.timestamp * 1000), message.key, message.value, tuple(headers))
            watch.look(record)

    channel = app.topic(topic, key_serializer="raw", value_serializer="raw", allow_empty=True)
    app.agent(channel, name=f"watch.{topic}")(look)


def _serve(app: Any, watch: Watch) -> None:
    async def show(view: Any, _: Any) -> Any:
        return view.html(write_page(watch.list_findings(), watch.judged_ms, watch.list_rates(), watch.unreadable))

    async def tell(view: Any, _: Any) -> Any:
        return view.json({"judged_ms": watch.judged_ms, "findings": write_findings(watch.list_findings())})

    async def count(view: Any, _: Any) -> Any:
        return view.bytes(generate_latest(), content_type="text/plain; version=0.0.4")

    app.page("/", name="findings")(show)
    app.page("/findings.json", name="findings as JSON")(tell)
    app.page("/metrics", name="metrics")(count)


def _find_credentials(kafka: KafkaConnection) -> Any:
    context = kafka.list_options().get("ssl_context")
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context=context) if context else None


def run_watch(settings: WatchSettings, log: Logger) -> None:
    """Watch until SIGTERM or SIGINT; raises ``KafkaDown`` where Kafka cannot be reached to begin with."""
    app = make_app(settings, asyncio.run(count_brokers(settings.kafka)), log)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(app, loglevel="WARNING", loop=loop, redirect_stdouts=False, quiet=True)
    # It writes control characters between the lines of the log.
    worker.spinner = None
    log.info("watch.started", group=app.conf.id, topics=len(TOPICS))
    worker.execute_from_commandline()

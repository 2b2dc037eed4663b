"""The worker as a whole: what is checked before it starts, what runs beside what, and how it stops."""

import asyncio
import gc
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from budget_bridge.contracts.topics import INBOX, OUTPUTS, SOURCES, list_topics
from budget_bridge.handlers.rules import Rules
from budget_bridge.outbox.database import DatabaseDown, close, connect
from budget_bridge.outbox.deployment import (
    find_held_jobs,
    fix_inbox_partitions,
    keep_rules,
    read_deployment_id,
)
from budget_bridge.outbox.migrate import SchemaUnfit, check_schema
from budget_bridge.worker.breaker import Breaker, Breakers, make_breakers
from budget_bridge.worker.deadlines import Deadlines
from budget_bridge.worker.doctor_topics import find_small
from budget_bridge.worker.health import Health, serve_health
from budget_bridge.worker.intake import Intake
from budget_bridge.worker.kafka import (
    Appender,
    Connection,
    KafkaDown,
    Partition,
    Reader,
    TopicState,
    count_partitions,
    describe_topics,
    read_group_offsets,
)
from budget_bridge.worker.lane import Lane, Surroundings
from budget_bridge.worker.log import Logger
from budget_bridge.worker.metrics import REBALANCES, forget_lane
from budget_bridge.worker.pace import wait_unless
from budget_bridge.worker.rules_files import check_held_jobs, write_rules
from budget_bridge.worker.settings import ConfigurationBroken, KafkaSettings, WorkerSettings
from budget_bridge.worker.silence import Silence
from budget_bridge.worker.traces import Traces, open_traces

BATCH_BYTES: Final = 768 * 1024
"""What a lane takes at once, unless a single record is larger."""

WITHIN_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1
_START: Final = "the start of the worker"

STOP_SECONDS: Final = 8.0
"""Longest that lanes may take to finish and publish; with the rest the worker is gone within 10 s."""


def connect_kafka(settings: KafkaSettings) -> Connection:
    """Tell how Kafka is reached."""
    password = settings.kafka_sasl_password
    files = (settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    cafile, certfile, keyfile = (str(file) if file else None for file in files)
    return Connection(
        bootstrap_servers=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=cafile,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
    )


async def run_worker(settings: WorkerSettings, rules: Rules, log: Logger) -> None:
    """Run until SIGTERM or SIGINT; raises ``ConfigurationBroken`` before anything starts if something does not fit."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    collect_less_often()
    breakers, traces = make_breakers(log), open_traces(settings, settings.kafka_group_id)
    async with serve_health(settings.http_port, breakers) as health:
        watching = asyncio.create_task(health.run(stopping, settings.database_url.get_secret_value()))
        try:
            surroundings = await _prepare_when_there(settings, rules, stopping, breakers, traces)
            if surroundings:
                await _carry(surroundings, log, stopping, health)
        finally:
            stopping.set()
            await watching
            await asyncio.to_thread(traces.close)
    log.info("worker.stopped")


def collect_less_often() -> None:
    """Look for cyclic garbage less often: what a batch makes is many small values, none of which is cyclic."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


async def _prepare_when_there(
    settings: WorkerSettings, rules: Rules, stopping: asyncio.Event, breakers: Breakers, traces: Traces
) -> Surroundings | None:
    """Wait until Kafka and Postgres are there, then check that everything fits."""
    while not stopping.is_set():
        if not breakers.admits(_START):
            await wait_unless(stopping, POLL_SECONDS)
            continue
        try:
            surroundings = await _prepare(settings, rules, breakers, traces)
        except KafkaDown as down:
            breakers.kafka.trip(_START, down)
        except DatabaseDown as down:
            breakers.database.trip(_START, down)
        else:
            breakers.close(_START)
            return surroundings
    return None


async def _prepare(settings: WorkerSettings, rules: Rules, breakers: Breakers, traces: Traces) -> Surroundings:
    kafka = connect_kafka(settings)
    database_url = settings.database_url.get_secret_value()
    prefix = settings.topic_prefix
    needed = [prefix + name for name in (*SOURCES, INBOX, *OUTPUTS)]
    there = await count_partitions(kafka, needed)
    if missing := [name for name in needed if name not in there]:
        problem = f"topics are missing ({', '.join(missing)}): run `budget-bridge topics`"
        raise ConfigurationBroken((problem,))
    if too_small := list_too_small(await describe_topics(kafka, needed), prefix):
        raise ConfigurationBroken(too_small)
    connection = await connect(database_url)
    try:
        await check_schema(connection)
        if problems := check_held_jobs(rules, await find_held_jobs(connection)):
            raise ConfigurationBroken(problems)
        partitions = there[prefix + INBOX]
        fixed = await fix_inbox_partitions(connection, partitions)
        if fixed != partitions:
            problem = (
                f"{prefix}{INBOX} has {partitions} partitions, but was made with {fixed}, and every project stands on "
                f"one of them for good: make a new inbox with {fixed} partitions, or start with a new database and "
                f"a new KAFKA_GROUP_ID"
            )
            raise ConfigurationBroken((problem,))
        deployment_id = await read_deployment_id(connection)
        await _check_group(kafka, settings.kafka_group_id, prefix + INBOX, partitions, deployment_id)
        return Surroundings(
            kafka=kafka,
            database_url=database_url,
            deployment_id=deployment_id,
            group_id=settings.kafka_group_id,
            topic_prefix=prefix,
            inbox_topic=prefix + INBOX,
            inbox_partitions=partitions,
            rules=await keep_rules(connection, rules, *write_rules(rules)),
            breakers=breakers,
            traces=traces,
        )
    except SchemaUnfit as unfit:
        raise ConfigurationBroken((str(unfit),)) from unfit
    finally:
        await close(connection, 1.0)


def list_too_small(topics: Mapping[str, TopicState | None], prefix: str) -> tuple[str, ...]:
    """List the topics of ours that take less than a message can have: one that is refused would stop its lane."""
    problems = []
    for setup in list_topics():
        topic = topics.get(prefix + setup.name)
        if topic and setup.name not in SOURCES and (small := find_small(topic, setup)):
            problems.append(
                f"{prefix}{setup.name} takes messages of {small[0]} bytes, and they can have {small[1]}: set its "
                f"max.message.bytes to {small[1]}, as `budget-bridge topics` does for topics that it makes"
            )
    return tuple(problems)


async def _check_group(kafka: Connection, group_id: str, inbox: str, partitions: int, deployment_id: UUID) -> None:
    """Refuse to share a group with another database: each would publish what it believes the other has not."""
    lanes = [(inbox, number) for number in range(partitions)]
    offsets = await read_group_offsets(kafka, group_id, lanes, WITHIN_SECONDS)
    others = {offset.metadata for offset in offsets.values() if not offset.metadata.startswith(str(deployment_id))}
    if others:
        problem = (
            f"consumer group {group_id} is carried by another database ({min(others) or 'unnamed'}), not by this one "
            f"({deployment_id}): choose a KAFKA_GROUP_ID of its own for this deployment; or, if this database is to "
            f"take the place of the other, see `budget-bridge recover --dry-run`"
        )
        raise ConfigurationBroken((problem,))


async def _carry(surroundings: Surroundings, log: Logger, stopping: asyncio.Event, health: Health) -> None:
    """Run the intake, the lanes and the timer side by side until the stop, then end them in the order of the flow."""
    around = surroundings
    async with AsyncExitStack() as stack:
        appender = Appender(around.kafka, around.inbox_partitions)
        stack.push_async_callback(appender.close, 1.0)
        lanes = Lanes(around, log)
        stack.push_async_callback(lanes.close)
        breakers = around.breakers
        intake = Intake(around.kafka, around.group_id, around.topic_prefix, appender, breakers.kafka, log)
        stack.push_async_callback(intake.close)
        readers = {"intake": intake.reader, "lanes": lanes.reader}
        for reader in readers.values():
            await _start_when_there(reader, breakers.kafka, stopping)
        silence = Silence(around.kafka, readers, log)
        health.list_silent = silence.list_silent
        health.started = not stopping.is_set()
        log.info("worker.started", group=around.group_id, inbox=around.inbox_topic)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(intake.run(stopping))
            timer = Deadlines(around.database_url, appender, around.topic_prefix, lanes.list_partitions, breakers, log)
            tasks.create_task(timer.run(stopping))
            tasks.create_task(silence.watch(stopping))


async def _start_when_there(reader: Reader, breaker: Breaker, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        if not breaker.admits(reader):
            await wait_unless(stopping, POLL_SECONDS)
            continue
        try:
            await reader.start()
        except KafkaDown as down:
            breaker.trip(reader, down)
        else:
            breaker.close(reader)
            return


class Lanes:
    """The lanes of this worker: one for each inbox partition that the group has given it."""

    def __init__(self, surroundings: Surroundings, log: Logger) -> None:
        self._surroundings = surroundings
        self._log = log
        self._running: dict[int, tuple[Lane, asyncio.Task[None]]] = {}
        self.reader = Reader(
            surroundings.kafka,
            surroundings.group_id,
            [surroundings.inbox_topic],
            start="none",
            fetch_bytes=BATCH_BYTES,
            on_assigned=self._start,
            on_revoked=self._stop,
        )

    def list_partitions(self) -> list[int]:
        """List the inbox partitions that are carried here."""
        return list(self._running)

    async def close(self) -> None:
        """Stop every lane, then leave the group."""
        await self._stop([(self._surroundings.inbox_topic, number) for number in self._running])
        await self.reader.close(1.0)

    async def _start(self, partitions: list[Partition]) -> None:
        REBALANCES.inc()
        for _, number in partitions:
            lane = Lane(number, self.reader, self._surroundings, self._log)
            self._running[number] = lane, asyncio.create_task(lane.run())

    async def _stop(self, partitions: list[Partition]) -> None:
        leaving = [self._running.pop(number) for _, number in partitions if number in self._running]
        for lane, _ in leaving:
            lane.stop()
        tasks = [task for _, task in leaving]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in late:
            # Whatever it was at, its successor comes in by the one way and finds out.
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, number in partitions:
            forget_lane(number)
        self._log.info("lanes.stopped", lanes=[number for _, number in partitions])

"""The worker as a whole: what is checked before it starts, what runs beside what, and in which order it stops."""

import asyncio
import gc
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from contracts.topics import INBOX, OUTPUTS, SOURCES, list_topics
from handlers.rules import Rules
from outbox.database import DatabaseDown, close, connect
from outbox.deployment import find_held_jobs, fix_inbox_partitions, keep_rules, read_deployment_id
from outbox.migrate import SchemaUnfit, check_schema
from worker.deployment import connect_kafka
from worker.doctor.topics import find_small
from worker.kafka.admin import TopicState, count_partitions, describe_topics
from worker.kafka.connection import Connection
from worker.kafka.consumer import Reader
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.producer import Appender
from worker.pipeline.deadlines import Deadlines
from worker.pipeline.intake import Intake
from worker.pipeline.lane import Surroundings
from worker.pipeline.lanes import Lanes
from worker.resilience.backoff import wait_unless
from worker.resilience.breaker import Breaker, Breakers, make_breakers
from worker.resilience.stalled_consumers import Silence
from worker.rules_files import check_held_jobs, write_rules
from worker.settings import ConfigurationBroken, WorkerSettings
from worker.telemetry.health_server import Health, serve_health
from worker.telemetry.logs import Logger
from worker.telemetry.tracing import Traces, open_traces

WITHIN_SECONDS: Final = 20.0

POLL_SECONDS: Final = 0.1

_START: Final = "the start of the worker"


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

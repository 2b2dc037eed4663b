"""The worker as a whole: what is prepared, what runs beside what, and in which order it stops."""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from handlers.rules import Rules
from outbox.database import DatabaseDown
from outbox.migrate import SchemaMismatch
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.kafka.producer import Appender
from worker.pipeline.deadlines import Deadlines
from worker.pipeline.intake import Intake
from worker.pipeline.lane import LaneContext
from worker.pipeline.lanes import Lanes
from worker.preparation import prepare
from worker.resilience.backoff import wait_unless
from worker.resilience.breaker import Breaker, Breakers, make_breakers
from worker.resilience.outage import list_away
from worker.resilience.stalled_consumers import StalledConsumers
from worker.settings import ConfigurationError, WorkerSettings
from worker.supervise import Supervisor
from worker.telemetry.census import take_census
from worker.telemetry.health_server import Health, Readiness, serve_health
from worker.telemetry.logs import Logger
from worker.telemetry.tracing import Traces, open_traces

POLL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 8.0
"""Longest that tasks may take to end after the stop."""

_START: Final = "the start of the worker"


async def run_worker(settings: WorkerSettings, rules: Rules, log: Logger) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: something does not fit; raised before anything starts.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    collect_less_often()
    breakers, traces = make_breakers(log), open_traces(settings, settings.kafka_group_id)
    supervisor = Supervisor(stopping, log)
    async with serve_health(settings.http_port) as health:
        health.look = partial(_look, supervisor, breakers, None)
        supervisor.start("health", health.run)
        try:
            context = await _prepare_when_there(settings, rules, stopping, breakers, traces)
            if context:
                await _carry(context, supervisor, health, stopping, log)
        finally:
            stopping.set()
            await supervisor.end(STOP_SECONDS)
            await asyncio.to_thread(traces.close)
    log.info("worker.stopped")


def collect_less_often() -> None:
    """Look for cyclic garbage less often: what a batch makes is many small values, none of which is cyclic."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _look(supervisor: Supervisor, breakers: Breakers, stalled: StalledConsumers | None) -> Readiness:
    """Look whether the worker is ready: it has joined its groups, misses nothing, and none of its tasks fails."""
    obstacles = {
        "away": sorted(list_away()),
        "silent": stalled.list_silent() if stalled else [],
        "failing": supervisor.list_failing(),
    }
    is_ready = stalled is not None and not any(obstacles.values())
    return Readiness(is_ready, {"started": stalled is not None, "breakers": breakers.tell(), **obstacles})


async def _prepare_when_there(
    settings: WorkerSettings, rules: Rules, stopping: asyncio.Event, breakers: Breakers, traces: Traces
) -> LaneContext | None:
    """Wait until Kafka and Postgres are there, then check that everything fits; ``None`` where the stop comes first."""
    while not stopping.is_set():
        if not breakers.admits(_START):
            await wait_unless(stopping, POLL_SECONDS)
            continue
        try:
            context = await prepare(settings, rules, breakers, traces)
        except KafkaDown as down:
            breakers.kafka.trip(_START, down)
        except DatabaseDown as down:
            breakers.database.trip(_START, down)
        except SchemaMismatch as mismatch:
            raise ConfigurationError((str(mismatch),)) from mismatch
        else:
            breakers.close(_START)
            return context
    return None


async def _carry(
    context: LaneContext, supervisor: Supervisor, health: Health, stopping: asyncio.Event, log: Logger
) -> None:
    """Run the intake, the lanes and the timer side by side until the stop, then end them."""
    breakers = context.breakers
    async with AsyncExitStack() as stack:
        appender = Appender(context.kafka, context.inbox_partitions)
        stack.push_async_callback(appender.close, 1.0)
        lanes = Lanes(context, supervisor, log)
        stack.push_async_callback(lanes.close)
        intake = Intake(context.kafka, context.group_id, context.topics, appender, breakers.kafka, log)
        stack.push_async_callback(intake.close)
        readers = {"intake": intake.reader, "lanes": lanes.reader}
        for reader in readers.values():
            await _start_when_there(reader, breakers.kafka, stopping)
        if stopping.is_set():
            return
        stalled = StalledConsumers(context.kafka, readers, log)
        timer = Deadlines(context.database_url, appender, context.topics, lanes.list_partitions, breakers, log)
        health.look = partial(_look, supervisor, breakers, stalled)
        log.info("worker.started", group=context.group_id, inbox=context.inbox_topic)
        supervisor.start("intake", intake.run)
        supervisor.start("deadlines", timer.run)
        supervisor.start("stalled-consumers", stalled.watch)
        supervisor.start("census", partial(take_census, context.database_url))
        await stopping.wait()
        await asyncio.gather(lanes.close(), supervisor.end(STOP_SECONDS))


async def _start_when_there(reader: Consumer, breaker: Breaker, stopping: asyncio.Event) -> None:
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

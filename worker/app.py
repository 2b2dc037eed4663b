"""Runs a worker: prepares it, starts the background tasks, and stops them in order."""

import asyncio
import gc
import signal
from functools import partial
from typing import Final

from outbox.database import DatabaseDown
from outbox.server import DatabaseUnfit
from worker.kafka.admin import count_brokers
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.kafka.producer import Appender
from worker.pipeline.blocked_sources import measure_blocked_sources
from worker.pipeline.deadlines import Deadlines, open_postgres_deadlines
from worker.pipeline.intake import Intake
from worker.pipeline.lane import LaneContext
from worker.pipeline.lanes import Lanes
from worker.pipeline.source_topics import compare_sources, name_intake_group
from worker.preparation import prepare
from worker.resilience.backoff import run_unless, wait_unless
from worker.resilience.breaker import Breaker, Breakers, make_breakers
from worker.resilience.outage import list_unavailable
from worker.resilience.stalled_consumers import StalledConsumers
from worker.rules_in_force import RulesFolder
from worker.settings import ConfigurationError, WorkerSettings
from worker.shutdown import STOP_SECONDS, Shutdown, end_process_later
from worker.supervise import Supervisor
from worker.telemetry.census import take_census
from worker.telemetry.health_server import Health, Readiness, serve_health
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import VERSION
from worker.telemetry.tracing import Traces, open_traces
from worker.version import read_version

POLL_SECONDS: Final = 0.1

FINISH_SECONDS: Final = 5.0
"""How long tasks may take to end by themselves: a second more than ``worker.pipeline.lanes.STOP_SECONDS``."""

END_SECONDS: Final = 5.5
"""How long lanes and tasks may take to end, including those that are cancelled after ``FINISH_SECONDS``."""

CLOSE_SECONDS: Final = 1.0
"""How long the clients of Kafka may take to close."""

_START: Final = "the start of the worker"


async def run_worker(settings: WorkerSettings, folder: RulesFolder, log: Logger) -> None:
    """Run until SIGTERM or SIGINT, and end within 10 s of it, whatever Kafka and Postgres do.

    Args:
        settings: the environment.
        folder: the rules that are put in force if no version is.
        log: where everything is logged.

    Raises:
        ConfigurationError: something does not fit; raised before anything starts.
    """
    shutdown = Shutdown(log)
    _listen_for_signals(shutdown, log)
    collect_less_often()
    VERSION.labels(read_version()).set(1)
    breakers, traces = make_breakers(log), open_traces(settings, settings.kafka_group_id)
    supervisor = Supervisor(shutdown.requested, log)
    async with serve_health(settings.http_port, settings.http_bind) as health:
        health.find_readiness = partial(_find_readiness, supervisor, breakers, None, None)
        supervisor.start("health", health.run)
        try:
            context = await _prepare_when_there(settings, folder, shutdown.requested, breakers, traces, log)
            if context:
                await _process(context, supervisor, health, shutdown, log)
        finally:
            await shutdown.run(
                STOP_SECONDS, tasks=supervisor.end(CLOSE_SECONDS), traces=asyncio.to_thread(traces.close)
            )
    log.info("worker.stopped")


def _listen_for_signals(shutdown: Shutdown, log: Logger) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_by_signal, shutdown, log)
    # Its default would end the process, for example when the terminal that started it closes.
    why = "a worker has nothing to reload: `budget-bridge rules apply` changes the rules of all workers at once"
    loop.add_signal_handler(signal.SIGHUP, partial(log.info, "signal.ignored", signal="SIGHUP", why=why))


def _stop_by_signal(shutdown: Shutdown, log: Logger) -> None:
    if not shutdown.requested.is_set():
        end_process_later(log)
    shutdown.request()


def collect_less_often() -> None:
    """Run the garbage collector less often: nearly everything that a batch creates is freed without it.

    With Python's own threshold, which is less than one message creates, deciding and writing cost about a quarter more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _find_readiness(
    supervisor: Supervisor, breakers: Breakers, stalled: StalledConsumers | None, lanes: Lanes | None
) -> Readiness:
    """Find out whether the worker is ready: it has joined its groups, waits for nothing, and no task is failing."""
    obstacles = {
        "away": sorted(list_unavailable()),
        "silent": stalled.list_silent() if stalled else [],
        "failing": supervisor.list_failing(),
        "refusing": lanes.list_refusals() if lanes else [],
    }
    has_started = stalled is not None
    is_ready = has_started and not any(obstacles.values())
    details = {"version": read_version(), "started": has_started, "breakers": breakers.list_states(), **obstacles}
    return Readiness(is_ready, details)


async def _prepare_when_there(
    settings: WorkerSettings,
    folder: RulesFolder,
    stopping: asyncio.Event,
    breakers: Breakers,
    traces: Traces,
    log: Logger,
) -> LaneContext | None:
    """Wait for Kafka and Postgres, then check that everything fits; ``None`` if the worker is stopped first."""
    while not stopping.is_set():
        if not breakers.admits(_START):
            await wait_unless(stopping, POLL_SECONDS)
            continue
        try:
            context = await run_unless(stopping, prepare(settings, folder, breakers, traces, log))
        except KafkaDown as down:
            breakers.kafka.trip(_START, down)
        except DatabaseDown as down:
            breakers.database.trip(_START, down)
        except DatabaseUnfit as mismatch:
            raise ConfigurationError((str(mismatch),)) from mismatch
        else:
            if context:
                breakers.close(_START)
            return context
    return None


async def _process(
    context: LaneContext, supervisor: Supervisor, health: Health, shutdown: Shutdown, log: Logger
) -> None:
    """Run the intake, the lanes and the timer side by side until the stop, then end them."""
    breakers, topics, stopping = context.breakers, context.topics, shutdown.requested
    appender = Appender(context.kafka, context.inbox_partitions)
    lanes = Lanes(context, supervisor, log)
    sources = Consumer(
        context.kafka,
        name_intake_group(context.group_id),
        topics.sources,
        start="earliest",
        on_assigned=lambda assigned: intake.note_assigned(assigned),  # noqa: PLW0108 - the intake is made below
    )
    check = partial(compare_sources, context.kafka, context.group_id, topics)
    intake = Intake(sources, appender, check, topics, breakers.kafka, log)
    consumers = {"intake": sources, "lanes": lanes.reader}
    try:
        for consumer in consumers.values():
            await _start_when_there(consumer, breakers.kafka, stopping)
        if stopping.is_set():
            return
        stalled = StalledConsumers(consumers, partial(count_brokers, context.kafka), breakers.kafka, log)
        due = partial(open_postgres_deadlines, context.database_url)
        timer = Deadlines(due, appender, topics.commands, lanes.list_partitions, breakers, log)
        health.find_readiness = partial(_find_readiness, supervisor, breakers, stalled, lanes)
        log.info("worker.started", version=read_version(), group=context.group_id, inbox=topics.inbox)
        supervisor.start("intake", intake.run)
        supervisor.start("deadlines", timer.run)
        supervisor.start("stalled-consumers", stalled.run)
        supervisor.start("blocked-sources", partial(measure_blocked_sources, sources.list_ends))
        supervisor.start("census", partial(take_census, context.database_url))
        await stopping.wait()
    finally:
        # At the same time: a lane that is stopped only after everything else has ended has no time left.
        await shutdown.run(END_SECONDS, lanes=lanes.close(), tasks=supervisor.end(FINISH_SECONDS))
        await shutdown.run(CLOSE_SECONDS, sources=sources.close(CLOSE_SECONDS), appender=appender.close(CLOSE_SECONDS))


async def _start_when_there(consumer: Consumer, breaker: Breaker, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        if not breaker.admits(consumer):
            await wait_unless(stopping, POLL_SECONDS)
            continue
        try:
            await run_unless(stopping, consumer.start())
        except KafkaDown as down:
            breaker.trip(consumer, down)
        else:
            if not stopping.is_set():
                breaker.close(consumer)
            return

"""The second half of the way alone: from the rows of the outbox to Kafka, by three relays.

Each sends the same rows, which a worker wrote. Ours reads them from the database, as after a crash: the group's offset
is put back to the beginning. The other two read a table of their own with the same bytes.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from bench.harness import WORKER, Bench, Load, Program, hold_snapshot, open_session
from bench.load import PARTITIONS, BenchDeployment, stop
from bench.measuring import ProgramStuckError, open_outputs, read_some
from bench.peers import debezium
from bench.peers.debezium import DebeziumUnavailableError
from bench.results import Latency, Part, Run
from outbox.database import connect
from outbox.deployment import read_deployment_id
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import GroupOffset, commit_group_offsets
from worker.pipeline.lane_check import sign_offset

BUDGETS: Final = 5000
LONE_ROWS: Final = 60
WARM_UP: Final = 5
LOST_SECONDS: Final = 20.0
COPIES: Final = 3
"""How often the rows are in the table that the polling relay empties while a snapshot is held."""

OURS: Final = "worker"
POLLING: Final = "polling relay"
DEBEZIUM: Final = "Debezium Server"
HELD: Final = ", snapshot held"
GUARANTEES: Final = {
    OURS: "exactly once, in order; rows and offset in one Kafka transaction for each batch",
    POLLING: "at least once; in order only while one relay runs",
    DEBEZIUM: "at least once; in order",
}
POLLER: Final = Program("bench.peers.polling_relay")

TABLE: Final = """
create table relay_outbox (
    id bigint generated always as identity primary key, event_id uuid not null, topic text not null, event_type text,
    key bytea, payload bytea
)
"""
COPY: Final = """
insert into relay_outbox (event_id, topic, event_type, key, payload)
select gen_random_uuid(), topic, type, key, value from outbox order by inbox_partition, inbox_offset, ordinal
"""
ADD: Final = "insert into relay_outbox (event_id, topic, event_type, key, payload) values ($1, $2, 'lone', 'key', $3)"


async def measure_relay(bench: Bench) -> Part:
    """Measure rate, CPU and latency of each, then ours and the polling relay while a snapshot is held."""
    part = Part()
    deployment = await bench.prepare(bench.size(BUDGETS))
    messages = await deployment.send()
    await bench.carry_on(deployment, Load("filling the outbox", messages), WORKER)
    rows = 2 * messages
    async with open_session(deployment.database_url) as session:
        await session.execute(TABLE)
    try:
        jars = await asyncio.to_thread(debezium.fetch, bench.report)
    except DebeziumUnavailableError as error:
        part.notes[DEBEZIUM] = str(error)
        jars = None
    for _ in range(bench.turns):
        part.runs.append(await relay_ours(bench, deployment, OURS, rows))
        # Next to each other, because the rest of the machine changes more than a snapshot does.
        async with hold_snapshot(deployment.database_url):
            part.runs.append(await relay_ours(bench, deployment, OURS + HELD, rows))
        part.runs.append(await relay_polling(bench, deployment, POLLING, rows))
        part.latencies.append(await measure_lone_rows(bench, deployment, POLLING, POLLER))
        if jars and DEBEZIUM not in part.notes:
            try:
                await relay_debezium(bench, deployment, jars, rows, part)
            except (DebeziumUnavailableError, ProgramStuckError, TimeoutError) as error:
                part.notes[DEBEZIUM] = f"{type(error).__name__}: {error}"
                # Not kept with the results: it names files of this machine.
                print(debezium.read_log(deployment)[-2000:], file=sys.stderr)
    part.runs.append(await relay_polling(bench, deployment, f"{POLLING}, {COPIES} times the rows", rows, COPIES))
    async with hold_snapshot(deployment.database_url):
        name = f"{POLLING}, {COPIES} times the rows{HELD}"
        part.runs.append(await relay_polling(bench, deployment, name, rows, COPIES))
    return part


async def relay_ours(bench: Bench, deployment: BenchDeployment, name: str, rows: int) -> Run:
    """Put the group's offset back and start a worker, which publishes everything again from the database."""
    connection = KafkaConnection(deployment.kafka)
    session = await connect(deployment.database_url)
    metadata = sign_offset(await read_deployment_id(session))
    await session.close()
    inbox = f"{deployment.prefix}bridge.inbox"
    offsets = {(inbox, number): GroupOffset(0, metadata) for number in range(PARTITIONS)}
    await commit_group_offsets(connection, deployment.group, offsets)
    async with open_outputs(bench.kafka.bootstrap, deployment.outputs) as outputs:
        with bench.run(deployment, WORKER) as process:
            return await bench.measure(deployment, outputs, Load(name, rows, each=1), [process])


async def relay_polling(bench: Bench, deployment: BenchDeployment, name: str, rows: int, copies: int = 1) -> Run:
    """Fill the relay's table and let it empty it."""
    await fill(deployment, copies)
    async with open_outputs(bench.kafka.bootstrap, deployment.outputs) as outputs:
        with bench.run(deployment, POLLER) as process:
            return await bench.measure(deployment, outputs, Load(name, rows * copies, each=1), [process])


async def fill(deployment: BenchDeployment, copies: int = 1) -> None:
    """Fill the table of the other relays; each copy in a transaction."""
    async with open_session(deployment.database_url) as session:
        for _ in range(copies):
            await session.execute(COPY)


async def relay_debezium(bench: Bench, deployment: BenchDeployment, jars: Path, rows: int, part: Part) -> None:
    """Start Debezium Server, then fill the table, whose rows it reads from the log of Postgres."""
    async with AsyncExitStack() as stack:
        bench.report("starting Debezium Server", 0.0)
        process = await stack.enter_async_context(run_debezium(deployment, jars))
        outputs = await stack.enter_async_context(open_outputs(bench.kafka.bootstrap, deployment.outputs))
        # Once without counting: a JVM is slow at first.
        for name in ("warm-up", DEBEZIUM):
            await outputs.mark()
            filling = asyncio.create_task(fill(deployment))
            run = await bench.measure(deployment, outputs, Load(name, rows, each=1), [process])
            await filling
        part.runs.append(run)
        part.latencies.append(await add_lone_rows(bench, deployment, DEBEZIUM))
    await debezium.drop_slot(deployment)
    async with open_session(deployment.database_url) as session:
        await session.execute("truncate relay_outbox")


@asynccontextmanager
async def run_debezium(deployment: BenchDeployment, jars: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run Debezium Server, and stop it in the end."""
    process = debezium.start(deployment, jars)
    try:
        await debezium.await_slot(deployment, process)
        yield process
    finally:
        await asyncio.to_thread(stop, process)


async def measure_lone_rows(bench: Bench, deployment: BenchDeployment, name: str, program: Program) -> Latency:
    """Measure single rows with a relay that is idle otherwise."""
    with bench.run(deployment, program):
        return await add_lone_rows(bench, deployment, name)


async def add_lone_rows(bench: Bench, deployment: BenchDeployment, name: str) -> Latency:
    """Add row after row; each is measured from its commit until it is visible."""
    latency = Latency(name, [])
    topic = f"{deployment.prefix}bridge.status"
    async with (
        open_session(deployment.database_url) as session,
        open_outputs(bench.kafka.bootstrap, [topic]) as outputs,
    ):
        for number in range(LONE_ROWS):
            bench.report(f"{name}: lone rows", number / LONE_ROWS)
            added = uuid4()
            payload = added.bytes.ljust(480)
            await session.execute(ADD, added, topic, payload)
            began = time.monotonic()
            async with asyncio.timeout(LOST_SECONDS):
                while payload not in [raw.value for raw in await read_some(outputs.consumer, 0.2)]:
                    pass
            latency.milliseconds.append((time.monotonic() - began) * 1000)
            await asyncio.sleep(0.03)
    return Latency(name, latency.milliseconds[WARM_UP:])

"""Writes docs/capacity.md: what one worker, broker and database carry, computed from measured costs."""

from typing import Final, NamedTuple

from bench.parts import scale
from bench.parts.path import NAME
from bench.plots import write_figure
from bench.results import Results

BUSY: Final = 0.6
"""How busy a core may be on average: above it, waiting times grow faster than the load."""

TARGETS: Final = (100, 1_000, 10_000, 100_000)
"""Messages per second for which a deployment is computed."""

DAY_SECONDS: Final = 86_400
DATABASE_CORES: Final = 16
BROKER_CORES: Final = 8
COPIES: Final = 3

PAGE: Final = """\
# Capacity

<!-- Written by `python -m bench page` from benchmarks/results.json: change bench/capacity.py instead. -->

Computed from the costs in [benchmarks.md](benchmarks.md): budgets of 20 lines, {cores} cores of one machine for
everything, commit {commit}. `make bench` on your own hardware writes this page again. Each core is planned to be
{busy:.0%} busy. Everything beyond one machine is computed and not measured; it assumes that a round trip between
worker, broker and database takes well below a millisecond, and an `fsync` as long as on the measured disk.

## What one of each carries

| | CPU of a message | carries |
| --- | --- | --- |
| a worker: one process, one core | {cost.worker:.2f} ms | {carried.worker:,.0f} messages/s |
| a core of a broker | {cost.broker:.2f} ms | {carried.broker:,.0f} messages/s |
| a core of the database | {cost.database:.2f} ms | {carried.database:,.0f} messages/s |
| a lane: one partition of the inbox, whatever the machines | | {lane:,.0f} messages/s |

A message writes {wal:.1f} kB of Postgres log, {tables:.1f} kB of tables and indexes until they are pruned, and
{topics:.1f} kB of topics, one copy.

## What a load needs

{targets}
Broker cores and topics are for {copies} copies, as if a copy cost what a record costs. A database has {database_cores}
cores. Of the topics, only the inbox has to be kept for good.

## Where each limit is, and what to add

1. **The worker's core.** Above {carried.worker:,.0f} messages/s for each worker, latency grows, and the lag with it.
   Add workers, up to one for each partition of the inbox; nothing else changes. Two workers on the measured machine
   carried {two:.2f} times what one did, with the broker and the database on the same cores.
2. **A lane.** One project is on one partition, and one lane carries at most {lane:,.0f} messages/s, because its batches
   follow each other. The number of partitions is fixed when the inbox is made: choose twice the number of workers that
   you ever expect. A single project cannot be spread.
3. **Brokers.** A broker with {broker_cores} cores carries {brokers:,.0f} messages/s with {copies} copies. Add brokers
   and move partitions to them; workers notice nothing.
4. **The database.** With {database_cores} cores it carries {databases:,.0f} messages/s, and then writes
   {log:,.0f} MB/s of log: its limit is cores or disk, whichever ends first. Give it more cores and a faster disk, and
   prune, so that its indexes stay in memory.
5. **Beyond one database**, run a deployment for each region or group of companies, with topics, group and database of
   its own (`TOPIC_PREFIX`, `KAFKA_GROUP_ID`, `DATABASE_URL`). Projects share nothing, so deployments need not know of
   each other, and they can share brokers.
"""

NOT_MEASURED: Final = "# Capacity\n\nNothing is measured yet: `make bench` measures, and writes this page.\n"


class Each(NamedTuple):
    """One figure for each of the three."""

    worker: float
    broker: float
    database: float


def write_capacity(results: Results) -> str:
    """Write the page; its figures need the parts ``path`` and ``scale``."""
    if not {"path", "scale"} <= results.keys():
        return NOT_MEASURED
    path, scaled = results["path"], results["scale"]
    cost = Each(*(path.cpu_ms(NAME, process) for process in ("program", "kafka", "postgres")))
    carried = Each(*(1000 / one * BUSY for one in cost))
    written = next(run.bytes_written for run in path.runs if run.bytes_written)
    lane = scaled.rate(scale.count(scale.PARTITIONS[0], "partitions")) * BUSY
    one, two, *_ = (scaled.rate(scale.count(number, "workers")) for number in scale.WORKERS)
    return PAGE.format(
        cores=path.machine["cores"],
        commit=path.machine["commit"],
        busy=BUSY,
        cost=cost,
        carried=carried,
        lane=lane,
        wal=written["wal"] / 1000,
        tables=written["database"] / 1000,
        topics=written["kafka"] / 1000,
        targets=write_targets(carried, written, lane),
        copies=COPIES,
        database_cores=DATABASE_CORES,
        broker_cores=BROKER_CORES,
        two=two / one,
        brokers=carried.broker * BROKER_CORES / COPIES,
        databases=carried.database * DATABASE_CORES,
        log=carried.database * DATABASE_CORES * written["wal"] / 1e6,
    )


def write_targets(carried: Each, written: dict[str, float], lane: float) -> str:
    """Write what each rate needs, as a table with a column for each."""
    columns = [compute_needs(rate, carried, written, lane) for rate in TARGETS]
    head = "".join(f" {rate:,} messages/s |" for rate in TARGETS)
    rows = "".join(f"| {name} | {' | '.join(column[name] for column in columns)} |\n" for name in columns[0])
    return f"| |{head}\n| --- |{' --- |' * len(TARGETS)}\n{rows}"


def compute_needs(rate: int, carried: Each, written: dict[str, float], lane: float) -> dict[str, str]:
    """Compute what a rate of messages per second needs."""
    workers = divide(rate, carried.worker)
    database_cores = divide(rate, carried.database)
    # A lane is not split between workers, and spare partitions let workers be added.
    partitions = max(2 * workers, divide(rate, lane), 4)
    gigabytes = rate * DAY_SECONDS / 1e9
    return {
        "budgets a day": f"{rate * DAY_SECONDS // 2:,}",
        "workers": f"{workers:,}",
        "partitions": f"{partitions:,}",
        "broker cores": f"{divide(rate * COPIES, carried.broker):,}",
        "database cores": f"{database_cores:,}",
        "databases": f"{divide(database_cores, DATABASE_CORES):,}",
        "log of Postgres": f"{write_figure(rate * written['wal'] / 1e6)} MB/s",
        "tables, a day": f"{write_figure(gigabytes * written['database'])} GB",
        "topics, a day": f"{write_figure(gigabytes * written['kafka'] * COPIES)} GB",
    }


def divide(load: float, each: float) -> int:
    """Count how many are needed to carry a load."""
    return max(-int(-load // each), 1)

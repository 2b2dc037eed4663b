"""How the cost of a message grows: with lines, history, partitions, workers, a hot budget, a snapshot, a backlog."""

from contextlib import AsyncExitStack, ExitStack
from typing import Final

from bench.harness import WORKER, Bench, Load, hold_snapshot, open_session
from bench.load import APPROVER, BenchDeployment
from bench.measuring import open_outputs
from bench.results import Part, Run
from contracts.signature.signing import PrivateKey, generate_key

BUDGETS: Final = 2000
LINES: Final = {1: 4000, 20: 2000, 200: 300, 2000: 40}
"""How many lines, and how many budgets of so many are sent."""

PARTITIONS: Final = (1, 4, 16)
WORKERS: Final = (1, 2, 4)
HISTORIES: Final = (0, 1_000_000, 10_000_000)
VERSIONS: Final = 2000
BATCHES_OF_A_DAY: Final = 86_400
"""How many batches each lane stores in a day with one a second."""

NO_SNAPSHOT: Final = "acceptances after a day"
SNAPSHOT: Final = "acceptances after a day, snapshot held"
UNSIGNED: Final = "acceptances"
SIGNED: Final = "acceptances, signed"
BACKLOGS: Final = {100_000: 20, 1_000_000: 1}
"""How many messages wait, and how many lines each has."""

DECIDED: Final = 20_000

FILL: Final = (
    """
    insert into history (
        company_id, project_id, source, id, type, inbox_partition, inbox_offset, at, origin_topic, origin_partition,
        origin_offset, origin_timestamp_ms, budget_id, budget_version, key, headers, body, verdict, detail, rules_id
    )
    select 4211, 1000000 + n / 4, 'bench', 'old/' || n, 'budget.locked.v1', 1000, n, now(), 'procore.budgets', 0,
        n, 0, 1, 1 + n % 4, null, '[]', null, 'applied', '', 1
    from generate_series($1::bigint, $2::bigint - 1) as n
    """,
    """
    insert into outbox (
        inbox_partition, inbox_offset, ordinal, id, at, topic, type, company_id, project_id, budget_id, key, headers,
        value
    )
    select 1000, n, 0, gen_random_uuid(), now(), 'spectrum.exports', 'spectrum.export.v1', 4211, 1000000 + n / 4, 1,
        null, '[]', null
    from generate_series($1::bigint, $2::bigint - 1) as n
    """,
)

MOVE: Final = """
create procedure pg_temp.move(moves bigint) language plpgsql as $$
declare
    lane record;
begin
    for lane in select inbox_partition, next_offset from positions loop
        -- Up and down again, each step by the whole key, as a lane takes it.
        for step in 0 .. moves / 2 - 1 loop
            update positions set next_offset = next_offset + 1
            where inbox_partition = lane.inbox_partition and next_offset = lane.next_offset + step;
            commit;
        end loop;
        for step in reverse moves / 2 .. 1 loop
            update positions set next_offset = next_offset - 1
            where inbox_partition = lane.inbox_partition and next_offset = lane.next_offset + step;
            commit;
        end loop;
    end loop;
end $$
"""
"""Moves the position of each lane as often as so many batches do, and leaves it where it was."""


def count(number: int, things: str) -> str:
    """Name a run by the number of something."""
    return f"{number:,} {things}" if number != 1 else f"1 {things.removesuffix('s')}"


async def measure_scale(bench: Bench) -> Part:
    """Measure each, with everything else as in the whole path."""
    part = Part()
    await bench.carry("warm-up", WORKER, bench.size(BUDGETS // 2))
    for lines, budgets in LINES.items():
        part.runs.append(await carry_lines(bench, lines, bench.size(budgets)))
    for partitions in PARTITIONS:
        deployment = await bench.prepare(bench.size(BUDGETS), partitions=partitions)
        load = Load(count(partitions, "partitions"), await deployment.send())
        part.runs.append(await bench.carry_on(deployment, load, WORKER))
    part.runs += [await carry_with_workers(bench, workers) for workers in WORKERS]
    part.runs += [await carry_with_history(bench, rows) for rows in HISTORIES]
    part.runs += [await carry_hot_budget(bench, held=held) for held in (False, True)]
    part.runs += [await carry_after_a_day(bench, held=held) for held in (False, True)]
    part.runs += [await carry_acceptances(bench, name) for _ in range(bench.turns) for name in (UNSIGNED, SIGNED)]
    part.runs += await carry_answers(bench)
    part.runs += [await carry_backlog(bench, waiting, lines) for waiting, lines in BACKLOGS.items()]
    return part


async def carry_lines(bench: Bench, lines: int, budgets: int) -> Run:
    """Carry budgets of so many lines."""
    deployment = await bench.prepare(budgets, lines=lines)
    return await bench.carry_on(deployment, Load(count(lines, "lines"), await deployment.send()), WORKER)


async def carry_with_workers(bench: Bench, number: int) -> Run:
    """Carry with workers that have shared the partitions before the load arrives."""
    deployment = await bench.prepare(bench.size(2 * BUDGETS))
    with ExitStack() as stack:
        processes = [stack.enter_context(bench.run(deployment, WORKER)) for _ in range(number)]
        await bench.await_members(deployment, number)
        async with open_outputs(bench.kafka.bootstrap, deployment.outputs) as outputs:
            return await bench.measure(
                deployment, outputs, Load(count(number, "workers"), await deployment.send()), processes
            )


async def carry_with_history(bench: Bench, rows: int) -> Run:
    """Carry in a database that has carried many messages before."""
    deployment = await bench.prepare(bench.size(BUDGETS))
    await fill_history(bench, deployment, rows := int(rows * bench.scale))
    return await bench.carry_on(deployment, Load(f"{rows:,} rows of history", await deployment.send()), WORKER)


async def fill_history(bench: Bench, deployment: BenchDeployment, rows: int) -> None:
    """Add rows of history and as many of the outbox, without bodies: what grows is the indexes."""
    step = 100_000
    async with open_session(deployment.database_url) as session:
        for start in range(0, rows, step):
            bench.report(f"filling history with {rows:,} rows", start / rows)
            for statement in FILL:
                await session.execute(statement, start, min(start + step, rows))
        await session.execute("vacuum analyze")


async def carry_hot_budget(bench: Bench, *, held: bool) -> Run:
    """Carry version after version of one budget, each of which changes the same rows."""
    deployment = await bench.prepare(1)
    messages = await deployment.send_versions(bench.size(VERSIONS))
    async with AsyncExitStack() as stack:
        if held:
            await stack.enter_async_context(hold_snapshot(deployment.database_url))
        name = "one hot budget, snapshot held" if held else "one hot budget"
        return await bench.carry_on(deployment, Load(name, messages), WORKER)


async def prepare_locked(bench: Bench, key: PrivateKey | None = None) -> BenchDeployment:
    """Prepare a deployment in which every budget waits for its acceptance, to be signed if there is a key."""
    deployment = await bench.prepare(bench.size(BUDGETS), key=key)
    await bench.carry_on(deployment, Load("locks", await deployment.send_locks()), WORKER)
    return deployment


async def carry_after_a_day(bench: Bench, *, held: bool) -> Run:
    """Carry acceptances after a day of batches, during which perhaps somebody has held a snapshot."""
    deployment = await prepare_locked(bench)
    load = Load(SNAPSHOT if held else NO_SNAPSHOT, await deployment.send_acceptances())
    async with AsyncExitStack() as stack:
        if held:
            await stack.enter_async_context(hold_snapshot(deployment.database_url))
        session = await stack.enter_async_context(open_session(deployment.database_url))
        bench.report("a day of batches", 0.0)
        await session.execute("set synchronous_commit = off")
        await session.execute(MOVE)
        await session.execute(f"call pg_temp.move({bench.size(BATCHES_OF_A_DAY)})")
        return await bench.carry_on(deployment, load, WORKER)


async def carry_acceptances(bench: Bench, name: str) -> Run:
    """Carry acceptances that are signed, and have to be, or that are not."""
    key = generate_key("bench", APPROVER) if name == SIGNED else None
    deployment = await prepare_locked(bench, key)
    return await bench.carry_on(deployment, Load(name, await deployment.send_acceptances()), WORKER)


async def carry_answers(bench: Bench) -> list[Run]:
    """Carry what Spectrum answers to exports: that it has them, then what the jobs hold."""
    deployment = await prepare_locked(bench)
    await bench.carry_on(deployment, Load("acceptances", await deployment.send_acceptances()), WORKER)
    # Of what either causes, the statuses are counted.
    answers = Load("acknowledgements", await deployment.send_acknowledgements(), each=1)
    runs = [await bench.carry_on(deployment, answers, WORKER)]
    snapshots = Load("snapshots of 20 lines", await deployment.send_snapshots(), each=1)
    return [*runs, await bench.carry_on(deployment, snapshots, WORKER)]


async def carry_backlog(bench: Bench, number: int, lines: int) -> Run:
    """Carry the first of many waiting messages, for the memory that it takes."""
    deployment = await bench.prepare(1000, lines=lines)
    waiting = await deployment.send_versions(max(int(number * bench.scale), 2000))
    decided = min(waiting, max(int(DECIDED * bench.scale), 1000))
    name = f"{waiting:,} messages of {count(lines, 'lines')} waiting"
    return await bench.carry_on(deployment, Load(name, waiting, stop_early=decided), WORKER)

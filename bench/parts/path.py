"""The whole path against its two yardsticks: the naive worker, and a floor with the same I/O and no decisions."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.harness import WORKER, Bench, Load, Program, check_out
from bench.load import BenchDeployment
from bench.peers.catalogue import PEERS
from bench.results import Part, Run

BUDGETS: Final = 4000
NAME: Final = "worker"
FLOOR: Final = "floor"
NAIVE: Final = PEERS[0]


async def measure_path(bench: Bench) -> Part:
    """Measure the three in turn, so that other load on the machine affects all of them."""
    part = Part()
    await bench.carry("warm-up", WORKER, bench.size(BUDGETS // 4))
    with ExitStack() as stack:
        checkout = stack.enter_context(check_out(bench.against)) if bench.against else None
        for _ in range(bench.turns):
            part.runs.append(await bench.carry_with_bytes(NAME, WORKER, bench.size(BUDGETS)))
            if checkout:
                part.runs.append(await carry_at(bench, checkout))
            part.runs.append(await bench.carry(FLOOR, Program("bench.floor"), bench.size(BUDGETS)))
            part.runs.append(await bench.carry(NAIVE.name, NAIVE.program, bench.size(NAIVE.budgets)))
    return part


async def carry_at(bench: Bench, checkout: Path) -> Run:
    """Carry with the worker of another commit."""
    budgets = bench.size(BUDGETS // 2)
    deployment = BenchDeployment(bench.folder, bench.kafka.bootstrap, bench.postgres.url, budgets, checkout=checkout)
    await deployment.prepare()
    load = Load(f"commit {bench.against}", await deployment.send())
    return await bench.carry_on(deployment, load, Program(deployment.worker, ("run",)))

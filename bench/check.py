"""Checks that a message costs the worker no more CPU than it did; most often in half a minute.

The figure is the CPU of a message in units of a fixed piece of work (``bench.yardstick``), which is done ten times a
second while the worker runs, so that a slow machine, a busy neighbour or another Python affect both alike.
"""

import asyncio
import json
import math
import statistics
from pathlib import Path
from typing import Final

from bench.harness import WORKER, Bench, Load
from bench.yardstick import measure_yardstick

BASELINE: Final = Path(__file__).with_name("baseline.json")
BUDGETS: Final = 1500
TURNS: Final = 4
PAUSE_SECONDS: Final = 0.1

WORSE: Final = 1.25
"""How much more than recorded fails the check."""

BETTER: Final = 0.8
"""How much less than recorded is worth recording."""


async def check_cost(bench: Bench, *, record: bool) -> int:
    """Measure the cost of a message, and compare or record it.

    Whatever else happens on the machine can only add to the cost. So the lowest of some turns counts, and the first
    that is within the limit ends the check.

    Returns:
        The exit code: 1 if a message costs a quarter more than recorded.
    """
    recorded = math.inf if record else float(json.loads(BASELINE.read_text())["yardsticks_per_message"])
    costs: list[float] = []
    while len(costs) < TURNS:
        costs.append(await measure_cost(bench))
        print(f"a message costs {costs[-1]:.2f} yardsticks of CPU")
        if not record and costs[-1] <= recorded * WORSE:
            break
    cost = min(costs)
    if record:
        BASELINE.write_text(json.dumps({"yardsticks_per_message": round(cost, 2)}) + "\n")
        return 0
    if cost > recorded * WORSE:
        print(f"That is {cost / recorded:.2f} times what {BASELINE.name} has, {recorded:.2f}; {WORSE} is allowed.")
        return 1
    if cost < recorded * BETTER:
        print(f"{BASELINE.name} has {recorded:.2f}: record this with `python -m bench --quick --record`.")
    return 0


async def measure_cost(bench: Bench) -> float:
    """Carry locks, then their acceptances, and measure the CPU of a message of either kind in yardsticks.

    One after the other, because an acceptance that overtakes its lock is parked, and costs more.
    """
    deployment = await bench.prepare(bench.size(BUDGETS))
    measured = [measure_yardstick()]

    async def measure_now_and_then() -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            measured.append(measure_yardstick())

    measuring = asyncio.create_task(measure_now_and_then())
    try:
        locks = await bench.carry_on(deployment, Load("locks", await deployment.send_locks()), WORKER)
        load = Load("acceptances", await deployment.send_acceptances())
        acceptances = await bench.carry_on(deployment, load, WORKER)
    finally:
        measuring.cancel()
    return (locks.cpu_ms("program") + acceptances.cpu_ms("program")) / 2 / statistics.median(measured)

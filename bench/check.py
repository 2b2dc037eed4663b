"""Checks that a message costs the worker no more CPU than it did, in less than a minute.

The figure is the CPU of a message in units of a fixed piece of work (``bench.yardstick``). That is done ten times a
second while the worker runs, so that a slow machine, a busy neighbour or another Python affect both alike.
"""

import asyncio
import json
import statistics
from pathlib import Path
from typing import Final

from bench.harness import WORKER, Bench
from bench.yardstick import measure_yardstick

BASELINE: Final = Path(__file__).with_name("baseline.json")
BUDGETS: Final = 1000
TURNS: Final = 3
PAUSE_SECONDS: Final = 0.1

WORSE: Final = 1.25
"""How much more than recorded fails the check."""

BETTER: Final = 0.8
"""How much less than recorded is worth recording."""


async def check_cost(bench: Bench, *, record: bool) -> int:
    """Measure the cost of a message, and compare or record it.

    Returns:
        The exit code: 1 if a message costs a quarter more than recorded.
    """
    costs = [await measure_cost(bench) for _ in range(TURNS)]
    # The lowest: whatever else happens on the machine can only add to it.
    cost = min(costs)
    if record:
        BASELINE.write_text(json.dumps({"yardsticks_per_message": round(cost, 2)}) + "\n")
    recorded = json.loads(BASELINE.read_text())["yardsticks_per_message"]
    spread = ", ".join(f"{one:.2f}" for one in costs)
    print(f"CPU of a message: {cost:.2f} yardsticks (of {spread}); recorded: {recorded:.2f}")
    if cost > recorded * WORSE:
        print(f"A message costs {cost / recorded:.2f} times what is recorded in {BASELINE.name}; {WORSE} is allowed.")
        return 1
    if cost < recorded * BETTER:
        print("That is a good deal less: record it with `python -m bench --quick --record`.")
    return 0


async def measure_cost(bench: Bench) -> float:
    """Carry budgets, and measure the CPU of a message in yardsticks."""
    measured = [measure_yardstick()]

    async def measure_now_and_then() -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            measured.append(measure_yardstick())

    measuring = asyncio.create_task(measure_now_and_then())
    try:
        run = await bench.carry("cost of a message", WORKER, bench.size(BUDGETS))
    finally:
        measuring.cancel()
    return run.cpu_ms("program") / statistics.median(measured)

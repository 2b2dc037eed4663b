"""The worker against programs that do the same job in other ways."""

from bench.harness import WORKER, Bench
from bench.measuring import ProgramStuckError
from bench.parts.path import BUDGETS, NAIVE, NAME
from bench.peers.catalogue import PEERS
from bench.results import Part


async def measure_peers(bench: Bench) -> Part:
    """Measure each in turn; one that gets stuck is named with the reason, and not measured again."""
    part = Part()
    await bench.carry("warm-up", WORKER, bench.size(BUDGETS // 4))
    for _ in range(bench.turns):
        part.runs.append(await bench.carry(NAME, WORKER, bench.size(BUDGETS)))
        for peer in PEERS:
            if peer.name in part.notes or peer is NAIVE:
                continue
            try:
                part.runs.append(await bench.carry(peer.name, peer.program, bench.size(peer.budgets)))
            except ProgramStuckError as stuck:
                part.notes[peer.name] = str(stuck)
        part.runs.append(await bench.carry(NAIVE.name, NAIVE.program, bench.size(NAIVE.budgets)))
    return part

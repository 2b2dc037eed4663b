"""``python -m tests.laws --histories 100000 --seed 1``: the laws, at length, over all cores, with progress."""

import argparse
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from os import cpu_count

from tests.laws.import_world import play_with_imports
from tests.laws.reading_world import play_with_readings
from tests.laws.signed_world import play_with_signatures
from tests.laws.world import LawBrokenError, play

STEPS = 80
AT_ONCE = 250


def play_many(seeds: range) -> tuple[Counter[str], str | None]:
    """Play histories; returns what was counted, and the first that broke a law."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        try:
            chance = random.Random(seed)
            # Every second one with readings of Spectrum, of these every second one with people who change its figures;
            # of the others every fourth with imports, and every fourth with signatures and a forger.
            if seed % 2:
                counts += play_with_readings(chance, STEPS, meddled=seed % 4 == 3)
            elif seed % 8 == 2:
                counts += play_with_signatures(chance, STEPS)
            else:
                counts += play_with_imports(chance, STEPS) if seed % 8 == 6 else play(chance, STEPS)
        except LawBrokenError as broken:
            return counts, f"seed {seed}: {broken}"
    return counts, None


def main() -> int:
    """Play histories and print the result; the exit code is 1 if a law is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.laws", description=__doc__)
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    first, last = asked.seed * 1_000_000, asked.seed * 1_000_000 + asked.histories
    began, counts = time.monotonic(), Counter[str]()
    with ProcessPoolExecutor(cpu_count()) as pool:
        parts = [
            pool.submit(play_many, range(start, min(start + AT_ONCE, last))) for start in range(first, last, AT_ONCE)
        ]
        for part in as_completed(parts):
            counted, broken = part.result()
            counts += counted
            if broken:
                pool.shutdown(cancel_futures=True)
                sys.stdout.write(f"\na law is broken in {broken}\n")
                return 1
            rate = counts["histories"] / (time.monotonic() - began)
            if sys.stdout.isatty():
                sys.stdout.write(f"\r{counts['histories']:>9,} histories, {rate:,.0f} a second")
                sys.stdout.flush()
    sys.stdout.write("\n\n")
    for what, count in sorted(counts.items()):
        sys.stdout.write(f"{count:>12,}  {what}\n")
    sys.stdout.write("\nall six laws hold, and those of readings, imports and signatures\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

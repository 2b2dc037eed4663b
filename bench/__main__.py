"""``python -m bench``: measures parts of the benchmark, keeps the results, and writes the pages from them.

Everything of a part is measured in one run on one machine: the ratios count, not the figures.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import check
from bench.cpu import describe_machine
from bench.harness import Bench, start_bench
from bench.page import write_pages
from bench.parts.desk import measure_desk
from bench.parts.latency import measure_latency
from bench.parts.path import measure_path
from bench.parts.peers import measure_peers
from bench.parts.relay import measure_relay
from bench.parts.scale import measure_scale
from bench.results import DOCS, Part, read_results, write_results

PARTS: Final[dict[str, Callable[[Bench], Coroutine[Any, Any, Part]]]] = {
    "path": measure_path,
    "latency": measure_latency,
    "peers": measure_peers,
    "relay": measure_relay,
    "scale": measure_scale,
    "desk": measure_desk,
}


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default, and `page` writes the pages")
    parser.add_argument("--quick", action="store_true", help="only check that a message costs no more CPU than it did")
    parser.add_argument("--record", action="store_true", help="with --quick: record the figure that it checks against")
    parser.add_argument("--turns", type=int, default=3, help="how often each program is measured")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the loads; below 1 only to try it out")
    parser.add_argument("--against", metavar="COMMIT", default="", help="with path: measure its worker as well")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where results and pages are kept")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS, "page"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    """Run what was asked for."""
    options = read_arguments()
    # Its default would leave the programs and the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:60}"), BarColumn(), TimeElapsedColumn())
    results = read_results(options.docs)
    asked = [name for name in PARTS if name in options.parts or not options.parts]
    if options.quick or asked:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("starting", total=1.0)
            part_name = ""

            def report(what: str, share: float) -> None:
                progress.update(task, description=f"{part_name}{what}", completed=share)

            sizes = {"scale": options.scale, "turns": options.turns}
            with start_bench(results, report, **sizes, against=options.against) as bench:
                if options.quick:
                    return asyncio.run(check.check_cost(bench, record=options.record))
                for name in asked:
                    part_name = f"{name}: "
                    began = time.monotonic()
                    part = asyncio.run(PARTS[name](bench))
                    part.seconds, part.machine = time.monotonic() - began, describe_machine()
                    part.command = f"python -m bench {' '.join(sys.argv[1:])}".rstrip()
                    results[name] = part
                    write_results(results, options.docs)
    write_pages(results, options.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())

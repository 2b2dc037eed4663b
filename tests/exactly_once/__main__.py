"""``python -m tests.exactly_once crashes``: what we promise, shown on real servers, with a table of what came of it."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from budget_bridge.demo.servers import run_kafka, run_postgres
from budget_bridge.worker.findings import Kind
from tests.exactly_once.crashes import Survived, crash_at_all
from tests.exactly_once.planted import POINTS

SCREEN = Console(highlight=False, soft_wrap=True)


def run_crashes(markdown: Path | None) -> int:
    """Die at every point, one table row each; 1 unless all of them are zero."""
    began = time.monotonic()
    done: list[Survived] = []

    def tell(survived: Survived) -> None:
        done.append(survived)
        verdict = "nothing differs" if survived.is_clean else f"[bold red]{survived}[/]"
        SCREEN.print(f"  {len(done):>2}/{len(POINTS)}  {survived.point:<46} {survived.seconds:>5.1f} s  {verdict}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with run_kafka(folder / "kafka", SCREEN.print) as kafka, run_postgres(folder / "postgres", SCREEN.print) as db:
            SCREEN.print(f"The worker dies by SIGKILL at each of {len(POINTS)} points, and is started again:")
            found = asyncio.run(crash_at_all(POINTS, folder, kafka.bootstrap, db.url, tell))
    SCREEN.print(show_crashes(found))
    SCREEN.print(f"{len(found)} crashes in {time.monotonic() - began:.0f} s")
    if markdown:
        markdown.write_text(write_crashes(found))
    return 0 if all(survived.is_clean for survived in found) else 1


def list_columns(survived: Survived) -> list[str]:
    """List what the table shows of a crash."""
    counts = survived.counts
    other = counts[Kind.ALTERED] + counts[Kind.UNEXPLAINED]
    doubled = counts[Kind.DOUBLED] + survived.repeats
    return [*map(str, (counts[Kind.LOST], doubled, counts[Kind.REORDERED], other)), f"{survived.seconds:.1f}"]


COLUMNS = ("killed at", "lost", "doubled", "reordered", "other differences", "seconds to recover")


def show_crashes(found: Sequence[Survived]) -> Table:
    """Show the table to a person."""
    table = Table(*COLUMNS, box=None)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for survived in found:
        table.add_row(survived.point, *list_columns(survived))
    return table


def write_crashes(found: Sequence[Survived]) -> str:
    """Write the table as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [f"| {survived.point} | {' | '.join(list_columns(survived))} |" for survived in found]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.exactly_once", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    crashes = commands.add_parser("crashes", help="die at every point of a message's way")
    crashes.add_argument("--markdown", type=Path, help="write the table there as well")
    asked = parser.parse_args()
    return run_crashes(asked.markdown)


if __name__ == "__main__":
    raise SystemExit(main())

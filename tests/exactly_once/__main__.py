"""``python -m tests.exactly_once crashes`` or ``chaos``: checks the guarantees on real servers, and prints a table."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from demo.kafka_server import run_kafka, run_kafka_cluster
from demo.postgres_server import run_postgres
from demo.server_process import choose_ports
from tests.exactly_once.chaos import PARTITIONS, Chaos, ChaosDeployment, Report, list_through
from tests.exactly_once.crashes import Survived, crash_at_all
from tests.exactly_once.deployment import create_database
from tests.exactly_once.planted import POINTS
from tests.exactly_once.proxy import Proxy
from worker.console import Console as TextConsole
from worker.reconcile.findings import DifferenceKind, format_findings

SCREEN = Console(highlight=False, soft_wrap=True)


def run_crashes(page: Path | None) -> int:
    """Crash at every point and print a table; return exit code 1 if anything differs.

    Args:
        page: a page into which the table is written as well.
    """
    began = time.monotonic()
    done: list[Survived] = []

    def report_crash(survived: Survived) -> None:
        done.append(survived)
        verdict = "nothing differs" if survived.is_clean else f"[bold red]{survived}[/]"
        SCREEN.print(f"  {len(done):>2}/{len(POINTS)}  {survived.point:<46} {survived.seconds:>5.1f} s  {verdict}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with run_kafka(folder / "kafka", SCREEN.print) as kafka, run_postgres(folder / "postgres", SCREEN.print) as db:
            SCREEN.print(f"The worker is killed by SIGKILL at each of {len(POINTS)} points, and restarted:")
            found = asyncio.run(crash_at_all(POINTS, folder, kafka.bootstrap, db.url, report_crash))
    SCREEN.print(make_crash_table(found))
    SCREEN.print(f"{len(found)} crashes in {time.monotonic() - began:.0f} s")
    if page:
        put_into(page, "crashes", write_crashes(found))
    return 0 if all(survived.is_clean for survived in found) else 1


def list_columns(survived: Survived) -> list[str]:
    """List the figures of a crash, as the table has them."""
    counts = survived.counts
    other = counts[DifferenceKind.ALTERED] + counts[DifferenceKind.UNEXPLAINED]
    doubled = counts[DifferenceKind.DOUBLED] + survived.repeats
    return [
        *map(str, (counts[DifferenceKind.LOST], doubled, counts[DifferenceKind.REORDERED], other)),
        f"{survived.seconds:.1f}",
    ]


COLUMNS = ("killed at", "lost", "doubled", "reordered", "other differences", "seconds to recover")


def make_crash_table(found: Sequence[Survived]) -> Table:
    """Make the table of all crashes for the terminal."""
    table = Table(*COLUMNS, box=None)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for survived in found:
        table.add_row(survived.point, *list_columns(survived))
    return table


def write_crashes(found: Sequence[Survived]) -> str:
    """Write the table as Markdown."""
    lines = [f"{len(found)} crashes.", "", f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [f"| {survived.point} | {' | '.join(list_columns(survived))} |" for survived in found]
    return "\n".join(lines) + "\n"


def run_chaos(seconds: float, seed: int, page: Path | None) -> int:
    """Break everything for a while and print a table; return exit code 1 if anything differs at the end.

    Args:
        seconds: for how long.
        seed: chooses the disruptions and their order.
        page: a page into which the table is written as well.
    """
    with tempfile.TemporaryDirectory() as name:
        report = asyncio.run(play_chaos(Path(name), seconds, seed))
    SCREEN.print(make_chaos_table(report))
    TextConsole().print_text("\n".join(format_findings(report.findings)))
    for wrong in report.wrong_figures:
        SCREEN.print(f"Spectrum holds other figures: {wrong}", markup=False)
    if page:
        put_into(page, "chaos", write_chaos(report))
    return 0 if report.is_clean else 1


async def play_chaos(folder: Path, seconds: float, seed: int) -> Report:
    """Start three brokers, Postgres and the wires, and run the chaos; takes what ``run_chaos`` takes."""
    *wire_ports, database_port = choose_ports(4)
    addresses = choose_ports(3)
    with (
        run_kafka_cluster(folder / "kafka", addresses, SCREEN.print) as brokers,
        run_postgres(folder / "postgres", SCREEN.print) as postgres,
    ):
        address = urlsplit(postgres.url)
        database_wire = Proxy("127.0.0.1", address.port or 0)
        wires = [Proxy("127.0.0.1", broker.proxied_port or 0) for broker in brokers]
        deployment = ChaosDeployment(
            folder, ",".join(broker.bootstrap for broker in brokers), await create_database(postgres.url)
        )
        deployment.through = list_through(wire_ports, deployment.database_url, database_port)
        try:
            for wire, port in zip((*wires, database_wire), (*wire_ports, database_port), strict=True):
                await wire.start(port)
            for wire, port in zip(wires, addresses, strict=True):
                await wire.start(port)
            await deployment.prepare(PARTITIONS)
            chaos = Chaos(brokers, dict(zip(wires, addresses, strict=True)), postgres, database_wire)
            return await chaos.run(deployment, seconds, seed, lambda what: SCREEN.print(f"  {what}"))
        finally:
            await deployment.close()
            for wire in (*wires, database_wire):
                await wire.close()


def make_chaos_table(report: Report) -> Table:
    """Make the table of disruptions and results for the terminal."""
    table = Table("what was done", "times", box=None)
    for what, times in sorted(report.done.items()):
        table.add_row(what, str(times))
    for what, number in list_figures(report).items():
        table.add_row(f"[bold]{what}[/]", f"[bold]{number}[/]")
    return table


def list_figures(report: Report) -> dict[str, str]:
    """List the figures of a chaos run."""
    counts = report.findings.count()
    return {
        "messages sent to the bridge": str(report.sent),
        "versions locked": str(report.versions),
        "messages sent by the bridge": str(report.published),
        "times a lane started": str(report.lanes_started),
        "lost": str(counts[DifferenceKind.LOST]),
        "doubled": str(counts[DifferenceKind.DOUBLED] + report.repeats),
        "reordered": str(counts[DifferenceKind.REORDERED]),
        "other differences": str(counts[DifferenceKind.ALTERED] + counts[DifferenceKind.UNEXPLAINED]),
        "budgets with other figures in Spectrum": str(len(report.wrong_figures)),
        "seconds until quiet, after everything was repaired": f"{report.quiet_after:.1f}",
    }


def write_chaos(report: Report) -> str:
    """Write the report as Markdown."""
    done = ", ".join(f"{what} ({times})" for what, times in sorted(report.done.items()))
    rows = [f"| {what} | {number} |" for what, number in list_figures(report).items()]
    head = f"Seed {report.seed}, {report.seconds:.0f} seconds. Done: {done}."
    return "\n".join([head, "", "| | |", "|---|---:|", *rows]) + "\n"


def put_into(page: Path, name: str, text: str) -> None:
    """Replace the text between the marks ``begin name`` and ``end name`` on a page."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.exactly_once", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    crashes = commands.add_parser("crashes", help="kill the worker at every step of a message's path")
    crashes.add_argument("--into", type=Path, help="put the table into this page as well")
    chaos = commands.add_parser("chaos", help="break everything while budgets are carried")
    chaos.add_argument("--into", type=Path, help="put the table into this page as well")
    chaos.add_argument("--seconds", type=float, default=300.0)
    chaos.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.command == "chaos":
        return run_chaos(asked.seconds, asked.seed, asked.into)
    return run_crashes(asked.into)


if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m demo.desk``: the desk over a deployment that lives until Ctrl+C, with budgets, people and a manager.

The servers, the rules, the worker and Spectrum are those of the demo. Spectrum takes three seconds for an answer,
refuses one line once, and is silent about one job; every half a minute the manager sends another version of one budget.
"""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from decimal import Decimal
from typing import Final

from rich.console import Console

from demo.bridge_client import PATIENCE_SECONDS, BridgeClient, Data, Sent, UnexpectedError, connect_bridge
from demo.desk_processes import DeskProcesses, choose_port
from demo.desk_rules import CHARACTERS, write_desk_rules
from demo.keys import read_approvals
from demo.scene import format_amount
from demo.seeding import Seeding
from demo.seeds import FOUNDATIONS, REFUSAL, REFUSED, SEEDS, SILENT_JOB, Reached, write_version
from demo.setup import DemoSetup, prepare
from demo.spectrum import Spectrum
from demo.spectrum_connector import SpectrumConnector
from demo.timeline import Timeline
from worker.kafka.connection import KafkaConnection

ANSWER_SECONDS: Final = 3.0
VERSION_SECONDS: Final = 30.0
_STOPPED_BY: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED: Final = 1


async def plant(bridge: BridgeClient, processes: DeskProcesses) -> Seeding:
    """Bring the seeds to their states.

    Raises:
        UnexpectedError: some were not reached in time.
    """
    seeding = Seeding(SEEDS)
    until = time.monotonic() + PATIENCE_SECONDS
    while missing := seeding.list_missing(but_for_deadlines=True):
        processes.check()
        if time.monotonic() > until:
            raise UnexpectedError(f"these budgets did not get as far as they should: {[one.what for one in missing]}")
        for message in seeding.take_due():
            await bridge.send(*message)
        for sent in await bridge.read():
            seeding.note(sent)
    return seeding


async def play_on(bridge: BridgeClient, seeding: Seeding, processes: DeskProcesses, timeline: Timeline) -> None:
    """Print what the bridge reports, and send another version of one budget from time to time."""
    budget, version, due = SEEDS[-1].budget, 1, time.monotonic() + VERSION_SECONDS
    while True:
        processes.check()
        for sent in await bridge.read():
            if reached := seeding.note(sent):
                print_change(timeline, sent, reached)
        if time.monotonic() > due:
            version, due = version + 1, due + VERSION_SECONDS
            lock = write_next_version(version)
            await bridge.send("budget.locked.v1", budget, version, lock)
            what = f"locks version {version} of {budget}: {format_amount(lock['total_amount'])} USD"
            timeline.print_event("→", "manager", what)


def write_next_version(number: int) -> Data:
    """Write a version in which the first line differs from the one before."""
    first = FOUNDATIONS[0]
    amount = Decimal(first.amount) + 250 * (number % 40)
    return write_version((first._replace(amount=str(amount)), *FOUNDATIONS[1:]))


def print_change(timeline: Timeline, sent: Sent, reached: Reached) -> None:
    """Print the new state of a budget."""
    overdue = ", overdue" if reached.overdue else ""
    what = f"{sent.key} version {reached.version}: {reached.status}{overdue}"
    timeline.print_event("←", "bridge", what, style="cyan")


def print_welcome(console: Console, url: str) -> None:
    """Print where the desk is, and who one may be there."""
    console.print(f"\n[bold green]The desk is at {url}[/bold green]\n\nBe one of these, one click each:")
    for one in CHARACTERS:
        console.print(f"  {one.user:<32} {one.part}", highlight=False, soft_wrap=True)
    console.print("\nCtrl+C ends everything.\n", style="dim")


async def run(setup: DemoSetup, console: Console) -> None:
    """Run everything until a signal ends it."""
    stopped = asyncio.Event()
    for number in _STOPPED_BY:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    life = asyncio.create_task(live(setup, console))
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
    life.cancel()
    stop.cancel()
    with suppress(asyncio.CancelledError):
        await life


async def live(setup: DemoSetup, console: Console) -> None:
    """Start what is missing, plant the seeds, and play on."""

    async def read_no_status(_: object) -> Data:
        return {}

    connection, keys = KafkaConnection(setup.bootstrap), setup.keys.by_type
    bridge = connect_bridge(connection, setup.topics, keys, read_no_status)
    spectrum = Spectrum(refusals={REFUSED: REFUSAL}, approvals=read_approvals(setup.rules))
    connector = SpectrumConnector(spectrum, connection, setup.topics, keys, {SILENT_JOB}, ANSWER_SECONDS)
    processes = DeskProcesses(setup, choose_port())
    with processes.running():
        try:
            async with connector.running():
                await bridge.reader.start()
                with console.status(f"Carrying {len(SEEDS)} budgets to where you will find them …"):
                    seeding = await plant(bridge, processes)
                with console.status("Waiting for the desk …"):
                    await processes.await_page()
                print_welcome(console, processes.url)
                await play_on(bridge, seeding, processes, Timeline(console))
        finally:
            await bridge.reader.close(1.0)
            await bridge.appender.close(1.0)


def main() -> int:
    """Run the demo of the desk."""
    console = Console()
    try:
        with prepare(console, write_desk_rules) as setup:
            asyncio.run(run(setup, console))
            console.print("\nstopping …")
    except UnexpectedError as error:
        console.print(f"\n✗ {error}", markup=False, style="bold red")
        return _FAILED
    except KeyboardInterrupt:
        # While the servers are still being started.
        console.print("\nstopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())

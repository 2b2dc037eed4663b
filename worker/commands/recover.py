"""``budget-bridge recover``: plans repairs and makes each one after asking."""

import asyncio
from typing import Annotated

import typer

from worker.commands.problems import ANSWER_IS_NO, report_problems
from worker.commands.run import read_worker_settings
from worker.console import Console
from worker.deployment import make_deployment
from worker.recover.plan import plan_repairs
from worker.recover.repair import Choices, Repair, TreatAs


def recover_deployment(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what is wrong and what can be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make every repair without asking.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="This database replaces the one that the consumer group belonged to.")
    ] = False,
    publish_again: Annotated[
        bool, typer.Option("--publish-again", help="Publish again what an output topic has lost.")
    ] = False,
    treat_as: Annotated[
        TreatAs | None,
        typer.Option(help="What stored messages are, where Kafka holds none of them and the group has no offset."),
    ] = None,
) -> None:
    """Repair what keeps a lane from publishing: a restored backup, lost offsets, a recreated topic.

    Prints what it found and what it would do, then asks before each repair. Exit code 1 while anything is left to do.
    """
    with report_problems():
        settings, folder = read_worker_settings()
        deployment = make_deployment(settings)
        choices = Choices(adopt, treat_as, publish_again)
        console = Console()
        refused: set[str] = set()
        while repairs := [
            repair for repair in asyncio.run(plan_repairs(deployment, folder, choices)) if repair.found not in refused
        ]:
            for number, repair in enumerate(repairs, 1):
                console.print_line(f"{number}. {repair.found}")
                console.print_line(f"   Way out: {repair.way_out}.")
            if dry_run:
                raise typer.Exit(ANSWER_IS_NO)
            for number, repair in enumerate(repairs, 1):
                if repair.act and (yes or typer.confirm(f"Make repair {number}?")):
                    asyncio.run(_act(repair))
                    console.print_line(f"   repair {number} is done")
                else:
                    refused.add(repair.found)
        if refused:
            raise typer.Exit(ANSWER_IS_NO)
        console.print_line("nothing is out of place; `budget-bridge reconcile` proves it")


async def _act(repair: Repair) -> None:
    if repair.act:
        await repair.act()

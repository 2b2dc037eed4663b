"""``budget-bridge recover``: plans and carries out repairs, each after asking."""

import asyncio
from typing import Annotated

import typer

from worker.commands.problems import ANSWER_IS_NO, report_problems
from worker.commands.run import read_worker_settings
from worker.console import Console
from worker.deployment import make_deployment
from worker.recover.plan import Choices, Repair, TreatAs, open_recoverer


def recover_deployment(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong and what can be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do every step without asking.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="This database takes the place of the one that carried the group before.")
    ] = False,
    publish_again: Annotated[
        bool, typer.Option("--publish-again", help="Publish once more what an output topic has lost.")
    ] = False,
    treat_as: Annotated[
        TreatAs | None,
        typer.Option(help="What stored messages are, where Kafka holds none of them and the group has no offset."),
    ] = None,
) -> None:
    """Find the way out when a lane refuses to publish: after a restore, a lost offset, a topic made anew.

    Says what it found and what it would do, then asks before each step. Exit code 1 while anything is left to do.
    """
    with report_problems():
        settings, rules = read_worker_settings()
        scene = make_deployment(settings)

        async def plan() -> list[Repair]:
            recoverer = await open_recoverer(scene, rules, Choices(adopt, treat_as, publish_again))
            return await recoverer.plan()

        console = Console()
        refused: set[str] = set()
        while steps := [step for step in asyncio.run(plan()) if step.found not in refused]:
            for number, step in enumerate(steps, 1):
                console.print(f"{number}. {step.found}", markup=False)
                console.print(f"   Way out: {step.way_out}.", markup=False)
            if dry_run:
                raise typer.Exit(ANSWER_IS_NO)
            for number, step in enumerate(steps, 1):
                if step.act and (yes or typer.confirm(f"Do step {number}?")):
                    asyncio.run(_act(step))
                    console.print(f"   step {number} is done")
                else:
                    refused.add(step.found)
        if refused:
            raise typer.Exit(ANSWER_IS_NO)
        console.print("nothing is out of place; `budget-bridge reconcile` proves it")


async def _act(step: Repair) -> None:
    if step.act:
        await step.act()

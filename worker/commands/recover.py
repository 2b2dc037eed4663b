"""``budget-bridge recover``: plans repairs and makes each one after asking."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer

from worker.commands.arguments import read_key
from worker.commands.problems import ANSWER_IS_NO, report_problems
from worker.commands.progress import open_progress_bars
from worker.commands.run import read_worker_settings
from worker.console import Console
from worker.deployment import Deployment, make_deployment
from worker.kafka.errors import LaneLost
from worker.recover.plan import plan_repairs
from worker.recover.quiet import check_no_worker_runs
from worker.recover.repair import Choices, Repair, TreatAs
from worker.rules_in_force import RulesFolder

MAX_ROUNDS: Final = 10
"""How often repairs are planned and made; even a repair that depends on another and is interrupted once needs fewer."""


def recover_deployment(  # noqa: PLR0913 - each is an option
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what is wrong and what can be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make every repair without asking.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="This database replaces the one that the consumer group belonged to.")
    ] = False,
    renamed: Annotated[
        bool, typer.Option("--renamed", help="KAFKA_GROUP_ID or TOPIC_PREFIX was changed on purpose.")
    ] = False,
    publish_again: Annotated[
        bool, typer.Option("--publish-again", help="Publish again what an output topic has lost.")
    ] = False,
    treat_as: Annotated[
        TreatAs | None,
        typer.Option(
            help="Whether stored messages were published, if Kafka holds none of them and the group has no offset."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="COMPANY/PROJECT/BUDGET", help="Rebuild this budget only, from the inbox."),
    ] = None,
) -> None:
    """Repair whatever keeps a lane from publishing, and budgets that were changed by hand.

    Prints what it found and what it would do, then asks before each repair. All workers must be stopped, except for
    --dry-run. Exit code 1 if anything is left to do.
    """
    with report_problems():
        settings, folder = read_worker_settings()
        choices = Choices(adopt, treat_as, publish_again, read_key(budget) if budget else None, renamed)
        session = _Session(make_deployment(settings), folder, choices, Console())
        is_done = not session.plan(dry_run=True) if dry_run else session.repair(without_asking=yes)
        if not is_done:
            raise typer.Exit(ANSWER_IS_NO)
        session.console.print_line("nothing needs repair; `budget-bridge reconcile` verifies it")


@dataclass(slots=True)
class _Session:
    """One run of the command: the repairs that were made, and those that the user declined."""

    deployment: Deployment
    folder: RulesFolder
    choices: Choices
    console: Console
    refused: set[str] = field(default_factory=set)

    def plan(self, *, dry_run: bool = False) -> list[Repair]:
        """Plan and print the repairs that were not refused."""
        with open_progress_bars() as progress:
            planning = plan_repairs(self.deployment, self.folder, self.choices, dry_run=dry_run, progress=progress)
            repairs = [repair for repair in asyncio.run(planning) if repair.found not in self.refused]
        for number, repair in enumerate(repairs, 1):
            self.console.print_line(f"{number}. {repair.found}")
            self.console.print_line(f"   To repair it: {repair.way_out}.")
        return repairs

    def repair(self, *, without_asking: bool) -> bool:
        """Plan and make repairs until none is needed; return whether nothing is left to repair."""
        for _ in range(MAX_ROUNDS):
            repairs = self.plan()
            if not repairs:
                return not self.refused
            for number, repair in enumerate(repairs, 1):
                if not repair.act or not (without_asking or typer.confirm(f"Make repair {number}?")):
                    self.refused.add(repair.found)
                    continue
                try:
                    asyncio.run(self._make(repair))
                except LaneLost as lost:
                    self.console.print_line(f"   repair {number} was interrupted ({lost}); planning again")
                    break
                self.console.print_line(f"   repair {number} is done")
        self.console.print_line(f"something still needs repair after {MAX_ROUNDS} rounds of repairs: run it again")
        return False

    async def _make(self, repair: Repair) -> None:
        # Somebody may have started a worker before the question was answered.
        await check_no_worker_runs(self.deployment)
        if repair.act:
            await repair.act()

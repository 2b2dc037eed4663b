"""``budget-bridge reconcile``: compares topics, database and rules, and records differences that people accept."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from outbox.accepted_differences import (
    AcceptedDifference,
    FoundDifference,
    accept_differences,
    list_accepted,
    read_accepted_digests,
)
from outbox.migrate import open_checked_session
from worker.commands.arguments import read_key
from worker.commands.problems import ANSWER_IS_NO, report_problems
from worker.commands.progress import open_progress_bars
from worker.console import Console
from worker.deployment import Deployment, make_deployment
from worker.reconcile.findings import Difference, Findings, format_findings, write_findings
from worker.reconcile.progress import Progress
from worker.reconcile.reconcile import reconcile
from worker.settings import ServerSettings, read_settings

MAX_ACCEPTED: Final = 1000
"""How many differences can be accepted at once; nobody reads more than that."""
_LISTED: Final = 1000


def reconcile_everything(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    accept: Annotated[
        str | None,
        typer.Option(metavar="COMPANY/PROJECT/BUDGET", help="Accept the differences of this budget, or `all` of them."),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="WHO", help="Who accepts them.")] = None,
    why: Annotated[str | None, typer.Option(metavar="TEXT", help="Why they are accepted.")] = None,
    accepted: Annotated[bool, typer.Option("--accepted", help="List what was accepted, and compare nothing.")] = False,
) -> None:
    """Verify that every message was carried exactly once: compare topics, database and rules with each other.

    Only reads, and workers may keep running. Exit code 1 if anything differs that nobody has accepted.
    """
    if accept and not (by and why):
        raise typer.BadParameter("--accept needs --by and --why")
    with report_problems():
        deployment = make_deployment(read_settings(ServerSettings))
        if accepted:
            _print_accepted(asyncio.run(_list(deployment)), as_json=as_json)
            return
        selection = _Selection(None if accept in {None, "all"} else read_key(accept or ""))
        with open_progress_bars() as progress:
            findings = asyncio.run(_reconcile(deployment, selection, progress))
        if accept:
            _accept(deployment, selection, by or "", why or "")
            return
        if as_json:
            typer.echo(json.dumps(write_findings(findings), indent=2))
        else:
            console = Console()
            for line in format_findings(findings):
                console.print_line(line)
        if not findings.are_clean:
            raise typer.Exit(ANSWER_IS_NO)


@dataclass(slots=True)
class _Selection:
    """The differences of one budget, or of all."""

    budget: BudgetKey | None
    found: list[Difference] = field(default_factory=list)
    count: int = 0

    def collect(self, difference: Difference) -> None:
        if self.budget in {None, difference.budget}:
            self.count += 1
            if len(self.found) < MAX_ACCEPTED:
                self.found.append(difference)


async def _reconcile(deployment: Deployment, selection: _Selection, progress: Progress) -> Findings:
    async with open_checked_session(deployment.database_url) as connection:
        digests = await read_accepted_digests(connection)
    return await reconcile(deployment, Findings(accepted=digests, collect=selection.collect), progress)


def _accept(deployment: Deployment, selection: _Selection, by: str, why: str) -> None:
    if selection.count > MAX_ACCEPTED:
        typer.echo(f"{selection.count} differences are more than can be accepted at once ({MAX_ACCEPTED})", err=True)
        raise typer.Exit(ANSWER_IS_NO)
    if not selection.found:
        typer.echo("nothing differs there, apart from what was accepted before", err=True)
        raise typer.Exit(ANSWER_IS_NO)
    asyncio.run(_store(deployment, selection, by, why))
    console = Console()
    for one in selection.found:
        console.print_line(f"accepted: {one.kind}: {f'budget {one.budget}: ' if one.budget else ''}{one.what}")


async def _store(deployment: Deployment, selection: _Selection, by: str, why: str) -> None:
    found = [FoundDifference(one.digest, one.claim, one.kind, one.budget, one.what) for one in selection.found]
    async with open_checked_session(deployment.database_url) as connection:
        await accept_differences(connection, found, by, why)


async def _list(deployment: Deployment) -> list[AcceptedDifference]:
    async with open_checked_session(deployment.database_url) as connection:
        return await list_accepted(connection, _LISTED)


def _print_accepted(accepted: list[AcceptedDifference], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {**one._asdict(), "accepted_at": write_time(one.accepted_at), "budget": str(one.budget or "") or None}
            for one in accepted
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    console = Console()
    for one in accepted:
        budget = f"budget {one.budget}: " if one.budget else ""
        console.print_line(f"{write_time(one.accepted_at)} {one.accepted_by}: {one.why}")
        console.print_line(f"  {one.claim}, {one.kind}: {budget}{one.found}")
    if not accepted:
        console.print_line("nothing was accepted")

"""``budget-bridge prune``: counts what would be deleted, asks, deletes and prints its progress."""

import asyncio
import json
from typing import Annotated

import typer
from rich.progress import Progress

from contracts.fields import write_time
from outbox.prune import Pruned
from worker.commands.arguments import read_age
from worker.commands.problems import ANSWER_IS_NO, report_problems
from worker.console import Console
from worker.deployment import make_deployment
from worker.prune import count_old, prune_old
from worker.settings import ServerSettings, read_settings


def prune(
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Delete what arrived longer ago than this age, such as 400d or 12h.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete old data: published messages from the outbox, and the bytes of decided messages from history.

    Workers may keep running. What arrived when, and its verdict, is kept forever.
    """
    age = read_age(older_than)
    with report_problems():
        deployment = make_deployment(read_settings(ServerSettings))
        before, found = asyncio.run(count_old(deployment, age))
        errors = Console(stderr=True)
        if not dry_run and found.total:
            errors.print_line(f"This deletes, of what arrived before {write_time(before)}, {_describe(found)}.")
            if not yes and not typer.confirm("It cannot be undone. Continue?", err=True):
                raise typer.Exit(ANSWER_IS_NO)
            with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
                bar = progress.add_task("pruning", total=found.total)
                found = asyncio.run(
                    prune_old(deployment, before, lambda gone: progress.update(bar, completed=gone.total))
                )
        if as_json:
            report = {"before": write_time(before), "dry_run": dry_run, **found._asdict()}
            typer.echo(json.dumps(report, indent=2))
        else:
            typer.echo(f"{'would prune' if dry_run else 'pruned'}: {_describe(found)}")


def _describe(pruned: Pruned) -> str:
    return f"{pruned.rows} messages of the outbox, and the bytes of {pruned.messages} messages of history"

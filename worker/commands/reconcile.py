"""``budget-bridge reconcile``: compares logs, database and rules."""

import asyncio
import json
from typing import Annotated

import typer

from outbox.database import open_session
from outbox.migrate import check_schema
from worker.commands.problems import ANSWER_IS_NO, report_problems
from worker.console import Console
from worker.deployment import Deployment, make_deployment
from worker.reconcile.findings import Findings, show_findings, write_findings
from worker.reconcile.reconcile import reconcile
from worker.settings import (
    ServerSettings,
    read_settings,
)


def reconcile_everything(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prove that every message was carried exactly once: logs, database and rules side by side.

    Only reads, and the worker may run meanwhile. Exit code 1 when anything differs.
    """
    with report_problems():
        findings = asyncio.run(_look(make_deployment(read_settings(ServerSettings))))
        if as_json:
            typer.echo(json.dumps(write_findings(findings), indent=2))
        else:
            show_findings(findings, Console())
        if not findings.are_clean:
            raise typer.Exit(ANSWER_IS_NO)


async def _look(scene: Deployment) -> Findings:
    async with open_session(scene.database_url) as connection:
        await check_schema(connection)
    return await reconcile(scene)

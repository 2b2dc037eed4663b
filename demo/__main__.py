"""``python -m demo``: carries budgets through the whole path, prints what happens, and checks the result.

It starts Kafka and PostgreSQL unless the environment names others, runs the real worker as a process of its own, and
plays Spectrum and the people around it.
"""

import asyncio
import json
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from contracts.budget_key import BudgetKey
from demo.bridge_client import Data, UnexpectedError, connect_bridge
from demo.keys import Keys, read_approvals, require_signatures
from demo.scenarios import SCENARIOS
from demo.scene import COMPANY, Line, Scene, hash_content, write_acceptance, write_lock
from demo.setup import DemoSetup, LastingProcess, copy_rules, make_worker, prepare, run_command
from demo.spectrum import Spectrum
from demo.spectrum_connector import SpectrumConnector
from demo.timeline import Timeline
from worker.kafka.connection import KafkaConnection

CHECK_FAILED: Final = 1
"""The exit code when a check fails."""
_DONE: Final = ("SYNCED", "matches")
_KILL_PROJECTS: Final = {project: f"26-{project}" for project in range(91001, 91041)}
"""The job of each project whose budget is under way when the worker is killed."""


def demo() -> None:
    """Carry budgets from lock to Spectrum with real Kafka, PostgreSQL and worker, and check the outcome.

    Exit code 1 if a check fails, or if the bridge does not do what a scenario expects.
    """
    console = Console()
    with ExitStack() as stack:
        setup = stack.enter_context(prepare(console, _write_rules))
        try:
            checks = asyncio.run(_play(setup, Timeline(console)))
        except UnexpectedError as error:
            console.print(f"\n✗ {error}", markup=False, style="bold red")
            if (log := make_worker(setup).log).exists():
                console.print("\nThe worker's log ends with:", style="dim")
                console.print(log.read_text()[-3000:], markup=False, style="dim")
            raise typer.Exit(CHECK_FAILED) from error
    failed = sum(not holds for _, holds in checks)
    if failed:
        console.print(f"\n[bold red]✗ {failed} of {len(checks)} checks failed[/bold red]")
        raise typer.Exit(CHECK_FAILED)
    console.print(f"\n[bold green]✓ all {len(checks)} checks passed[/bold green]")


def _write_rules(folder: Path, keys: Keys) -> None:
    copy_rules(folder, _KILL_PROJECTS)
    require_signatures(folder, keys)


async def _play(setup: DemoSetup, timeline: Timeline) -> list[tuple[str, bool]]:
    """Play every scenario; returns each check and whether it holds."""
    connection = KafkaConnection(setup.bootstrap)

    async def read_status(budget: BudgetKey) -> Data:
        # 1 is the exit code for a budget that does not exist yet.
        output = await asyncio.to_thread(run_command, setup, ["status", str(budget), "--json"], {0, 1})
        status: Data = json.loads(output or "{}")
        return status

    keys = setup.keys.by_type
    bridge = connect_bridge(connection, setup.topics, keys, read_status)
    spectrum = Spectrum(approvals=read_approvals(setup.rules))
    connector = SpectrumConnector(spectrum, connection, setup.topics, keys)
    scene = Scene(bridge, spectrum, timeline)
    worker = make_worker(setup)
    worker.start()
    try:
        await bridge.reader.start()
        async with connector.running():
            for number, scenario in enumerate(SCENARIOS, 1):
                timeline.print_title(number, scenario.__doc__ or "")
                await scenario(scene)
            timeline.print_title(len(SCENARIOS) + 1, _kill_worker.__doc__ or "")
            await _kill_worker(scene, worker)
            await _check_everything(scene)
            exit_code = worker.end(signal.SIGTERM)
            timeline.check("asked to stop, the worker finishes its work and exits with 0", holds=exit_code == 0)
    finally:
        worker.end(signal.SIGKILL)
        await bridge.reader.close(2.0)
        await bridge.appender.close(2.0)
    return timeline.checks


async def _kill_worker(scene: Scene, worker: LastingProcess) -> None:
    """The worker is killed in the middle of its work and started again."""
    bridge, timeline = scene.bridge, scene.timeline
    budgets = [BudgetKey(COMPANY, project, 1) for project in _KILL_PROJECTS]
    lines = (Line(1, "02-310", "E", "Earthwork and grading", "1000.01"),)
    for budget in budgets:
        await bridge.send("budget.locked.v1", budget, 1, write_lock(lines))
        content_hash = hash_content(_KILL_PROJECTS[budget.project_id], lines)
        await bridge.send("approval.decision.v1", budget, 1, write_acceptance(content_hash))
    timeline.print_event("→", "people", f"lock and accept {len(budgets)} budgets")

    def count_exports() -> int:
        return sum(bool(bridge.list_sent("spectrum.export.v1", budget)) for budget in budgets)

    def count_synced() -> int:
        last = (bridge.list_sent("budget.status.v1", budget)[-1:] for budget in budgets)
        return sum(bool(status) and (status[0]["status"], status[0]["read_back"]) == _DONE for status in last)

    await bridge.wait_until(lambda: count_exports() > 0, "the first of the exports")
    worker.end(signal.SIGKILL)
    what = f"is killed by SIGKILL, with {count_exports()} of {len(budgets)} exports sent"
    timeline.print_event("✗", "worker", what, style="bold red")
    worker.start()
    timeline.print_event("→", "worker", "is started again")
    await bridge.wait_until(lambda: count_synced() == len(budgets), f"{len(budgets)} budgets synced and read back")
    timeline.check(
        f"each of the {len(budgets)} budgets was exported exactly once",
        holds=all(len(bridge.list_sent("spectrum.export.v1", budget)) == 1 for budget in budgets),
    )
    keys = {str(budget) for budget in budgets}
    for sent in bridge.sent:
        sent.was_expected |= sent.key in keys


async def _check_everything(scene: Scene) -> None:
    """Check what must hold over the whole run, whatever the scenarios were."""
    bridge, timeline = scene.bridge, scene.timeline
    timeline.console.print("\n[bold]Over the whole run[/bold]")
    ids = Counter(sent.id for sent in bridge.sent)
    timeline.check(
        f"all {len(bridge.sent)} messages that were sent have an id of their own", holds=len(ids) == len(bridge.sent)
    )
    unexpected = [f"{sent.type} of {sent.key}" for sent in bridge.sent if not sent.was_expected]
    what = "every message that was sent was expected by a scenario"
    timeline.check(": ".join([what, *unexpected[:3]]), holds=not unexpected)
    sequences: dict[str, list[int]] = {}
    for sent in bridge.sent:
        if sent.type == "budget.status.v1":
            sequences.setdefault(sent.key, []).append(sent.data["sequence"])
    timeline.check(
        f"the statuses of each of the {len(sequences)} budgets arrived in order and without a gap",
        holds=all(found == list(range(1, len(found) + 1)) for found in sequences.values()),
    )
    budget = BudgetKey(COMPANY, 90071, 55210)
    status = (await bridge.read_status(budget))["status"]
    latest = bridge.list_sent("budget.status.v1", budget)[-1]
    timeline.check("`budget-bridge status` prints what the status topic holds", holds=status == latest)


if __name__ == "__main__":
    typer.run(demo)

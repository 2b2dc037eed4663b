"""The crash-point matrix: the worker dies at each step of a message's path and is restarted; then all is reconciled."""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.exactly_once.deployment import BUDGETS, RunningDeployment, create_database
from tests.exactly_once.planted import Point
from worker.reconcile.findings import DifferenceKind

AT_ONCE: Final = 4
MANY: Final = 300


class Survived(NamedTuple):
    """The result of one crash."""

    point: str
    counts: Mapping[DifferenceKind, int]
    repeats: int
    """Messages that an independent reader has seen twice."""
    seconds: float
    """From the crash to the last message, including the start of a new worker."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs, and nobody saw a repeat."""
        return not self.repeats and not any(self.counts.values())


async def crash_at(point: Point, folder: Path, kafka: str, database_url: str) -> Survived:
    """Let a worker die at a point, start another, and reconcile.

    Args:
        point: where the worker dies.
        folder: an empty folder for logs and rules.
        kafka: the bootstrap servers.
        database_url: an empty database.
    """
    deployment = RunningDeployment(folder, kafka, database_url)
    if point.needs == "deadline":
        deployment.write_rules(rules_toml='[export]\nacknowledgement_deadline = "1s"\n')
    try:
        await deployment.prepare()
        died = await _bring_about(deployment, point)
        started = deployment.count_events("worker.started")
        deployment.start()
        await deployment.wait_for_everything(MANY if point.needs == "second worker" else BUDGETS)
        if point.needs == "deadline":
            await deployment.wait_until(
                lambda: len(deployment.messages("budget.status.v1", overdue=True)) >= BUDGETS, "what is overdue"
            )
        seconds = time.monotonic() - died
        # Another worker may have done all the work; the new one must have started before it can be stopped.
        await deployment.wait_until(lambda: deployment.count_events("worker.started") > started, "the new worker")
        for worker in list(deployment.workers):
            assert await deployment.stop(worker) == 0
        findings = await deployment.reconcile()
        assert not any(claim.waiting for claim in findings.claims.values()), findings
        return Survived(point.name, findings.count(), deployment.count_repeats(), seconds)
    finally:
        await deployment.close()


async def _bring_about(deployment: RunningDeployment, point: Point) -> float:
    half = BUDGETS // 2
    if point.needs == "backlog":
        await deployment.load()
        worker = deployment.start_planted(CRASH_AT="publish: about to")
        await deployment.wait_for_death(worker)
    elif point.needs in {"second worker", "stop"}:
        await deployment.load(1, half)
    elif point.needs == "parked":
        await deployment.decide_early()
    else:
        await deployment.load()
    worker = deployment.start_planted(CRASH_AT=point.name)
    if point.needs == "parked":
        await deployment.wait_until_parked()
        await deployment.load()
    if point.needs in {"second worker", "stop"}:
        await deployment.wait_for_everything(half)
        if point.needs == "stop":
            await deployment.load(half + 1)
            worker.send_signal(signal.SIGTERM)
        else:
            # Enough for the worker to be busy when the second one joins the group.
            deployment.start()
            await deployment.wait_until(lambda: deployment.count_events("worker.started") > 1, "the second worker")
            await deployment.load(half + 1, MANY)
    return await deployment.wait_for_death(worker)


async def crash_at_all(
    points: Sequence[Point], folder: Path, kafka: str, admin_url: str, report: Callable[[Survived], None]
) -> list[Survived]:
    """Crash at every point, a few at a time: most of the time is spent until the group gives up the dead worker.

    Args:
        points: where to crash.
        folder: an empty folder.
        kafka: the bootstrap servers.
        admin_url: the Postgres on which a database is created for each point.
        report: called with each result.

    Raises:
        AssertionError: a worker did not die, or did not recover in time; the message names the point.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def take(number: int, point: Point) -> Survived:
        async with turns:
            place = folder / str(number)
            place.mkdir()
            try:
                survived = await crash_at(point, place, kafka, await create_database(admin_url))
            except AssertionError as failed:
                raise AssertionError(f"{point.name}: {failed}") from failed
            report(survived)
            return survived

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(take(number, point)) for number, point in enumerate(points)]
    return [task.result() for task in tasks]

"""The crash-point matrix: a worker or a command dies at each step, is started again, and all is reconciled."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.exactly_once.deployment import BUDGETS, RunningDeployment, create_database
from tests.exactly_once.planted import Point
from tests.unit.builders import CONCRETE, KEY, STEEL, lock, read_line, release
from worker.reconcile.findings import DifferenceKind

AT_ONCE: Final = 4
MANY: Final = 300
HALF: Final = BUDGETS // 2
PRUNE: Final = ("prune", "--older-than", "0s", "--yes")
APPLY: Final = ("rules", "apply", "--by", "ann", "--why", "more may be parked")


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
    """Let something die at a point, start it again, and check everything."""
    deployment = RunningDeployment(folder, kafka, database_url)
    if point.needs == "deadline":
        deployment.write_rules(rules_toml='[export]\nacknowledgement_deadline = "1s"\n')
    try:
        await deployment.prepare()
        died = await SCENES[point.needs](deployment, point.name)
        started = deployment.count_events("worker.started")
        deployment.start()
        await deployment.wait_for_everything(MANY if point.needs == "second worker" else BUDGETS)
        if point.needs == "deadline":
            await deployment.wait_until(
                lambda: len(deployment.messages("budget.status.v1", overdue=True)) >= BUDGETS, "what is overdue"
            )
        if point.needs in {"bug", "readings"}:
            # Its release, or a page, may be the last thing that comes.
            await deployment.wait_until_carried()
        seconds = time.monotonic() - died
        # Another worker may have done all the work; the new one must have started before it can be stopped.
        await deployment.wait_until(lambda: deployment.count_events("worker.started") > started, "the new worker")
        for worker in list(deployment.workers):
            assert await deployment.stop(worker) == 0
        findings = await deployment.reconcile()
        # A worker may be stopped before it has read what the intake had to copy again.
        copied_again = findings.claims["sources"].notes.total()
        assert sum(claim.waiting for claim in findings.claims.values()) <= copied_again, findings
        return Survived(point.name, findings.count(), deployment.count_repeats(), seconds)
    finally:
        await deployment.close()


async def die_under_load(deployment: RunningDeployment, says: str) -> float:
    await deployment.load()
    return await deployment.wait_for_death(deployment.start_planted(CRASH_AT=says))


async def die_with_a_backlog(deployment: RunningDeployment, says: str) -> float:
    """The one before has stored what it has not published."""
    await deployment.load()
    await deployment.wait_for_death(deployment.start_planted(CRASH_AT="publish: before the commit"))
    return await deployment.wait_for_death(deployment.start_planted(CRASH_AT=says))


async def die_with_parked(deployment: RunningDeployment, says: str) -> float:
    """Every acceptance is parked before its lock comes."""
    await deployment.decide_early()
    worker = deployment.start_planted(CRASH_AT=says)
    await deployment.wait_until_parked()
    await deployment.load()
    return await deployment.wait_for_death(worker)


async def die_for_a_second_worker(deployment: RunningDeployment, says: str) -> float:
    """The group takes in another worker in the middle of the load."""
    await deployment.load(1, HALF)
    worker = deployment.start_planted(CRASH_AT=says)
    await deployment.wait_for_everything(HALF)
    deployment.start()
    await deployment.wait_until(lambda: deployment.count_events("worker.started") > 1, "the second worker")
    await deployment.load(HALF + 1, MANY)
    return await deployment.wait_for_death(worker)


async def die_with_readings(deployment: RunningDeployment, says: str) -> float:
    """Each job is read once its export is sent, and comes in two pages."""
    worker = deployment.start_planted(CRASH_AT=says)
    await deployment.load()
    await deployment.wait_for_everything()
    for project in range(1, BUDGETS + 1):
        await deployment.read_job(project, read_line(STEEL), read_line(CONCRETE))
    return await deployment.wait_for_death(worker)


async def die_while_stopping(deployment: RunningDeployment, says: str) -> float:
    await deployment.load(1, HALF)
    worker = deployment.start_planted(CRASH_AT=says)
    await deployment.wait_for_everything(HALF)
    await deployment.load(HALF + 1)
    worker.send_signal(signal.SIGTERM)
    return await deployment.wait_for_death(worker)


async def die_of_a_bug(deployment: RunningDeployment, says: str) -> float:
    """Deciding on one budget fails, and the worker dies while it puts that on hold."""
    await deployment.load()
    worker = deployment.start_planted(CRASH_AT=says, FAILS_ON_PROJECT=str(HALF))
    died = await deployment.wait_for_death(worker)
    # Without the bug; whether the hold was stored or not, nothing is held for good.
    await deployment.send(release(key=KEY._replace(project_id=HALF)))
    return died


async def die_while_releasing(deployment: RunningDeployment, says: str) -> float:
    """An operator releases what a bug has put on hold, with another version held behind it."""
    key = KEY._replace(project_id=HALF)
    worker = deployment.start_planted(FAILS_ON_PROJECT=str(HALF))
    await deployment.load()
    await deployment.wait_until(lambda: deployment.count_events("message.held") > 0, "a hold")
    await deployment.send(lock(2, key=key))
    await deployment.wait_until_carried()
    await deployment.stop(worker)
    await deployment.send(release(key=key))
    return await deployment.wait_for_death(deployment.start_planted(CRASH_AT=says))


async def die_while_rules_are_applied(deployment: RunningDeployment, says: str) -> float:
    """The command dies beside a worker that decides; it is run again later."""
    worker = deployment.start()
    await deployment.load(1, HALF)
    await deployment.wait_for_everything(HALF)
    deployment.write_rules(rules_toml="[waiting]\nparked_limit = 30\n")
    await deployment.load(HALF + 1)
    died = await deployment.wait_for_death(deployment.start_planted(*APPLY, CRASH_AT=says))
    await run_again(deployment, *APPLY)
    await deployment.stop(worker)
    return died


async def die_while_pruning(deployment: RunningDeployment, says: str) -> float:
    """The command dies beside a worker."""
    worker = deployment.start()
    await deployment.load()
    await deployment.wait_for_everything()
    await deployment.wait_until_carried()
    died = await deployment.wait_for_death(deployment.start_planted(*PRUNE, CRASH_AT=says))
    await run_again(deployment, *PRUNE)
    await deployment.stop(worker)
    return died


async def die_recovering_a_backup(deployment: RunningDeployment, says: str) -> float:
    """The database is an older one, in which half of what was published is missing."""
    await carry(deployment, 1, HALF)
    backup = await deployment.back_up()
    await carry(deployment, HALF + 1, BUDGETS)
    await deployment.restore(backup)
    died = await deployment.wait_for_death(deployment.start_planted("recover", "--yes", CRASH_AT=says))
    await run_again(deployment, "recover", "--yes")
    return died


async def die_recovering_outputs(deployment: RunningDeployment, says: str) -> float:
    """A topic has lost all that was published to it."""
    await carry(deployment, 1, BUDGETS)
    await deployment.recreate_topic("spectrum.exports")
    deployment.forget_what_was_seen("spectrum.exports")
    recover = ("recover", "--publish-again", "--yes")
    died = await deployment.wait_for_death(deployment.start_planted(*recover, CRASH_AT=says))
    await run_again(deployment, *recover)
    return died


async def carry(deployment: RunningDeployment, first: int, last: int) -> None:
    """Carry some budgets with a worker that is stopped again."""
    worker = deployment.start()
    await deployment.load(first, last)
    await deployment.wait_for_everything(last)
    await deployment.wait_until_carried()
    await deployment.stop(worker)
    await deployment.settle()


async def run_again(deployment: RunningDeployment, *command: str) -> None:
    """Run the command again that has died."""
    done = await asyncio.to_thread(deployment.command, *command)
    assert done.returncode == 0, done.stdout + done.stderr


SCENES: dict[str, Callable[[RunningDeployment, str], Awaitable[float]]] = {
    "": die_under_load,
    "deadline": die_under_load,
    "backlog": die_with_a_backlog,
    "parked": die_with_parked,
    "second worker": die_for_a_second_worker,
    "readings": die_with_readings,
    "stop": die_while_stopping,
    "bug": die_of_a_bug,
    "release": die_while_releasing,
    "rules": die_while_rules_are_applied,
    "prune": die_while_pruning,
    "older backup": die_recovering_a_backup,
    "lost outputs": die_recovering_outputs,
}
"""What each point needs, and how it is brought about; gives when the process died."""


async def crash_at_all(
    points: Sequence[Point], folder: Path, kafka: str, admin_url: str, report: Callable[[Survived], None]
) -> list[Survived]:
    """Go through points, some at a time, as each waits for processes and servers now and then."""
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

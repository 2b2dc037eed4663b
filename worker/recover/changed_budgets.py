"""Repairs budgets that were changed or deleted by hand: they are rebuilt from the inbox."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Final

from contracts.budget_key import BudgetKey
from handlers.budget import Budget
from outbox.audit import Snapshot
from outbox.budget_differences import describe_differences
from outbox.recovery import open_recovery
from worker.reconcile.budget_states import find_unsound_budgets
from worker.reconcile.decided_again import find_changed_states, read_all_rules
from worker.reconcile.rebuild import RebuiltProject, rebuild_projects
from worker.recover.repair import RecoveryInputs, Repair

_SHOWN: Final = 20


async def plan_changed_budgets(inputs: RecoveryInputs) -> list[Repair]:
    """Plan to rebuild the budgets that do not match their messages."""
    async with open_recovery(inputs.deployment.database_url) as recovery:
        changed = {key async for key in _find_changed(inputs, recovery.snapshot)}
        if not changed:
            return []
        projects = await rebuild_projects(inputs.deployment, recovery.snapshot, (key.project for key in changed))
    differences: dict[BudgetKey, str] = {}
    unsure: dict[BudgetKey, str] = {}
    for key in sorted(changed):
        project = projects.get(key.project)
        if project is None or project.why_not or key not in project.budgets:
            unsure[key] = project.why_not if project and project.why_not else "no message of it is known"
        elif what := _describe(project, key):
            differences[key] = what
    repairs = []
    if differences:
        found = f"{len(differences)} budgets do not match their messages: {_list(differences)}"
        way_out = (
            "rebuild them from the inbox, deciding their messages again by the rules of that time, without publishing "
            "anything"
        )
        rebuilt = _group({key: projects[key.project] for key in differences})
        repairs.append(Repair(found, way_out, partial(_store, inputs, rebuilt)))
    if unsure:
        found = f"{len(unsure)} budgets do not match their messages, and cannot be rebuilt: {_list(unsure)}"
        way_out = (
            "their messages, decided again by this version, do not produce the stored verdicts: keep what "
            "`budget-bridge reconcile --json` prints and restore a backup from before the change, or run the version "
            "that decided them"
        )
        repairs.append(Repair(found, way_out, None))
    return repairs


async def _find_changed(inputs: RecoveryInputs, snapshot: Snapshot) -> AsyncIterator[BudgetKey]:
    chosen = inputs.choices.budget
    async for key, _ in find_unsound_budgets(snapshot):
        if chosen in {None, key}:
            yield key
    rules, topics = await read_all_rules(snapshot), inputs.deployment.topics
    pruned_before = await snapshot.read_pruned_before()
    done = 0
    async for project in snapshot.read_projects():
        done += 1
        inputs.progress("deciding projects again", done, 0)
        if chosen and chosen.project != project:
            continue
        if pruned_before and await snapshot.count_before(project, pruned_before):
            if chosen:
                # Only for a budget that was named: it takes reading the whole inbox partition of its lane.
                yield chosen
            continue
        states, _ = await find_changed_states(snapshot, project, rules, topics)
        for deviation in states:
            if deviation.budget and chosen in {None, deviation.budget}:
                yield deviation.budget


def _describe(project: RebuiltProject, key: BudgetKey) -> str:
    if key in project.stored and project.stored[key] is None:
        return "its stored state cannot be read"
    return describe_differences(project.stored.get(key), project.budgets[key])


def _list(budgets: Mapping[BudgetKey, str]) -> str:
    shown = "; ".join(f"{key} ({what})" for key, what in list(budgets.items())[:_SHOWN])
    return f"{shown} and {len(budgets) - _SHOWN} more" if len(budgets) > _SHOWN else shown


def _group(projects: Mapping[BudgetKey, RebuiltProject]) -> dict[int, dict[BudgetKey, Budget]]:
    lanes: dict[int, dict[BudgetKey, Budget]] = defaultdict(dict)
    for key, project in projects.items():
        lanes[project.inbox_partition][key] = project.budgets[key]
    return lanes


async def _store(inputs: RecoveryInputs, lanes: Mapping[int, Mapping[BudgetKey, Budget]]) -> None:
    async with open_recovery(inputs.deployment.database_url) as recovery:
        for number, budgets in lanes.items():
            await recovery.put_budgets(number, budgets)
        await recovery.keep()

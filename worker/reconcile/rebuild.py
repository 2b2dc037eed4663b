"""Rebuilds budgets from the inbox: their messages are decided again by the rules of that time.

History keeps the verdict and the rules of each message, and where its budget was put on hold, for good; so this also
works where the bytes are pruned. A result counts only if every verdict is the same as the stored one.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.inbox import open_arrival
from contracts.records import Record
from handlers.budget import Budget
from handlers.rules import Rules
from outbox.audit import HoldAt, Kept, Snapshot
from outbox.budget_differences import describe_differences
from outbox.decide_again import ProjectDecidedAgain
from worker.deployment import Deployment
from worker.kafka.topic_log import TopicLog, open_topic_log
from worker.reconcile.decided_again import read_all_rules

Project = tuple[int, int]


class RebuiltProject(NamedTuple):
    """The budgets that the messages of one project produce."""

    stored: Mapping[BudgetKey, Budget | None]
    budgets: Mapping[BudgetKey, Budget]
    inbox_partition: int
    why_not: str
    """Why the rebuilt budgets cannot be trusted; empty if they can."""


async def rebuild_projects(
    deployment: Deployment, snapshot: Snapshot, projects: Iterable[Project]
) -> dict[Project, RebuiltProject]:
    """Rebuild the budgets of projects; each partition of the inbox is read at most once.

    Args:
        deployment: whose inbox is read.
        snapshot: the database as of one moment.
        projects: company and project ids.

    Raises:
        KafkaDown, DatabaseDown: a server does not answer.
    """
    wanted = sorted(set(projects))
    rules = await read_all_rules(snapshot)
    rebuilt: dict[Project, RebuiltProject] = {}
    async with open_topic_log(deployment.kafka, deployment.topics.inbox) as log:
        for number in sorted(log.bounds):
            rebuilt |= await _rebuild_lane(deployment, snapshot, wanted, rules, log, number)
    return rebuilt


async def describe_rebuilt(
    deployment: Deployment, snapshot: Snapshot, keys: Iterable[BudgetKey]
) -> dict[BudgetKey, str]:
    """Describe, field by field, how stored budgets differ from what their messages produce.

    Args:
        deployment: whose inbox is read.
        snapshot: the database as of one moment.
        keys: the budgets.

    Returns:
        A description by budget; those that cannot be rebuilt, or whose stored state cannot be read, are left out.
    """
    keys = list(keys)
    rebuilt = await rebuild_projects(deployment, snapshot, (key.project for key in keys))
    return {
        key: describe_differences(found.stored.get(key), found.budgets.get(key))
        for key in keys
        if (found := rebuilt.get(key.project)) and not found.why_not and found.stored.get(key, key) is not None
    }


async def _rebuild_lane(
    deployment: Deployment,
    snapshot: Snapshot,
    projects: list[Project],
    rules: Mapping[int, Rules],
    log: TopicLog,
    number: int,
) -> dict[Project, RebuiltProject]:
    projects_again: dict[Project, ProjectDecidedAgain] = {}
    holds: dict[Project, dict[tuple[int, int], HoldAt]] = {}
    failed: dict[Project, str] = {}
    messages = aiter(snapshot.read_history(projects, number))
    async for kept, original in _read_originals(deployment, messages, log, number):
        project = (kept.identity.company_id, kept.identity.project_id)
        if project not in projects_again:
            projects_again[project] = ProjectDecidedAgain(rules, deployment.topics)
            holds[project] = await snapshot.read_holds(project)
        if original is None:
            failed.setdefault(project, f"record {kept.inbox_offset} of inbox partition {number} is not there any more")
            continue
        hold_at = holds[project].get((number, kept.inbox_offset))
        for deviation in projects_again[project].decide(kept._replace(original=original), hold_at):
            failed.setdefault(project, deviation.what)
    rebuilt: dict[Project, RebuiltProject] = {}
    for project, again in projects_again.items():
        stored = await snapshot.read_project_budgets(project)
        for deviation in again.compare(stored):
            if not deviation.is_of_state:
                failed.setdefault(project, deviation.what)
        rebuilt[project] = RebuiltProject(stored, again.budgets, number, failed.get(project, ""))
    return rebuilt


async def _read_originals(
    deployment: Deployment, messages: AsyncIterator[Kept], log: TopicLog, number: int
) -> AsyncIterator[tuple[Kept, Record | None]]:
    """Read each message's record from the inbox, or else from history; ``None`` where neither holds it."""
    following = await anext(messages, None)
    start, _ = log.bounds[number]
    while following and following.inbox_offset < start:
        yield following, _read_stored(following)
        following = await anext(messages, None)
    if following is None:
        return
    async for records in log.read({number: following.inbox_offset}):
        for record in records:
            while following and following.inbox_offset < record.place.offset:
                yield following, _read_stored(following)
                following = await anext(messages, None)
            if following and following.inbox_offset == record.place.offset:
                yield following, open_arrival(record, deployment.topics).original
                following = await anext(messages, None)
        if following is None:
            return
    while following:
        yield following, _read_stored(following)
        following = await anext(messages, None)


def _read_stored(kept: Kept) -> Record | None:
    return None if kept.pruned else kept.original

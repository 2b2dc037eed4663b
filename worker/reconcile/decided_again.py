"""Checks that deciding history again gives the stored states, verdicts and messages."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from contracts.topics import TopicNames
from handlers.rules import Rules
from outbox.audit import Effect, Snapshot
from outbox.decide_again import Deviation, ProjectDecidedAgain
from outbox.rules_codec import decode_rules
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation

_UNREADABLE: Final = (0, 0)
"""The project of unreadable records."""


async def check_decided_again(reconciliation: Reconciliation) -> None:
    """Decide the history of every project again."""
    findings, snapshot = reconciliation.findings, reconciliation.snapshot
    claim = findings.claim("decided-again", "deciding history again gives the stored states, verdicts and messages")
    rules = await read_all_rules(snapshot)
    for number, offset, topic in await snapshot.find_causeless():
        what = f"the outbox has a row for {topic} at record {offset} of inbox partition {number}, which history lacks"
        findings.differ(claim, DifferenceKind.UNEXPLAINED, what)
    pruned_before = await snapshot.read_pruned_before()
    done = 0
    async for project in snapshot.read_projects():
        old = await snapshot.count_before(project, pruned_before) if pruned_before else 0
        done += 1
        reconciliation.progress("deciding projects again", done, 0)
        if old and project != _UNREADABLE:
            # Its states come from messages of which some can no longer be read.
            claim.notes["projects with pruned messages, which cannot be decided again"] += 1
            continue
        if old:
            # Unreadable records do not depend on one another, so those that are left can be compared.
            claim.notes["unreadable records that are pruned"] += old
        again = ProjectDecidedAgain(rules, reconciliation.deployment.topics)
        async for deviation in decide_project_again(snapshot, project, again):
            findings.differ(claim, DifferenceKind.ALTERED, deviation.what, deviation.budget)
        claim.checked += again.decided


async def read_all_rules(snapshot: Snapshot) -> dict[int, Rules]:
    """Read every version of the rules that ever decided something."""
    return {number: decode_rules(content) for number, content in (await snapshot.read_rules()).items()}


async def find_changed_states(
    snapshot: Snapshot, project: tuple[int, int], rules: Mapping[int, Rules], topics: TopicNames
) -> tuple[list[Deviation], bool]:
    """Decide a project's history again.

    Args:
        snapshot: the database as of one moment.
        project: its company and project id.
        rules: every version of the rules, by id.
        topics: how the topics of this deployment are named.

    Returns:
        The states that differ, and whether everything else agrees.
    """
    found = [
        deviation async for deviation in decide_project_again(snapshot, project, ProjectDecidedAgain(rules, topics))
    ]
    states = [deviation for deviation in found if deviation.is_of_state]
    return states, len(states) == len(found)


async def decide_project_again(
    snapshot: Snapshot, project: tuple[int, int], again: ProjectDecidedAgain
) -> AsyncIterator[Deviation]:
    """Decide the unpruned history of a project again, message by message.

    Args:
        snapshot: the database as of one moment.
        project: its company and project id.
        again: decides its messages.

    Yields:
        Everything that is not as it is stored.
    """
    holds = await snapshot.read_holds(project)
    effects = aiter(snapshot.read_effects(project))
    following: Effect | None = await anext(effects, None)
    async for kept in snapshot.read_history([project]):
        place = (kept.inbox_partition, kept.inbox_offset)
        caused: list[Effect] = []
        while following and following[:2] == place:
            caused.append(following)
            following = await anext(effects, None)
        if kept.pruned:
            continue
        for deviation in again.decide(kept, holds.get(place), caused):
            yield deviation
    for deviation in again.compare(await snapshot.read_project_budgets(project)):
        yield deviation

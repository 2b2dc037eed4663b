"""What a list shows of a budget. It follows from a state of up to 400 KB, so it is kept for as long as that holds."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.signature.signing import PrivateKey
from desk.preview import make_acceptance, preview
from desk.sent_lines import show_lines
from handlers.budget import Budget, Target
from outbox.approvals import ProjectSituation, Waiting, load_listed
from outbox.database import Connection

_KEPT: Final = 20_000
"""About a kilobyte each."""


class Summary(NamedTuple):
    """One budget of the list of approvals."""

    key: BudgetKey
    version: int | None
    base_version: int | None
    """``None`` for a first export."""
    target: Target | None
    lines: int
    added: int
    changed: int
    zeroed: int
    total: int
    difference: int
    sent_by: str | None
    locked_at: datetime | None
    on_hold: bool
    refusal: str | None
    """Why this person may not accept it, as the code of a refusal; ``None`` if they may."""
    sentence: str
    attempt: int | None
    """Of the export that failed."""
    failed_lines: int


class Summaries:
    """The summaries that were made last, by what they follow from."""

    def __init__(self, key: PrivateKey | None) -> None:
        """Take the key with which the desk signs."""
        self._key = key
        self._known: OrderedDict[tuple[object, ...], Summary] = OrderedDict()

    async def find(
        self,
        connection: Connection,
        waiting: Sequence[Waiting],
        situations: Mapping[tuple[int, int], ProjectSituation],
        user: str,
        rules_id: int,
    ) -> list[Summary]:
        """Find the summaries of budgets, in their order; only those that are not known are read.

        Args:
            connection: a transaction that only reads.
            waiting: the budgets of a list.
            situations: of their projects.
            user: for whom the list is.
            rules_id: the version of the rules in force.
        """
        # Another budget may have taken the job meanwhile, which changes nothing in this one.
        names = {
            one.key: (one.key, one.revision, user, rules_id, situations[one.key.project].claimant) for one in waiting
        }
        found = {name: self._known[name] for name in names.values() if name in self._known}
        missing = [key for key, name in names.items() if name not in found]
        for budget in await load_listed(connection, missing) if missing else ():
            found[names[budget.key]] = _summarise(budget, situations[budget.key.project], user, self._key)
            # A budget of 2,000 lines takes 50 ms, and a list may have a hundred: other pages come in between.
            await asyncio.sleep(0)
        for name in names.values():
            self._known[name] = found[name]
            self._known.move_to_end(name)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return [found[name] for name in names.values()]


def _summarise(budget: Budget, project: ProjectSituation, user: str, key: PrivateKey | None) -> Summary:
    situation = project.narrow(budget.key)
    version, shown = budget.version, show_lines(budget)
    act = make_acceptance(budget, user, situation.at)
    would = preview(budget, act, situation, key) if act else None
    refusal = None if would and would.is_allowed else (would.refusal.code if would and would.refusal else "not_now")
    export = budget.unanswered
    target = version.proposal.target if version and version.proposal else export.target if export else None
    return Summary(
        budget.key,
        version.number if version else None,
        budget.base.version if budget.base else None,
        target,
        len(shown.lines) if shown else 0,
        shown.count("add") if shown else 0,
        shown.count("set") if shown else 0,
        shown.count("zero") if shown else 0,
        shown.total if shown else 0,
        shown.sums.difference if shown else 0,
        version.sent_by if version else None,
        version.locked_at if version else None,
        budget.on_hold,
        refusal,
        would.sentence if would else "",
        export.attempt if export else None,
        len(budget.failed_lines),
    )

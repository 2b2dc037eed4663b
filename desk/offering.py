"""What the page of a budget offers its reader to do: forms for approvers, links to pages of their own for operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from desk.act_messages import Case
from desk.acting import Acting, digest_state, find_version, may_act
from desk.offers import ACTS, Act
from desk.page import Page
from handlers.decision import Situation
from outbox.approvals import read_situations
from outbox.story import Story

_OF_HOLDS: Final = frozenset({"release", "skip"})
_IMPORTS: Final = frozenset({"take-import", "link-import"})


@dataclass(frozen=True, slots=True)
class Offers:
    """What somebody may do with a budget, as far as rights go; the bridge may still refuse it."""

    token: str
    allowed: Mapping[str, Act]
    """What an approver may do at once: the dry run has applied it."""
    links: tuple[Act, ...]
    """What has a page of its own, where the dry run is shown."""


async def offer_acts(page: Page, story: Story) -> Offers | None:
    """Find out what somebody may do with a budget; ``None`` where its state says nothing."""
    budget = story.budget
    if budget is None:
        return None
    situations = await read_situations(page.connection, [story.key.project], page.rules.rules, page.now)
    situation: Situation = situations[story.key.project].narrow(story.key)
    case = Case(budget, find_version(budget, story), page.person.user, page.now)
    mine = [act for act in ACTS.values() if may_act(page, act, story.key)]
    tried = {act.name: Acting(page, act, story, case, situation).try_out() for act in mine if act.of_approvers}
    allowed = {act.name: act for act in mine if (would := tried.get(act.name)) and would.is_allowed}
    links = tuple(
        act
        for act in mine
        if (not act.of_approvers and (act.name not in _OF_HOLDS or budget.on_hold))
        or act.name in allowed.keys() & _IMPORTS
    )
    token = page.services.forms.write(page.person.user, story.key, case.version, digest_state(budget))
    return Offers(token, {name: act for name, act in allowed.items() if name not in _IMPORTS}, links)

"""On what somebody is about to act: the budget as it is now, what they may, and what the bridge would decide."""

import hashlib
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.inbound import InboundMessage
from desk.act_fields import Fields
from desk.act_messages import Case
from desk.lines import Shown
from desk.live import Live
from desk.offers import ACTS, Act
from desk.page import Page, check_sight
from desk.preview import Preview, preview
from desk.sent_lines import show_lines
from handlers.budget import Budget
from handlers.decision import Situation, describe_status
from handlers.drift import hash_drift
from outbox.approvals import read_situations
from outbox.held_messages import HeldMessage, cut_piece
from outbox.loading import load_held
from outbox.story import Story, read_story

_PLACEHOLDER: Final = Fields(reason="…", currency="USD", unlocked=True)
"""For a dry run before anything is filled in: no refusal asks what a reason says."""

_SHOWN_MESSAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody, an act, and the budget as of one moment."""

    page: Page
    act: Act
    story: Story | None
    case: Case
    situation: Situation
    held: tuple[HeldMessage, ...] = ()
    """What is held of the budget, the first one first; read only for a release."""

    @property
    def key(self) -> BudgetKey:
        """The key of the budget."""
        return self.case.budget.key

    @property
    def shown(self) -> Shown | None:
        """The lines that an acceptance would send."""
        return show_lines(self.case.budget)

    @property
    def seen(self) -> str:
        """A digest of what the page shows: another one means that somebody looked at something else."""
        return digest_state(self.case.budget, self.held)

    @property
    def total_falls(self) -> bool:
        """Whether an acceptance takes something away in Spectrum: a line goes to zero, or the total falls."""
        shown = self.shown
        return shown is not None and (shown.count("zero") > 0 or shown.sums.difference < 0)

    def try_out(self, fields: Fields | None = None, message: InboundMessage | None = None) -> Preview | None:
        """Decide on what would be sent, without sending it; ``None`` where there is nothing to do it to."""
        message = message or self.act.make(self.case, fields or _PLACEHOLDER)
        key = self.page.services.key
        return preview(self.case.budget, message, self.situation, key) if message else None

    def write_token(self) -> str:
        """Write the token of a form on this."""
        return self.page.services.forms.write(self.page.person.user, self.key, self.case.version, self.seen)


def digest_state(budget: Budget, held: tuple[HeldMessage, ...] = ()) -> str:
    """Digest everything about a budget that somebody relies on when they act."""
    version, status, base = budget.version, describe_status(budget), budget.base
    adopted = budget.imports.adopted if budget.imports else None
    relied_on = (
        version and (version.number, version.content_hash),
        status and (status.status, status.export_id, status.attempt, status.on_hold),
        hash_drift(budget.open_lines),
        # What the lines are compared with: a late success of an earlier export changes every difference.
        base and (base.version, base.reference, base.attempt),
        adopted,
        held[0].inbox if held else None,
    )
    return hashlib.sha256(repr(relied_on).encode()).hexdigest()[:32]


def find_act(name: str) -> Act:
    """Find an act by its name in an address."""
    act = ACTS.get(name)
    if act is None:
        raise HTTPException(404, f"Nobody can {name!r} a budget.")
    return act


def may_act(page: Page, act: Act, key: BudgetKey) -> bool:
    """Check whether the person and the desk may both: what the bridge itself asks comes on top."""
    live: Live = page.request.app.state.live
    rights = page.rights
    may = rights.may_approve(*key.project) if act.of_approvers else rights.may_operate(*key.project)
    return may and live.may_write(act.topic)


async def open_act(page: Page, key: BudgetKey, act: Act) -> Acting:
    """Read on what somebody is about to act.

    Raises:
        HTTPException: 404, they may not see the budget or no message names it; 403, they or the desk may not act.
    """
    check_sight(page, key)
    if not may_act(page, act, key):
        who = "an approver" if act.of_approvers else "an operator"
        live: Live = page.request.app.state.live
        sentence = (
            f"Only {who} of project {key.company_id}/{key.project_id} may do this."
            if live.may_write(act.topic)
            else f"This desk has no right to write to {act.topic}, so this cannot be done here."
        )
        raise HTTPException(403, sentence)
    story = await read_story(page.connection, key, page.settings.topics, _SHOWN_MESSAGES)
    if story is None and not act.name.endswith("-import"):
        raise HTTPException(404, f"No message has ever named budget {key}.")
    if story and story.unreadable:
        raise HTTPException(409, f"The state of this budget cannot be read: {story.unreadable}")
    budget = (story.budget if story else None) or Budget(key)
    situations = await read_situations(page.connection, [key.project], page.rules.rules, page.now)
    situation = situations[key.project].narrow(key)
    held = await load_held(page.connection, key, page.settings.topics) if act.name in {"release", "skip"} else ()
    if held:
        piece = cut_piece(held)
        decided = tuple(one.message for one in piece if isinstance(one.message, Message))
        situation = situation._replace(held=decided, more_held=len(held) > len(piece))
    return Acting(
        page, act, story, Case(budget, find_version(budget, story), page.person.user, page.now), situation, held
    )


def find_version(budget: Budget, story: Story | None) -> int:
    """Find the version that somebody means: the current one or, before there is one, that of the latest message."""
    if budget.version:
        return budget.version.number
    named = (one.version for one in story.received if one.version) if story else iter(())
    return next(named, 1)

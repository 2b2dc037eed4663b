"""Which of the budgets that wait an approver has chosen to see, as the address says, and a page of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final, NamedTuple

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from contracts.budget_key import BudgetKey
from contracts.fields import read_time, write_time
from contracts.text import fold_text
from desk.page import Page, parse_key, write_link
from desk.summaries import Summaries, Summary
from outbox.approvals import Waiting, choose_projects, list_pending, read_situations

AT_ONCE: Final = 100
"""Budgets that are looked at in one go, and that a page without filters has."""

_LOOK_SECONDS: Final = 1.0
"""How long one page looks for what was chosen: who sent a budget, and whether somebody may accept it, stands in its
state and in no index."""

KINDS: Final = {"first": "first export", "resync": "re-sync"}

Place = tuple[datetime, int, int, int]


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody has chosen to see of the list."""

    project: tuple[int, int] | None = None
    sent_by: str = ""
    """Part of the name of whoever sent it."""
    kind: str = ""
    """One of ``KINDS``, or empty for both."""
    mine: bool = False
    """Only what they may accept."""

    @property
    def named_project(self) -> str:
        """The project as people write it; empty for all."""
        return "/".join(map(str, self.project)) if self.project else ""

    @property
    def looks_inside(self) -> bool:
        """Whether it asks for what only the state of a budget says."""
        return self != Choice(self.project)

    def fits(self, what: Summary) -> bool:
        """Check whether a budget is among those chosen."""
        kind = "resync" if what.base_version else "first"
        return (
            self.kind in {"", kind}
            and fold_text(self.sent_by) in fold_text(what.sent_by or "")
            and not (self.mine and (what.refusal or what.on_hold))
        )

    def link(self, after: Place | None = None) -> str:
        """Write the address of this choice, from a place in the list on."""
        return write_link(
            "/",
            project=self.named_project,
            sent_by=self.sent_by,
            kind=self.kind,
            mine="yes" if self.mine else "",
            after=write_place(after[0], BudgetKey(*after[1:])) if after else "",
        )


class Listed(NamedTuple):
    """A page of the list."""

    rows: tuple[tuple[Waiting, Summary], ...]
    looked_at: int
    next_place: Place | None
    """After which budget the next page begins; ``None`` at the end of the list."""


def read_choice(query: QueryParams) -> Choice:
    """Read what somebody has chosen.

    Raises:
        HTTPException: 400, the project is none.
    """
    kind = query.get("kind", "")
    return Choice(
        _read_project(query.get("project", "").strip()),
        query.get("sent_by", "").strip()[:100],
        kind if kind in KINDS else "",
        query.get("mine") == "yes",
    )


async def list_chosen(page: Page, status: str, choice: Choice, after: Place | None) -> Listed:
    """List the chosen budgets of one status, those that have waited longest first.

    Args:
        page: whose person it is for.
        status: ``PENDING`` or ``FAILED``.
        choice: which of them.
        after: where the page begins.
    """
    projects, summaries = choose_projects(page.rights.approves), page.request.app.state.summaries
    listed, until = Listed((), 0, after), monotonic() + _LOOK_SECONDS
    while True:
        waiting = await list_pending(page.connection, projects, status, choice.project, listed.next_place, AT_ONCE + 1)
        looked = waiting[:AT_ONCE]
        rows = [row for row in await _summarise(page, summaries, looked) if choice.fits(row[1])]
        next_place = looked[-1].place if len(waiting) > AT_ONCE else None
        listed = Listed((*listed.rows, *rows), listed.looked_at + len(looked), next_place)
        if next_place is None or len(listed.rows) >= AT_ONCE or monotonic() > until:
            return listed


async def _summarise(page: Page, summaries: Summaries, waiting: Sequence[Waiting]) -> list[tuple[Waiting, Summary]]:
    situations = await read_situations(
        page.connection, {one.key.project for one in waiting}, page.rules.rules, page.now
    )
    found = await summaries.find(page.connection, waiting, situations, page.person.user, page.rules.id)
    return list(zip(waiting, found, strict=True))


def write_place(since: datetime, key: BudgetKey) -> str:
    """Write the place of a budget in the list, for an address."""
    return ",".join((write_time(since), *map(str, key)))


def read_place(query: QueryParams) -> Place | None:
    """Read after which budget the page begins.

    Raises:
        HTTPException: 400, it is no place.
    """
    text = query.get("after", "")
    if not text:
        return None
    try:
        since, company, project, budget = text.split(",")
        return read_time(since), *parse_key(f"{company}/{project}/{budget}")
    except ValueError:
        raise HTTPException(400, "The list cannot begin there; begin at its start.") from None


def _read_project(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    try:
        return parse_key(f"{text}/1").project
    except ValueError:
        sentence = f"A project is written COMPANY/PROJECT, such as 4211/90071, not {text}."
        raise HTTPException(400, sentence) from None

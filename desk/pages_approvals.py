"""The list of what waits for an approver."""

from datetime import datetime
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contracts.budget_key import BudgetKey
from contracts.fields import read_time, write_time
from desk.page import NO_STORE, Page, open_page, parse_key, write_link
from desk.pages_receipts import find_last_act
from desk.summaries import Summaries
from outbox.approvals import FAILED, PENDING, Waiting, choose_projects, count_pending, list_pending, read_situations

AT_ONCE: Final = 100
"""Budgets on one page of the list."""

_MOST_FAILED: Final = 20
_REASONS: Final = {
    "same_person": "sent by you",
    "sender_unknown": "sender unknown",
    "not_authorised": "not an approver",
    "drift_open": "differs in Spectrum",
    "not_now": "not now",
}

Place = tuple[datetime, int, int, int]


async def list_approvals(request: Request) -> Response:
    """List what waits for an approval, the longest first, and failed exports that an approver may send back."""
    only, after = _read_project(request), _read_place(request)
    async with open_page(request) as page:
        projects = choose_projects(page.rights.approves)
        waiting = await list_pending(page.connection, projects, PENDING, only, after, AT_ONCE + 1)
        failed = await list_pending(page.connection, projects, FAILED, only, None, _MOST_FAILED) if not after else ()
        more = len(waiting) > AT_ONCE
        pending, totals = waiting[:AT_ONCE], {}
        for status in (PENDING, FAILED):
            totals[status] = await count_pending(page.connection, projects, status, only)
        summaries = await _summarise(page, [*pending, *failed])
        last = await find_last_act(page)
    return page.render(
        "approvals.html",
        pending=list(zip(pending, summaries[: len(pending)], strict=True)),
        failed=list(zip(failed, summaries[len(pending) :], strict=True)),
        waiting_total=totals[PENDING],
        failed_total=totals[FAILED],
        is_first=after is None,
        only="/".join(map(str, only)) if only else "",
        reasons=_REASONS,
        next_page=_write_next(pending[-1], only) if more else None,
        projects=sorted(page.rights.approves, key=str),
        last=last,
    )


async def _summarise(page: Page, waiting: list[Waiting]) -> list[object]:
    summaries: Summaries = page.request.app.state.summaries
    projects = {one.key.project for one in waiting}
    situations = await read_situations(page.connection, projects, page.rules.rules, page.now)
    return list(await summaries.find(page.connection, waiting, situations, page.person.user, page.rules.id))


async def open_next(request: Request) -> Response:
    """Open the budget that comes next in the list; the list itself where none does."""
    async with open_page(request) as page:
        projects = choose_projects(page.rights.approves)
        found = await list_pending(page.connection, projects, PENDING, None, _read_place(request), 1)
    last = request.query_params.get("last")
    return RedirectResponse(write_link(f"/budgets/{found[0].key}" if found else "/", last=last), 303, headers=NO_STORE)


def write_place(since: datetime, key: BudgetKey) -> str:
    """Write the place of a budget in the list, for an address."""
    return ",".join((write_time(since), *map(str, key)))


def _read_project(request: Request) -> tuple[int, int] | None:
    """Read the filter ``project=COMPANY/PROJECT``."""
    text = request.query_params.get("project", "").strip()
    if not text:
        return None
    try:
        return parse_key(f"{text}/1").project
    except ValueError:
        sentence = f"A project is written COMPANY/PROJECT, such as 4211/90071, not {text}."
        raise HTTPException(400, sentence) from None


def _read_place(request: Request) -> Place | None:
    """Read after which budget the page begins."""
    text = request.query_params.get("after", "")
    if not text:
        return None
    try:
        since, company, project, budget = text.split(",")
        return read_time(since), int(company), int(project), int(budget)
    except ValueError:
        raise HTTPException(400, "The list cannot begin there; begin at its start.") from None


def _write_next(last: Waiting, only: tuple[int, int] | None) -> str:
    project = "/".join(map(str, only)) if only else None
    return write_link("/", project=project, after=write_place(last.since, last.key))

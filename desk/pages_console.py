"""The console, read-only: the overview, lists of budgets, and dead letters."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contracts.budget_key import BudgetKey
from contracts.fields import read_time, write_time
from desk.budget_view import STATUS_WORDS
from desk.offers import ACTS
from desk.operations import NAMES
from desk.overview_sources import Sources
from desk.page import (
    MAX_INT32,
    NO_STORE,
    Page,
    open_page,
    parse_key,
    read_number,
    require_operator,
    write_link,
)
from desk.watch_findings import choose_findings
from outbox.approvals import choose_projects
from outbox.budget_rows import DIFFERING, NOTICED, list_rows
from outbox.dead_letters import (
    REASONS,
    DeadLetterFilter,
    LetterPlace,
    StoredDeadLetter,
    find_dead_letter,
    list_dead_letters_page,
    read_dead_letter,
)

AT_ONCE: Final = 100
_BEFORE_ALL: Final = BudgetKey(0, 0, 0)
LISTS: Final[Mapping[str, str]] = {
    **{status.value: words for status, words in STATUS_WORDS.items()},
    "overdue": "overdue: Spectrum has not answered in time",
    "on_hold": "on hold",
    "parked": "with requests that are parked",
    "waiting": "with a newer version that waits",
    "differs": "differ in Spectrum",
    "stale": "read too long ago",
    "unknown": "nothing certain is known of Spectrum",
}
"""What can be listed, and how that is called."""

_FOR_MANY: Final[Mapping[str, tuple[str, ...]]] = {
    "EXPORT_FAILED": ("retry",),
    "EXPORTING": ("retry",),
    "overdue": ("retry",),
    "on_hold": ("release",),
}
"""What can be done at once to the budgets of a list."""


async def show_overview(request: Request) -> Response:
    """Show everything at one moment; each number leads to its list."""
    async with open_page(request) as page:
        require_operator(page)
    sources: Sources = request.app.state.sources
    overview = await sources.ask()
    return page.render(
        "console.html",
        overview=overview,
        findings=choose_findings(overview.watch.value or (), page.rights),
        lists=LISTS,
        has_watch=bool(page.settings.desk_watch),
    )


async def list_budgets(request: Request) -> Response:
    """List budgets of one status, or with one thing that is odd about them."""
    what = request.query_params.get("list", "EXPORT_FAILED")
    if what not in {*NOTICED, *DIFFERING, *STATUS_WORDS}:
        raise HTTPException(404, f"There is no list {what}.")
    try:
        after = parse_key(request.query_params.get("after") or str(_BEFORE_ALL))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    async with open_page(request) as page:
        require_operator(page)
        rows = await list_rows(page.connection, choose_projects(page.rights.operates), what, after, AT_ONCE + 1)
    shown = rows[:AT_ONCE]
    more = write_link("/console/budgets", list=what, after=shown[-1].key) if len(rows) > AT_ONCE else None
    acts = [ACTS[name] for name in NAMES if name in _FOR_MANY.get(what, ())]
    return page.render("console_budgets.html", what=what, lists=LISTS, rows=shown, next_page=more, acts=acts)


async def list_letters(request: Request) -> Response:
    """List dead letters, the latest first."""
    reason, budget = request.query_params.get("reason", ""), request.query_params.get("budget", "").strip()
    try:
        key = parse_key(budget) if budget else None
        after = _read_place(request.query_params.get("after", ""))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    wanted = DeadLetterFilter(reason if reason in REASONS else None, None, key)
    async with open_page(request) as page:
        require_operator(page)
        seen, topic = choose_projects(page.rights.operates), page.settings.topics.dead_letters
        found = await list_dead_letters_page(page.connection, topic, wanted, seen, after, AT_ONCE + 1)
    shown = found[:AT_ONCE]
    place = shown[-1][1] if len(found) > AT_ONCE else None
    return page.render(
        "dead_letters.html",
        letters=[letter for letter, _ in shown],
        reason=reason,
        budget=budget,
        reasons=REASONS,
        next_page=_write_next(reason, budget, place) if place else None,
    )


async def download_letter(request: Request) -> Response:
    """Hand out the bytes of a dead letter, never to be shown by the browser."""
    async with open_page(request) as page:
        letter = await read_letter(page, request.path_params["letter"])
    headers = NO_STORE | {"Content-Disposition": f'attachment; filename="dead-letter-{letter.listed.id}.bin"'}
    return Response(letter.value or b"", media_type="application/octet-stream", headers=headers)


async def read_letter(page: Page, letter: UUID) -> StoredDeadLetter:
    """Read a dead letter for an operator who may see it."""
    require_operator(page)
    topic = page.settings.topics.dead_letters
    place = await find_dead_letter(page.connection, topic, letter)
    found = await read_dead_letter(page.connection, topic, letter, place) if place else None
    sees_unknown = any(project is None for _, project in page.rights.operates)
    if found is None or not (
        page.rights.may_operate(*found.listed.budget.project) if found.listed.budget else sees_unknown
    ):
        raise HTTPException(404, f"You can see no dead letter {letter}; it may be pruned.")
    return found


def _read_place(text: str) -> LetterPlace | None:
    if not text:
        return None
    at, partition, offset, ordinal = text.split(",")
    return read_time(at), read_number(partition, MAX_INT32), read_number(offset), read_number(ordinal, MAX_INT32)


def _write_next(reason: str, budget: str, place: LetterPlace) -> str:
    after = ",".join((write_time(place[0]), *map(str, place[1:])))
    return write_link("/console/dead-letters", reason=reason, budget=budget, after=after)

"""What I decided and what became of it; and for operators, who did what."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from contracts.fields import write_time
from desk.budget_view import STATUS_WORDS
from desk.csv_text import protect_text, write_csv
from desk.page import open_page, require_operator
from desk.people_view import DECISIONS, Wanted, list_acts, read_wanted
from outbox.approvals import choose_projects
from outbox.budget_rows import find_rows
from outbox.story import PEOPLE_TYPES

AT_ONCE: Final = 100
_MOST_IN_CSV: Final = 2000
_CSV_HEADER: Final = ("at", "who", "what", "budget", "version", "verdict", "detail", "reason", "source", "id")


async def list_mine(request: Request) -> Response:
    """List what I decided, the latest first, with what became of it and where the budget is now."""
    wanted = read_wanted(request.query_params)
    async with open_page(request) as page:
        mine = Wanted(user=page.person.user, after=wanted.after)
        acts = await list_acts(page, choose_projects(page.rights.approves), mine, DECISIONS, AT_ONCE)
        rows = await find_rows(page.connection, [act.key for act in acts.acts])
    return page.render(
        "mine.html",
        acts=acts.acts,
        rows=rows,
        words={status.value: words for status, words in STATUS_WORDS.items()},
        next_page=Wanted().link("/mine", acts.next_place) if acts.next_place else None,
        is_first=wanted.after is None,
    )


async def list_who_did_what(request: Request) -> Response:
    """List what people decided and commanded, by person, act and time."""
    wanted = read_wanted(request.query_params)
    async with open_page(request) as page:
        require_operator(page)
        acts = await list_acts(page, choose_projects(page.rights.operates), wanted, (), AT_ONCE)
    return page.render(
        "people_acts.html",
        acts=acts.acts,
        wanted=wanted,
        types=PEOPLE_TYPES,
        csv=wanted.link("/console/people.csv"),
        next_page=wanted.link("/console/people", acts.next_place) if acts.next_place else None,
    )


async def download_who_did_what(request: Request) -> Response:
    """Write the same as CSV, as far as one download goes."""
    wanted = read_wanted(request.query_params)
    async with open_page(request) as page:
        require_operator(page)
        acts = await list_acts(page, choose_projects(page.rights.operates), wanted, (), _MOST_IN_CSV)
    rows = [
        (
            write_time(act.entry.received.at),
            *map(protect_text, (act.entry.who, act.entry.what, str(act.key))),
            str(act.entry.received.version or ""),
            act.entry.received.verdict,
            *map(protect_text, (act.entry.received.detail, act.entry.reason)),
            *map(protect_text, (act.entry.received.source, act.entry.received.id)),
        )
        for act in acts.acts
    ]
    return write_csv("who-did-what.csv", _CSV_HEADER, rows)

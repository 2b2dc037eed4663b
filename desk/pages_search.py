"""The search: one box, exact or by beginning, and no expressions to learn."""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contracts.budget_key import BudgetKey
from contracts.fields import MAX_INT64
from desk.budget_view import STATUS_WORDS
from desk.page import NO_STORE, Page, open_page, parse_key
from outbox.approvals import Projects, choose_projects
from outbox.budget_rows import Sought, find_rows, list_rows_of_projects, search_keys, search_reference
from outbox.dead_letters import find_dead_letter

_MOST: Final = 50
_REFERENCE: Final = re.compile(r"(B[0-9]{7})(?:\s+(?:job\s+)?(\S{1,10}))?|(\S{1,10})\s+(B[0-9]{7})", re.IGNORECASE)


async def search(request: Request) -> Response:
    """Search budgets by key, project, job, export or change reference; a single match is opened at once."""
    # Postgres knows no text with a zero byte.
    text = request.query_params.get("q", "").replace("\0", "").strip()[:100]
    async with open_page(request) as page:
        seen = choose_projects(page.rights.approves | page.rights.operates)
        keys = await _find(page, seen, text) if text else []
        rows = await find_rows(page.connection, keys)
        letter = await _find_letter(page, text)
    if letter:
        return RedirectResponse(f"/console/dead-letters/{letter}", 303, headers=NO_STORE)
    if len(rows) == 1:
        return RedirectResponse(f"/budgets/{next(iter(rows))}", 303, headers=NO_STORE)
    words = {status.value: words for status, words in STATUS_WORDS.items()}
    return page.render("search.html", text=text, rows=[rows[key] for key in sorted(rows)], most=_MOST, words=words)


async def _find(page: Page, seen: Projects, text: str) -> Sequence[BudgetKey]:
    connection = page.connection
    if found := _REFERENCE.fullmatch(text):
        reference, job = (found[1], found[2]) if found[1] else (found[4], found[3])
        projects = _list_projects(page, job) if job else list(page.rules.rules.jobs)
        return await search_reference(connection, seen, projects, reference.upper(), _MOST)
    if text.count("/"):
        return await _find_by_key(page, seen, text)
    number = int(text) if text.isascii() and text.isdigit() and int(text) <= MAX_INT64 else None
    codes = {job.company_code for job in page.rules.rules.jobs.values()}
    keys = await search_keys(connection, seen, Sought(number, text, codes, _read_uuid(text)), _MOST)
    rows = await list_rows_of_projects(connection, seen, _list_projects(page, text), _MOST)
    return list(dict.fromkeys([*keys, *(row.key for row in rows)]))[:_MOST]


async def _find_by_key(page: Page, seen: Projects, text: str) -> Sequence[BudgetKey]:
    try:
        key = parse_key(text)
        return [key] if page.rights.may_see(*key.project) else []
    except ValueError:
        pass
    try:
        project = parse_key(f"{text.rstrip('/')}/1").project
    except ValueError:
        return []
    return [row.key for row in await list_rows_of_projects(page.connection, seen, [project], _MOST)]


def _list_projects(page: Page, job: str) -> list[tuple[int, int]]:
    """List the projects whose job begins with a text: a budget that was never exported is found by no other way."""
    jobs = page.rules.rules.jobs.items()
    return [project for project, one in jobs if job and one.job_number.casefold().startswith(job.casefold())][:_MOST]


def _read_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _find_letter(page: Page, text: str) -> UUID | None:
    letter = _read_uuid(text) if page.rights.is_operator else None
    topic = page.settings.topics.dead_letters
    return letter if letter and await find_dead_letter(page.connection, topic, letter) else None

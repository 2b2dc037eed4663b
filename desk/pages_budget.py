"""The page of one budget, an older version of it, and its lines as CSV."""

import json
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contracts.fields import MAX_INT64, write_cents
from contracts.outbound import Notice
from desk.approvals_view import write_place
from desk.budget_view import BudgetView, view_budget
from desk.csv_text import protect_text, write_csv
from desk.history import tell
from desk.lines import Line, Shown, read_line
from desk.lines_view import read_view
from desk.money import read_cents
from desk.offering import offer_acts
from desk.page import Page, check_sight, open_page, read_key, write_link
from desk.pages_receipts import find_last_act
from desk.published import find_unpublished
from handlers.imports import list_last_offered
from outbox.story import Story, find_last_request, read_story
from worker.reports.drift_report import describe_kinds
from worker.reports.import_report import format_import
from worker.reports.reading_report import describe_comparison

_SHOWN_MESSAGES: Final = 50
_ALL_MESSAGES: Final = 2000

_CSV_HEADER: Final = (
    "phase", "type", "description", "happens", "original", "revision", "sum", "original before", "revision before",
    "change", "quantity", "unit", "current in Spectrum",
)  # fmt: skip


async def show_budget(request: Request) -> Response:
    """Show one budget: what an acceptance would send, whether this person may, and everything that has happened."""
    at_most = _ALL_MESSAGES if request.query_params.get("history") == "all" else _SHOWN_MESSAGES
    async with open_page(request) as page:
        story = await _read(page, at_most)
        view = await view_budget(page, story)
        offers, last = await offer_acts(page, story), await find_last_act(page)
        unpublished = await find_unpublished(page, story.key, view.budget, [one.place for one in story.received])
    lines = read_view(
        request.url.path, request.query_params, opens_on_changes=bool(view.shown and view.shown.has_before)
    )
    budget = view.budget
    return page.render(
        "budget.html",
        made_of=(
            story.revision,
            story.received_total,
            story.held_total,
            story.holds,
            unpublished and sorted(unpublished),
        ),
        view=view,
        story=story,
        budget=budget,
        lines=lines,
        shown=view.shown,
        linked=view.linked,
        history=[tell(received, page.rules.rules.signers) for received in story.received],
        unpublished=unpublished,
        describe_kinds=describe_kinds,
        comparison=describe_comparison(budget.read_back) if budget and budget.read_back else "",
        next_page=write_link("/next", after=write_place(budget.since, story.key)) if budget and budget.since else None,
        offers=offers,
        last=last,
        most_received=_ALL_MESSAGES,
        offered=list_last_offered(budget, budget.open_import) if budget and budget.open_import else (),
        imports=[line.strip() for line in format_import(budget)] if budget else [],
    )


async def show_version(request: Request) -> Response:
    """Show an older version as approvers saw it last."""
    async with open_page(request) as page:
        story = await _read(page, _SHOWN_MESSAGES)
        number = request.path_params["version"]
        at, asked = await _find_request(page, story, number)
    shown = _show_request(asked)
    lines = read_view(request.url.path, request.query_params, opens_on_changes=shown.has_before)
    return page.render(
        "version.html",
        story=story,
        number=number,
        asked_at=at,
        asked=asked,
        shown=shown,
        lines=lines,
        linked=frozenset(),
    )


async def download_lines(request: Request) -> Response:
    """Write the lines of a budget, or of an older version of it, as CSV."""
    number = request.path_params.get("version")
    async with open_page(request) as page:
        story = await _read(page, 1)
        if number is None:
            view: BudgetView | None = await view_budget(page, story)
            shown = view.shown if view else None
            number = story.budget.version.number if story.budget and story.budget.version else 0
        else:
            _, asked = await _find_request(page, story, number)
            shown = _show_request(asked)
    if shown is None:
        raise HTTPException(404, "Nothing of this budget would be sent or was sent, so there are no lines.")
    name = f"budget-{'-'.join(map(str, story.key))}-v{number}.csv"
    return write_csv(name, _CSV_HEADER, map(_write_row, shown.lines))


async def _read(page: Page, at_most: int) -> Story:
    key = read_key(page.request)
    check_sight(page, key)
    story = await read_story(page.connection, key, page.settings.topics, at_most)
    if story is None:
        raise HTTPException(404, f"No message has ever named budget {key}.")
    return story


async def _find_request(page: Page, story: Story, number: int) -> tuple[Any, dict[str, Any]]:
    found = await find_last_request(page.connection, story.key, number) if number <= MAX_INT64 else None
    if found is None:
        sentence = f"Nobody was asked to approve version {number} of budget {story.key}, or it is pruned."
        raise HTTPException(404, sentence)
    return found[0], json.loads(found[1])


def _show_request(asked: dict[str, Any]) -> Shown:
    notices = tuple(Notice(**one) for one in asked["notices"])
    return Shown(tuple(map(read_line, asked["lines"])), read_cents(asked["total_amount"]), notices, None)


def _write_row(line: Line) -> tuple[str, ...]:
    return (
        *map(protect_text, (line.phase, line.cost_type, line.description)),
        line.change,
        *map(_write_cents, (line.original, line.revision, line.amount, line.before_original, line.before_revision)),
        write_cents(line.difference),
        _write_cents(line.quantity),
        protect_text(line.unit or ""),
        write_cents(line.found.current) if line.found else "",
    )


def _write_cents(cents: int | None) -> str:
    return "" if cents is None else write_cents(cents)

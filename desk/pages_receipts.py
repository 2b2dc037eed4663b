"""The receipt of what somebody has sent: an address that anybody who may see the budget can open, at any time."""

from typing import NamedTuple
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contracts.fields import MAX_INT64
from desk.acts import DESK_SOURCE
from desk.history import Entry, tell
from desk.offers import ACTS
from desk.page import Page, open_page
from desk.receipt import Receipt, find_out_whether_published
from desk.sent_acts import read_sent, write_receipt_path
from handlers.rules import fold_user
from outbox.story import read_story
from outbox.verdicts import find_message
from worker.reports.budget_report import find_target


async def show_receipt(request: Request) -> Response:
    """Show how far something is that was sent, from history and state; the address may say where it was put."""
    parts = request.path_params
    project, message_id = (parts["company"], parts["project"]), parts["id"]
    async with open_page(request) as page:
        _check_number(*project)
        unknown = (
            f"Nothing is known of {message_id} in project {project[0]}/{project[1]}. If somebody has just sent it, "
            f"it may not be decided yet: load this page again."
        )
        if not page.rights.may_see(*project):
            raise HTTPException(404, unknown)
        topics = page.settings.topics
        sent = read_sent(page.services.forms.sent, request.query_params.get("sent", ""), message_id)
        sender = sent.sender if sent and sent.key.project == project else None
        found = await find_message(page.connection, project, DESK_SOURCE, str(message_id), sender, topics)
        if found is None and sender is None:
            raise HTTPException(404, unknown)
        key = found.key if found else sender.key if sender else None
        assert key is not None, "one of them has named it"  # noqa: S101 - for mypy
        story = await read_story(page.connection, key, topics, 1)
    budget = story.budget if story else None
    published = await find_out_whether_published(page, budget, found)
    receipt = Receipt(key, sent, found, budget, published, page.now)
    target = find_target(budget) if budget else None
    return page.render(
        "receipt.html",
        made_of=(found, budget and budget.sequence, published, receipt.is_late),
        receipt=receipt,
        act=ACTS.get(sent.act) if sent else None,
        name=f"Job {target.job_number}" if target else f"Budget {key}",
        id=message_id,
    )


def _check_number(*numbers: int) -> None:
    if max(numbers) > MAX_INT64:
        raise HTTPException(404)


class LastAct(NamedTuple):
    """What somebody did just before a page."""

    entry: Entry
    receipt: str
    """The path of its receipt."""


async def find_last_act(page: Page) -> LastAct | None:
    """Find what somebody did just before this page, for a line on top of it; ``None`` where the address names none."""
    try:
        company, project, message_id = page.request.query_params.get("last", "").split("/")
        wanted = (int(company), int(project), UUID(message_id))
    except ValueError:
        return None
    if max(wanted[:2]) > MAX_INT64 or not page.rights.may_see(*wanted[:2]):
        return None
    topics = page.settings.topics
    found = await find_message(page.connection, wanted[:2], DESK_SOURCE, str(wanted[2]), None, topics)
    entry = tell(found.received) if found else None
    # Anybody can write an address: a line on top of the page says what its reader did, and nobody else.
    if entry is None or fold_user(entry.who) != fold_user(page.person.user):
        return None
    return LastAct(entry, write_receipt_path(wanted[:2], wanted[2]))

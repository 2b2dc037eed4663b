"""The list of what waits for an approver."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from desk.approvals_view import KINDS, Choice, Listed, list_chosen, read_choice, read_place
from desk.page import NO_STORE, open_page, write_link
from desk.pages_receipts import find_last_act
from outbox.approvals import FAILED, PENDING, choose_projects, count_pending

_REASONS: Final = {
    "same_person": "sent by you",
    "sender_unknown": "sender unknown",
    "not_authorised": "not an approver",
    "drift_open": "differs in Spectrum",
    "signature_missing": "desk has no key",
    "signer_not_allowed": "desk's key not listed",
    "not_now": "not now",
}


async def list_approvals(request: Request) -> Response:
    """List what waits for an approval, the longest first, and failed exports that an approver may send back."""
    choice, after = read_choice(request.query_params), read_place(request.query_params)
    async with open_page(request) as page:
        projects = choose_projects(page.rights.approves)
        pending = await list_chosen(page, PENDING, choice, after)
        failed = await list_chosen(page, FAILED, choice, None) if not after else Listed((), 0, None)
        totals = {
            status: await count_pending(page.connection, projects, status, choice.project)
            for status in (PENDING, FAILED)
        }
        last = await find_last_act(page)
    return page.render(
        "approvals.html",
        made_of=([(one.key, one.revision) for one, _ in (*pending.rows, *failed.rows)], totals),
        pending=pending,
        failed=failed,
        waiting_total=totals[PENDING],
        failed_total=totals[FAILED],
        is_first=after is None,
        choice=choice,
        kinds=KINDS,
        reasons=_REASONS,
        next_page=choice.link(pending.next_place) if pending.next_place else None,
        projects=sorted(page.rights.approves, key=str),
        last=last,
    )


async def open_next(request: Request) -> Response:
    """Open the budget that comes next in the list and that this person may accept; the list itself where none does."""
    after = read_place(request.query_params)
    async with open_page(request) as page:
        found = (await list_chosen(page, PENDING, Choice(mine=True), after)).rows
    last = request.query_params.get("last")
    return RedirectResponse(
        write_link(f"/budgets/{found[0][0].key}" if found else "/", last=last), 303, headers=NO_STORE
    )

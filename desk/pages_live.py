"""The stream of what has changed: names of budgets alone, and only those that its reader may see."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from contracts.budget_key import BudgetKey
from desk.live import Live
from desk.page import open_page
from desk.rights import Rights

PING_SECONDS: Final = 15
LONGEST_SECONDS: Final = 120.0
"""A stream then ends, and the browser opens another one: so session and rights are asked again."""

_TOGETHER_SECONDS: Final = 0.2
"""Changes within this time are told at once: one act causes several."""


async def stream_changes(request: Request) -> Response:
    """Stream what has changed, until the page is left or the stream has lasted long enough."""
    async with open_page(request) as page:
        rights = page.rights
    live: Live = request.app.state.live
    return EventSourceResponse(_list_changes(live, rights), ping=PING_SECONDS, headers={"Cache-Control": "no-store"})


async def _list_changes(live: Live, rights: Rights) -> AsyncIterator[ServerSentEvent]:
    until = monotonic() + LONGEST_SECONDS
    with live.listen() as queue:
        yield _write_state(live)
        while (left := until - monotonic()) > 0:
            try:
                change = await asyncio.wait_for(queue.get(), left)
            except TimeoutError:
                return
            changes = {change}
            await asyncio.sleep(_TOGETHER_SECONDS)
            while not queue.empty():
                changes.add(queue.get_nowait())
            if None in changes:
                yield _write_state(live)
                yield ServerSentEvent("all", event="changed")
            for key in sorted(one for one in changes if one is not None and _may_see(rights, one)):
                yield ServerSentEvent(str(key), event="changed")


def _may_see(rights: Rights, key: BudgetKey) -> bool:
    return rights.may_see(*key.project)


def _write_state(live: Live) -> ServerSentEvent:
    """Say whether changes are told at all; a page asks for everything again when they are again."""
    return ServerSentEvent("away" if live.is_away else "followed", event="kafka")

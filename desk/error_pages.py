"""The pages for what cannot be shown: each says what is so, and what the person can do."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from desk.page import NO_STORE, SignInNeeded, respond, write_link
from outbox.database import DatabaseDown
from outbox.rules import RulesUnavailable
from outbox.server import DatabaseUnfit
from worker.telemetry.logs import Logger

RETRY_SECONDS: Final = 10
"""After which a page that could not be read loads itself again."""

_TITLES: Final[Mapping[int, str]] = {
    400: "This request cannot be read",
    403: "This is not permitted",
    404: "There is no such page",
    405: "This cannot be done here",
    409: "This has changed meanwhile",
    413: "This is too large",
    429: "Too many at once",
}
_ADVICE: Final[Mapping[int, str]] = {
    403: "Go back, load the page again and try once more; if you reached it by a link, open the desk itself first.",
    404: "Correct the address, or search for the budget, its job or its project.",
    409: "Nothing was sent. Open the page again: it shows what is so now.",
    429: "Wait a minute, then go on.",
}


def _show(request: Request, status: int, **values: Any) -> HTMLResponse:
    shown = {"title": "", "sentence": "", "advice": "", "retry_seconds": None, "error_id": None} | values
    return respond(request, "error.html", status, status=status, **shown)


async def _ask_to_sign_in(request: Request, _: Exception) -> Response:
    """Send somebody who has not signed in to where that is done, and from there back."""
    is_read = request.method in {"GET", "HEAD"}
    back = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return RedirectResponse(write_link("/login", next=back if is_read else "/"), 303, headers=NO_STORE)


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    title = _TITLES.get(error.status_code, "This did not work")
    usual = error.detail == HTTPException(error.status_code).detail
    return _show(
        request,
        error.status_code,
        title=title,
        sentence="" if usual else error.detail,
        advice=_ADVICE.get(error.status_code, ""),
    )


async def _wait_for_database(request: Request, error: Exception) -> Response:
    log: Logger = request.app.state.services.log
    log.warning("page.database_unavailable", path=request.url.path, why=str(error))
    return _show(
        request,
        503,
        title="The database does not answer",
        sentence="Nothing is lost: what was sent is safe in Kafka and will be decided.",
        advice=f"This page tries again every {RETRY_SECONDS} seconds. Do not send anything twice meanwhile.",
        retry_seconds=RETRY_SECONDS,
    )


async def _wait_for_operator(request: Request, error: Exception) -> Response:
    log: Logger = request.app.state.services.log
    log.warning("page.deployment_unfit", path=request.url.path, why=str(error))
    return _show(
        request,
        503,
        title="The desk cannot work with this database",
        sentence=str(error),
        advice="Somebody who runs the bridge has to do this; the page tries again by itself.",
        retry_seconds=RETRY_SECONDS,
    )


async def _report_bug(request: Request, error: Exception) -> Response:
    """Show an id under which the log has the error; the error itself may hold what is not everybody's."""
    error_id = secrets.token_hex(4)
    log: Logger = request.app.state.services.log
    log.error("page.failed", error_id=error_id, path=request.url.path, exc_info=error)
    return _show(
        request,
        500,
        title="Something is wrong with the desk",
        sentence="This is a bug, and no fault of yours.",
        advice="Tell whoever runs the bridge the id below; the log has the rest under it.",
        error_id=error_id,
    )


ERROR_PAGES: Final[Mapping[Any, Any]] = {
    SignInNeeded: _ask_to_sign_in,
    HTTPException: _refuse,
    DatabaseDown: _wait_for_database,
    DatabaseUnfit: _wait_for_operator,
    RulesUnavailable: _wait_for_operator,
    Exception: _report_bug,
}
"""What answers a request that no page has answered."""

"""The pages for what cannot be shown: each says what is so, and what the person can do."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from desk.forms import FormRefused
from desk.identification import SignInNeeded, read_typed
from desk.identity import ProviderUnavailable, SignInRefused
from desk.page import NO_STORE, respond, write_link
from desk.session import SAFE_METHODS
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
_TYPED: Final = frozenset({"reason"})
"""The fields of forms that people type, and want to see again."""

_SIGN_IN_AGAIN: Final = "Open the desk again to sign in; if that does not help, show this page to whoever runs it."


def _show(request: Request, status: int, **values: Any) -> HTMLResponse:
    shown = {"title": "", "sentence": "", "advice": "", "retry_seconds": None, "error_id": None} | values
    return respond(request, "error.html", status, status=status, **shown)


async def _ask_to_sign_in(request: Request, _: Exception) -> Response:
    """Send somebody who has not signed in to where that is done, and from there back.

    A form is not lost: it is offered again. A script that asks for a piece of a page gets no page for signing in.
    """
    if request.method not in SAFE_METHODS:
        return await _offer_again(request)
    if request.headers.get("sec-fetch-dest") == "empty":
        return _show(request, 401, title="You are not signed in")
    back = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return RedirectResponse(write_link("/login", next=back), 303, headers=NO_STORE)


async def _offer_again(request: Request) -> Response:
    fields = await read_typed(request)
    typed = [value for name, value in fields if name in _TYPED]
    return respond(request, "form_again.html", 401, fields=fields, typed=typed)


async def _refuse_sign_in(request: Request, error: Exception) -> Response:
    return _show(request, 403, title="You are not signed in", sentence=str(error), advice=_SIGN_IN_AGAIN)


async def _wait_for_provider(request: Request, error: Exception) -> Response:
    return _show(
        request,
        503,
        title="You cannot sign in at present",
        sentence=str(error),
        advice="Nobody who is signed in is affected. Try again in a minute; if that does not help, report it.",
    )


async def _refuse_form(request: Request, error: Exception) -> Response:
    advice = "Nothing was sent. Open the page again and do it there: it shows what is so now."
    return _show(request, 409, title="This form cannot be taken", sentence=str(error), advice=advice)


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    title = _TITLES.get(error.status_code, "This did not work")
    usual = error.detail == HTTPException(error.status_code).detail
    answer = _show(
        request,
        error.status_code,
        title=title,
        sentence="" if usual else error.detail,
        advice=_ADVICE.get(error.status_code, ""),
    )
    answer.headers.update(error.headers or {})
    return answer


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
    SignInRefused: _refuse_sign_in,
    ProviderUnavailable: _wait_for_provider,
    FormRefused: _refuse_form,
    HTTPException: _refuse,
    DatabaseDown: _wait_for_database,
    DatabaseUnfit: _wait_for_operator,
    RulesUnavailable: _wait_for_operator,
    Exception: _report_bug,
}
"""What answers a request that no page has answered."""

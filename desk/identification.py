"""Finds out who sends each request, and lets nobody else in: a page is open only where it says so here."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.act_limit import ActLimit
from desk.identity import Identity
from desk.session import SAFE_METHODS

_STATIC: Final = "/static/"


class SignInNeeded(Exception):  # noqa: N818 - an answer, not a fault of the program
    """Nobody has signed in, or their session has ended, and the page is not open to everybody."""


class Identify:
    """Puts whoever sends a request at ``request.state.person``."""

    def __init__(self, app: ASGIApp, identity: Identity, now: Callable[[], datetime]) -> None:
        """Take what comes after, who finds out, and the time."""
        self._app, self._identity = app, identity
        self._limit = ActLimit(now)
        self._open = {route.path for route in identity.routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its person.

        Raises:
            SignInNeeded: there is none.
            HTTPException: 429, they have acted too often.
            SignInRefused: as ``Identity.find_person``, as ``ProviderUnavailable``.
        """
        if scope["type"] != "http" or scope["path"].startswith(_STATIC):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["person"] = None
        found = await self._identity.find_person(HTTPConnection(scope))
        if found is None:
            if scope["path"] not in self._open:
                raise SignInNeeded
            await self._app(scope, receive, send)
            return
        state["person"] = found.person
        if scope["method"] not in SAFE_METHODS and (seconds := self._limit.count(found.person.user)):
            sentence = f"You have sent more than anybody can read in a minute. Go on in {seconds} seconds."
            raise HTTPException(429, sentence, {"Retry-After": str(seconds)})

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and found.cookie:
                headers = MutableHeaders(scope=message)
                if "set-cookie" not in headers:
                    headers.append("Set-Cookie", found.cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)


async def read_typed(request: Request) -> list[tuple[str, str]]:
    """Read the fields of a form that cannot be taken now, to offer them again."""
    async with request.form() as form:
        return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]

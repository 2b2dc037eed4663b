"""Signing in with a session of our own, whoever vouches for the person, and signing out."""

import re
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk.identity import Found, Person
from desk.page import respond
from desk.session import Sessions

MAX_NEXT: Final = 1000
"""Characters of the address that somebody comes back to: it travels in a cookie while they sign in."""

_OWN_PATH: Final = re.compile(rf"/(?![/\\])[!-\[\]-~]{{0,{MAX_NEXT - 1}}}", re.ASCII)
"""No other site: neither ``//host`` nor ``/\\host``, which browsers read as one."""


def choose_next(wanted: str | None) -> str:
    """Choose where somebody goes after signing in: where they wanted to, or the first page if that is none of ours."""
    return wanted if wanted and _OWN_PATH.fullmatch(wanted) else "/"


def find_session(sessions: Sessions, connection: HTTPConnection) -> Found | None:
    """Find the person of a session, and the cookie that renews it."""
    session = sessions.find(connection)
    return None if session is None else Found(session.person, sessions.renew(session, connection))


def begin_session(sessions: Sessions, person: Person, to: str) -> Response:
    """Answer a sign-in that succeeded."""
    response = RedirectResponse(to, 303)
    response.headers.append("Set-Cookie", sessions.write(person))
    return response


def make_sign_out_routes(sessions: Sessions) -> tuple[Route, ...]:
    """Make the pages with which a session ends."""

    async def sign_out(_: Request) -> Response:
        response = RedirectResponse("/signed-out", 303)
        response.headers.append("Set-Cookie", sessions.end())
        return response

    async def show_signed_out(request: Request) -> Response:
        return respond(request, "signed_out.html")

    return Route("/logout", sign_out, methods=["POST"]), Route("/signed-out", show_signed_out)

"""People to be, one click each, for the demo on one's own machine.

No setting leads here: only whoever starts the desk from a program of their own, as the demo does, can choose it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from desk.identity import Found, make_person
from desk.identity_proxy import is_near
from desk.identity_settings import LOOPBACK
from desk.page import respond
from desk.session import Sessions
from desk.sign_in import begin_session, choose_next, find_session, make_sign_out_routes


class DemoPerson(NamedTuple):
    """Somebody to be."""

    user: str
    role: str
    """What they are in the demo, for people who choose."""


class DemoIdentity:
    """Believes everybody on this machine."""

    def __init__(
        self, people: Sequence[DemoPerson], secrets: Sequence[str], now: Callable[[], datetime], url: str
    ) -> None:
        """Take who there is to be, what sessions depend on, and the origin of the desk.

        Raises:
            ValueError: others than the people at this machine could reach the desk.
        """
        if urlsplit(url).hostname not in LOOPBACK:
            message = f"a demo is reached on its own machine alone, and not at {url}"
            raise ValueError(message)
        self._people, self._now = people, now
        self._sessions = Sessions(secrets, now, secure=url.startswith("https:"))
        self.routes: Sequence[Route] = (
            Route("/login", self._show_people, methods=["GET"]),
            Route("/login", self._become, methods=["POST"]),
            *make_sign_out_routes(self._sessions),
        )

    async def find_person(self, connection: HTTPConnection) -> Found | None:
        """Find the person of the session, for requests from this machine."""
        return find_session(self._sessions, connection) if is_near(connection.scope) else None

    async def _show_people(self, request: Request) -> Response:
        _check_near(request)
        return respond(request, "people.html", people=self._people, next=choose_next(request.query_params.get("next")))

    async def _become(self, request: Request) -> Response:
        _check_near(request)
        async with request.form() as form:
            user, wanted = str(form.get("user")), str(form.get("next"))
        if user not in {one.user for one in self._people}:
            raise HTTPException(400, "There is nobody of that name to be.")
        return begin_session(self._sessions, make_person(user, "demo", user, self._now()), choose_next(wanted))


def _check_near(request: Request) -> None:
    if not is_near(request.scope):
        raise HTTPException(403, "In the demo, people sign in on the machine that it runs on.")

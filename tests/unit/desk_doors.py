"""A small desk behind the real doors: what every request passes, and pages that say who it comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from desk.identification import Identify, SignInNeeded
from desk.identity import Found, Identity, Person, ProviderUnavailable, SignInRefused
from desk.security import Guard
from desk.session import Sessions
from desk.sign_in import find_session, make_sign_out_routes

URL = "https://desk.example.com"
SECRET, OLDER_SECRET = "new" * 16, "old" * 16
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Clock:
    """A clock that tests move."""

    at: datetime = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **length: float) -> None:
        self.at += timedelta(**length)


@dataclass
class Log:
    """What was logged."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def _add(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))

    info = warning = error = _add


def make_someone(user: str = "anna@hillside.example", at: datetime | None = None) -> Person:
    return Person(user, "https://login.example", f"sub-of-{user}", at or Clock().at)


class SignedIn:
    """Everybody with a session that a test has written."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.routes: Sequence[Route] = (
            Route("/login", lambda _: PlainTextResponse("sign in")),
            *make_sign_out_routes(sessions),
        )

    async def find_person(self, connection: HTTPConnection) -> Found | None:
        return find_session(self.sessions, connection)


def show_person(request: Request) -> Response:
    return PlainTextResponse(request.state.person.user)


async def take_form(request: Request) -> Response:
    async with request.form() as form:
        return PlainTextResponse(f"taken: {form.get('reason')}")


def fail(_: Request) -> Response:
    raise RuntimeError("a bug")


def refuse(status: int) -> Callable[[Request, Exception], Response]:
    def answer(_: Request, error: Exception) -> Response:
        headers = error.headers if isinstance(error, HTTPException) else None
        return PlainTextResponse(f"{type(error).__name__}: {error}", status, headers)

    return answer


def make_desk(identity: Identity, clock: Clock, url: str = URL) -> Starlette:
    pages: dict[Any, Any] = {
        SignInNeeded: refuse(401),
        SignInRefused: refuse(403),
        ProviderUnavailable: refuse(503),
        HTTPException: lambda request, error: refuse(error.status_code)(request, error),
        Exception: refuse(500),
    }
    return Starlette(
        routes=[
            Route("/", show_person),
            Route("/act", take_form, methods=["POST", "PUT", "DELETE", "PATCH"]),
            Route("/bug", fail),
            Route("/static/{name}", lambda _: Response("css", headers={"Cache-Control": "public, immutable"})),
            *identity.routes,
        ],
        middleware=[
            Middleware(Guard, url=url),
            Middleware(ExceptionMiddleware, handlers=pages),
            Middleware(Identify, identity=identity, now=clock),
        ],
    )


def open_desk(identity: Identity, clock: Clock, url: str = URL) -> TestClient:
    return TestClient(make_desk(identity, clock, url), base_url=url, follow_redirects=False)

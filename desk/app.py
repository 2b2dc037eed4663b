"""The desk as an application: which page answers which address, and what every request passes before."""

from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from desk import pages_approvals, pages_budget
from desk.error_pages import ERROR_PAGES
from desk.security import make_middleware
from desk.services import Services
from desk.settings import DeskSettings
from desk.static_files import serve_static
from desk.summaries import Summaries

_SMALLEST_COMPRESSED = 1000
"""Bytes; below it, compressing costs more than it saves."""


def make_app(settings: DeskSettings, services: Services) -> Starlette:
    """Make the application.

    Args:
        settings: the environment.
        services: everything outside.
    """
    app = Starlette(
        routes=[*_ROUTES, *services.identity.routes],
        middleware=[
            *make_middleware(settings),
            Middleware(GZipMiddleware, minimum_size=_SMALLEST_COMPRESSED, compresslevel=6),
            Middleware(_FindPerson, services=services),
        ],
        exception_handlers=ERROR_PAGES,
    )
    app.state.settings, app.state.services, app.state.summaries = settings, services, Summaries()
    return app


_BUDGET: Final = "/budgets/{company:int}/{project:int}/{budget:int}"
_ROUTES: tuple[BaseRoute, ...] = (
    Route("/static/{name}", serve_static),
    Route("/", pages_approvals.list_approvals),
    Route(_BUDGET, pages_budget.show_budget),
    Route(f"{_BUDGET}/lines.csv", pages_budget.download_lines),
    Route(f"{_BUDGET}/versions/{{version:int}}", pages_budget.show_version),
    Route(f"{_BUDGET}/versions/{{version:int}}/lines.csv", pages_budget.download_lines),
)


class _FindPerson:
    """Puts whoever sends a request at ``request.state.person``."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._identity = services.identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["person"] = self._identity.find_person(HTTPConnection(scope))
        await self._app(scope, receive, send)

"""The desk as an application: which page answers which address, and what every request passes before."""

from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Route

from desk import (
    pages_acts,
    pages_approvals,
    pages_budget,
    pages_console,
    pages_contract,
    pages_letters,
    pages_live,
    pages_operations,
    pages_people,
    pages_preferences,
    pages_receipts,
    pages_search,
)
from desk.error_pages import ERROR_PAGES
from desk.identification import Identify
from desk.live import Live
from desk.overview_sources import Sources
from desk.security import Guard
from desk.send import Postbox
from desk.services import Services
from desk.settings import DeskSettings
from desk.static_files import serve_static
from desk.summaries import Summaries

_COMPRESSION: Final = 8
"""With it 2,000 lines take 20 ms more than with the usual 6, and 6 % fewer bytes; 9 is slower and no smaller."""

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
            Middleware(Guard, url=settings.desk_url),
            # Inside the guard, so that no error page goes out without its headers.
            Middleware(ExceptionMiddleware, handlers=ERROR_PAGES),
            Middleware(GZipMiddleware, minimum_size=_SMALLEST_COMPRESSED, compresslevel=_COMPRESSION),
            Middleware(Identify, identity=services.identity, now=services.now),
        ],
        exception_handlers=ERROR_PAGES,
    )
    app.state.settings, app.state.services = settings, services
    app.state.live = Live(services.kafka, settings.topics, services.log)
    app.state.postbox = Postbox(services.appender, services.now)
    app.state.summaries, app.state.sources = Summaries(services.key), Sources(settings, services)
    return app


_BUDGET: Final = "/budgets/{company:int}/{project:int}/{budget:int}"
_ROUTES: tuple[BaseRoute, ...] = (
    Route("/static/{name}", serve_static),
    Route("/", pages_approvals.list_approvals),
    Route("/next", pages_approvals.open_next),
    Route("/mine", pages_people.list_mine),
    Route("/search", pages_search.search),
    Route("/contract", pages_contract.show_contract),
    Route("/preferences", pages_preferences.show_preferences),
    Route("/preferences", pages_preferences.keep_preferences, methods=["POST"]),
    Route("/console", pages_console.show_overview),
    Route("/console/budgets", pages_console.list_budgets),
    Route("/console/dead-letters", pages_console.list_letters),
    Route("/console/dead-letters/{letter:uuid}", pages_letters.show_letter),
    Route("/console/dead-letters/{letter:uuid}/value", pages_console.download_letter),
    Route("/console/dead-letters/{letter:uuid}/replay", pages_letters.replay_letter, methods=["POST"]),
    Route("/console/operations/new", pages_operations.show_new),
    Route("/console/operations", pages_operations.begin, methods=["POST"]),
    Route("/console/operations/{id:uuid}", pages_operations.show_operation),
    Route("/console/operations/{id:uuid}/again", pages_operations.send_again, methods=["POST"]),
    Route("/console/people", pages_people.list_who_did_what),
    Route("/console/people.csv", pages_people.download_who_did_what),
    Route("/live", pages_live.stream_changes),
    Route("/decisions/{company:int}/{project:int}/{id:uuid}", pages_receipts.show_receipt),
    Route(_BUDGET, pages_budget.show_budget),
    Route(f"{_BUDGET}/acts/{{act}}", pages_acts.show_act),
    Route(f"{_BUDGET}/acts/{{act}}", pages_acts.do_act, methods=["POST"]),
    Route(f"{_BUDGET}/lines.csv", pages_budget.download_lines),
    Route(f"{_BUDGET}/versions/{{version:int}}", pages_budget.show_version),
    Route(f"{_BUDGET}/versions/{{version:int}}/lines.csv", pages_budget.download_lines),
)

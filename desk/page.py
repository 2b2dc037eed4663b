"""What every page begins with: who asks, what they may see, the rules in force, and one moment of the database."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from contracts.budget_key import BudgetKey, parse_budget_key
from contracts.fields import MAX_INT64
from desk.identification import SignInNeeded
from desk.identity import Person
from desk.preferences import find_zone, wants_keys
from desk.rendering import render
from desk.rights import Rights, find_rights
from desk.services import Services
from desk.settings import DeskSettings
from outbox.database import Connection
from outbox.rules import RulesVersion, find_rules_in_force

NO_STORE = {"Cache-Control": "no-store"}

MAX_INT32 = 2**31 - 1
"""The largest number of a partition."""


@dataclass(frozen=True, slots=True)
class Page:
    """One request for a page, and what answering it needs."""

    request: Request
    person: Person
    rights: Rights
    rules: RulesVersion
    connection: Connection
    now: datetime

    @property
    def services(self) -> Services:
        """Everything outside."""
        services: Services = self.request.app.state.services
        return services

    @property
    def settings(self) -> DeskSettings:
        """The environment."""
        settings: DeskSettings = self.request.app.state.settings
        return settings

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that the person has chosen."""
        return find_zone(self.request, self.settings)

    def render(
        self, template: str, status_code: int = 200, *, made_of: object | None = None, **values: Any
    ) -> Response:
        """Render a template with what every page shows.

        Args:
            template: the name of a file in ``templates/``.
            status_code: of the answer.
            made_of: everything that the page follows from, for one that asks whether it has changed; ``None`` for one
                that never does.
            values: what it shows.
        """
        etag = _write_etag(self, made_of) if made_of is not None else None
        headers = {"ETag": etag} if etag else {}
        if etag and self.request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=NO_STORE | headers)
        answer = respond(self.request, template, status_code, rights=self.rights, now=self.now, **values)
        answer.headers.update(headers)
        return answer


def _write_etag(page: Page, made_of: object) -> str:
    """Write what changes with everything that a page follows from; the time is not among it."""
    shown = (made_of, page.rules.id, page.person.user, page.rights.operates, _describe(page.request)["address"])
    return f'"{hashlib.sha256(repr(shown).encode()).hexdigest()[:32]}"'


def respond(request: Request, template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Render a template where nothing is known but the request, such as the page for signing in."""
    return HTMLResponse(render(template, _describe(request) | values), status_code, headers=NO_STORE)


def _describe(request: Request) -> dict[str, Any]:
    """Describe what a page shows even where nothing is known but the request."""
    settings: DeskSettings = request.app.state.settings
    return {
        "path": request.url.path,
        "address": f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path,
        "zone": find_zone(request, settings),
        "numbers": settings.desk_numbers,
        "keys": wants_keys(request),
        "person": getattr(request.state, "person", None),
        "signs_out": bool(request.app.state.services.identity.routes),
        "kafka_away": request.app.state.live.is_away,
        "rights": None,
        "now": request.app.state.services.now(),
    }


def require_person(request: Request) -> Person:
    """Return who asks.

    Raises:
        SignInNeeded: nobody has signed in.
    """
    person: Person | None = request.state.person
    if person is None:
        raise SignInNeeded
    return person


@asynccontextmanager
async def open_page(request: Request) -> AsyncIterator[Page]:
    """Open the transaction of one page.

    Raises:
        SignInNeeded: nobody has signed in.
        DatabaseDown: Postgres does not answer.
        RulesUnavailable: no rules are in force.
    """
    person = require_person(request)
    services: Services = request.app.state.services
    async with services.reader.read() as connection:
        rules = await find_rules_in_force(connection)
        rights = find_rights(person.user, rules.rules, services.list_operators())
        yield Page(request, person, rights, rules, connection, services.now())


def read_key(request: Request) -> BudgetKey:
    """Read the budget's key from the address; one that cannot be is not found."""
    parts = request.path_params
    try:
        return parse_key(f"{parts['company']}/{parts['project']}/{parts['budget']}")
    except ValueError as error:
        raise HTTPException(404, str(error)) from None


def parse_key(text: str) -> BudgetKey:
    """Read a budget's key as people write it.

    Raises:
        ValueError: it is none, or one whose numbers no budget can have.
    """
    key = parse_budget_key(text)
    if max(key) > MAX_INT64:
        message = f"There can be no budget {text}: its numbers are too large."
        raise ValueError(message)
    return key


def read_number(text: str, most: int = MAX_INT64) -> int:
    """Read a number of a place in a list, which an address carries.

    Raises:
        ValueError: it is none, or larger than its column can hold.
    """
    if not (text.isascii() and text.isdigit()) or (number := int(text)) > most:
        message = "The list cannot begin there; begin at its start."
        raise ValueError(message)
    return number


def check_sight(page: Page, key: BudgetKey) -> None:
    """Let only those see a budget who approve or operate its project; for others it does not exist."""
    if not page.rights.may_see(*key.project):
        raise HTTPException(404, f"You can see no budget {key}.")


def write_link(path: str, **query: object) -> str:
    """Write an address with a query, without what is not set."""
    given = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"{quote(path)}?{urlencode(given)}" if given else quote(path)


def require_operator(page: Page) -> None:
    """Let only operators see a page; others are told who can make them one."""
    if not page.rights.is_operator:
        sentence = f"{page.person.user} is not listed as an operator; whoever runs the bridge keeps that list."
        raise HTTPException(403, sentence)

"""No page is forgotten: the list of views has each route of the app that somebody can look at."""

from starlette.routing import Route

from desk.app import _ROUTES
from desk.identity_demo import DemoIdentity
from tests.desk.browser.server import read_now
from tests.desk.browser.views import NO_PAGES, VIEWS
from tests.desk.conftest import SECRET


def test_each_route_has_a_view_or_a_reason_why_not() -> None:
    identity = DemoIdentity([], [SECRET], read_now, "http://127.0.0.1:8090")
    routes = [*_ROUTES, *identity.routes]
    read = {route.path for route in routes if isinstance(route, Route) and "GET" in (route.methods or ())}
    assert read == {view.route for view in VIEWS if view.route} | NO_PAGES.keys()


def test_each_view_has_a_name_of_its_own() -> None:
    assert len({view.name for view in VIEWS}) == len(VIEWS)

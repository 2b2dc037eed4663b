"""Every page of the desk in every state that looks different: the one list that all tests of looks go by."""

from typing import Final, NamedTuple

from demo.desk_rules import CONTROLLER, NOBODY
from demo.scene import ACCOUNTANT, MANAGER, OPERATOR


class View(NamedTuple):
    """One page in one state."""

    name: str
    route: str
    """As the app has it."""
    path: str
    user: str | None = ACCOUNTANT
    status: int = 200


VIEWS: Final = (
    View("approvals", "/", "/"),
    View("approvals, of a controller", "/", "/", CONTROLLER),
    View("approvals, of who sent them", "/", "/", MANAGER),
    View("approvals, of an operator", "/", "/", OPERATOR),
    View("approvals, of nobody", "/", "/", NOBODY),
    View("approvals, nothing waits in a project", "/", "/?project=4211/1"),
    View("approvals, a filter that is none", "/", "/?project=x", status=400),
    View("no such page", "", "/nowhere", status=404),
)

NO_PAGES: Final = {"/static/{name}": "style sheet and scripts"}
"""The routes that are no pages, and why."""

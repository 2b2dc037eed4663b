"""Every page of the desk in every state that looks different: the one list that all tests of looks go by."""

from typing import Final, NamedTuple

from demo.desk_rules import CONTROLLER, NOBODY
from demo.scene import ACCOUNTANT, MANAGER, OPERATOR
from demo.seeds import SEEDS


class View(NamedTuple):
    """One page in one state."""

    name: str
    route: str
    """As the app has it."""
    path: str
    user: str | None = ACCOUNTANT
    status: int = 200


_BUDGET: Final = "/budgets/{company:int}/{project:int}/{budget:int}"
_OF_SEEDS: Final = {seed.number: f"/budgets/{seed.budget}" for seed in SEEDS}
_RESYNC: Final = _OF_SEEDS[2]

VIEWS: Final = (
    View("approvals", "/", "/"),
    View("approvals, of a controller", "/", "/", CONTROLLER),
    View("approvals, of who sent them", "/", "/", MANAGER),
    View("approvals, of an operator", "/", "/", OPERATOR),
    View("approvals, of nobody", "/", "/", NOBODY),
    View("approvals, nothing waits in a project", "/", "/?project=4211/1"),
    View("approvals, a filter that is none", "/", "/?project=x", status=400),
    *(View(f"budget, {seed.what}", _BUDGET, _OF_SEEDS[seed.number]) for seed in SEEDS),
    View("budget, all lines of a re-sync", _BUDGET, f"{_RESYNC}?show=all"),
    View("budget, sent by who looks at it", _BUDGET, _RESYNC, MANAGER),
    View("budget, of an operator", _BUDGET, _OF_SEEDS[9], OPERATOR),
    View("budget, that one may not see", _BUDGET, _OF_SEEDS[9], CONTROLLER, status=404),
    View("budget, that nobody knows", _BUDGET, "/budgets/4211/1/1", status=404),
    View("version, an older one", f"{_BUDGET}/versions/{{version:int}}", f"{_RESYNC}/versions/1"),
    View("version, that there never was", f"{_BUDGET}/versions/{{version:int}}", f"{_RESYNC}/versions/9", status=404),
    View("who one may be in the demo", "/login", "/login", None),
    View("signed out", "/signed-out", "/signed-out", None),
    View("no such page", "", "/nowhere", status=404),
)

NO_PAGES: Final = {
    "/static/{name}": "style sheet and scripts",
    f"{_BUDGET}/lines.csv": "a download",
    f"{_BUDGET}/versions/{{version:int}}/lines.csv": "a download",
}
"""The routes that are no pages, and why."""

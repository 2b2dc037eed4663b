"""Every page of the desk in every state that looks different: the one list that all tests of looks go by."""

from typing import Final, NamedTuple
from uuid import UUID

from demo.desk_rules import CONTROLLER, NOBODY
from demo.scene import ACCOUNTANT, MANAGER, OPERATOR
from demo.seeds import SEEDS


class View(NamedTuple):
    """One page in one state."""

    name: str
    route: str
    """As the app has it."""
    path: str
    """May have ``{reason}``: the id of the dead letter that a seed leaves."""
    user: str | None = ACCOUNTANT
    status: int = 200


_BUDGET: Final = "/budgets/{company:int}/{project:int}/{budget:int}"
_OF_SEEDS: Final = {seed.number: f"/budgets/{seed.budget}" for seed in SEEDS}
_LETTER: Final = "/console/dead-letters/{letter:uuid}"
_RESYNC: Final = _OF_SEEDS[2]
_ACT: Final = f"{_BUDGET}/acts/{{act}}"
_RECEIPT: Final = "/decisions/{company:int}/{project:int}/{id:uuid}"
_OF_OPERATORS: Final = ("retry", "release", "skip", "reset", "acknowledge-success", "acknowledge-failed", "read")

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
    View("accept, of an approver", _ACT, f"{_RESYNC}/acts/accept"),
    View("accept, of who sent it", _ACT, f"{_RESYNC}/acts/accept", MANAGER),
    View("send back", _ACT, f"{_RESYNC}/acts/reject"),
    View("ask for an import", _ACT, f"{_OF_SEEDS[9]}/acts/take-import"),
    View("an act for operators alone", _ACT, f"{_RESYNC}/acts/retry", status=403),
    *(View(f"{act}, of an operator", _ACT, f"{_OF_SEEDS[9]}/acts/{act}", OPERATOR) for act in _OF_OPERATORS),
    View("receipt, that there is none of", _RECEIPT, f"/decisions/4211/1/{UUID(int=9)}", status=404),
    View("my decisions", "/mine", "/mine"),
    View("my decisions, of somebody who has made none", "/mine", "/mine", CONTROLLER),
    View("search", "/search", "/search?q=26-2"),
    View("search, nothing found", "/search", "/search?q=nothing"),
    View("search, empty", "/search", "/search"),
    View("contract", "/contract", "/contract"),
    View("preferences", "/preferences", "/preferences"),
    View("console", "/console", "/console", OPERATOR),
    View("console, of somebody who is no operator", "/console", "/console", ACCOUNTANT, status=403),
    View("budgets that failed", "/console/budgets", "/console/budgets?list=EXPORT_FAILED", OPERATOR),
    View("budgets on hold: none", "/console/budgets", "/console/budgets?list=on_hold", OPERATOR),
    View("dead letters", "/console/dead-letters", "/console/dead-letters", OPERATOR),
    View("dead letters, none", "/console/dead-letters", "/console/dead-letters?reason=unknown_job", OPERATOR),
    View("dead letter, unreadable", _LETTER, "/console/dead-letters/{unreadable}", OPERATOR),
    View("dead letter, a conflict", _LETTER, "/console/dead-letters/{conflicting_content}", OPERATOR),
    View("dead letter, that is not there", _LETTER, f"/console/dead-letters/{UUID(int=9)}", OPERATOR, status=404),
    View("who did what", "/console/people", "/console/people", OPERATOR),
    View("who did what, nobody", "/console/people", "/console/people?user=nobody", OPERATOR),
    View("who one may be in the demo", "/login", "/login", None),
    View("signed out", "/signed-out", "/signed-out", None),
    View("no such page", "", "/nowhere", status=404),
)

NO_PAGES: Final = {
    "/static/{name}": "style sheet and scripts",
    "/next": "leads to another page",
    "/live": "a stream",
    f"{_LETTER}/value": "a download",
    "/console/people.csv": "a download",
    f"{_BUDGET}/lines.csv": "a download",
    f"{_BUDGET}/versions/{{version:int}}/lines.csv": "a download",
}
"""The routes that are no pages, and why."""

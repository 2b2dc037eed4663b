"""The budgets that the desk's demo begins with, as data: what is sent of each, and the state that it then is in.

Each step waits until the bridge has reported what the step before it was to cause, so no order is left to chance.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.outbound import StatusName
from demo.bridge_client import Data
from demo.scene import ACCOUNTANT, COMPANY, Line, write_lock
from demo.spectrum import LineKey, LineRefusal

OTHER_MANAGER: Final = "d.novak@hillside.example"
"""Sends one of the budgets, so that the manager who sends the others, and approves too, finds one to accept."""
REFUSED: Final = LineKey("09960", "S")
"""The line that Spectrum refuses once; only one seed has it."""
REFUSAL: Final = LineRefusal("E", "Cost type is closed for the period", "Cost_Type")
SILENT_JOB: Final = "26-2008"
"""The job for whose exports Spectrum never answers."""
PHASES: Final = {"09-960": "09960"}
"""The phases of the seeds that the demo's rules lack, beside those of ``LARGE``."""


class Reached(NamedTuple):
    """What the bridge reports of a budget."""

    version: int
    status: StatusName
    overdue: bool = False


class Step(NamedTuple):
    """One message about a budget, and what must be reported before it is sent."""

    after: Reached | None
    kind: str
    version: int
    data: Data
    message_id: str | None = None
    """By default a new one."""


class Seed(NamedTuple):
    """One budget of a project of its own."""

    what: str
    """What it shows, for people."""
    number: int
    steps: tuple[Step, ...]
    reaches: Reached
    dead_letter: str | None = None
    """The reason of the one that it leaves."""

    @property
    def budget(self) -> BudgetKey:
        """Its key."""
        return BudgetKey(COMPANY, 92000 + self.number, 56000 + self.number)

    @property
    def job(self) -> str:
        """The number of its job."""
        return f"26-2{self.number:03}"


OFFICE: Final = (
    Line(1, "01-500", "L", "General conditions", "48000.00"),
    Line(2, "03-300", "M", "Concrete, cast in place", "312500.00", "2500.00"),
    Line(3, "03-300", "L", "Concrete, cast in place", "187250.50"),
    Line(4, "05-120", "S", "Structural steel", "640000.00"),
)
OFFICE_CHANGED: Final = (
    OFFICE[0],
    OFFICE[1],
    Line(3, "03-300", "L", "Concrete, cast in place", "190000.75"),
    Line(5, "09-900", "S", "Painting", "75400.00"),
)
"""One line stays the same, one is set, one is added; steel goes to zero."""
EARTHWORK: Final = (Line(1, "02-310", "E", "Earthwork and grading", "95000.00"),)
FOUNDATIONS: Final = (
    Line(1, "03-300", "M", "Foundations", "52000.00"),
    Line(2, "03-300", "L", "Foundations", "31250.75"),
)
PAINTING: Final = (*FOUNDATIONS, Line(3, "09-960", "S", "Fireproof coatings", "18500.25"))
LONG: Final = (
    Line(1, "05-120", "M", "Structural steel framing, including bolted connections", "218000.00"),
    Line(2, "05-120", "L", "Structural steel framing, including bolted connections", "96500.00", "-1500.00"),
)
WRONG: Final = (
    Line(1, "01-510", "L", "", "1200.00"),
    Line(2, "77-777", "L", "Not in the rules", "10.00"),
    Line(3, "02-310", "M", "Gravel", "10.005"),
    Line(4, "03-300", "M", "Concrete", "100000000.00"),
    Line(5, "03-300", "L", "Formwork", "1.00"),
)
_DIVISIONS: Final = {
    "03": "Concrete",
    "04": "Masonry",
    "05": "Metals",
    "06": "Wood and plastics",
    "07": "Moisture protection",
    "08": "Openings",
    "09": "Finishes",
    "22": "Plumbing",
    "23": "HVAC",
    "26": "Electrical",
}
_SECTIONS: Final = 50


def _make_large() -> Iterator[Line]:
    """Make a budget as large as one may be: 2,000 lines, four cost types in each of 500 phases."""
    item = 0
    for division, name in _DIVISIONS.items():
        for section in range(1, _SECTIONS + 1):
            for cost_type in "EMLS":
                item += 1
                cents = item * 104_729 % 9_999_983 + 50_000
                revision = f"{item * 31 % 4000 - 2000}.00" if item % 9 == 0 else "0.00"
                amount = f"{cents // 100}.{cents % 100:02}"
                yield Line(item, f"{division} {section:02} 00", cost_type, f"{name} {section:02}", amount, revision)


LARGE: Final = tuple(_make_large())


def list_phases() -> dict[str, str]:
    """List the phase of each cost code of the seeds that the demo's rules lack."""
    return PHASES | {line.cost_code: line.cost_code.replace(" ", "") for line in LARGE}


def write_version(lines: tuple[Line, ...], sent_by: str | None = None) -> Data:
    """Write the data of a lock."""
    return write_lock(lines) | ({"sent_by": sent_by, "locked_by": sent_by} if sent_by else {})


def _lock(version: int, lines: tuple[Line, ...], after: Reached | None = None, sent_by: str | None = None) -> Step:
    return Step(after, "budget.locked.v1", version, write_version(lines, sent_by))


def _decide(version: int, decision: str, reason: str | None = None) -> Step:
    """The accountant decides on what is pending; an acceptance gets its content hash when it is sent."""
    decided = {"decided_by": ACCOUNTANT, "decided_at": "2026-11-24T09:00:00Z"}
    data = {"decision": decision, "reason": reason, **decided}
    return Step(Reached(version, "PENDING_APPROVAL"), "approval.decision.v1", version, data)


def _accept(lines: tuple[Line, ...]) -> tuple[Step, Step]:
    return _lock(1, lines), _decide(1, "accept")


_PENDING: Final = Reached(1, "PENDING_APPROVAL")
_SYNCED: Final = Reached(1, "SYNCED")
_TOO_HIGH: Final = "Earthwork is 10,000 too high; see the revised quote."
_UNREADABLE: Final = {name: value for name, value in write_lock(EARTHWORK).items() if name != "currency"}

SEEDS: Final = (
    Seed("a first export", 1, (_lock(1, OFFICE),), _PENDING),
    Seed(
        "a re-sync with every kind of change",
        2,
        (*_accept(OFFICE), _lock(2, OFFICE_CHANGED, _SYNCED)),
        Reached(2, "PENDING_APPROVAL"),
    ),
    Seed("2,000 lines", 3, (_lock(1, LARGE),), _PENDING),
    Seed("a description that is too long for Spectrum", 4, (_lock(1, LONG),), _PENDING),
    Seed("sent by another manager", 5, (_lock(1, EARTHWORK, sent_by=OTHER_MANAGER),), _PENDING),
    Seed("returned", 6, (_lock(1, EARTHWORK), _decide(1, "reject", _TOO_HIGH)), Reached(1, "RETURNED")),
    Seed("invalid", 7, (_lock(1, WRONG),), Reached(1, "INVALID")),
    Seed("overdue: Spectrum is silent", 8, _accept(FOUNDATIONS), Reached(1, "EXPORTING", overdue=True)),
    Seed("failed: Spectrum refused a line", 9, _accept(PAINTING), Reached(1, "EXPORT_FAILED")),
    Seed("synced", 10, _accept(OFFICE), _SYNCED),
    Seed(
        "synced, and then something unreadable",
        11,
        (*_accept(EARTHWORK), Step(_SYNCED, "budget.locked.v1", 2, _UNREADABLE)),
        _SYNCED,
        dead_letter="unreadable",
    ),
    Seed(
        "the same message with other content",
        12,
        (
            _lock(1, FOUNDATIONS)._replace(message_id="lock-56012-1"),
            _lock(1, EARTHWORK, _PENDING)._replace(message_id="lock-56012-1"),
        ),
        _PENDING,
        dead_letter="conflicting_content",
    ),
    Seed("the manager sends new versions of it", 13, (_lock(1, FOUNDATIONS),), _PENDING),
)

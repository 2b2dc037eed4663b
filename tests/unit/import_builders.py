"""Builders for the tests of imports: a job as Spectrum holds it, by phase and cost type, and what is offered of it."""

from dataclasses import replace
from typing import Any

from contracts.erp_snapshot import ErpSnapshot
from handlers.ids import name_request
from handlers.rules import CostType, Phase
from tests.unit.builders import KEY, RULES, STEEL, Line, Scenario, read_line, request_import, snapshot

READY = "budget.import_ready.v1"
ENDED = "budget.import_ended.v1"
ASKS = "spectrum.snapshot_requested.v1"
CODES_OF_PHASES = {
    "01-500": Phase("01500", None),
    "02-310": Phase("02310", None),
    "03-300": Phase("03300", None),
    "05-120": Phase("05120", None),
    "09-900": Phase("09900", None),
}
MAPS = replace(
    RULES,
    phases=CODES_OF_PHASES,
    cost_types={"L": CostType("L", "T"), "M": CostType("M", "T"), "S": CostType("S", "F"), "E": CostType("E", "T")},
)
DESCRIPTIONS = {
    "01500": "General conditions",
    "02310": "Grading",
    "03300": "Concrete, cast in place",
    "05120": "Structural steel",
    "09900": "Painting",
}
CODES = {"01500": "01-500", "02310": "02-310", "03300": "03-300", "05120": "05-120", "09900": "09-900"}
A1 = {"L01500": "48000.00", "M03300": "312500.00", "S05120": "640000.00"}


def hold(name: str, original: str, **fields: Any) -> Line:
    """A line as Spectrum holds it, by cost type and phase, such as M03300."""
    held: dict[str, Any] = {"phase_code": name[1:], "cost_type": name[0], "original_estimate_cost": original}
    described = {"description": DESCRIPTIONS.get(name[1:], "Something"), "current_estimate_cost": original}
    return read_line(STEEL) | held | described | fields


def read_job(*lines: Line, number: int = 1, **fields: Any) -> ErpSnapshot:
    """The answer to the request of this number; a later one was read later."""
    at = {"read_from": f"2026-11-24T08:{number:02}:12Z", "read_to": f"2026-11-24T08:{number:02}:19Z"}
    asked = {"request_id": str(name_request(KEY, number)), "snapshot_id": f"s{number}"}
    return snapshot(*lines, **(asked | at | fields))


def list_job(amounts: dict[str, str] = A1, **changes: str) -> list[Line]:
    """The lines of a job by their originals."""
    return [hold(name, amount) for name, amount in sorted((amounts | changes).items())]


def lock_line(name: str, item_id: int, original: str, **fields: Any) -> Line:
    """A line of a version that goes to this line of Spectrum."""
    codes = {"cost_code": CODES[name[1:]], "cost_type": name[0], "description": DESCRIPTIONS[name[1:]]}
    return {"budget_line_item_id": item_id, "original_amount": original, **codes} | fields


def offer(*lines: Line, **rules: Any) -> Scenario:
    """A budget of which this job was read for an import."""
    held = lines or tuple(list_job())
    return Scenario(rules=replace(MAPS, **rules)).send(request_import(), read_job(*held))


def list_changes(scenario: Scenario) -> list[tuple[str, str, str]]:
    """The offered lines: code and type of the project side, the change, the original."""
    return [
        (f"{line.cost_code}/{line.cost_type}", line.change, line.original_amount) for line in scenario.find(READY).lines
    ]


def list_codes(scenario: Scenario, part: str = "errors") -> list[str]:
    """The codes of the errors or notices of what an import ended with, or was offered with."""
    kind = ENDED if ENDED in scenario.types else READY
    return [one.code for one in getattr(scenario.find(kind), part)]

"""What accounting typed over a description in Spectrum stays, unless an export brings another one."""

from typing import Any

from contracts.inbound import InboundMessage
from demo.spectrum import LineKey, Spectrum, SpectrumJob, finish
from demo.spectrum_messages import read_export
from handlers.budget import Status
from handlers.rules import Phase
from tests.unit.builders import CONCRETE, RULES, STEEL, Scenario, accept, acknowledge, bring_to, lock, reset, retry

REQUEST = "approval.requested.v1"
RESYNC = "spectrum.resync.v1"
CHANGED = STEEL | {"original_amount": "1.00"}
RENAMED = CHANGED | {"description": "Steel"}
FORMWORK = CONCRETE | {"budget_line_item_id": 3, "cost_type": "L"}


def list_kept(scenario: Scenario, kind: str) -> dict[str, bool]:
    """Which lines of the last message of a type keep Spectrum's description, by phase and cost type."""
    return {f"{line['phase_code']} {line['cost_type']}": line["keep_description"] for line in scenario.find_lines(kind)}


def test_a_first_export_writes_them() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL)
    assert list_kept(scenario, REQUEST) == {"05120 S": False}
    assert list_kept(scenario.send(accept()), "spectrum.export.v1") == {"05120 S": False}


def test_one_that_the_base_has_is_kept_also_for_another_cost_type_and_a_removed_line() -> None:
    scenario = Scenario().send(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"))
    scenario.send(lock(2, RENAMED, FORMWORK))
    expected = {"03300 L": True, "03300 M": True, "05120 S": False}
    assert list_kept(scenario, REQUEST) == expected
    assert list_kept(scenario.send(accept(2)), RESYNC) == expected
    assert [line["change"] for line in scenario.find_lines(RESYNC)] == ["add", "zero", "set"]


def test_each_attempt_says_the_same() -> None:
    scenario = bring_to(Status.SYNCED).send(lock(2, CHANGED), accept(2), acknowledge("failed", 2), retry(2))
    assert list_kept(scenario, RESYNC) == {"05120 S": True}


def test_after_an_export_that_was_not_answered_with_success_they_are_written() -> None:
    scenario = bring_to(Status.SYNCED).send(lock(2, RENAMED), accept(2), acknowledge("failed", 2))
    scenario.send(lock(3, CHANGED))
    assert list_kept(scenario, REQUEST) == {"05120 S": False}
    assert list_kept(scenario.send(accept(3)), RESYNC) == {"05120 S": False}
    scenario.send(acknowledge("success", 3), lock(4, STEEL))
    assert list_kept(scenario, REQUEST) == {"05120 S": True}


def test_after_a_reset_they_are_written() -> None:
    scenario = bring_to(Status.SYNCED).send(reset(), lock(2, CHANGED))
    assert list_kept(scenario, REQUEST) == {"05120 S": False}


def test_one_that_the_map_changes_is_written() -> None:
    phases = {**RULES.phases, "05120": Phase("05120", None), "05-120": Phase("05120", "STEEL")}
    scenario = bring_to(Status.SYNCED).with_rules(phases=phases).send(lock(2, CHANGED))
    assert list_kept(scenario, REQUEST) == {"05120 S": False}


def test_in_spectrum_it_stays_unless_the_phase_is_gone() -> None:
    def apply(*bodies: InboundMessage) -> Any:
        scenario.send(*bodies)
        export = read_export(scenario.sent[-2].model_dump(mode="json"))
        assert finish(spectrum.apply(export)).status == "success"
        scenario.send(acknowledge("success", export.version, export.attempt))
        return spectrum.descriptions

    scenario, spectrum, job = Scenario(), Spectrum(), SpectrumJob("001", "26-1001")
    phase = (job, "05120")
    assert apply(lock(), accept())[phase] == "Structural steel"
    spectrum.descriptions[phase] = "typed"
    assert apply(lock(2, CHANGED), accept(2))[phase] == "typed"
    assert apply(lock(3, RENAMED), accept(3))[phase] == "Steel"
    spectrum.jobs[job].pop(LineKey("05120", "S"))
    del spectrum.descriptions[phase]
    assert apply(lock(4, RENAMED | {"original_amount": "2.00"}), accept(4))[phase] == "Steel"

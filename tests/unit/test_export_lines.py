"""What an export contains for each line, given its base and everything that was sent before."""

from typing import Any

from tests.unit.builders import CONCRETE, STEEL, Line, Scenario, accept, acknowledge, lock, reset, retry

PAINTING = {
    "budget_line_item_id": 3,
    "cost_code": "09-900",
    "cost_type": "S",
    "description": "Painting",
    "original_amount": "10.00",
}


def export(scenario: Scenario, version: int, *lines: Line, **fields: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Lock and accept a version; returns the lines of its export."""
    scenario.send(lock(version, *lines, **fields), accept(version))
    [message] = [sent for sent in scenario.sent[-2:] if sent.type.startswith("spectrum.")]
    written = message.model_dump(mode="json")
    keys = [(line["phase_code"], line["cost_type"]) for line in written["lines"]]
    assert keys == sorted(keys)
    assert written["line_count"] == len(keys)
    return dict(zip(keys, written["lines"], strict=True))


def changes(lines: dict[tuple[str, str], dict[str, Any]]) -> dict[str, str]:
    return {phase: line["change"] for (phase, _), line in lines.items()}


def test_a_first_export_adds_everything() -> None:
    lines = export(Scenario(), 1, STEEL, CONCRETE)
    assert changes(lines) == {"03300": "add", "05120": "add"}
    concrete = lines["03300", "M"]
    assert concrete["original_estimate_cost"] == "312500.50"
    assert concrete["revision_amount"] == "-500.25"
    assert (concrete["previous_original_estimate_cost"], concrete["original_change"]) == (None, "312500.50")
    assert "original_estimate_quantity" not in concrete


def test_a_resync_sets_adds_zeroes_and_leaves() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE)
    scenario.send(acknowledge("success"))
    lines = export(scenario, 2, CONCRETE | {"revision_amount": "1.00"}, PAINTING)
    assert changes(lines) == {"03300": "set", "05120": "zero", "09900": "add"}
    assert lines["03300", "M"]["revision_change"] == "501.25"
    gone = lines["05120", "S"]
    assert (gone["original_estimate_cost"], gone["revision_amount"]) == ("0.00", "0.00")
    assert (gone["previous_original_estimate_cost"], gone["original_change"]) == ("640000.00", "-640000.00")
    assert (gone["budget_line_item_id"], gone["description"]) == (1, "Structural steel")


def test_same_is_everything_but_the_item_id() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE)
    scenario.send(acknowledge("success"))
    lines = export(scenario, 2, STEEL | {"budget_line_item_id": 9}, CONCRETE | {"description": "Cast in place"})
    assert changes(lines) == {"03300": "set", "05120": "same"}


def test_what_a_failed_export_sent_is_set_to_zero() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE)
    scenario.send(acknowledge("failed"))
    lines = export(scenario, 2, CONCRETE)
    assert changes(lines) == {"03300": "add", "05120": "zero"}
    assert lines["05120", "S"]["previous_original_estimate_cost"] is None
    assert lines["05120", "S"]["original_change"] == "0.00"


def test_once_known_to_stand_at_zero_it_counts_as_none() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE)
    scenario.send(acknowledge("success"))
    assert changes(export(scenario, 2, CONCRETE)) == {"03300": "same", "05120": "zero"}
    scenario.send(acknowledge("success", 2))
    assert changes(export(scenario, 3, CONCRETE | {"original_amount": "1"})) == {"03300": "set"}
    scenario.send(acknowledge("success", 3))
    assert changes(export(scenario, 4, CONCRETE, STEEL)) == {"03300": "set", "05120": "add"}


def test_sent_again_after_standing_at_zero_it_is_not_known_any_more() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE)
    scenario.send(acknowledge("success"))
    export(scenario, 2, CONCRETE)
    scenario.send(acknowledge("success", 2))
    export(scenario, 3, CONCRETE, STEEL)
    scenario.send(acknowledge("failed", 3))
    assert changes(export(scenario, 4, CONCRETE)) == {"03300": "same", "05120": "zero"}


def test_a_line_at_nothing_is_a_line_like_any_other() -> None:
    nothing = PAINTING | {"original_amount": "0.00"}
    scenario = Scenario()
    export(scenario, 1, STEEL, nothing)
    scenario.send(acknowledge("success"))
    assert changes(export(scenario, 2, STEEL | {"original_amount": "1"}, nothing))["09900"] == "same"
    scenario.send(acknowledge("success", 2))
    assert changes(export(scenario, 3, STEEL))["09900"] == "zero"


def test_a_reset_forgets_the_base_and_what_stands_at_zero_but_not_the_lines() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE)
    scenario.send(acknowledge("success"))
    export(scenario, 2, CONCRETE)
    scenario.send(acknowledge("success", 2), reset(2))
    lines = export(scenario, 3, PAINTING)
    assert changes(lines) == {"03300": "zero", "05120": "zero", "09900": "add"}
    assert scenario.sent[-2].model_dump()["export_number"] == 3


def test_a_gone_line_carries_what_this_version_or_else_the_last_one_calls_its_phase() -> None:
    labour = CONCRETE | {"budget_line_item_id": 5, "cost_type": "L"}
    scenario = Scenario()
    export(scenario, 1, STEEL, CONCRETE, labour)
    scenario.send(acknowledge("success"))
    lines = export(scenario, 2, STEEL, CONCRETE | {"description": "New name"})
    assert lines["03300", "L"]["description"] == "New name"
    scenario.send(acknowledge("failed", 2))
    lines = export(scenario, 3, STEEL)
    assert {lines["03300", kind]["description"] for kind in "LM"} == {"New name"}


def test_quantities_come_and_go_with_the_rule() -> None:
    measured = CONCRETE | {"quantity": "12.5", "unit_of_measure": "M3"}
    scenario = Scenario().with_rules(quantities=True)
    lines = export(scenario, 1, STEEL, measured)
    assert (lines["03300", "M"]["original_estimate_quantity"], lines["03300", "M"]["unit_of_measure"]) == (
        "12.50",
        "M3",
    )
    assert (lines["05120", "S"]["original_estimate_quantity"], lines["05120", "S"]["unit_of_measure"]) == ("0.00", None)
    scenario.send(acknowledge("success"))
    lines = export(scenario, 2, STEEL)
    assert (lines["03300", "M"]["original_estimate_quantity"], lines["03300", "M"]["unit_of_measure"]) == ("0.00", "M3")
    scenario.send(acknowledge("success", 2)).with_rules(quantities=False)
    assert changes(export(scenario, 3, STEEL)) == {"05120": "set"}


def test_every_attempt_says_the_same() -> None:
    scenario = Scenario()
    export(scenario, 1, STEEL)
    scenario.send(acknowledge("success"))
    export(scenario, 2, CONCRETE)
    for attempt in (1, 2, 3):
        scenario.send(acknowledge("failed", 2, attempt), retry(2))
    sent = [message.model_dump() for message in scenario.sent if message.type == "spectrum.resync.v1"]
    assert [message.pop("attempt") for message in sent] == [1, 2, 3, 4]
    assert all(message == sent[0] for message in sent)


def test_nothing_is_ever_written_as_minus_zero() -> None:
    lines = export(Scenario(), 1, STEEL | {"original_amount": "-0.00", "revision_amount": "-0.01"}, CONCRETE)
    assert lines["05120", "S"]["original_estimate_cost"] == "0.00"
    assert lines["05120", "S"]["revision_amount"] == "-0.01"

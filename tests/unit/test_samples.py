"""The samples are one story; what goes out in it is what the core really sends."""

import json
import sys
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from contracts import samples
from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.inbound import InboundMessage
from contracts.outbound import Outbound
from contracts.records import Place
from contracts.samples import load_sample
from contracts.topics import OUTPUTS, SOURCES
from handlers.budget import Budget
from handlers.decide import decide
from handlers.decision import DeadLetter, Situation
from handlers.ids import name_export
from worker.rules_files import read_rules

INBOUND = {model.type: model for models in SOURCES.values() for model in models}
OUTBOUND = [model.type for models in OUTPUTS.values() for model in models]
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = BudgetKey(4211, 90071, 55210)
SECOND_HASH = load_sample("approval.requested.v1")["content_hash"]
LATE_REJECTION = {"decision": "reject", "reason": "a correction comes", "content_hash": SECOND_HASH}


def write_held(phase_code: str, cost_type: str, *amounts: str) -> dict[str, Any]:
    names = ("original_estimate_cost", "bridge_revision", "other_revision", "current_estimate_cost")
    held = load_sample("erp.snapshot.v1")["lines"][0] | dict(zip(names, amounts, strict=True))
    descriptions = {"03300": "Concrete, cast in place", "05120": "Structural steel"}
    named = {"phase_code": phase_code, "cost_type": cost_type, "price_method_code": None}
    described: dict[str, Any] = {"description": descriptions.get(phase_code, "General conditions")}
    return described | {name: value for name, value in (held | named).items() if name != "description"}


FOUND = {
    # After version 1, Project Setup was run again, and accounting added a line.
    "request_id": None,
    "last_begun": {"export_id": str(name_export(KEY, 1, 1)), "attempt": 1, "whole": True},
    "line_count": 5,
    "total_original": "1187250.50",
    "total_current": "1187250.50",
    "lines": [
        write_held("01500", "L", "48000.00", "0.00", "0.00", "48000.00"),
        write_held("02310", "E", "12000.00", "0.00", "0.00", "12000.00"),
        write_held("03300", "L", "187250.50", "0.00", "0.00", "187250.50"),
        write_held("03300", "M", "300000.00", "2500.00", "0.00", "300000.00"),
        write_held("05120", "S", "640000.00", "0.00", "0.00", "640000.00"),
    ],
}


def read(kind: str, **changes: Any) -> InboundMessage:
    body: InboundMessage = INBOUND[kind].model_validate(load_sample(kind) | changes)  # type: ignore[assignment]
    return body


def play() -> dict[str, dict[str, Any]]:
    """Play the samples' story; returns the last message of each type that was sent."""
    rules = read_rules(Path(str(files("demo") / "rules")))
    first = load_sample("budget.locked.v1")
    second = [first["lines"][0] | {"original_amount": "50000.00"}, *first["lines"][2:]]
    budget = Budget(KEY)
    sent: dict[str, dict[str, Any]] = {}
    for number, body in enumerate(
        [
            read("budget.locked.v1"),
            read("approval.decision.v1"),
            read("erp.acknowledgement.v1", status="success", lines=[]),
            read("budget.locked.v1", budget_version=2, lines=second, total_amount="877250.50"),
            read("approval.decision.v1", budget_version=2, content_hash=SECOND_HASH),
            read("approval.decision.v1", budget_version=2, decision="reject", reason="too late"),
            read("erp.acknowledgement.v1", budget_version=2, export_id=str(name_export(KEY, 2, 2))),
            read("approval.decision.v1", budget_version=2, **LATE_REJECTION),
            read("snapshot.request.v1"),
            read("erp.snapshot.v1", **FOUND),
        ]
    ):
        place = Place("procore.approvals", 3, 1180 + number)
        outcome = decide(budget, Message("sample", str(number), body, (), place), Situation(AT, rules))
        budget = outcome.step.budget
        for send in outcome.step.sends:
            if not isinstance(send, DeadLetter):
                sent[send.type] = json.loads(send.model_dump_json())
    return sent


@pytest.mark.parametrize("kind", sorted(INBOUND))
def test_inbound_samples_can_be_read(kind: str) -> None:
    assert read(kind).company_id == 4211


@pytest.mark.parametrize("kind", OUTBOUND)
def test_outbound_samples_are_what_is_sent(kind: str) -> None:
    assert load_sample(kind) == play_once()[kind]


def play_import() -> dict[str, dict[str, Any]]:
    """Play the story of an import, of a budget that was never locked; returns what was sent as ``play`` does."""
    rules = read_rules(Path(str(files("demo") / "rules")))
    budget = Budget(KEY)
    sent: dict[str, dict[str, Any]] = {}
    for number, kind in enumerate(("import.requested.v1", "erp.snapshot.v1", "import.applied.v1")):
        outcome = decide(budget, Message("sample", str(number), read(kind), ()), Situation(AT, rules))
        budget = outcome.step.budget
        sent |= {
            send.type: json.loads(send.model_dump_json()) for send in outcome.step.sends if isinstance(send, Outbound)
        }
    return sent


def play_all() -> dict[str, dict[str, Any]]:
    return play_import() | play()


def play_once(found: dict[str, dict[str, Any]] = {}) -> dict[str, dict[str, Any]]:  # noqa: B006 - kept on purpose
    if not found:
        found.update(play_all())
    return found


if __name__ == "__main__":  # python -m tests.unit.test_samples: writes the outbound samples
    folder = Path(str(files(samples)))
    for kind, data in play_all().items():
        (folder / f"{kind}.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write("written\n")

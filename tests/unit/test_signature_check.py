"""What ``reconcile`` finds of a signed acceptance: that there is none, another one, or one of something else."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.cloudevents.message import Message
from contracts.inbox import Arrival
from handlers.rules import Rules
from tests.integration.records import arrive
from tests.unit.builders import (
    CONCRETE,
    KEY,
    STEEL,
    acknowledge,
    decide_drift,
    hash_of,
    list_held,
    lock,
    reject,
    snapshot,
)
from tests.unit.signed import ANN, BOB, NOW, SIGNED, SIGNERS, SPECTRUM, SignedLane, accept_signed, arrive_signed
from worker.reconcile.signatures import GrantedDecision, find_unsigned
from worker.sent_exports import SentExport, read_export

ACCEPTED = arrive_signed(1, accept_signed())
ELSEWHERE = KEY._replace(budget_id=1)


def grant(arrival: Arrival, rules_id: int = 1) -> GrantedDecision:
    """What history has of a decision."""
    data, message = json.loads(arrival.original.value or b""), arrival.message
    assert isinstance(message, Message)
    at = (NOW + timedelta(seconds=arrival.inbox.place.offset)).isoformat()
    said = (data.get("budget_version"), data["decision"])
    return GrantedDecision(message.body.type, message.source, message.id, *said, rules_id, at)


def export(*arrivals: Arrival) -> dict[str, Any]:
    """The last export of a lane that takes these after the lock."""
    lane = SignedLane().take(arrive(0, lock()), *arrivals)
    return [data for kind, data in lane.sent if kind in {"spectrum.export.v1", "spectrum.resync.v1"}][-1]


def read(data: dict[str, Any]) -> SentExport:
    return read_export(json.dumps(data).encode())


def find(data: dict[str, Any], *granted: GrantedDecision, rules: Rules = SIGNED) -> list[str]:
    versions = {1: rules, 2: replace(rules, signatures_required=frozenset())}
    return list(find_unsigned(read(data), granted, versions))


EXPORT = export(ACCEPTED)


def carry(arrival: Arrival) -> dict[str, Any]:
    """The export with another event in the place of its acceptance."""
    value = arrival.original.value or b""
    headers = {name.removeprefix("ce_"): (text or b"").decode() for name, text in arrival.original.headers}
    event = {"datacontenttype": headers.pop("content-type"), **headers, "data_base64": b64encode(value).decode()}
    return EXPORT | {"approval": event}


def test_an_honest_export_is_clean() -> None:
    assert find(EXPORT, grant(ACCEPTED)) == []
    assert read(EXPORT).content_hash == EXPORT["content_hash"]


def test_removed_lines_and_quantities_are_hashed_as_they_were() -> None:
    lane = SignedLane(replace(SIGNED, quantities=True))
    measured = STEEL | {"quantity": "1.5", "unit_of_measure": "T"}
    first, second = hash_of(measured, CONCRETE, quantities=True), hash_of(CONCRETE, quantities=True)
    lane.take(arrive(0, lock(1, measured, CONCRETE)), arrive_signed(1, accept_signed(content_hash=first)))
    lane.take(arrive_signed(2, acknowledge("success"), "ack", key=SPECTRUM))
    lane.take(arrive(3, lock(2, CONCRETE)), arrive_signed(4, accept_signed(2, content_hash=second), "two"))
    [one] = lane.find("spectrum.export.v1")
    [two] = lane.find("spectrum.resync.v1")
    assert (read(one).content_hash, read(two).content_hash) == (first, second)
    assert {line["change"] for line in two["lines"]} == {"same", "zero"}


def test_an_export_without_an_acceptance_is_found_only_under_a_policy() -> None:
    bare = EXPORT | {"approval": None}
    assert find(bare, grant(ACCEPTED)) == ["it carries no acceptance, and that had to be signed"]
    assert find(bare, grant(ACCEPTED, 2)) == []
    # Where nobody accepted it at all, another claim says so.
    assert find(bare) == []


def test_an_export_that_is_accepted_again_once_no_signature_is_wanted_is_clean() -> None:
    lane = SignedLane().take(arrive(0, lock()), ACCEPTED)
    lane.take(arrive_signed(2, acknowledge("failed"), "ack", key=SPECTRUM))
    lane.rules = replace(SIGNED, signatures_required=frozenset())
    again = arrive_signed(3, accept_signed(by="bob"), "again", key=None)
    lane.take(again)
    first, second = lane.find("spectrum.export.v1")
    assert (first["approval"] is None, second["approval"] is None) == (False, True)
    for sent in (first, second):
        assert find(sent, grant(ACCEPTED), grant(again, 2)) == []


OTHER_LINES = "its approval is of another content: the lines that were sent are not those that were accepted"
OTHERS = {
    "of another message": (arrive_signed(1, accept_signed(), "other"), "its approval is not among what was granted"),
    "by a key that may not": (
        arrive_signed(1, accept_signed(by="bob")),
        "its approval is signed with key ann-1, which may not: its rows for project 4211/90071 are not of bob",
    ),
    "that rejects": (arrive_signed(1, reject()), "its approval is signed, but it is no acceptance"),
    "of another version": (arrive_signed(1, accept_signed(2)), "its approval is of another version, 2"),
    "by another": (
        arrive_signed(1, accept_signed(by="bob"), key=BOB),
        "its approval is of another person than ann, who is said to have approved it",
    ),
    "of other content": (
        arrive_signed(1, accept_signed(content_hash=hash_of(CONCRETE))),
        OTHER_LINES,
    ),
    "of another budget": (
        arrive_signed(1, accept_signed(key=ELSEWHERE)),
        f"its approval is of another budget, {ELSEWHERE}",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_acceptance_that_proves_something_else_is_found(name: str) -> None:
    arrival, what = OTHERS[name]
    assert what in find(carry(arrival), grant(ACCEPTED))


def test_a_line_that_was_changed_on_the_way_is_found() -> None:
    lines = [EXPORT["lines"][0] | {"original_estimate_cost": "640000.01"}]
    assert find(EXPORT | {"lines": lines}, grant(ACCEPTED)) == [OTHER_LINES]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"change": "zero"}, "line 05120 S is there twice"),
        ({"change": "zero", "phase_code": "09900"}, "line 09900 S is a zero with an amount, which nobody has accepted"),
    ],
)
def test_a_line_that_the_hash_does_not_cover_is_found(change: dict[str, Any], what: str) -> None:
    lines = [EXPORT["lines"][0], EXPORT["lines"][0] | change]
    assert find(EXPORT | {"lines": lines}, grant(ACCEPTED)) == [what]


@pytest.mark.parametrize("approval", ["text", 1.5, [], {}, {"source": ["test"], "id": {}}])
def test_whatever_is_in_the_place_of_an_acceptance_is_found(approval: object) -> None:
    assert find(EXPORT | {"approval": approval}, grant(ACCEPTED)) == ["its approval is not among what was granted"]


def test_a_decision_of_another_type_under_the_same_id_is_no_acceptance() -> None:
    [what] = find(carry(arrive_signed(1, decide_drift("restate", "d"))), grant(ACCEPTED))
    assert what == "its approval is signed, but is no approval.decision.v1"


def test_bytes_that_were_changed_do_not_verify() -> None:
    changed = EXPORT["approval"] | {"time": "2025-11-24T16:00:09Z"}
    [what] = find(EXPORT | {"approval": changed}, grant(ACCEPTED))
    assert what.startswith("its approval is not proven: ")


def test_the_rules_and_the_time_of_that_moment_count() -> None:
    granted = grant(ACCEPTED)
    ended = SIGNERS[0]._replace(valid_until=NOW + timedelta(seconds=1))
    [what] = find(EXPORT, granted, rules=replace(SIGNED, signers=(ended,)))
    assert what == "its approval is signed with key ann-1, which may not: it is not valid at 2025-11-24T16:00:01Z"
    later = ended._replace(valid_until=NOW + timedelta(seconds=2))
    assert find(EXPORT, granted, rules=replace(SIGNED, signers=(later,))) == []


class TestRestatement:
    """A restatement has the acceptance of an earlier version, and a decision of its own."""

    def restate(self) -> tuple[dict[str, Any], GrantedDecision]:
        lane = SignedLane().take(arrive(0, lock()), ACCEPTED)
        lane.take(arrive_signed(2, acknowledge("success"), "ack", key=SPECTRUM))
        assert lane.budget.base
        typed = list_held(lane.budget.base, S05120={"original_estimate_cost": "640000.01"})
        lane.take(arrive(3, snapshot(*typed, begun=lane.budget.base)), arrive(4, lock(2)))
        [drift] = lane.find("erp.drift.v1")
        decided = arrive_signed(5, decide_drift("restate", drift["drift_hash"]), "restate", key=ANN)
        lane.take(decided)
        [restated] = lane.find("spectrum.resync.v1")
        return restated, grant(decided)

    def test_it_is_clean_with_both(self) -> None:
        restated, decided = self.restate()
        assert restated["budget_version"] == 2
        assert find(restated, grant(ACCEPTED), decided) == []

    def test_it_needs_both(self) -> None:
        restated, decided = self.restate()
        bare = restated | {"drift_decision": None}
        assert find(bare, grant(ACCEPTED), decided) == ["it carries no drift decision, and that had to be signed"]
        assert find(bare, grant(ACCEPTED), decided._replace(rules_id=2)) == []
        assert find(restated, grant(ACCEPTED)) == ["its drift_decision is not among what was granted"]
        kept = decided._replace(decision="keep")
        assert find(restated, grant(ACCEPTED), kept) == ["its drift_decision is not among what was granted"]

    def test_an_earlier_version_is_enough_only_for_a_restatement(self) -> None:
        restated, decided = self.restate()
        assert find(restated | {"restatement": 0}, grant(ACCEPTED), decided) == [
            "its approval is of another version, 1"
        ]

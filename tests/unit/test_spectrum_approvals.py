"""Rule 9 of the ERP side: exports as the bridge sends them are written, and each planted fault writes nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from contracts.fields import write_time
from contracts.inbound import InboundMessage
from contracts.json_text import write_json
from contracts.signature.event import write_event
from contracts.signature.keys import PublicKey
from contracts.signature.signing import PrivateKey, sign
from demo.spectrum import ApplyResult, HeldLine, LineKey, Spectrum, SpectrumJob, finish
from demo.spectrum_approvals import Approvals
from demo.spectrum_messages import read_export
from handlers.signers import Signer
from tests.unit.builders import (
    CONCRETE,
    STEEL,
    Line,
    accept,
    acknowledge,
    decide_drift,
    hash_of,
    list_held,
    lock,
    reject,
    reset,
    retry,
    snapshot,
)
from tests.unit.signed import ANN, BOB, NOW, OLGA, SIGNED, SIGNERS, SPECTRUM, SignedLane, accept_signed, arrive_signed

Data = dict[str, Any]

JOB: Final = SpectrumJob("001", "26-1001")
STEEL_KEY: Final = LineKey("05120", "S")
CONCRETE_KEY: Final = LineKey("03300", "M")
DEARER: Final = STEEL | {"original_amount": "700000.00"}
SIGNED_BY: Final[Mapping[str, PrivateKey | None]] = {
    "budget.locked.v1": None,
    "erp.snapshot.v1": None,
    "erp.acknowledgement.v1": SPECTRUM,
    "export.retry.v1": OLGA,
    "budget.reset.v1": OLGA,
}


class Bridge:
    """A bridge that wants signatures; each message comes a second after the one before it."""

    def __init__(self) -> None:
        self.lane = SignedLane()
        self._offset = 0

    def take(self, *messages: InboundMessage, key: PrivateKey = ANN) -> "Bridge":
        for message in messages:
            by = SIGNED_BY.get(message.type, key)
            self.lane.take(arrive_signed(self._offset, message, f"m{self._offset}", key=by))
            self._offset += 1
        return self

    def accept(self, version: int, *lines: Line) -> "Bridge":
        return self.take(lock(version, *lines), accept(version, content_hash=hash_of(*lines)))

    @property
    def exports(self) -> list[Data]:
        kinds = {"spectrum.export.v1", "spectrum.resync.v1"}
        return [data for kind, data in self.lane.sent if kind in kinds]


def make_spectrum(
    signers: tuple[Signer, ...] = SIGNERS, keys: Mapping[str, PublicKey] = SIGNED.signing_keys
) -> Spectrum:
    return Spectrum(approvals=Approvals(keys, signers))


def apply(spectrum: Spectrum, *exports: Data) -> ApplyResult:
    """Apply exports one after the other; returns how the last one ended."""
    for data in exports:
        result = finish(spectrum.apply(read_export(data)))
    return result


def refuse(spectrum: Spectrum, data: Data, sentence: str) -> None:
    """Check that an export is answered with this sentence, and that nothing of it was written or noted as begun."""
    before = str(replace(spectrum, approvals=None))
    result = apply(spectrum, data)
    assert result.status == "failed"
    assert sentence in (result.message or ""), result.message
    assert str(replace(spectrum, approvals=None)) == before


def forge(data: Data, **fields: Any) -> Data:
    """The same export under the next number, reference and id, and with other fields."""
    number = data["export_number"] + 1
    names = {"export_id": f"00000000-0000-0000-0000-{number:012d}", "export_number": number}
    return data | names | {"change_reference": f"B{number:07d}"} | fields


def add_zero(data: Data, key: LineKey, amount: str = "0.00") -> Data:
    amounts = {"original_estimate_cost": amount, "revision_amount": "0.00"}
    line = data["lines"][0] | key._asdict() | amounts | {"change": "zero"}
    return data | {"lines": [*data["lines"], line]}


def sign_event(body: InboundMessage, kind: str | None = None) -> Data:
    """Sign a message as an approver would who means this, perhaps as another type."""
    attributes = {"specversion": "1.0", "id": "x", "source": "ui", "type": kind or body.type, "subject": str(body.key)}
    attributes["time"] = write_time(NOW)
    data = write_json(body.model_dump(mode="json"))
    return write_event(attributes, data, sign(attributes, data, ANN)).model_dump(mode="json")


@pytest.fixture
def export() -> Data:
    """The first export of one line of steel."""
    (sent,) = Bridge().accept(1, STEEL).exports
    return sent


def test_what_an_approver_has_signed_is_written(export: Data) -> None:
    spectrum = make_spectrum()
    assert apply(spectrum, export).status == "success"
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 640_000_00}


def test_updates_removed_lines_retries_and_resets_are_written() -> None:
    bridge, spectrum = Bridge(), make_spectrum()
    bridge.accept(1, STEEL, CONCRETE).take(acknowledge("success"))
    bridge.accept(2, DEARER).take(acknowledge("failed", 2), retry(2), acknowledge("success", 2, attempt=2), reset(2))
    bridge.accept(3, STEEL)
    assert [(data["budget_version"], data["attempt"]) for data in bridge.exports] == [(1, 1), (2, 1), (2, 2), (3, 1)]
    assert {apply(spectrum, data).status for data in bridge.exports} == {"success"}
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 640_000_00, CONCRETE_KEY: 0}


def test_versions_may_begin_again_after_a_reset() -> None:
    bridge = Bridge().accept(2, STEEL).take(acknowledge("success", 2, number=1), reset(2))
    spectrum = make_spectrum()
    assert apply(spectrum, *bridge.exports, *bridge.accept(1, DEARER).exports).status == "success"
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 700_000_00}


def test_an_acceptance_that_was_signed_long_ago_is_written(export: Data) -> None:
    ended = tuple(row._replace(valid_until=NOW + timedelta(minutes=1)) for row in SIGNERS)
    assert apply(make_spectrum(ended), export).status == "success"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"approval": None}, "has no approval"),
        ({"approval": {"specversion": "1.0"}}, "no signed CloudEvent"),
        ({"budget_id": 55211}, "is no approval.decision.v1 of this budget"),
        ({"budget_version": 2}, "is not an acceptance of version 2"),
        ({"approved_by": "mallory"}, "approved_by is not who has signed"),
        ({"currency": "CAD"}, "not those that were accepted"),
        ({"job_number": "26-1002"}, "not those that were accepted"),
        ({"company_code": "002"}, "not those that were accepted"),
        ({"lines": []}, "not those that were accepted"),
        ({"restatement": 1}, "has no drift_decision"),
    ],
)
def test_an_export_that_is_about_something_else_is_refused(export: Data, change: Data, sentence: str) -> None:
    refuse(make_spectrum(), forge(export, **change), sentence)


@pytest.mark.parametrize(
    "change",
    [
        {"original_estimate_cost": "640000.01"},
        {"revision_amount": "0.01"},
        {"phase_code": "05121"},
        {"cost_type": "M"},
        {"description": "Steel"},
        {"price_method_code": "F"},
        {"original_estimate_quantity": "1.00"},
    ],
)
def test_another_line_is_refused(export: Data, change: Data) -> None:
    other = [export["lines"][0] | change]
    refuse(make_spectrum(), export | {"lines": other}, "not those that were accepted")
    refuse(make_spectrum(), export | {"lines": [*export["lines"], other[0] | {"cost_type": "E"}]}, "not those that")


def test_a_zero_too_many_is_refused(export: Data) -> None:
    spectrum = make_spectrum()
    spectrum.jobs[JOB] = {CONCRETE_KEY: HeldLine(original=1_00)}
    refuse(spectrum, add_zero(export, CONCRETE_KEY), "Line 03300 M is set to zero, but no export or import has had it")
    refuse(spectrum, add_zero(export, STEEL_KEY), "Line 05120 S is there twice")
    assert apply(spectrum, export).status == "success"
    refuse(spectrum, add_zero(forge(export), STEEL_KEY), "Line 05120 S is there twice")
    assert spectrum.jobs[JOB][CONCRETE_KEY].original == 1_00


def test_a_zero_with_an_amount_is_refused() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL, CONCRETE).take(acknowledge("success")), make_spectrum()
    assert apply(spectrum, *bridge.exports).status == "success"
    (_, export) = bridge.accept(2, STEEL).exports
    bare = export | {"lines": [line for line in export["lines"] if line["change"] != "zero"]}
    refuse(spectrum, add_zero(bare, CONCRETE_KEY, "1.00"), "Line 03300 M is a zero with an amount")
    assert apply(spectrum, export).status == "success"


def test_a_zero_of_a_line_that_an_import_has_shown_is_taken(export: Data) -> None:
    approvals = Approvals(SIGNED.signing_keys, SIGNERS)
    approvals.note_lines(JOB, [CONCRETE_KEY])
    assert apply(Spectrum(approvals=approvals), add_zero(export, CONCRETE_KEY)).status == "success"
    other = SpectrumJob("001", "26-1002")
    elsewhere = Approvals(SIGNED.signing_keys, SIGNERS)
    elsewhere.note_lines(other, [CONCRETE_KEY])
    refuse(Spectrum(approvals=elsewhere), add_zero(export, CONCRETE_KEY), "no export or import has had it")


def test_a_line_of_a_verified_export_that_never_began_may_be_set_to_zero() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL, CONCRETE), make_spectrum()
    spectrum.complete_jobs.add(JOB)
    assert apply(spectrum, *bridge.exports).message == "Job 26-1001 is complete"
    spectrum.complete_jobs.clear()
    bridge.take(acknowledge("failed"))
    assert apply(spectrum, bridge.accept(2, STEEL).exports[-1]).status == "success"


def test_an_old_approval_under_a_new_number_is_refused() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL).take(acknowledge("success")), make_spectrum()
    old, new = bridge.accept(2, DEARER).exports
    assert apply(spectrum, old, new).status == "success"
    refuse(spectrum, forge(new, **{name: old[name] for name in ("approval", "budget_version", "lines")}), "older than")
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 700_000_00}
    # The last one under another number writes what it has written.
    assert apply(spectrum, forge(new)).status == "success"
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 700_000_00}


def test_an_old_approval_of_a_version_that_a_reset_has_brought_back_is_refused() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL).take(acknowledge("success"), reset()), make_spectrum()
    old, new = bridge.accept(1, DEARER).exports
    assert apply(spectrum, old, new).status == "success"
    refuse(spectrum, forge(new, **{name: old[name] for name in ("approval", "lines")}), "older than")
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 700_000_00}


def test_who_signed_the_same_content_earlier_may_send_it_again() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL), make_spectrum()
    [first] = bridge.exports
    bridge.take(acknowledge("failed"))
    again = arrive_signed(9, accept_signed(by="bob"), "again", key=BOB, signed_at=NOW - timedelta(seconds=1))
    bridge.lane.take(again)
    assert apply(spectrum, first, bridge.exports[-1] | {"export_id": str(UUID(int=1))}).status == "success"


def test_same_that_is_not_is_written() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL).take(acknowledge("success")), make_spectrum()
    first, second = bridge.accept(2, DEARER).exports
    lying = second | {"lines": [line | {"change": "same"} for line in second["lines"]]}
    assert lying["base_export_id"] == first["export_id"]
    assert apply(spectrum, first, lying).status == "success"
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 700_000_00}


def test_same_that_is_so_is_passed_over() -> None:
    bridge, spectrum = Bridge().accept(1, STEEL, CONCRETE).take(acknowledge("success")), make_spectrum()
    first, second = bridge.accept(2, DEARER, CONCRETE).exports
    apply(spectrum, first)
    spectrum.jobs[JOB][CONCRETE_KEY].original = 1_00
    assert apply(spectrum, second).status == "success"
    assert spectrum.jobs[JOB][CONCRETE_KEY].original == 1_00


def restate() -> tuple[Data, Data]:
    """An export, and the restatement of it."""
    bridge = Bridge().accept(1, STEEL).take(acknowledge("success"))
    base = bridge.lane.budget.base
    assert base
    bridge.take(snapshot(*list_held(base, S05120={"original_estimate_cost": "640000.01"}), begun=base))
    [drift] = bridge.lane.find("erp.drift.v1")
    first, restated = bridge.take(decide_drift("restate", drift["drift_hash"])).exports
    return first, restated


def test_a_restatement_is_written() -> None:
    first, restated = restate()
    spectrum = make_spectrum()
    apply(spectrum, first)
    spectrum.jobs[JOB][STEEL_KEY].original += 1
    assert apply(spectrum, restated).status == "success"
    assert spectrum.read_amounts(JOB) == {STEEL_KEY: 640_000_00}


def test_a_restatement_needs_a_decision_that_asks_for_it() -> None:
    first, restated = restate()
    spectrum = make_spectrum()
    apply(spectrum, first)
    refuse(spectrum, restated | {"drift_decision": None}, "has no drift_decision")
    refuse(spectrum, restated | {"drift_decision": first["approval"]}, "is no drift.decision.v1 of this budget")
    refuse(spectrum, restated | {"approval": restated["drift_decision"]}, "is no approval.decision.v1")
    refuse(spectrum, restated | {"approved_by": "mallory"}, "approved_by is not who has signed")
    refuse(spectrum, restated | {"restatement": 0, "budget_version": 2}, "is not an acceptance of version 2")


def test_a_decision_that_says_something_else_is_no_acceptance(export: Data) -> None:
    spectrum = make_spectrum()
    accepted = accept(1, content_hash=hash_of(STEEL))
    assert apply(make_spectrum(), export | {"approval": sign_event(accepted)}).status == "success"
    refuse(spectrum, export | {"approval": sign_event(reject(1))}, "is not an acceptance of version 1")
    refuse(spectrum, export | {"approval": sign_event(accepted, "drift.decision.v1")}, "is no approval.decision.v1")
    refuse(spectrum, export | {"approval": sign_event(accept(1))}, "not those that were accepted")
    keep = {"restatement": 1, "drift_decision": sign_event(decide_drift("keep", "x", reason="meant"))}
    refuse(spectrum, export | keep, "is not to restate anything")


@pytest.mark.parametrize(
    ("signers", "sentence"),
    [
        ((), "signed with key ann-1, but it has no row"),
        (tuple(row._replace(may=frozenset({"retry"})) for row in SIGNERS), "do not have decision"),
        (tuple(row._replace(company_id=1) for row in SIGNERS), "are not for project 4211/90071"),
        (tuple(row._replace(user="otto") for row in SIGNERS), "are not of ann"),
        (tuple(row._replace(valid_until=NOW) for row in SIGNERS), "it is not valid at"),
        (tuple(row._replace(valid_from=NOW + timedelta(days=1)) for row in SIGNERS), "it is not valid at"),
    ],
)
def test_a_key_that_may_not_sign_this_is_refused(export: Data, signers: tuple[Signer, ...], sentence: str) -> None:
    refuse(make_spectrum(signers), export, sentence)


def test_a_key_that_is_not_in_its_own_copy_is_refused(export: Data) -> None:
    refuse(make_spectrum(keys={"bob-1": BOB.public}), export, "key ann-1, which is not listed")
    refuse(
        make_spectrum(keys={"ann-1": replace(BOB.public, kid="ann-1")}), export, "The signature is not one of key ann-1"
    )

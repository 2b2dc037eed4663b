"""Who may sign what: each way not to be allowed is refused, exports nothing, and uses up no id of the genuine one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.cloudevents.message import Unproven
from contracts.inbox import Arrival
from contracts.records import fold_headers
from contracts.signature.verifying import Verified, verify_event
from handlers.budget import Status
from handlers.rules import Rules
from handlers.signers import Signer
from outbox.batch import prove_arrivals
from outbox.budget_state import read_state, write_state
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import (
    CONCRETE,
    KEY,
    RULES,
    acknowledge,
    decide_drift,
    hash_of,
    list_held,
    lock,
    pass_deadline,
    reject,
    release,
    request_import,
    request_snapshot,
    reset,
    retrieve,
    retry,
    snapshot,
)
from tests.unit.signed import (
    ANN,
    BOB,
    NOW,
    OLGA,
    SIGNED,
    SIGNERS,
    SPECTRUM,
    STRANGER,
    SignedLane,
    accept_signed,
    arrive_signed,
)

LATER = NOW + timedelta(hours=1)


def change_row(**changes: Any) -> Rules:
    """The rules with another row for Ann's key."""
    return replace(SIGNED, signers=(SIGNERS[0]._replace(**changes), *SIGNERS[1:]))


FORGERIES: dict[str, tuple[Callable[[int], Arrival], Rules, str, str]] = {
    "unsigned": (
        lambda at: arrive_signed(at, accept_signed(), key=None),
        SIGNED,
        "signature_missing",
        "This must be signed",
    ),
    "by a key that is not listed": (
        lambda at: arrive_signed(at, accept_signed(), key=STRANGER),
        SIGNED,
        "signature_invalid",
        "Signed with key stranger-1, which is not listed; ask accounting",
    ),
    "by a key without a row": (
        lambda at: arrive_signed(at, accept_signed()),
        replace(SIGNED, signers=SIGNERS[1:]),
        "signer_not_allowed",
        "Key ann-1 may not sign this: it has no row in signers.csv",
    ),
    "by a key for another word": (
        lambda at: arrive_signed(at, accept_signed(by="olga"), key=OLGA),
        SIGNED,
        "signer_not_allowed",
        "its rows do not have decision",
    ),
    "for another company": (
        lambda at: arrive_signed(at, accept_signed()),
        change_row(company_id=1),
        "signer_not_allowed",
        "its rows with decision are not for project 4211/90071",
    ),
    "for another project": (
        lambda at: arrive_signed(at, accept_signed()),
        change_row(project_id=1),
        "signer_not_allowed",
        "its rows with decision are not for project 4211/90071",
    ),
    "in another's name": (
        lambda at: arrive_signed(at, accept_signed(by="bob")),
        SIGNED,
        "signer_not_allowed",
        "its rows for project 4211/90071 are not of bob",
    ),
    "before its time": (
        lambda at: arrive_signed(at, accept_signed()),
        change_row(valid_from=LATER),
        "signer_not_allowed",
        "it is not valid at 2025-11-24T16:00:0",
    ),
    "at its end": (
        lambda at: arrive_signed(at, accept_signed()),
        change_row(valid_until=NOW + timedelta(seconds=1)),
        "signer_not_allowed",
        "it is not valid at 2025-11-24T16:00:0",
    ),
    "too old": (
        lambda at: arrive_signed(at, accept_signed(), signed_at=NOW - timedelta(days=3)),
        SIGNED,
        "signature_expired",
        "This was signed at 2025-11-21T16:00:00Z, and arrived too long after that, at 2025-11-24T16:00:0",
    ),
    "from the future": (
        lambda at: arrive_signed(at, accept_signed(), signed_at=NOW + timedelta(minutes=5, seconds=at + 1)),
        SIGNED,
        "signature_expired",
        "but arrived before that",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
class TestForgery:
    def test_it_is_refused_and_the_genuine_one_is_applied_afterwards(self, name: str) -> None:
        make, rules, code, sentence = FORGERIES[name]
        lane = SignedLane(rules).take(arrive(0, lock()))
        forged = make(1)
        lane.take(forged)
        assert (lane.verdicts, lane.refusals, lane.budget.status) == (["refused"], [code], Status.PENDING_APPROVAL)
        [refusal] = lane.find("request.refused.v1")
        assert sentence in refusal["message"]
        assert refusal["message"].endswith(".")
        assert (refusal["message_id"], refusal["message_source"]) == ("one", "test")
        place = forged.original.place
        assert (refusal["message_topic"], refusal["message_partition"], refusal["message_offset"]) == place
        assert lane.find("spectrum.export.v1") == []
        # What it says is nowhere: no identity but its own place.
        assert {identity.type for identity in lane.known} == {"", "budget.locked.v1"}
        lane.rules = SIGNED
        lane.take(arrive_signed(2, accept_signed()))
        assert (lane.verdicts, lane.budget.status) == (["applied"], Status.EXPORTING)

    def test_it_is_refused_after_the_genuine_one_too(self, name: str) -> None:
        make, rules, code, _ = FORGERIES[name]
        lane = SignedLane().take(arrive(0, lock()), arrive_signed(1, accept_signed()))
        assert len(lane.find("spectrum.export.v1")) == 1
        lane.rules = rules
        lane.take(make(2))
        assert (lane.verdicts, lane.refusals) == (["refused"], [code])
        assert len(lane.find("spectrum.export.v1")) == 1

    def test_without_the_policy_it_is_a_message_like_any_other(self, name: str) -> None:
        make, _, _, _ = FORGERIES[name]
        rules = replace(
            SIGNED, signatures_required=frozenset(), approvers={KEY.project: frozenset({"ann", "bob", "olga"})}
        )
        lane = SignedLane(rules).take(arrive(0, lock()), make(1))
        assert lane.verdicts == ["applied", "applied"]
        [export] = lane.find("spectrum.export.v1")
        assert export["approval"] is None


@pytest.mark.parametrize("name", [name for name, (_, rules, _, _) in FORGERIES.items() if rules is SIGNED])
@pytest.mark.parametrize("order", [1, -1])
def test_a_forgery_in_one_batch_with_the_genuine_one_changes_nothing(name: str, order: int) -> None:
    make, _, code, _ = FORGERIES[name]
    lane = SignedLane().take(arrive(0, lock()))
    lane.take(*[make(1), arrive_signed(2, accept_signed())][::order])
    assert sorted(lane.verdicts) == ["applied", "refused"]
    assert lane.refusals == [code]
    assert len(lane.find("spectrum.export.v1")) == 1


def test_each_forgery_under_one_id_has_a_refusal_of_its_own_and_a_copy_of_it_none() -> None:
    lane = SignedLane().take(arrive(0, lock()))
    forged = arrive_signed(1, accept_signed(), key=None)
    lane.take(forged, arrive_signed(2, accept_signed(), key=None))
    assert lane.refusals == ["signature_missing"] * 2
    # The intake appends a record again after a crash.
    lane.take(replace(forged, inbox=replace(forged.inbox, place=forged.inbox.place._replace(offset=7))))
    assert (lane.verdicts, lane.refusals) == (["repeat"], ["signature_missing"] * 2)


def test_whoever_writes_to_the_inbox_itself_takes_nobodys_place() -> None:
    genuine = arrive_signed(2, accept_signed())
    forged = arrive_signed(1, accept_signed(), key=None)
    # It says that it was read where the genuine one will be, at the same time.
    forged = replace(forged, original=replace(genuine.original, headers=forged.original.headers))
    for order in (1, -1):
        lane = SignedLane().take(arrive(0, lock())).take(*[forged, genuine][::order])
        assert sorted(lane.verdicts) == ["applied", "refused"]
        assert len(lane.find("spectrum.export.v1")) == 1


def test_the_bounds_of_age_are_allowed() -> None:
    for signed_at in (NOW + timedelta(seconds=1) - timedelta(days=3), NOW + timedelta(minutes=5, seconds=1)):
        lane = SignedLane().take(arrive(0, lock()), arrive_signed(1, accept_signed(), signed_at=signed_at))
        assert lane.verdicts == ["applied", "applied"], signed_at


def test_one_row_that_fits_is_enough() -> None:
    other = SIGNERS[0]._replace(project_id=1)
    lane = SignedLane(replace(SIGNED, signers=(other, *SIGNERS))).take(arrive(0, lock()))
    assert lane.take(arrive_signed(1, accept_signed())).verdicts == ["applied"]


def test_a_ui_vouches_for_whomever_it_has_logged_in_and_the_rules_ask_whether_he_may_approve() -> None:
    lane = SignedLane().take(arrive(0, lock()))
    lane.take(arrive_signed(1, accept_signed(by="eve"), "eve", key=BOB))
    assert lane.refusals == ["not_authorised"]
    assert lane.take(arrive_signed(2, accept_signed(), key=BOB)).verdicts == ["applied"]
    [export] = lane.find("spectrum.export.v1")
    proof = verify_event(export["approval"], SIGNED.signing_keys)
    assert isinstance(proof, Verified)
    assert proof.kid == "bob-1"


COMMANDS = [
    (retry(), OLGA, "olga"),
    (reset(), OLGA, "olga"),
    (release(), OLGA, "olga"),
    (acknowledge("success"), SPECTRUM, "test"),
    (accept_signed(), ANN, "ann"),
    (reject(), ANN, "ann"),
    (decide_drift("keep", "x", reason="meant"), ANN, "ann"),
    (request_import(), ANN, "ann"),
]


@pytest.mark.parametrize(("body", "key", "person"), COMMANDS, ids=lambda value: getattr(value, "type", None))
def test_every_type_that_can_be_required_is_refused_without_its_key_and_taken_with_it(
    body: Any, key: Any, person: str
) -> None:
    [unproven] = prove_arrivals([arrive_signed(0, body, key=None)], SIGNED)
    assert isinstance(unproven.message, Unproven)
    lane = SignedLane().take(arrive_signed(0, body, key=None))
    [refusal] = lane.find("request.refused.v1")
    assert (refusal["code"], refusal["requested_by"]) == ("signature_missing", person)
    [proven] = prove_arrivals([arrive_signed(0, body, key=key)], SIGNED)
    assert not isinstance(proven.message, Unproven)


@pytest.mark.parametrize("body", [lock(), retrieve(), request_snapshot(), snapshot(), pass_deadline("parked", NOW)])
def test_what_is_never_signed_is_not_touched(body: Any) -> None:
    arrival = arrive(0, body)
    assert prove_arrivals([arrival], SIGNED)[0] is arrival


def test_only_what_is_required_is_touched() -> None:
    arrival = arrive_signed(0, retry(), key=None)
    assert prove_arrivals([arrival], replace(SIGNED, signatures_required=frozenset({"decision"})))[0] is arrival


class TestApproval:
    """The signed acceptance goes with the export."""

    def test_it_is_the_event_as_it_came_and_the_same_in_every_attempt_of_an_acceptance(self) -> None:
        acceptance = arrive_signed(1, accept_signed())
        lane = SignedLane().take(arrive(0, lock()), acceptance)
        lane.take(arrive_signed(2, acknowledge("failed"), "ack", key=SPECTRUM))
        lane.take(arrive_signed(3, retry(), "retry", key=OLGA))
        first, second = lane.find("spectrum.export.v1")
        assert first["approval"] == second["approval"]
        assert second | {"attempt": 1} == first
        headers = fold_headers(acceptance.original.headers)
        assert first["approval"]["dssematerial"] == headers["ce_dssematerial"].decode()
        assert first["approval"]["time"] == headers["ce_time"].decode()
        proof = verify_event(first["approval"], SIGNED.signing_keys)
        assert isinstance(proof, Verified)
        assert (proof.kid, proof.data) == ("ann-1", acceptance.original.value)

    def test_an_acceptance_that_sends_it_again_takes_its_place(self) -> None:
        lane = SignedLane().take(arrive(0, lock()), arrive_signed(1, accept_signed()))
        lane.take(arrive_signed(2, acknowledge("failed"), "ack", key=SPECTRUM))
        again = accept_signed(by="bob", decided_at="2026-11-24T10:00:00Z")
        lane.take(arrive_signed(3, again, "again", key=BOB))
        _, second = lane.find("spectrum.export.v1")
        proof = verify_event(second["approval"], SIGNED.signing_keys)
        assert isinstance(proof, Verified)
        assert proof.attributes["id"] == "again"
        assert (second["approved_by"], second["approved_at"]) == ("bob", "2026-11-24T10:00:00Z")
        # What Ann has said is known all the same.
        lane.take(arrive_signed(4, acknowledge("failed", attempt=2), "ack 2", key=SPECTRUM))
        assert lane.take(arrive_signed(5, accept_signed(), "other")).verdicts == ["duplicate"]

    def test_a_restatement_has_the_acceptance_and_the_decision(self) -> None:
        lane = SignedLane().take(arrive(0, lock()), arrive_signed(1, accept_signed()))
        lane.take(arrive_signed(2, acknowledge("success"), "ack", key=SPECTRUM))
        assert lane.budget.base
        typed = list_held(lane.budget.base, S05120={"original_estimate_cost": "640000.01"})
        lane.take(arrive(3, snapshot(*typed, begun=lane.budget.base)))
        [drift] = lane.find("erp.drift.v1")
        lane.take(arrive_signed(4, decide_drift("restate", drift["drift_hash"]), "restate"))
        [first] = lane.find("spectrum.export.v1")
        [restated] = lane.find("spectrum.resync.v1")
        assert first["drift_decision"] is None
        assert restated["approval"] == first["approval"]
        proof = verify_event(restated["drift_decision"], SIGNED.signing_keys)
        assert isinstance(proof, Verified)
        assert proof.attributes["id"] == "restate"

    def test_it_needs_the_content_hash(self) -> None:
        lane = SignedLane().take(arrive(0, lock()), arrive_signed(1, accept_signed(content_hash=None)))
        assert lane.refusals == ["content_mismatch"]
        lane.take(arrive_signed(2, accept_signed(2, content_hash=None), "early"))
        assert lane.refusals == ["content_mismatch"] * 2
        assert not SIGNED.require_content_hash

    def test_an_export_accepted_before_the_policy_has_none_until_it_is_accepted_again(self) -> None:
        lane = SignedLane(RULES).take(arrive(0, lock()), arrive_signed(1, accept_signed()))
        lane.rules = SIGNED
        lane.take(arrive_signed(2, acknowledge("failed"), "ack", key=SPECTRUM))
        lane.take(arrive_signed(3, retry(), "retry", key=OLGA))
        lane.take(arrive_signed(4, acknowledge("failed", attempt=2), "ack 2", key=SPECTRUM))
        lane.take(arrive_signed(5, accept_signed(by="bob"), "again", key=BOB))
        assert [bool(export["approval"]) for export in lane.find("spectrum.export.v1")] == [False, False, True]


class TestParked:
    """What was parked is asked again when its turn comes."""

    EARLY = accept_signed(2, content_hash=hash_of(CONCRETE))

    def park(self, rules: Rules = SIGNED, **fields: Any) -> SignedLane:
        lane = SignedLane(rules).take(arrive(0, lock()), arrive_signed(1, self.EARLY, "early", **fields))
        assert lane.verdicts == ["applied", "parked"]
        lane.budget = read_state(write_state(lane.budget))
        lane.rules = SIGNED
        return lane

    def test_it_is_exported_with_its_own_acceptance_however_long_it_waited(self) -> None:
        lane = self.park()
        lane.rules = replace(SIGNED, signature_max_age=timedelta(seconds=1))
        lane.take(arrive_signed(9, lock(2, CONCRETE), "lock 2", key=None))
        [export] = lane.find("spectrum.export.v1")
        proof = verify_event(export["approval"], SIGNED.signing_keys)
        assert isinstance(proof, Verified)
        assert proof.attributes["id"] == "early"

    @pytest.mark.parametrize(
        "revoked",
        [
            replace(SIGNED, signers=SIGNERS[1:]),
            replace(SIGNED, signers=SIGNERS[1:], signing_keys={}),
            change_row(valid_until=NOW + timedelta(seconds=2)),
            change_row(user="bob"),
        ],
    )
    def test_it_is_refused_if_its_key_may_not_sign_it_any_more(self, revoked: Rules) -> None:
        lane = self.park()
        lane.rules = revoked
        lane.take(arrive_signed(9, lock(2, CONCRETE), "lock 2", key=None))
        assert (lane.refusals, lane.find("spectrum.export.v1")) == (["signer_not_allowed"], [])
        [refusal] = lane.find("request.refused.v1")
        assert (refusal["message_topic"], refusal["message_partition"], refusal["message_offset"]) == (
            TOPICS.full("procore.approvals"),
            3,
            101,
        )
        assert lane.budget.status is Status.PENDING_APPROVAL

    def test_it_is_refused_if_it_was_parked_unsigned_before_the_policy_came(self) -> None:
        lane = self.park(RULES, key=None).take(arrive_signed(9, lock(2, CONCRETE), "lock 2", key=None))
        assert (lane.refusals, lane.find("spectrum.export.v1")) == (["signature_missing"], [])

    def test_an_envelope_that_nobody_has_verified_is_none(self) -> None:
        lane = self.park(RULES).take(arrive_signed(9, lock(2, CONCRETE), "lock 2", key=None))
        assert lane.refusals == ["signature_missing"]

    def test_the_same_again_with_a_signature_that_counts_is_parked_beside_it(self) -> None:
        for rules, first in ((RULES, None), (SIGNED, BOB)):
            lane = self.park(rules, key=first)
            assert lane.take(arrive_signed(3, self.EARLY, "late")).verdicts == ["parked"]
            assert lane.take(arrive_signed(4, self.EARLY, "later")).verdicts == ["duplicate"]
            lane.rules = replace(SIGNED, signers=SIGNERS[:1])
            lane.take(arrive_signed(9, lock(2, CONCRETE), "lock 2", key=None))
            [export] = lane.find("spectrum.export.v1")
            assert export["approval"]["id"] == "late"


class TestHeld:
    """What was held is asked again when it is released."""

    def hold(self, rules: Rules = SIGNED, **fields: Any) -> SignedLane:
        lane, failing = SignedLane(rules), arrive(0, lock())
        lane.take(failing, failing=[failing])
        lane.take(arrive_signed(1, accept_signed(), "held", **fields))
        assert lane.verdicts == ["held"]
        lane.rules = SIGNED
        return lane

    def release(self, lane: SignedLane) -> SignedLane:
        return lane.take(arrive_signed(9, release(), "release", key=OLGA))

    def test_it_is_exported_with_its_own_acceptance(self) -> None:
        lane = self.hold()
        lane.rules = replace(SIGNED, signature_max_age=timedelta(seconds=1))
        [export] = self.release(lane).find("spectrum.export.v1")
        assert export["approval"]["id"] == "held"

    def test_it_is_refused_if_its_key_may_not_sign_it_any_more(self) -> None:
        lane = self.hold()
        lane.rules = replace(SIGNED, signers=SIGNERS[1:])
        self.release(lane)
        assert (lane.refusals, lane.find("spectrum.export.v1")) == (["signer_not_allowed"], [])

    def test_it_is_refused_if_it_was_held_before_the_policy_came(self) -> None:
        for fields in ({"key": None}, {}):
            lane = self.release(self.hold(RULES, **fields))
            assert (lane.refusals, lane.find("spectrum.export.v1")) == (["signature_missing"], [])

    def test_a_forged_release_releases_nothing(self) -> None:
        for key in (None, ANN, STRANGER):
            lane = self.hold().take(arrive_signed(2, release(), "free", key=key))
            assert (lane.verdicts, lane.budget.on_hold, len(lane.held)) == (["refused"], True, 2)

    def test_a_forgery_is_refused_while_the_budget_is_on_hold(self) -> None:
        lane = self.hold().take(arrive_signed(2, accept_signed(), "forged", key=None))
        assert (lane.verdicts, lane.refusals, len(lane.held)) == (["refused"], ["signature_missing"], 2)


def test_a_row_is_valid_from_its_first_moment_to_before_its_last() -> None:
    row = Signer("k", "ann", 1, None, frozenset(), NOW, LATER)
    moments = (NOW - timedelta(microseconds=1), NOW, LATER - timedelta(microseconds=1), LATER)
    assert [row.is_valid_at(at) for at in moments] == [False, True, True, False]


def test_users_are_compared_as_approvers_are() -> None:
    rules = replace(change_row(user="jos\u00e9"), approvers={KEY.project: frozenset({"jos\u00e9"})})
    lane = SignedLane(rules).take(arrive(0, lock()), arrive_signed(1, accept_signed(by="JOSE\u0301")))
    assert lane.verdicts == ["applied", "applied"]

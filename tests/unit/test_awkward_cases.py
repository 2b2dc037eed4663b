"""Every awkward case of docs/behaviour.md."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from contracts.cloudevents.message import Message
from contracts.inbound import InboundMessage
from handlers.budget import Status
from handlers.decide import hold
from handlers.decision import Situation
from handlers.rules import Rules, fold_user
from tests.unit.builders import (
    NOON,
    RULES,
    STEEL,
    Scenario,
    accept,
    acknowledge,
    bring_to,
    hash_of,
    lock,
    pass_deadline,
    reject,
    release,
    reset,
    retrieve,
    retry,
)

OTHER = STEEL | {"original_amount": "1.00"}
HASH = hash_of(OTHER)
EVERY = [*Status]
LATER = NOON + timedelta(days=30)


def check_outcome(scenario: Scenario, verdict: str, *types: str) -> None:
    assert (scenario.verdict, scenario.types) == (verdict, list(types))


class TestLocked:
    @pytest.mark.parametrize("status", [status for status in EVERY if status is not Status.INVALID])
    def test_current_version_with_the_same_content_is_a_duplicate(self, status: Status) -> None:
        scenario = bring_to(status)
        before = scenario.budget
        check_outcome(scenario.send(lock(1, total_amount="640000.000", sent_by="somebody else")), "duplicate")
        assert scenario.budget == before

    def test_while_invalid_it_is_checked_again(self) -> None:
        bad = STEEL | {"cost_code": "99-999"}
        scenario = Scenario().send(lock(1, bad))
        check_outcome(scenario.send(lock(1, bad)), "duplicate")
        phases = {**RULES.phases, "99-999": RULES.phases["05-120"]}
        check_outcome(
            scenario.with_rules(phases=phases).send(lock(1, bad)),
            "applied",
            "approval.requested.v1",
            "budget.status.v1",
        )

    def test_while_invalid_other_errors_are_reported(self) -> None:
        bad = STEEL | {"cost_code": "99-999"}
        scenario = Scenario().send(lock(1, bad)).with_rules(jobs={}).send(lock(1, bad))
        check_outcome(scenario, "applied", "budget.returned.v1")
        assert scenario.status is Status.INVALID

    def test_four_eyes_look_at_whoever_sent_it_last(self) -> None:
        bad = STEEL | {"cost_code": "99-999"}
        phases = {**RULES.phases, "99-999": RULES.phases["05-120"]}
        scenario = (
            Scenario().send(lock(1, bad)).with_rules(phases=phases).send(lock(1, bad, sent_by="ann"), accept(1, "ann"))
        )
        assert scenario.refusal == "same_person"

    def test_waiting_version_with_the_same_content_is_a_duplicate(self) -> None:
        check_outcome(bring_to(Status.EXPORTING).send(lock(2, OTHER), lock(2, OTHER)), "duplicate")

    @pytest.mark.parametrize("status", EVERY)
    def test_current_version_with_other_content_is_set_aside(self, status: Status) -> None:
        check_outcome(bring_to(status).send(lock(1, OTHER)), "dead_lettered", "conflicting_content")

    def test_waiting_version_with_other_content_is_set_aside(self) -> None:
        scenario = bring_to(Status.EXPORTING).send(lock(2, OTHER), lock(2, STEEL))
        check_outcome(scenario, "dead_lettered", "conflicting_content")

    def test_an_item_id_is_content(self) -> None:
        scenario = bring_to(Status.SYNCED).send(lock(1, STEEL | {"budget_line_item_id": 7}))
        check_outcome(scenario, "dead_lettered", "conflicting_content")

    @pytest.mark.parametrize("status", EVERY)
    def test_older_than_the_newest_is_stale(self, status: Status) -> None:
        scenario = bring_to(status).send(lock(5, OTHER))
        check_outcome(scenario.send(lock(3, OTHER)), "stale")

    def test_a_newer_one_supersedes_the_waiting_one(self) -> None:
        scenario = bring_to(Status.EXPORTING).send(lock(2, OTHER), lock(3, OTHER))
        check_outcome(scenario, "waiting", "budget.status.v1")
        assert [(done.id, done.verdict) for done in scenario.last.step.resolved] == [("m2", "superseded")]
        check_outcome(scenario.send(lock(2, OTHER)), "stale")


class TestParked:
    @pytest.mark.parametrize("request_", [accept(2, content_hash="h"), reject(2), retrieve(2)])
    @pytest.mark.parametrize("status", [None, *EVERY])
    def test_for_a_version_not_locked_it_is_parked(self, status: Status | None, request_: InboundMessage) -> None:
        scenario = bring_to(status).send(request_)
        check_outcome(scenario, "parked")
        assert len(scenario.budget.parked) == 1

    def test_for_the_waiting_version_it_is_parked_then_decided_in_order(self) -> None:
        scenario = bring_to(Status.EXPORTING).send(lock(2, OTHER))
        scenario.send(*(accept(2, by, content_hash=seen) for by, seen in [("ann", "x"), ("ann ", HASH), ("bob", HASH)]))
        scenario.send(acknowledge("success"))
        assert scenario.status is Status.EXPORTING
        assert [done.verdict for done in scenario.last.step.resolved] == ["applied", "refused", "applied", "duplicate"]
        assert scenario.types == [
            "budget.status.v1",
            "approval.requested.v1",
            "budget.status.v1",
            "request.refused.v1",
            "spectrum.resync.v1",
            "budget.status.v1",
        ]

    def test_an_early_acceptance_names_what_it_is_for(self) -> None:
        scenario = Scenario().send(accept(1))
        assert scenario.refusal == "content_mismatch"
        assert bring_to(Status.EXPORTING).send(lock(2, OTHER), accept(2)).refusal == "content_mismatch"
        scenario.send(accept(1, content_hash=HASH), lock(1, STEEL))
        assert (scenario.status, scenario.refusal) == (Status.PENDING_APPROVAL, "content_mismatch")
        assert Scenario().send(accept(1, content_hash=HASH), lock(1, OTHER)).status is Status.EXPORTING

    @pytest.mark.parametrize("decision", [accept(2, "nobody"), reject(2, "nobody")])
    @pytest.mark.parametrize("status", [None, *EVERY])
    def test_what_a_stranger_decides_early_is_not_parked(self, status: Status | None, decision: InboundMessage) -> None:
        scenario = bring_to(status).send(decision)
        assert (scenario.refusal, scenario.budget.parked) == ("not_authorised", ())

    def test_said_again_by_the_same_person_is_a_duplicate_also_at_the_limit(self) -> None:
        scenario = Scenario().with_rules(parked_limit=1).send(reject(1, "Ann "))
        check_outcome(scenario.send(reject(1, "ANN", reason="once more")), "duplicate")

    def test_on_other_content_it_is_another_decision(self) -> None:
        scenario = Scenario().send(accept(1, content_hash="x"), accept(1, content_hash=HASH), lock(1, OTHER))
        assert scenario.status is Status.EXPORTING

    def test_beyond_the_limit_it_is_refused(self) -> None:
        scenario = Scenario().with_rules(parked_limit=2).send(reject(1), reject(1, "bob"), retrieve(1))
        check_outcome(scenario, "refused", "request.refused.v1")
        assert scenario.refusal == "parked_limit"

    def test_parked_too_long_it_expires(self) -> None:
        scenario = Scenario().send(reject(1), retrieve(1), reject(2))
        check_outcome(scenario.send(pass_deadline("parked", LATER)), "applied", *["request.refused.v1"] * 2)
        assert scenario.refusal == "expired"
        assert [done.verdict for done in scenario.last.step.resolved] == ["refused", "refused"]
        assert [kept.request.budget_version for kept in scenario.budget.parked] == [2]

    def test_only_what_is_due_expires(self) -> None:
        scenario = Scenario().send(reject(1))
        check_outcome(
            scenario.send(pass_deadline("parked", scenario.now + RULES.parked_expiry - timedelta(seconds=1))), "ignored"
        )

    def test_passed_over_it_is_answered(self) -> None:
        scenario = Scenario().send(reject(2), retrieve(2), lock(3))
        assert [done.verdict for done in scenario.last.step.resolved] == ["refused", "stale"]
        assert scenario.refusal == "stale_version"

    def test_passed_over_by_a_waiting_version_it_is_answered(self) -> None:
        scenario = bring_to(Status.EXPORTING).send(reject(2), lock(3, OTHER))
        assert [done.verdict for done in scenario.last.step.resolved] == ["refused"]


class TestRequests:
    @pytest.mark.parametrize("status", EVERY)
    def test_of_an_old_version(self, status: Status) -> None:
        scenario = bring_to(status).send(lock(5, OTHER))
        assert scenario.send(accept(4)).refusal == "stale_version"
        check_outcome(scenario.send(retrieve(4)), "stale")

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (Status.INVALID, "invalid_version"),
            (Status.RETURNED, "already_returned"),
        ],
    )
    def test_accept_that_cannot_be_honoured(self, status: Status, code: str) -> None:
        scenario = bring_to(status).send(accept())
        assert (scenario.verdict, scenario.refusal) == ("refused", code)

    @pytest.mark.parametrize("status", [Status.EXPORTING, Status.SYNCED])
    def test_accept_again_is_a_duplicate(self, status: Status) -> None:
        check_outcome(bring_to(status).send(accept(1, "bob")), "duplicate")

    @pytest.mark.parametrize("status", [Status.INVALID, Status.RETURNED])
    @pytest.mark.parametrize("request_", [reject(), retrieve()])
    def test_sending_back_what_is_back_is_a_duplicate(self, status: Status, request_: InboundMessage) -> None:
        check_outcome(bring_to(status).send(request_), "duplicate")

    @pytest.mark.parametrize("status", [Status.EXPORTING, Status.SYNCED])
    def test_a_rejection_after_the_acceptance_is_refused(self, status: Status) -> None:
        assert bring_to(status).send(reject()).refusal == "already_exported"

    @pytest.mark.parametrize("status", [Status.EXPORTING, Status.EXPORT_FAILED, Status.SYNCED])
    def test_a_retrieval_after_the_acceptance_is_refused(self, status: Status) -> None:
        assert bring_to(status).send(retrieve()).refusal == "already_exported"

    @pytest.mark.parametrize("status", [Status.PENDING_APPROVAL, Status.EXPORT_FAILED])
    def test_reasons_to_refuse_a_rejection_in_order(self, status: Status) -> None:
        assert bring_to(status).send(reject(by="nobody", reason=None)).refusal == "not_authorised"
        assert bring_to(status).send(reject(reason=" ", content_hash="x")).refusal == "no_reason"
        assert bring_to(status).send(reject(content_hash="x")).refusal == "content_mismatch"
        assert bring_to(status).with_rules(require_content_hash=True).send(reject()).status is Status.RETURNED

    @pytest.mark.parametrize("field", ["sent_by", "locked_by"])
    def test_four_eyes(self, field: str) -> None:
        scenario = Scenario().send(lock(**{field: " Ann"}))  # type: ignore[arg-type]
        assert scenario.send(accept(content_hash="x")).refusal == "same_person"
        assert scenario.send(reject()).status is Status.RETURNED
        assert Scenario().with_rules(four_eyes=False).send(lock(**{field: "ann"}), accept()).status is Status.EXPORTING  # type: ignore[arg-type]

    @pytest.mark.parametrize("spelling", ["ANN", "Ａnn", "a\u0301nn"])
    def test_four_eyes_see_through_spellings(self, spelling: str) -> None:
        person = "ánn" if "\u0301" in spelling else "ann"
        approvers = {(4211, None): frozenset({fold_user(person)})}
        scenario = Scenario().with_rules(approvers=approvers).send(lock(sent_by=person), accept(1, spelling))
        assert scenario.refusal == "same_person"

    def test_a_reason_that_cannot_be_seen_is_none(self) -> None:
        assert bring_to(Status.PENDING_APPROVAL).send(reject(reason="\u200b ")).refusal == "no_reason"

    def test_the_hash_is_required_unless_the_rules_say_otherwise(self) -> None:
        assert Rules().require_content_hash

    def test_content_hash(self) -> None:
        scenario = bring_to(Status.PENDING_APPROVAL, require_content_hash=True)
        assert scenario.send(accept()).refusal == "content_mismatch"
        assert scenario.send(accept(content_hash="x")).refusal == "content_mismatch"
        assert scenario.budget.version
        assert scenario.send(accept(content_hash=scenario.budget.version.content_hash)).status is Status.EXPORTING

    def test_approvers_of_the_company_and_folded_names(self) -> None:
        assert bring_to(Status.PENDING_APPROVAL).send(accept(1, "  BOB ")).status is Status.EXPORTING


class TestAcknowledged:
    @pytest.mark.parametrize(
        "answer",
        [
            acknowledge("success", attempt=2),
            acknowledge("success", 2),
            acknowledge("success", export_id="00000000-0000-0000-0000-000000000000"),
        ],
    )
    def test_what_was_never_sent_is_set_aside(self, answer: InboundMessage) -> None:
        check_outcome(bring_to(Status.EXPORTING).send(answer), "dead_lettered", "unknown_export")

    def test_a_budget_never_seen(self) -> None:
        check_outcome(Scenario().send(acknowledge("success")), "dead_lettered", "unknown_export")

    @pytest.mark.parametrize("status", ["success", "partial", "failed", "in_progress"])
    def test_of_an_export_that_is_not_the_last(self, status: str) -> None:
        scenario = bring_to(Status.EXPORT_FAILED).send(lock(2, OTHER), accept(2), acknowledge(status))
        check_outcome(scenario, "ignored")
        assert scenario.last.warning == (status in {"success", "partial"})

    def test_from_before_a_reset(self) -> None:
        scenario = bring_to(Status.EXPORT_FAILED).send(reset(), acknowledge("success"))
        check_outcome(scenario, "ignored")
        assert scenario.budget.base is None

    def test_after_success(self) -> None:
        scenario = bring_to(Status.SYNCED)
        check_outcome(scenario.send(acknowledge("success")), "duplicate")
        for status in ("partial", "failed", "in_progress"):
            check_outcome(scenario.send(acknowledge(status)), "ignored")
            assert scenario.last.warning

    def test_in_progress_starts_the_deadline_again(self) -> None:
        scenario = bring_to(Status.EXPORTING).send(pass_deadline("acknowledgement", LATER), acknowledge("in_progress"))
        check_outcome(scenario, "applied", "budget.status.v1")
        assert not scenario.budget.overdue
        assert scenario.budget.due_at == scenario.now + RULES.acknowledgement_deadline

    def test_in_progress_otherwise(self) -> None:
        check_outcome(bring_to(Status.EXPORT_FAILED).send(acknowledge("in_progress")), "ignored")
        check_outcome(bring_to(Status.EXPORT_FAILED).send(retry(), acknowledge("in_progress", attempt=1)), "ignored")

    def test_partial_replaces_the_failing_lines(self) -> None:
        line = {"phase_code": "05120", "cost_type": "S", "status": "failed", "error_description": "closed"}
        scenario = bring_to(Status.EXPORT_FAILED).send(acknowledge("partial", lines=[line]))
        check_outcome(scenario, "applied", "budget.status.v1")
        assert [failed.error_description for failed in scenario.budget.failed_lines] == ["closed"]

    def test_the_last_word_on_a_line_counts(self) -> None:
        line = {"phase_code": "05120", "cost_type": "S", "status": "failed"}
        scenario = bring_to(Status.EXPORTING).send(acknowledge("partial", lines=[line, line | {"status": "success"}]))
        assert scenario.budget.failed_lines == ()

    @pytest.mark.parametrize("status", ["partial", "failed"])
    def test_an_earlier_attempts_failure_is_ignored(self, status: str) -> None:
        check_outcome(bring_to(Status.EXPORT_FAILED).send(retry(), acknowledge(status, attempt=1)), "ignored")
        check_outcome(bring_to(Status.EXPORT_FAILED).send(acknowledge("failed")), "ignored")

    @pytest.mark.parametrize(
        ("then", "sent"),
        [
            ((reject(),), ("budget.status.v1",)),
            ((lock(2, OTHER),), ("approval.requested.v1", "budget.status.v1")),
            ((lock(2, OTHER | {"cost_code": "?"}),), ("budget.status.v1",)),
        ],
    )
    def test_a_late_success_makes_the_base_and_leaves_the_status(
        self, then: tuple[InboundMessage, ...], sent: tuple[str, ...]
    ) -> None:
        """An approver who was shown the differences from another base is shown those from this one."""
        scenario = bring_to(Status.EXPORT_FAILED).send(*then)
        before = scenario.status
        check_outcome(scenario.send(acknowledge("success")), "applied", *sent)
        if before is Status.PENDING_APPROVAL:
            request = scenario.find("approval.requested.v1")
            assert (request.kind, request.base_version) == ("resync", 1)
        assert scenario.status is before
        assert scenario.budget.synced_version == 1
        assert scenario.budget.base


class TestCommands:
    @pytest.mark.parametrize("command", [retry, reset])
    def test_of_a_version_not_known(self, command: Callable[[int], InboundMessage]) -> None:
        assert Scenario().send(command(1)).refusal == "unknown_version"
        assert bring_to(Status.SYNCED).send(command(2)).refusal == "unknown_version"
        assert bring_to(Status.SYNCED).send(lock(2, OTHER), command(1)).refusal == "stale_version"

    @pytest.mark.parametrize("status", [status for status in EVERY if status is not Status.EXPORT_FAILED])
    def test_a_retry_when_nothing_failed(self, status: Status) -> None:
        assert bring_to(status).send(retry()).refusal == "not_failed"

    def test_of_the_waiting_version(self) -> None:
        scenario = bring_to(Status.EXPORTING).send(lock(2, OTHER))
        assert scenario.send(retry(2)).refusal == "not_failed"
        assert scenario.send(reset(2)).refusal == "already_exported"

    @pytest.mark.parametrize("status", [None, *EVERY])
    def test_nothing_held_nothing_due(self, status: Status | None) -> None:
        scenario = bring_to(status)
        check_outcome(scenario.send(release()), "ignored")
        check_outcome(scenario.send(pass_deadline("acknowledgement", NOON)), "ignored")
        check_outcome(scenario.send(pass_deadline("parked", LATER)), "ignored")


def test_a_budget_on_hold_keeps_everything() -> None:
    scenario = bring_to(Status.PENDING_APPROVAL)
    held = hold(scenario.budget, Message("s", "i", accept(), ()), Situation(scenario.now, RULES), "a bug")
    assert [send.type for send in held.step.sends] == ["budget.status.v1"]  # type: ignore[union-attr]
    scenario.budget = held.step.budget
    check_outcome(scenario.send(accept()), "held")
    assert scenario.status is Status.PENDING_APPROVAL


def test_a_budget_on_hold_before_its_first_version_says_nothing() -> None:
    held = hold(Scenario().budget, Message("s", "i", lock(), ()), Situation(NOON, RULES), "a bug")
    assert (held.step.sends, held.step.budget.sequence, held.step.budget.on_hold) == ((), 0, True)

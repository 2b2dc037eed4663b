"""Every awkward case of docs/behaviour.md."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from contracts.inbound import InboundMessage
from handlers.budget import Status
from handlers.decide import hold
from handlers.decision import Situation
from tests.unit.builders import (
    NOON,
    RULES,
    STEEL,
    Story,
    accept,
    acknowledge,
    bring_to,
    lock,
    pass_deadline,
    reject,
    release,
    reset,
    retrieve,
    retry,
)

OTHER = STEEL | {"original_amount": "1.00"}
EVERY = [*Status]
LATER = NOON + timedelta(days=30)


def says(story: Story, verdict: str, *types: str) -> None:
    assert (story.verdict, story.types) == (verdict, list(types))


class TestLocked:
    @pytest.mark.parametrize("status", [status for status in EVERY if status is not Status.INVALID])
    def test_current_version_with_the_same_content_is_a_duplicate(self, status: Status) -> None:
        story = bring_to(status)
        before = story.budget
        says(story.tell(lock(1, total_amount="640000.000", sent_by="somebody else")), "duplicate")
        assert story.budget == before

    def test_while_invalid_it_is_checked_again(self) -> None:
        bad = STEEL | {"cost_code": "99-999"}
        story = Story().tell(lock(1, bad))
        says(story.tell(lock(1, bad)), "duplicate")
        phases = {**RULES.phases, "99-999": RULES.phases["05-120"]}
        says(story.ruled(phases=phases).tell(lock(1, bad)), "applied", "approval.requested.v1", "budget.status.v1")

    def test_while_invalid_something_else_wrong_is_told(self) -> None:
        bad = STEEL | {"cost_code": "99-999"}
        story = Story().tell(lock(1, bad)).ruled(jobs={}).tell(lock(1, bad))
        says(story, "applied", "budget.returned.v1")
        assert story.status is Status.INVALID

    def test_four_eyes_look_at_whoever_sent_it_last(self) -> None:
        bad = STEEL | {"cost_code": "99-999"}
        phases = {**RULES.phases, "99-999": RULES.phases["05-120"]}
        story = Story().tell(lock(1, bad)).ruled(phases=phases).tell(lock(1, bad, sent_by="ann"), accept(1, "ann"))
        assert story.refusal == "same_person"

    def test_waiting_version_with_the_same_content_is_a_duplicate(self) -> None:
        says(bring_to(Status.EXPORTING).tell(lock(2, OTHER), lock(2, OTHER)), "duplicate")

    @pytest.mark.parametrize("status", EVERY)
    def test_current_version_with_other_content_is_set_aside(self, status: Status) -> None:
        says(bring_to(status).tell(lock(1, OTHER)), "dead_lettered", "conflicting_content")

    def test_waiting_version_with_other_content_is_set_aside(self) -> None:
        story = bring_to(Status.EXPORTING).tell(lock(2, OTHER), lock(2, STEEL))
        says(story, "dead_lettered", "conflicting_content")

    def test_an_item_id_is_content(self) -> None:
        story = bring_to(Status.SYNCED).tell(lock(1, STEEL | {"budget_line_item_id": 7}))
        says(story, "dead_lettered", "conflicting_content")

    @pytest.mark.parametrize("status", EVERY)
    def test_older_than_the_newest_is_stale(self, status: Status) -> None:
        story = bring_to(status).tell(lock(5, OTHER))
        says(story.tell(lock(3, OTHER)), "stale")

    def test_a_newer_one_supersedes_the_waiting_one(self) -> None:
        story = bring_to(Status.EXPORTING).tell(lock(2, OTHER), lock(3, OTHER))
        says(story, "waiting", "budget.status.v1")
        assert [(done.id, done.verdict) for done in story.last.step.resolved] == [("m2", "superseded")]
        says(story.tell(lock(2, OTHER)), "stale")


class TestParked:
    @pytest.mark.parametrize("request_", [accept(2), reject(2), retrieve(2)])
    @pytest.mark.parametrize("status", [None, *EVERY])
    def test_for_a_version_not_locked_it_is_parked(self, status: Status | None, request_: InboundMessage) -> None:
        story = bring_to(status).tell(request_)
        says(story, "parked")
        assert len(story.budget.parked) == 1

    def test_for_the_waiting_version_it_is_parked_then_decided_in_order(self) -> None:
        story = bring_to(Status.EXPORTING).tell(lock(2, OTHER), accept(2, "nobody"), accept(2), accept(2, "bob"))
        story.tell(acknowledge("success"))
        assert story.status is Status.EXPORTING
        assert [done.verdict for done in story.last.step.resolved] == ["applied", "refused", "applied", "duplicate"]
        assert story.types == [
            "budget.status.v1",
            "approval.requested.v1",
            "budget.status.v1",
            "request.refused.v1",
            "spectrum.resync.v1",
            "budget.status.v1",
        ]

    def test_said_again_by_the_same_person_is_a_duplicate_also_at_the_limit(self) -> None:
        story = Story().ruled(parked_limit=1).tell(accept(1, "Ann "))
        says(story.tell(accept(1, "ANN", reason="once more")), "duplicate")

    def test_beyond_the_limit_it_is_refused(self) -> None:
        story = Story().ruled(parked_limit=2).tell(accept(1), accept(1, "bob"), retrieve(1))
        says(story, "refused", "request.refused.v1")
        assert story.refusal == "parked_limit"

    def test_parked_too_long_it_expires(self) -> None:
        story = Story().tell(accept(1), retrieve(1), accept(2))
        says(story.tell(pass_deadline("parked", LATER)), "applied", *["request.refused.v1"] * 2)
        assert story.refusal == "expired"
        assert [done.verdict for done in story.last.step.resolved] == ["refused", "refused"]
        assert [kept.request.budget_version for kept in story.budget.parked] == [2]

    def test_only_what_is_due_expires(self) -> None:
        story = Story().tell(accept(1))
        says(story.tell(pass_deadline("parked", story.now + RULES.parked_expiry - timedelta(seconds=1))), "ignored")

    def test_passed_over_it_is_answered(self) -> None:
        story = Story().tell(accept(2), retrieve(2), lock(3))
        assert [done.verdict for done in story.last.step.resolved] == ["refused", "stale"]
        assert story.refusal == "stale_version"

    def test_passed_over_by_a_waiting_version_it_is_answered(self) -> None:
        story = bring_to(Status.EXPORTING).tell(accept(2), lock(3, OTHER))
        assert [done.verdict for done in story.last.step.resolved] == ["refused"]


class TestRequests:
    @pytest.mark.parametrize("status", EVERY)
    def test_of_an_old_version(self, status: Status) -> None:
        story = bring_to(status).tell(lock(5, OTHER))
        assert story.tell(accept(4)).refusal == "stale_version"
        says(story.tell(retrieve(4)), "stale")

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (Status.INVALID, "invalid_version"),
            (Status.RETURNED, "already_returned"),
            (Status.EXPORT_FAILED, "already_exported"),
        ],
    )
    def test_accept_that_cannot_be_honoured(self, status: Status, code: str) -> None:
        story = bring_to(status).tell(accept())
        assert (story.verdict, story.refusal) == ("refused", code)

    def test_accept_of_a_failed_export_names_the_retry(self) -> None:
        story = bring_to(Status.EXPORT_FAILED).tell(accept())
        assert "budget-bridge retry 4211/90071/55210" in story.find("request.refused.v1").message

    @pytest.mark.parametrize("status", [Status.EXPORTING, Status.SYNCED])
    def test_accept_again_is_a_duplicate(self, status: Status) -> None:
        says(bring_to(status).tell(accept(1, "bob")), "duplicate")

    @pytest.mark.parametrize("status", [Status.INVALID, Status.RETURNED])
    @pytest.mark.parametrize("request_", [reject(), retrieve()])
    def test_sending_back_what_is_back_is_a_duplicate(self, status: Status, request_: InboundMessage) -> None:
        says(bring_to(status).tell(request_), "duplicate")

    @pytest.mark.parametrize("status", [Status.EXPORTING, Status.SYNCED])
    def test_a_rejection_after_the_acceptance_is_refused(self, status: Status) -> None:
        assert bring_to(status).tell(reject()).refusal == "already_exported"

    @pytest.mark.parametrize("status", [Status.EXPORTING, Status.EXPORT_FAILED, Status.SYNCED])
    def test_a_retrieval_after_the_acceptance_is_refused(self, status: Status) -> None:
        assert bring_to(status).tell(retrieve()).refusal == "already_exported"

    @pytest.mark.parametrize("status", [Status.PENDING_APPROVAL, Status.EXPORT_FAILED])
    def test_reasons_to_refuse_a_rejection_in_order(self, status: Status) -> None:
        assert bring_to(status).tell(reject(by="nobody", reason=None)).refusal == "not_authorised"
        assert bring_to(status).tell(reject(reason=" ", content_hash="x")).refusal == "no_reason"
        assert bring_to(status).tell(reject(content_hash="x")).refusal == "content_mismatch"
        assert bring_to(status).ruled(require_content_hash=True).tell(reject()).status is Status.RETURNED

    @pytest.mark.parametrize("field", ["sent_by", "locked_by"])
    def test_four_eyes(self, field: str) -> None:
        story = Story().tell(lock(**{field: " Ann"}))  # type: ignore[arg-type]
        assert story.tell(accept(content_hash="x")).refusal == "same_person"
        assert story.tell(reject()).status is Status.RETURNED
        assert Story().ruled(four_eyes=False).tell(lock(**{field: "ann"}), accept()).status is Status.EXPORTING  # type: ignore[arg-type]

    def test_content_hash(self) -> None:
        story = bring_to(Status.PENDING_APPROVAL, require_content_hash=True)
        assert story.tell(accept()).refusal == "content_mismatch"
        assert story.tell(accept(content_hash="x")).refusal == "content_mismatch"
        assert story.budget.version
        assert story.tell(accept(content_hash=story.budget.version.content_hash)).status is Status.EXPORTING

    def test_approvers_of_the_company_and_folded_names(self) -> None:
        assert bring_to(Status.PENDING_APPROVAL).tell(accept(1, "  BOB ")).status is Status.EXPORTING


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
        says(bring_to(Status.EXPORTING).tell(answer), "dead_lettered", "unknown_export")

    def test_a_budget_never_seen(self) -> None:
        says(Story().tell(acknowledge("success")), "dead_lettered", "unknown_export")

    @pytest.mark.parametrize("status", ["success", "partial", "failed", "in_progress"])
    def test_of_an_export_that_is_not_the_last(self, status: str) -> None:
        story = bring_to(Status.EXPORT_FAILED).tell(lock(2, OTHER), accept(2), acknowledge(status))
        says(story, "ignored")
        assert story.last.warning == (status in {"success", "partial"})

    def test_from_before_a_reset(self) -> None:
        story = bring_to(Status.EXPORT_FAILED).tell(reset(), acknowledge("success"))
        says(story, "ignored")
        assert story.budget.base is None

    def test_after_success(self) -> None:
        story = bring_to(Status.SYNCED)
        says(story.tell(acknowledge("success")), "duplicate")
        for status in ("partial", "failed", "in_progress"):
            says(story.tell(acknowledge(status)), "ignored")
            assert story.last.warning

    def test_in_progress_starts_the_deadline_again(self) -> None:
        story = bring_to(Status.EXPORTING).tell(pass_deadline("acknowledgement", LATER), acknowledge("in_progress"))
        says(story, "applied", "budget.status.v1")
        assert not story.budget.overdue
        assert story.budget.due_at == story.now + RULES.acknowledgement_deadline

    def test_in_progress_otherwise(self) -> None:
        says(bring_to(Status.EXPORT_FAILED).tell(acknowledge("in_progress")), "ignored")
        says(bring_to(Status.EXPORT_FAILED).tell(retry(), acknowledge("in_progress", attempt=1)), "ignored")

    def test_partial_replaces_the_failing_lines(self) -> None:
        line = {"phase_code": "05120", "cost_type": "S", "status": "failed", "error_description": "closed"}
        story = bring_to(Status.EXPORT_FAILED).tell(acknowledge("partial", lines=[line]))
        says(story, "applied", "budget.status.v1")
        assert [failed.error_description for failed in story.budget.failed_lines] == ["closed"]

    def test_the_last_word_on_a_line_counts(self) -> None:
        line = {"phase_code": "05120", "cost_type": "S", "status": "failed"}
        story = bring_to(Status.EXPORTING).tell(acknowledge("partial", lines=[line, line | {"status": "success"}]))
        assert story.budget.failed_lines == ()

    @pytest.mark.parametrize("status", ["partial", "failed"])
    def test_an_earlier_attempts_failure_is_ignored(self, status: str) -> None:
        says(bring_to(Status.EXPORT_FAILED).tell(retry(), acknowledge(status, attempt=1)), "ignored")
        says(bring_to(Status.EXPORT_FAILED).tell(acknowledge("failed")), "ignored")

    @pytest.mark.parametrize("then", [(reject(),), (lock(2, OTHER),), (lock(2, OTHER | {"cost_code": "?"}),)])
    def test_a_late_success_makes_the_base_and_leaves_the_status(self, then: tuple[InboundMessage, ...]) -> None:
        story = bring_to(Status.EXPORT_FAILED).tell(*then)
        before = story.status
        says(story.tell(acknowledge("success")), "applied", "budget.status.v1")
        assert story.status is before
        assert story.budget.synced_version == 1
        assert story.budget.base


class TestCommands:
    @pytest.mark.parametrize("command", [retry, reset])
    def test_of_a_version_not_known(self, command: Callable[[int], InboundMessage]) -> None:
        assert Story().tell(command(1)).refusal == "unknown_version"
        assert bring_to(Status.SYNCED).tell(command(2)).refusal == "unknown_version"
        assert bring_to(Status.SYNCED).tell(lock(2, OTHER), command(1)).refusal == "stale_version"

    @pytest.mark.parametrize("status", [status for status in EVERY if status is not Status.EXPORT_FAILED])
    def test_a_retry_when_nothing_failed(self, status: Status) -> None:
        assert bring_to(status).tell(retry()).refusal == "not_failed"

    def test_of_the_waiting_version(self) -> None:
        story = bring_to(Status.EXPORTING).tell(lock(2, OTHER))
        assert story.tell(retry(2)).refusal == "not_failed"
        assert story.tell(reset(2)).refusal == "already_exported"

    @pytest.mark.parametrize("status", [None, *EVERY])
    def test_nothing_held_nothing_due(self, status: Status | None) -> None:
        story = bring_to(status)
        says(story.tell(release()), "ignored")
        says(story.tell(pass_deadline("acknowledgement", NOON)), "ignored")
        says(story.tell(pass_deadline("parked", LATER)), "ignored")


def test_a_budget_on_hold_keeps_everything() -> None:
    story = bring_to(Status.PENDING_APPROVAL)
    held = hold(story.budget, Situation(story.now, RULES), "a bug")
    assert [send.type for send in held.step.sends] == ["budget.status.v1"]  # type: ignore[union-attr]
    story.budget = held.step.budget
    says(story.tell(accept()), "held")
    assert story.status is Status.PENDING_APPROVAL


def test_a_budget_on_hold_before_its_first_version_says_nothing() -> None:
    held = hold(Story().budget, Situation(NOON, RULES), "a bug")
    assert (held.step.sends, held.step.budget.sequence, held.step.budget.on_hold) == ((), 0, True)

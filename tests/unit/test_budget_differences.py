"""Which field of a budget was changed by hand, what it is and what it should be; and a hold that is lifted."""

from handlers.budget import Budget, Status
from handlers.decide import lift_planned_hold
from handlers.decision import Verdict
from outbox.budget_differences import describe_differences
from tests.unit.builders import CONCRETE, KEY, accept, acknowledge, bring_to, lock, release
from worker.reconcile.budget_states import check_budget


def spoil(budget: Budget) -> Budget:
    """An amount is changed by hand while the approver is asked."""
    version = budget.version
    assert version
    assert version.proposal
    lines = (version.proposal.lines[0]._replace(original=1), *version.proposal.lines[1:])
    return budget._replace(version=version._replace(proposal=version.proposal._replace(lines=lines)))


def test_the_field_is_named_with_what_it_is_and_should_be() -> None:
    budget = bring_to(Status.PENDING_APPROVAL).budget
    expected = "version.proposal.lines[0].original is 1, and should be 64000000"
    assert describe_differences(spoil(budget), budget) == expected
    assert describe_differences(budget._replace(overdue=True, sequence=7), budget) == (
        "sequence is 7, and should be 1; overdue is True, and should be False"
    )
    assert describe_differences(budget, budget) == ""


def test_a_row_that_is_missing_or_too_much_is_a_sentence() -> None:
    budget = bring_to(Status.SYNCED).budget
    assert describe_differences(None, budget) == (
        "it has no row in budgets, but its messages produce SYNCED, sequence 3"
    )
    assert describe_differences(budget, None) == "it is SYNCED, sequence 3, but no message of it was applied"


def test_amounts_are_checked_against_their_own_hash_wherever_they_are() -> None:
    pending = bring_to(Status.PENDING_APPROVAL).budget
    assert list(check_budget(KEY, pending)) == []
    assert list(check_budget(KEY, spoil(pending))) == [
        "what its approver is asked to accept does not have its content hash",
        "the total of what its approver is asked to accept is not the sum of its lines",
    ]
    for status, name in ((Status.EXPORTING, "unanswered"), (Status.SYNCED, "base")):
        budget = bring_to(status).budget
        assert list(check_budget(KEY, budget)) == []
        export = getattr(budget, name)
        changed = export._replace(lines=(export.lines[0]._replace(description="x"), *export.lines[1:]))
        [found] = check_budget(KEY, budget._replace(**{name: changed}))
        assert "(version 1) does not have its content hash" in found
    assert list(check_budget(KEY._replace(budget_id=2), pending)) == [f"its state is that of budget {KEY}"]


def test_lines_that_are_gone_do_not_belong_to_the_hash() -> None:
    story = bring_to(Status.SYNCED)
    story.send(lock(2, CONCRETE), accept(2), acknowledge("success", 2))
    assert story.budget.base
    assert any(line.gone for line in story.budget.base.lines)
    assert list(check_budget(KEY, story.budget)) == []


def test_a_planned_hold_is_lifted_by_one_release() -> None:
    budget = bring_to(Status.SYNCED).budget
    outcome = lift_planned_hold(budget, release())
    assert (outcome.verdict, outcome.step.sends) == (Verdict.APPLIED, ())
    # Equal, and yet another: so it is stored, and no longer counts as on hold.
    assert outcome.step.budget == budget
    assert outcome.step.budget is not budget

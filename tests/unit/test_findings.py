"""What reconcile reports: figures that no terminal cuts off, and accepted differences apart."""

from contracts.budget_key import BudgetKey
from tests.unit.builders import KEY
from worker.reconcile.findings import MAX_BUDGETS, SHOWN, DifferenceKind, Findings, format_findings, write_findings


def find(accepted: frozenset[bytes] = frozenset()) -> Findings:
    findings = Findings(accepted)
    claim = findings.claim("known", "nothing is in Kafka that the outbox does not know")
    claim.checked = 10_000_000
    claim.notes["messages whose outbox rows are pruned"] = 1234
    findings.differ(claim, DifferenceKind.ALTERED, "version.number is 2, and should be 1", KEY)
    return findings


def test_every_figure_is_within_the_first_fifty_columns() -> None:
    head, line, note, *_ = format_findings(find())
    assert (line[:43].split(), note.split()[0]) == (["10000000", "1"], "1234")
    assert head[:41].split() == ["checked", "on", "its", "way", "accepted", "differs"]


def test_text_is_plain_ascii_up_to_what_others_wrote() -> None:
    assert "\n".join(format_findings(find())).isascii()


def test_an_accepted_difference_is_counted_apart() -> None:
    [found] = find().first
    accepted = find(frozenset({found.digest}))
    assert (accepted.are_clean, accepted.first, accepted.claims["known"].accepted) == (True, [], 1)
    assert list(format_findings(accepted))[-1] == "nothing else differs"
    assert write_findings(accepted)["accepted"] == 1


def test_a_difference_that_changes_is_another_one() -> None:
    [found] = find().first
    other = found._replace(what="version.number is 3, and should be 1")
    assert len({found.digest, other.digest, found._replace(budget=None).digest}) == 3


def test_what_is_kept_of_differences_is_bounded() -> None:
    findings = Findings()
    claim = findings.claim("order", "each budget's messages are in order")
    for number in range(MAX_BUDGETS + 5):
        findings.differ(claim, DifferenceKind.REORDERED, "late", BudgetKey(1, 1, number + 1))
    assert (len(findings.first), len(findings.budgets)) == (SHOWN, MAX_BUDGETS)
    assert f"{MAX_BUDGETS + 5} reordered; {MAX_BUDGETS} or more budgets concerned" in list(format_findings(findings))

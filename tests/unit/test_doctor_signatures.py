"""What the doctor says about signatures: nothing required, approvers without a key, and keys that end soon."""

from dataclasses import replace
from datetime import timedelta

from handlers.rules import Job, Rules
from tests.unit.builders import KEY
from tests.unit.signed import NOW, SIGNED, SIGNERS
from worker.doctor.signatures import check_signatures

COMPANY, PROJECT = KEY.project
ANN, BOB = SIGNERS[:2]


def check(rules: Rules) -> list[tuple[str, str]]:
    return [(one.state, one.found) for one in check_signatures(rules, NOW)]


def test_all_is_well_where_every_approver_has_a_key() -> None:
    words = "acknowledgement, decision, release, reset, retry"
    assert check(SIGNED) == [("ok", f"{words} must be signed, and whoever approves has a key")]


def test_nothing_required_is_a_warning() -> None:
    [(state, found)] = check(replace(SIGNED, signatures_required=frozenset()))
    assert (state, found[:26]) == ("warning", "nothing has to be signed: ")


def test_an_approver_who_cannot_sign_is_an_error() -> None:
    says = "decisions must be signed, and {} approvers have no key that may sign for them now, such as {}"
    both = says.format(2, f"bob in project {COMPANY}/{PROJECT}")
    assert check(replace(SIGNED, signers=SIGNERS[2:])) == [("error", both)]
    for row in (
        ANN._replace(may=frozenset({"retry"})),
        ANN._replace(project_id=1),
        ANN._replace(user="eve"),
        ANN._replace(valid_until=NOW),
        ANN._replace(valid_from=NOW + timedelta(seconds=1)),
    ):
        rules = replace(SIGNED, signers=(row, BOB._replace(user="bob")))
        assert ("error", says.format(1, f"ann in project {COMPANY}/{PROJECT}")) in check(rules)
    assert check(replace(SIGNED, signers=(), signatures_required=frozenset({"retry"})))[0][0] == "ok"


def test_an_approver_of_a_company_can_sign_in_each_of_its_projects() -> None:
    more = replace(SIGNED, jobs={**SIGNED.jobs, (COMPANY, 7): Job("001", "J7")})
    assert check(more)[0][0] == "ok"
    [(state, found)] = check(replace(more, signers=(ANN, BOB._replace(project_id=PROJECT))))
    assert (state, found.endswith(f"bob in project {COMPANY}/7")) == ("error", True)


def test_a_key_that_ends_within_two_weeks_is_a_warning() -> None:
    def end(*bounds: timedelta | None) -> list[tuple[str, str]]:
        rows = [BOB._replace(valid_until=None if bound is None else NOW + bound) for bound in bounds]
        return check(replace(SIGNED, signers=(ANN, *rows)))

    soon, late = timedelta(days=13, hours=23), timedelta(days=14)
    assert end(soon) == [("warning", "key bob-1 may not sign any more from 2025-12-08T15:00:00Z on")]
    for bounds in ((late,), (soon, None), (soon, late), (timedelta(days=-1), None)):
        assert [state for state, _ in end(*bounds)] == ["ok"], bounds

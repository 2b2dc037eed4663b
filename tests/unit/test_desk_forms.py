"""What somebody chose stays chosen when a form comes back, and what they saw is told from what is so now."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

from starlette.datastructures import FormData

from desk.act_fields import read_fields
from desk.acting import digest_state
from desk.offers import ACTS
from desk.operations import Operation
from desk.rendering import _ENVIRONMENT
from handlers.budget import Status
from tests.unit.builders import KEY, NOON, bring_to


def test_chosen_lines_stay_chosen_when_a_form_comes_back() -> None:
    keep, lines = ACTS["keep"], (("03300", "L"), ("05120", "S"), ("09900", "S"))
    form = FormData([("reason", " "), ("line", "03300|L"), ("line", "09900|S")])
    filled = read_fields(form, keep.asks, str(KEY))
    assert filled.fields.lines == (lines[0], lines[2])
    page = _ENVIRONMENT.get_template("act_fields.html").render(
        act=keep, budget=SimpleNamespace(open_lines=lines), problems=filled.problems, typed=filled.typed
    )
    checked = [piece.partition('"')[0] for piece in page.split('value="') if " checked>" in piece]
    assert checked == ["03300|L", "09900|S"]


def test_a_form_that_was_never_sent_has_no_line_chosen() -> None:
    page = _ENVIRONMENT.get_template("act_fields.html").render(
        act=ACTS["keep"], budget=SimpleNamespace(open_lines=(("03300", "L"),)), problems={}, typed={}
    )
    assert 'value="03300|L">' in page


def test_another_base_is_another_state_than_was_seen() -> None:
    budget = bring_to(Status.SYNCED).budget
    base = budget.base
    assert base
    assert digest_state(budget) == digest_state(budget._replace(sequence=budget.sequence + 1, overdue=True))
    for other in (None, base._replace(version=9), base._replace(attempt=9), base._replace(reference=9)):
        assert digest_state(budget) != digest_state(budget._replace(base=other))


def test_what_lacks_of_an_operation_is_sent_again_by_its_sender_and_as_long_as_a_form() -> None:
    operation = Operation(UUID(int=1), ACTS["retry"], "olga", "cleared", NOON, (), 0)
    assert operation.may_send_again("olga", NOON + timedelta(hours=8))
    assert not operation.may_send_again("olga", NOON + timedelta(hours=8, seconds=1))
    assert not operation.may_send_again("otto", NOON)

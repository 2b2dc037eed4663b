"""Whether a version that is locked again has the same content: by value, in any order of its lines."""

import pytest

from handlers.budget_locked import digest_content
from handlers.validation.columns import read_columns
from tests.unit.builders import CONCRETE, STEEL, Line, lock


def digest(*lines: Line) -> str:
    version = lock(1, *lines, total_amount="0")
    return digest_content(version, read_columns(version.lines))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"revision_amount": "0"}, {"revision_amount": "-0.000"}),
        ({"original_amount": "1.10"}, {"original_amount": "001.1"}),
        ({"original_amount": "1.125"}, {"original_amount": "1.12500"}),
        ({"original_amount": "-0.05"}, {"original_amount": "-0.0500"}),
        ({"quantity": "7"}, {"quantity": "7.0"}),
        ({"phase_code": " "}, {"phase_code": None}),
    ],
)
def test_the_same(one: Line, other: Line) -> None:
    assert digest(STEEL | one, CONCRETE) == digest(CONCRETE, STEEL | other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"original_amount": "1.12"}, {"original_amount": "1.125"}),
        ({"original_amount": "0.05"}, {"original_amount": "-0.05"}),
        ({"original_amount": "5"}, {"original_amount": "0.05"}),
        ({"sub_job": ""}, {"sub_job": None}),
        ({"sub_job": "A"}, {"unit_of_measure": "A"}),
        ({"phase_code": "A"}, {"spectrum_cost_type": "A"}),
        ({"quantity": "0"}, {"quantity": None}),
        ({"description": "a\u0301"}, {"description": "\u00e1"}),
        ({"budget_line_item_id": 8}, {"budget_line_item_id": -8}),
    ],
)
def test_not_the_same(one: Line, other: Line) -> None:
    assert digest(STEEL | one, CONCRETE) != digest(STEEL | other, CONCRETE)
    assert digest(STEEL | one, STEEL | other) == digest(STEEL | other, STEEL | one)

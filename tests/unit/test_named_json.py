"""JSON in which every value is named: named tuples are objects, and many of them are columns."""

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from contracts.named_json import NamedJson


class Line(NamedTuple):
    """A row of scalars."""

    code: str
    at: datetime | None
    amount: int = 7
    gone: bool = False


class Group(NamedTuple):
    """A row that holds more than scalars."""

    name: str
    lines: tuple[Line, ...] = ()


class Book(NamedTuple):
    """What is written."""

    first: Line
    lines: tuple[Line, ...]
    groups: tuple[Group, ...]


CODEC = NamedJson(Book)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOOK = Book(Line("A", None), (Line("B", NOON, 1), Line("C", None, 2, gone=True)), (Group("x", (Line("D", None),)),))
WRITTEN = (
    '{"first":{"code":"A","at":null,"amount":7,"gone":false},'
    '"lines":{"code":["B","C"],"at":["2026-11-24T12:00:00Z",null],"amount":[1,2],"gone":[false,true]},'
    '"groups":[{"name":"x","lines":{"code":["D"],"at":[null],"amount":[7],"gone":[false]}}]}'
)


def read_lines(columns: str) -> tuple[Line, ...]:
    return CODEC.read(f'{{"first":{{"code":"A","at":null}},"groups":[],"lines":{columns}}}').lines


def test_rows_of_scalars_are_columns_and_other_rows_are_objects() -> None:
    assert CODEC.write(BOOK).decode() == WRITTEN
    assert CODEC.read(WRITTEN) == BOOK
    assert {type(line) for line in CODEC.read(WRITTEN).lines} == {Line}


def test_without_rows_every_column_is_empty() -> None:
    empty = BOOK._replace(lines=(), groups=())
    assert b'"lines":{"code":[],"at":[],"amount":[],"gone":[]},"groups":[]' in CODEC.write(empty)
    assert CODEC.read(CODEC.write(empty).decode()) == empty


def test_the_order_of_columns_does_not_matter() -> None:
    assert read_lines('{"gone":[true],"amount":[3],"at":[null],"code":["B"]}') == (Line("B", None, 3, gone=True),)


def test_a_column_that_is_missing_is_the_default_in_every_row() -> None:
    assert read_lines('{"code":["B","C"],"at":[null,null],"gone":[true,false]}') == (
        Line("B", None, 7, gone=True),
        Line("C", None, 7, gone=False),
    )
    assert read_lines('{"at":[],"code":[]}') == ()


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ('{"code":["B","C"]}', "lines.at: Field required"),
        ("{}", "lines.code: Field required"),
        ('{"code":["B","C"],"at":[null]}', "lines: The columns have different lengths"),
        ('{"code":["B"],"at":[null],"amount":[1,2]}', "lines: The columns have different lengths"),
        ('{"code":["B"],"at":[null],"gone":[]}', "lines: The columns have different lengths"),
        ('{"code":["B",3],"at":[null,null]}', "lines.code.1: Input should be a valid string"),
        ('{"code":"B","at":[null]}', "lines.code: Input should be a valid array"),
        ('[{"code":"B","at":null}]', "lines: Input should be an object"),
    ],
)
def test_what_cannot_be_read_is_described(columns: str, says: str) -> None:
    with pytest.raises(ValueError, match="validation error") as refused:
        read_lines(columns)
    assert CODEC.describe(refused.value) == says

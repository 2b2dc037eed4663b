"""Rows as JSON: written by columns, they are the bytes that a writer of objects makes."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from contracts.fields import write_time
from contracts.rows import Row, write_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROWS = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | TEXT,
    st.booleans(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)
NAMES = ("budget_line_item_id", "phase_code", "keep_description", "found_at")


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_columns_and_objects_are_the_same_bytes(rows: list[Row]) -> None:
    shown = [
        {
            name: write_time(value) if isinstance(value, datetime) else value
            for name, value in zip(NAMES, row, strict=True)
        }
        for row in rows
    ]
    assert b"[" + write_rows(NAMES, rows) + b"]" == to_json(shown)

"""Addresses that nobody has written as they are: a sentence, and no statement that Postgres refuses."""

from collections.abc import Callable

import pytest
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from desk.pages_console import _read_place
from desk.people_view import read_wanted

AT = "2026-11-24T09:00:00Z"


def read_after(text: str) -> object:
    return read_wanted(QueryParams({"after": text})).after


@pytest.mark.parametrize(("read", "rest"), [(read_after, ""), (_read_place, ",2")])
def test_a_place_in_a_list_has_numbers_that_its_columns_can_hold(read: Callable[[str], object], rest: str) -> None:
    assert read(f"{AT},{2**31 - 1},{2**63 - 1}{rest}")
    for place in (f"{2**31},1", f"1,{2**63}", "-1,1", "1,-1", "1", "1,x", "1,²", "1," + "9" * 5000):
        with pytest.raises((HTTPException, ValueError)):
            read(f"{AT},{place}{rest}")

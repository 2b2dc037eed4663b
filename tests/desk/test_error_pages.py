"""What cannot be shown: each page says what is so and what a person can do, and none shows how the desk is made."""

import pytest

from desk import approvals_view
from outbox.database import DatabaseDown
from tests.desk.conftest import Desk
from tests.unit.builders import KEY, STEEL, lock

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_an_unknown_page_offers_the_search(desk: Desk) -> None:
    answer = await desk.get("/nothing")
    assert answer.status_code == 404
    assert 'action="/search"' in answer.text


async def test_a_database_that_is_away_is_said_and_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise DatabaseDown("secret words")

    monkeypatch.setattr(approvals_view, "list_pending", fail)
    answer = await desk.get("/")
    assert answer.status_code == 503
    assert '<meta http-equiv="refresh" content="10">' in answer.text
    assert "secret words" not in answer.text


async def test_a_bug_has_an_id_and_no_traceback(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        message = "secret words"
        raise AssertionError(message)

    monkeypatch.setattr(approvals_view, "list_pending", fail)
    answer = await desk.get("/")
    assert answer.status_code == 500
    assert "Id: <code>" in answer.text
    assert "secret words" not in answer.text


async def test_a_bug_in_a_page_does_not_use_up_a_session(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ValueError

    with monkeypatch.context() as broken:
        broken.setattr(approvals_view, "list_pending", fail)
        for _ in range(20):
            await desk.get("/")
    assert (await desk.get("/")).status_code == 200


@pytest.mark.parametrize("field", ["sent_by", "locked_by", "created_by"])
async def test_hostile_people_are_escaped(desk: Desk, field: str) -> None:
    await desk.receive(lock().model_copy(update={field: HOSTILE}))
    for path in ("/", f"/budgets/{KEY}"):
        page = (await desk.get(path)).text
        assert HOSTILE not in page
    assert "&lt;img src=x" in page


async def test_hostile_descriptions_are_escaped(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL | {"description": "<b onclick=x>"}))
    page = (await desk.get(f"/budgets/{KEY}")).text
    assert "&lt;b onclick=x&gt;" in page
    assert "<b onclick" not in page


async def test_only_own_files_are_served_and_for_good(desk: Desk) -> None:
    page = (await desk.get("/")).text
    path = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = await desk.get(path, user=None)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert (await desk.get("/static/desk.css", user=None)).status_code in {303, 404}
    assert "no-store" in (await desk.get("/")).headers["cache-control"]

"""The list of what waits for an approver, on a real Postgres."""

from tests.desk.conftest import Desk
from tests.unit.builders import CONCRETE, KEY, STEEL, accept, acknowledge, lock


async def test_nobody_sees_anything_before_signing_in(desk: Desk) -> None:
    answer = await desk.get("/?project=4211/90071", user=None)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2F%3Fproject%3D4211%2F90071"


async def test_what_waits_is_listed_with_its_figures(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL, CONCRETE))
    page = (await desk.get("/")).text
    for shown in (str(KEY), "26-1001", "first export", "952,000.25", "sam", "may accept", "1 waiting"):
        assert shown in page, shown


async def test_who_sent_it_sees_why_they_may_not_accept_it(desk: Desk) -> None:
    await desk.receive(lock(sent_by="Ann"))
    page = (await desk.get("/")).text
    assert "sent by you" in page
    assert "ann sent or locked version 1; somebody else must accept it." in page


async def test_a_failed_export_is_listed_apart(desk: Desk) -> None:
    await desk.receive(lock(), accept(), acknowledge("failed"))
    page = (await desk.get("/")).text
    assert "Exports that failed" in page
    assert "Nothing waits for you" in page


async def test_an_approver_sees_only_what_they_approve(desk: Desk) -> None:
    await desk.receive(lock())
    page = (await desk.get("/", user="eve")).text
    assert str(KEY) not in page
    assert "not listed as an approver" in page

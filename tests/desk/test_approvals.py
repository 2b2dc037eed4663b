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


async def test_the_list_can_be_narrowed_by_its_address(desk: Desk) -> None:
    await desk.receive(lock(sent_by="M.Reyes@hillside.example"))
    shown = f'href="/budgets/{KEY}"'
    for query in (
        "project=4211/90071",
        "sent_by=m.reyes",
        "kind=first",
        "mine=yes",
        "sent_by=reyes&kind=first&mine=yes",
    ):
        assert shown in (await desk.get(f"/?{query}")).text, query
    for query in ("project=4211/90072", "sent_by=novak", "kind=resync", "sent_by=reyes&kind=resync"):
        page = (await desk.get(f"/?{query}")).text
        assert shown not in page, query
        assert "waits for you" in page, query
    assert (await desk.get("/?project=x")).status_code == 400
    assert (await desk.get(f"/?after=2026-11-24T08:00:00Z,{2**70},1,1")).status_code == 400


async def test_what_one_may_not_accept_is_not_mine(desk: Desk) -> None:
    await desk.receive(lock(sent_by="ann"))
    assert f'href="/budgets/{KEY}"' not in (await desk.get("/?mine=yes")).text


async def test_the_next_one_is_one_that_may_be_accepted(desk: Desk) -> None:
    await desk.receive(lock(sent_by="ann"))
    assert (await desk.get("/next")).headers["location"] == "/"
    await desk.receive(lock(2))
    assert (await desk.get("/next")).headers["location"] == f"/budgets/{KEY}"

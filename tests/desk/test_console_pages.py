"""The console, search, what people did, the contract and preferences, on a real Postgres and without Kafka."""

import csv
import io
import json
import re
from datetime import timedelta

import pytest

from outbox.dead_letters import DeadLetterFilter, list_dead_letters
from tests.desk.conftest import NOW, Desk
from tests.integration.records import TOPICS
from tests.unit.builders import CONCRETE, KEY, STEEL, accept, acknowledge, lock, reject, retry

HOSTILE = "<script>alert(1)</script>"


async def read(desk: Desk, path: str, user: str = "olga") -> str:
    answer = await desk.get(path, user)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("path", ["/console", "/console/budgets", "/console/dead-letters", "/console/people"])
async def test_the_console_is_for_operators(desk: Desk, path: str) -> None:
    answer = await desk.get(path, "ann")
    assert answer.status_code == 403
    assert "ann is not listed as an operator" in answer.text
    assert (await desk.get(path, "olga")).status_code == 200


async def test_the_overview_counts_budgets_while_kafka_is_unavailable(desk: Desk) -> None:
    await desk.receive(lock(), accept(), acknowledge("failed"), b"\xff")
    await desk.connection.execute("update outbox set at = $1", NOW - timedelta(hours=1))
    page = await read(desk, "/console")
    assert '<a href="/console/budgets?list=EXPORT_FAILED">its export failed</a>' in page
    assert '<a href="/console/dead-letters?reason=unreadable">' in page
    assert "not known since this desk was started" in page
    assert "DESK_WORKERS names none." in page


async def test_budgets_are_listed_by_what_is_odd_about_them(desk: Desk) -> None:
    await desk.receive(lock(), accept(), acknowledge("failed"))
    assert str(KEY) in await read(desk, "/console/budgets?list=EXPORT_FAILED")
    assert "There are none." in await read(desk, "/console/budgets?list=overdue")
    assert (await desk.get("/console/budgets?list=nonsense", "olga")).status_code == 404
    assert (await desk.get("/console/budgets?after=x", "olga")).status_code == 400


async def test_a_dead_letter_is_shown_as_text_and_handed_out_as_bytes(desk: Desk) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": HOSTILE, "data": lock().model_dump(mode="json")}
    await desk.receive(json.dumps(event).encode(), b"\xff\x00")
    page = await read(desk, "/console/dead-letters")
    assert "&lt;script&gt;" in page
    assert HOSTILE not in page
    letters = await list_dead_letters(desk.connection, TOPICS.dead_letters, DeadLetterFilter(), None)
    path = f"/console/dead-letters/{letters[0].id}"
    page = await read(desk, path)
    assert "ff 00" in page
    assert "It would still be unreadable" in page
    answer = await desk.get(f"{path}/value", "olga")
    assert (answer.content, answer.headers["content-type"]) == (b"\xff\x00", "application/octet-stream")
    assert answer.headers["content-disposition"].startswith("attachment")
    page = await read(desk, f"/console/dead-letters/{letters[1].id}")
    assert HOSTILE not in page
    assert "It would still be unknown_type" in page


async def test_dead_letters_come_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.pages_console.AT_ONCE", 2)
    await desk.receive(*[f"odd {number}".encode() for number in range(5)])
    path, seen = "/console/dead-letters", []
    for _ in range(3):
        page = await read(desk, path)
        seen += re.findall(r'<th scope="row"><a href="([^"]+)"', page)
        path = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 5
    assert path == ""


async def test_who_did_what_is_found_by_person_act_and_time(desk: Desk) -> None:
    await desk.receive(lock(), accept(), acknowledge("failed"), retry(), lock(2), reject(2, reason="=cmd"))
    page = await read(desk, "/console/people")
    assert page.count('<th scope="row"><a href="/budgets/') == 3
    page = await read(desk, "/console/people?user=OLGA")
    assert page.count('<th scope="row"><a href="/budgets/') == 1
    assert "open again" in page
    assert "Nobody has done anything like that" in await read(desk, "/console/people?since=2030-01-01")
    assert (await desk.get("/console/people?since=soon", "olga")).status_code == 400
    rows = list(csv.DictReader(io.StringIO((await read(desk, "/console/people.csv?user=ann")).removeprefix("\ufeff"))))
    assert [(row["what"], row["reason"]) for row in rows] == [("sent back", "'=cmd"), ("accepted", "")]


async def test_i_see_what_became_of_what_i_decided(desk: Desk) -> None:
    await desk.receive(lock(), accept(), acknowledge("success"), lock(2, CONCRETE), reject(2, by="bob"))
    page = await read(desk, "/mine", "ann")
    assert page.count('<th scope="row"><a href="/budgets/') == 1
    assert "accepted by ann" in page
    assert "returned to the project side, version 2" in page
    assert "You have decided nothing yet." in await read(desk, "/mine", "eve")


@pytest.mark.parametrize("text", [str(KEY), "4211/90071", "90071", "55210", "26-10", "B0000001 26-1001", "b0000001"])
async def test_a_single_match_is_opened(desk: Desk, text: str) -> None:
    await desk.receive(lock(), accept())
    answer = await desk.get(f"/search?q={text}", "ann")
    assert answer.headers.get("location") == f"/budgets/{KEY}", answer.text
    hidden = await desk.get(f"/search?q={text}", "eve")
    assert hidden.status_code == 200
    assert "Nothing that you can see" in hidden.text


async def test_an_export_and_a_dead_letter_are_found_by_their_ids(desk: Desk) -> None:
    await desk.receive(lock(), accept(), b"odd")
    export = await desk.connection.fetchval("select export_id from budgets")
    assert (await desk.get(f"/search?q={export}", "ann")).headers["location"] == f"/budgets/{KEY}"
    letter = await desk.connection.fetchval("select id from outbox where type is null")
    assert (await desk.get(f"/search?q={letter}", "olga")).headers["location"] == f"/console/dead-letters/{letter}"
    assert "Nothing that you can see" in (await desk.get(f"/search?q={letter}", "ann")).text


async def test_what_is_searched_for_is_escaped(desk: Desk) -> None:
    page = await read(desk, f"/search?q={HOSTILE}")
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


async def test_the_contract_describes_every_message(desk: Desk) -> None:
    page = await read(desk, "/contract", "eve")
    for kind in ("budget.locked.v1", "spectrum.resync.v1", "request.refused.v1"):
        assert f'id="{kind}"' in page
    assert "<code>content_hash</code>" in page
    assert "`" not in page


async def test_a_time_zone_can_be_chosen(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL))
    answer = await desk.client.post(
        "/preferences",
        data={"zone": "Europe/Vienna", "next": f"/budgets/{KEY}"},
        headers={"x-test-user": "ann", "sec-fetch-site": "same-origin"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, f"/budgets/{KEY}")
    page = await read(desk, f"/budgets/{KEY}", "ann")
    assert "2026-11-24 09:00 CET" in page
    assert 'title="2026-11-24 08:00:00 UTC"' in page
    assert "keys." not in page


async def test_the_next_budget_follows_in_the_order_of_the_list(desk: Desk) -> None:
    await desk.receive(lock())
    assert (await desk.get("/next", "ann")).headers["location"] == f"/budgets/{KEY}"
    page = await read(desk, f"/budgets/{KEY}", "ann")
    path = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await desk.get(path, "ann")).headers["location"] == "/"

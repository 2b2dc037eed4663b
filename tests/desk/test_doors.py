"""The doors of the whole desk: what every answer carries, and rights that end at the next click, on a real Postgres."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from contracts.records import Outgoing
from desk.app import make_app
from desk.identity_demo import DemoIdentity, DemoPerson
from desk.rights import Operators, find_rights
from desk.services import Services
from desk.settings import DeskSettings
from tests.desk.conftest import LOG, NOW, SECRET, Desk
from tests.unit.builders import KEY, RULES, lock
from tests.unit.desk_doors import SAME_ORIGIN, Log
from worker.rules_files import People

LOCAL = "http://127.0.0.1:8090"
BUDGET = f"/budgets/{KEY}"


class SendsNothing:
    """Kafka for pages that only read."""

    async def append(self, records: Sequence[Outgoing]) -> None:
        raise AssertionError(records)


@asynccontextmanager
async def open_demo(settings: DeskSettings, services: Services, *users: str) -> AsyncIterator[httpx2.AsyncClient]:
    people = [DemoPerson(user, "somebody") for user in users]
    identity = DemoIdentity(people, [SECRET], lambda: NOW, LOCAL)
    nothing: Any = SendsNothing()
    settings = settings.model_copy(update={"desk_url": LOCAL})
    app = make_app(settings, replace(services, identity=identity, appender=nothing))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 5))
    async with httpx2.AsyncClient(transport=transport, base_url=LOCAL) as client:
        yield client


async def sign_in(client: httpx2.AsyncClient, user: str) -> None:
    answer = await client.post("/login", data={"user": user}, headers=SAME_ORIGIN)
    assert answer.status_code == 303, answer.text


@pytest.mark.parametrize(
    ("path", "status", "headers"),
    [
        ("/", 200, {}),
        (BUDGET, 200, {}),
        (f"{BUDGET}/lines.csv", 200, {}),
        ("/budgets/1/2/3", 404, {}),
        ("/none", 404, {}),
        ("/login", 200, {}),
        ("/logout", 405, {}),
        ("/signed-out", 200, {}),
        ("/", 303, {"Cookie": "desk=x"}),
        ("/", 401, {"Cookie": "desk=x", "Sec-Fetch-Dest": "empty"}),
        ("/", 421, {"Host": "evil.example"}),
        ("/static/none.css", 404, {}),
    ],
)
async def test_every_answer_of_the_desk_carries_the_headers(
    desk: Desk, desk_settings: DeskSettings, path: str, status: int, headers: dict[str, str]
) -> None:
    await desk.receive(lock())
    async with open_demo(desk_settings, desk.services, "ann") as client:
        await sign_in(client, "ann")
        answer = await client.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers.get_list("cache-control") == ["no-store"]


async def test_an_error_of_the_database_and_a_bug_carry_the_headers_too(desk: Desk) -> None:
    await desk.connection.execute("drop table budgets cascade")
    broken = await desk.get("/")
    assert broken.status_code >= 500
    assert broken.headers["content-security-policy"].startswith("default-src 'none'")
    assert broken.headers["cache-control"] == "no-store"


async def test_a_file_is_kept_and_needs_nobody_to_sign_in(desk: Desk) -> None:
    page = (await desk.get("/")).text
    path = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = await desk.get(path, user=None)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_no_page_has_what_its_policy_forbids(desk: Desk, desk_settings: DeskSettings) -> None:
    await desk.receive(lock())
    async with open_demo(desk_settings, desk.services, "ann") as client:
        pages = [(await client.get(path)).text for path in ("/login", "/signed-out")]
        await sign_in(client, "ann")
        pages += [(await client.get(path)).text for path in ("/", "/none", BUDGET)]
        client.cookies.clear()
        pages.append((await client.post(BUDGET, data={"reason": "x"}, headers=SAME_ORIGIN)).text)
    for page in pages:
        assert "<html" in page
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick=" not in page
        assert page.count("<script") == page.count("<script src=")


async def test_nothing_that_is_only_read_changes_anything(desk: Desk, desk_settings: DeskSettings) -> None:
    await desk.receive(lock())
    tables = [
        row[0] for row in await desk.connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    ]

    async def read_all() -> list[object]:
        return [await desk.connection.fetch(f'select * from "{table}" as t order by t::text') for table in tables]

    before = await read_all()
    operators: People = {(KEY.company_id, None): frozenset({"ann"})}
    async with open_demo(desk_settings, replace(desk.services, list_operators=lambda: operators), "ann") as client:
        await sign_in(client, "ann")
        app: Any = client._transport
        routes = [route for route in app.app.routes if isinstance(route, Route)]
        # What lives sends changes for two minutes, and ends; tests/desk/test_live.py reads it.
        paths = {_fill(route.path) for route in routes if route.path != "/live"}
        assert BUDGET in paths
        for path in sorted(paths):
            for method in ("GET", "HEAD"):
                answer = await client.request(method, path)
                assert answer.status_code < 500, (method, path, answer.status_code)
                assert not answer.headers.get("location", "").startswith("/login"), (method, path)
    assert await read_all() == before
    both = [route.path for route in routes if {"GET", "POST"} <= (route.methods or set())]
    assert both == [], "one address reads and acts"


def _fill(path: str) -> str:
    values = {"company": KEY.company_id, "project": KEY.project_id, "budget": KEY.budget_id, "version": 1}
    for name, value in values.items():
        path = path.replace(f"{{{name}:int}}", str(value))
    return path.replace("{name}", "x")


async def test_a_right_that_is_taken_away_is_gone_at_the_next_click(desk: Desk, desk_settings: DeskSettings) -> None:
    await desk.receive(lock())
    async with open_demo(desk_settings, desk.services, "ann") as client:
        await sign_in(client, "ann")
        assert (await client.get(BUDGET)).status_code == 200
        assert str(KEY) in (await client.get("/")).text
        await desk.apply_rules(replace(RULES, approvers={}))
        assert (await client.get(BUDGET)).status_code == 404
        page = (await client.get("/")).text
        assert str(KEY) not in page
        for said in (
            "approvers.csv",
            "Accounting keeps the list",
            "whoever runs the bridge keeps the list of operators",
        ):
            assert said in page


async def test_an_operator_is_one_as_long_as_the_file_says_so(
    desk: Desk, desk_settings: DeskSettings, tmp_path: Path
) -> None:
    await desk.receive(lock())
    file, log = tmp_path / "operators.csv", Log()
    logger: Any = log
    head = "company_id,project_id,user\n"
    file.write_text(f"{head}{KEY.company_id},,Olga\n")
    services = replace(desk.services, list_operators=Operators(file, logger).list)
    async with open_demo(desk_settings, services, "olga", "ann") as client:
        await sign_in(client, "olga")
        seen = []
        for text in (
            None,
            f"{head}{KEY.company_id},{KEY.project_id},olga\n",
            f"{head}{KEY.company_id},{KEY.project_id + 1},olga\n",
            f"{head}{KEY.company_id},,olga\n",
            f"{head}no number,,olga\n",
            f"{head}{KEY.company_id},,ＯＬＧＡ\n",
        ):
            if text:
                file.write_text(text)
            seen.append((await client.get(BUDGET)).status_code)
        file.unlink()
        seen.append((await client.get(BUDGET)).status_code)
    assert seen == [200, 200, 404, 200, 404, 200, 404]
    assert [event for event, _ in log.lines] == ["operators.unreadable"] * 2
    assert "row 2: company_id: a positive whole number is expected" in str(log.lines[0])


def test_without_a_file_nobody_is_an_operator_and_neither_list_gives_what_the_other_does() -> None:
    rights = find_rights("ann", RULES, Operators(None, LOG).list())
    assert (rights.is_approver, rights.is_operator, rights.may_operate(*KEY.project)) == (True, False, False)
    assert rights.may_approve(*KEY.project)


async def test_what_somebody_typed_is_offered_again_after_their_session(
    desk: Desk, desk_settings: DeskSettings
) -> None:
    typed = {"token": "t-1", "decision": "reject", "reason": 'Too "high": <b>5%</b>\r\nsecond line'}
    async with open_demo(desk_settings, desk.services, "ann") as client:
        answer = await client.post(f"{BUDGET}?lines=all", data=typed, headers=SAME_ORIGIN)
        assert answer.status_code == 401
        assert "Nothing was sent yet" in answer.text
        assert f'action="{BUDGET}?lines=all"' in answer.text
        assert '<input type="hidden" name="token" value="t-1">' in answer.text
        assert "<b>5%" not in answer.text
        assert answer.text.count("Too &#34;high&#34;: &lt;b&gt;5%&lt;/b&gt;\r\nsecond line") == 2
        foreign = await client.post(BUDGET, data=typed, headers={"Sec-Fetch-Site": "cross-site"})
        assert (foreign.status_code, "second line" in foreign.text) == (403, False)


async def test_whoever_reads_is_sent_to_sign_in_and_back(desk: Desk, desk_settings: DeskSettings) -> None:
    async with open_demo(desk_settings, desk.services, "ann") as client:
        answer = await client.get("/?project=4211/90071")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F%3Fproject%3D4211%2F90071")
        page = (await client.get(answer.headers["location"])).text
        assert '<input type="hidden" name="next" value="/?project=4211/90071">' in page
        assert "Sign out" not in page


async def test_signing_out_needs_a_click_and_ends_the_session(desk: Desk, desk_settings: DeskSettings) -> None:
    async with open_demo(desk_settings, desk.services, "ann") as client:
        await sign_in(client, "ann")
        assert '<form action="/logout" method="post">' in (await client.get("/")).text
        assert (await client.post("/logout", headers={"Origin": "https://evil.example"})).status_code == 403
        assert (await client.get("/")).status_code == 200
        assert (await client.post("/logout", headers=SAME_ORIGIN)).headers["location"] == "/signed-out"
        assert (await client.get("/")).status_code == 303


async def test_whoever_acts_too_often_is_told_when_they_may_go_on(desk: Desk, desk_settings: DeskSettings) -> None:
    async with open_demo(desk_settings, desk.services, "ann") as client:
        await sign_in(client, "ann")
        answers = [await client.post("/none", headers=SAME_ORIGIN) for _ in range(61)]
        assert [answer.status_code for answer in answers] == [404] * 60 + [429]
        assert answers[-1].headers["retry-after"] == "60"
        assert "Go on in 60 seconds" in answers[-1].text
        assert answers[-1].headers["content-security-policy"].startswith("default-src 'none'")
        refused = await client.post("/", headers=SAME_ORIGIN | {"Cookie": "desk=x"})
        assert refused.status_code == 401

"""What approvers decide about Spectrum at the desk: restate, keep, and import."""

import json
from collections.abc import AsyncIterator
from html import unescape

import pytest

from desk.settings import DeskSettings
from handlers.budget import Status
from tests.desk.acting import BUDGET, People, find_token, open_people
from tests.desk.conftest import Desk
from tests.integration.records import TOPICS
from tests.unit.builders import KEY, accept, acknowledge, bring_to, list_held, lock, reject, snapshot


@pytest.fixture
async def people(desk: Desk, desk_settings: DeskSettings) -> AsyncIterator[People]:
    async with open_people(desk, desk_settings) as opened:
        yield opened


async def differ(people: People) -> None:
    """Let Spectrum hold another original than the one that was exported."""
    base = bring_to(Status.SYNCED).budget.base
    assert base
    held = list_held(base, S05120={"original_estimate_cost": "1.00"})
    await people.desk.receive(lock(), accept(), acknowledge("success"), snapshot(*held, begun=base))


@pytest.mark.parametrize(
    ("act", "fields", "became"),
    [
        ("restate", {}, "restated for ann"),
        ("keep", {"reason": "booked by hand"}, "1 of 1 lines kept by ann: booked by hand"),
        ("keep", {"reason": "booked by hand", "line": "05120|S"}, "1 of 1 lines kept by ann: booked by hand"),
    ],
)
async def test_an_approver_decides_what_differs(people: People, act: str, fields: dict[str, str], became: str) -> None:
    await differ(people)
    page = unescape((await people.get(BUDGET)).text)
    assert "differs from what was exported" in page
    assert f'action="{BUDGET}/acts/{act}"' in page
    answer = await people.post(f"{BUDGET}/acts/{act}", {"token": find_token(page)} | fields)
    assert became in await people.follow(answer)
    assert len(json.loads(people.carrier.sent[0].value or b"")["drift_hash"]) == 64


async def test_keeping_needs_a_reason(people: People) -> None:
    await differ(people)
    answer = await people.act("keep")
    assert (answer.status_code, people.carrier.sent) == (422, [])


async def test_a_line_that_does_not_differ_is_not_taken_for_all(people: People) -> None:
    await differ(people)
    answer = await people.act("keep", reason="booked by hand", line="??|S")
    assert (answer.status_code, people.carrier.sent) == (409, [])


async def test_nothing_is_restated_where_nothing_differs(people: People) -> None:
    await people.desk.receive(lock(), accept(), acknowledge("success"))
    assert "/acts/restate" not in (await people.get(BUDGET)).text
    assert "There is nothing that this could be done to." in (await people.get(f"{BUDGET}/acts/restate")).text


@pytest.mark.parametrize("budget", [KEY, KEY._replace(budget_id=77)])
async def test_an_import_is_asked_for_also_of_a_budget_that_nobody_knows(people: People, budget: object) -> None:
    await people.desk.receive(lock(), reject())
    path = f"/budgets/{budget}/acts/take-import"
    page = (await people.get(path)).text
    fields = {"token": find_token(page), "currency": "USD", "unlocked": "yes"}
    assert (await people.post(path, fields | {"currency": "dollars"})).status_code == 422
    locked = await people.post(path, {"token": fields["token"], "currency": "USD"})
    assert (locked.status_code, "budget_locked" in locked.text) == (409, True)
    assert "an import was asked for by ann" in await people.follow(await people.post(path, fields))
    assert people.carrier.sent[0].topic == TOPICS.full("procore.budgets")

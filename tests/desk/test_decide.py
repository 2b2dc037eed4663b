"""Deciding at the desk, on a real Postgres: what is sent, what is not, and what the receipt says of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from uuid import uuid4

import pytest

from contracts.inbound import BudgetLocked, InboundMessage
from desk.forms import Forms
from desk.settings import DeskSettings
from handlers.budget import Status
from tests.desk.acting import BUDGET, People, find_token, open_people, read_id
from tests.desk.conftest import NOW, SECRET, Desk
from tests.unit.builders import CONCRETE, KEY, RULES, STEEL, accept, acknowledge, bring_to, lock, reject

CHEAPER = STEEL | {"original_amount": "600000.00"}


@pytest.fixture
async def people(desk: Desk, desk_settings: DeskSettings) -> AsyncIterator[People]:
    async with open_people(desk, desk_settings) as opened:
        yield opened


async def test_one_click_accepts_and_ends_on_a_receipt(people: People) -> None:
    await people.desk.receive(lock(1, STEEL, CONCRETE))
    page = unescape((await people.get(BUDGET)).text)
    assert "Accept version 1: 2 lines, USD 952,000.25, to job 26-1001" in page
    answer = await people.post(f"{BUDGET}/acts/accept", {"token": find_token(page)})
    [record] = people.carrier.sent
    sent = json.loads(record.value or b"")
    assert (sent["decision"], sent["decided_by"], sent["budget_version"]) == ("accept", "ann", 1)
    assert len(sent["content_hash"]) == 64
    assert answer.headers["location"].startswith(f"/decisions/4211/90071/{read_id(record)}?sent=")
    receipt = await people.follow(answer)
    for said in ("Kafka has it, in the name of ann", "applied", "accepted by ann", "export B0000001, attempt 1"):
        assert said in receipt, said
    assert "It has not answered yet" in receipt


async def test_a_receipt_is_read_by_its_id_alone_and_follows_the_budget(people: People) -> None:
    await people.desk.receive(lock())
    await people.act("accept", token=await people.find_token())
    path = f"/decisions/4211/90071/{read_id(people.carrier.sent[0])}"
    assert "It has not answered yet" in (await people.get(path)).text
    await people.desk.receive(acknowledge("success"))
    page = (await people.get(path)).text
    assert "Spectrum took it whole" in page
    assert "http-equiv" not in page
    assert (await people.get(path, "eve")).status_code == 404
    assert (await people.get(f"/decisions/4211/90071/{uuid4()}")).status_code == 404


async def test_a_double_click_and_the_back_button_send_one_message(people: People) -> None:
    await people.desk.receive(lock())
    token = await people.find_token()
    people.carrier.gate.clear()
    both = asyncio.gather(people.act("accept", token=token), people.act("accept", token=token))
    await asyncio.sleep(0)
    people.carrier.gate.set()
    first, second = await both
    again = await people.act("accept", token=token)
    assert len(people.carrier.sent) == 1
    for answer in (first, second, again):
        assert "accepted by ann" in await people.follow(answer)


async def test_two_people_at_once_and_the_second_is_told(people: People) -> None:
    await people.desk.receive(lock())
    ann, bob = await people.find_token(), await people.find_token(user="bob")
    assert (await people.act("accept", token=ann)).status_code == 303
    late = await people.act("accept", "bob", token=bob)
    assert late.status_code == 409
    assert "The budget has changed since you opened the page" in late.text
    assert len(people.carrier.sent) == 1


async def test_a_replaced_version_is_not_decided(people: People) -> None:
    await people.desk.receive(lock())
    token = await people.find_token()
    await people.desk.receive(reject(by="bob"), lock(2, CHEAPER))
    answer = await people.act("accept", token=token)
    assert answer.status_code == 409
    assert "Version 1 has been replaced: version 2 is the current one." in answer.text
    assert people.carrier.sent == []


async def test_a_rejection_needs_a_reason_of_at_most_a_thousand_characters(people: People) -> None:
    await people.desk.receive(lock())
    for reason, problem in (("  ", "Say why"), ("x" * 1001, "This reason has 1,001 characters")):
        answer = await people.act("reject", reason=reason)
        assert answer.status_code == 422
        assert problem in answer.text
        assert reason.strip() in answer.text
    assert people.carrier.sent == []
    hostile = "<script>alert(1)</script>\r\nsecond"
    receipt_page = await people.get((await people.act("reject", reason=hostile)).headers["location"])
    assert json.loads(people.carrier.sent[0].value or b"")["reason"] == "<script>alert(1)</script>\nsecond"
    assert "<script>alert" not in receipt_page.text
    assert "&lt;script&gt;alert(1)" in receipt_page.text
    assert "<script>alert" not in (await people.get(BUDGET)).text


async def test_what_takes_something_away_is_confirmed(people: People) -> None:
    await people.desk.receive(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"), lock(2, CONCRETE))
    asked = await people.act("accept", token=await people.find_token(), effective_date="2026-12-01", then="next")
    assert asked.status_code == 200
    page = unescape(asked.text)
    assert "1 line goes to zero in Spectrum. The total falls by 640,000.00 USD. Nothing was sent yet." in page
    assert people.carrier.sent == []
    answer = await people.act("accept", token=find_token(page), confirmed="yes", effective_date="2026-12-01")
    assert answer.status_code == 303
    assert json.loads(people.carrier.sent[0].value or b"")["effective_date"] == "2026-12-01"


async def test_accept_and_open_the_next_says_what_became_of_the_first(people: People) -> None:
    await people.desk.receive(lock())
    answer = await people.act("accept", token=await people.find_token(), then="next")
    assert answer.headers["location"].startswith("/next?after=")
    page = await people.follow(await people.get(answer.headers["location"]))
    assert "Before this: accepted, version 1." in page
    assert f"/decisions/4211/90071/{read_id(people.carrier.sent[0])}" in page


@pytest.mark.parametrize("forged", ["", "x.y", "another's", "of another desk", "of another budget"])
async def test_a_forged_token_sends_nothing(people: People, forged: str) -> None:
    await people.desk.receive(lock())
    token = await people.find_token()
    tokens = {
        "another's": await people.find_token(user="bob"),
        "of another desk": Forms(["z" * 32], lambda: NOW).write("ann", KEY, 1, "x"),
        "of another budget": Forms([SECRET], lambda: NOW).write("ann", KEY._replace(budget_id=1), 1, "x"),
    }
    answer = await people.post(f"{BUDGET}/acts/accept", {"token": tokens.get(forged, forged)})
    assert answer.status_code == 409
    assert "This form" in answer.text
    assert people.carrier.sent == []
    assert (await people.post(f"{BUDGET}/acts/accept", {"token": token})).status_code == 303


async def test_a_right_that_was_taken_away_sends_nothing(people: People) -> None:
    await people.desk.receive(lock())
    token = await people.find_token()
    await people.desk.apply_rules(replace(RULES, approvers={(4211, None): frozenset({"bob"})}))
    assert (await people.act("accept", token=token)).status_code == 404
    assert (await people.post(f"{BUDGET}/acts/accept", {"token": token}, "olga")).status_code == 403
    assert people.carrier.sent == []


@pytest.mark.parametrize("arrived", [True, False])
async def test_an_unknown_outcome_is_sent_again_as_the_same_message(
    people: People, desk_settings: DeskSettings, *, arrived: bool
) -> None:
    await people.desk.receive(lock())
    carrier = people.carrier
    carrier.problem, carrier.loses = "no broker answers", arrived
    carrier.decides = False
    unknown = await people.act("accept", token=await people.find_token())
    assert unknown.status_code == 503
    assert "Send again: it is the same message" in unknown.text
    fields = {"token": find_token(unknown.text), "again": unknown.text.split('name="again" value="')[1].split('"')[0]}
    # Another process, which remembers nothing.
    later = replace(people.desk.services, now=lambda: NOW.replace(hour=15))
    async with open_people(people.desk, desk_settings, now=later.now) as others:
        assert "accepted by ann" in await others.follow(await others.post(f"{BUDGET}/acts/accept", fields))
        [record] = others.carrier.sent
    if arrived:
        assert (record.value, read_id(record)) == (carrier.sent[0].value, read_id(carrier.sent[0]))
    assert json.loads(record.value or b"")["decided_at"] == "2026-11-24T14:00:00Z"


async def test_a_silent_kafka_is_waited_for_and_then_said(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    await people.desk.receive(lock())
    people.carrier.gate.clear()
    token = await people.find_token()
    with monkeypatch.context() as impatient:
        impatient.setattr("desk.send.ANSWER_SECONDS", 0.05)
        unknown = await people.act("accept", token=token)
    assert unknown.status_code == 503
    assert "Kafka has not answered within" in unknown.text
    people.carrier.gate.set()
    assert "accepted by ann" in await people.follow(await people.act("accept", token=token))
    assert len(people.carrier.sent) == 1


async def test_nothing_is_shown_as_done_before_it_is_decided(people: People) -> None:
    await people.desk.receive(lock())
    people.carrier.decides = False
    answer = await people.act("accept", token=await people.find_token())
    receipt = await people.follow(answer)
    assert "It waits for the bridge." in receipt
    assert '<meta http-equiv="refresh" content="1">' in receipt
    assert "applied" not in receipt
    assert "accepted" not in receipt
    assert "waits for approval" in (await people.get(BUDGET)).text
    # Without the address there is nothing to say that anything was sent.
    assert (await people.get(answer.headers["location"].partition("?")[0])).status_code == 404


@pytest.mark.parametrize(
    ("code", "locked"), [("same_person", lock(sent_by="ann")), ("sender_unknown", lock(sent_by=None))]
)
async def test_the_sentence_before_the_click_is_the_one_after_it(
    people: People, code: str, locked: BudgetLocked
) -> None:
    await people.desk.receive(locked)
    page = unescape((await people.get(f"{BUDGET}/acts/accept")).text)
    await people.desk.receive(accept())
    detail = await people.desk.connection.fetchval(
        "select detail from history where type = 'approval.decision.v1' order by inbox_offset desc limit 1"
    )
    assert detail.startswith(f"{code}: ")
    assert f"<code>{code}</code>. {detail.removeprefix(f'{code}: ')}" in page


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING_APPROVAL])
async def test_what_cannot_be_accepted_has_no_button_and_a_sentence(people: People, status: Status) -> None:
    ways: dict[Status, list[InboundMessage]] = {
        Status.INVALID: [lock(1, STEEL | {"cost_code": "??"})],
        Status.RETURNED: [lock(), reject()],
        Status.EXPORTING: [lock(), accept()],
        Status.EXPORT_FAILED: [lock(), accept(), acknowledge("failed")],
        Status.SYNCED: [lock(), accept(), acknowledge("success")],
    }
    await people.desk.receive(*ways[status])
    assert bring_to(status).status is status
    page = (await people.get(BUDGET)).text
    offered = status is Status.EXPORT_FAILED
    assert ("data-accept" in page) is offered
    assert ("The bridge would not do this now" in (await people.get(f"{BUDGET}/acts/accept")).text) is not offered

"""What operators do at the desk, on a real Postgres: on one budget, on many, and with dead letters."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from uuid import UUID

import pytest

from contracts.inbound import InboundMessage
from desk.acting import digest_state
from desk.settings import DeskSettings
from outbox.story import read_story
from tests.desk.acting import BUDGET, People, find_token, open_people, read_id
from tests.desk.conftest import Desk
from tests.integration.records import TOPICS
from tests.unit.builders import KEY, RULES, accept, acknowledge, lock

FAILED: tuple[InboundMessage, ...] = (lock(), accept(), acknowledge("failed"))


@pytest.fixture
async def people(desk: Desk, desk_settings: DeskSettings) -> AsyncIterator[People]:
    async with open_people(desk, desk_settings) as opened:
        yield opened


async def test_a_retry_is_tried_out_sent_and_receipted(people: People) -> None:
    await people.desk.receive(*FAILED)
    page = unescape((await people.get(f"{BUDGET}/acts/retry", "olga")).text)
    assert "The bridge would do this now, in the name of olga." in page
    assert "Last export: B0000001, version 1, attempt 1" in page
    receipt = await people.follow(await people.act("retry", "olga", reason="period is open again"), "olga")
    assert "export B0000001, attempt 2" in receipt
    assert "period is open again" in receipt
    sent = json.loads(people.carrier.sent[0].value or b"")
    assert (sent["requested_by"], sent["budget_version"]) == ("olga", 1)
    assert people.carrier.sent[0].topic == TOPICS.commands


@pytest.mark.parametrize(
    ("act", "code", "before"),
    [
        ("retry", "not_failed", (lock(),)),
        ("retry", "not_failed", (lock(), accept(), acknowledge("success"))),
        ("reset", "already_exported", (lock(), accept())),
    ],
)
async def test_the_sentence_before_is_that_of_history(
    people: People, act: str, code: str, before: tuple[InboundMessage, ...]
) -> None:
    await people.desk.receive(*before)
    page = unescape((await people.get(f"{BUDGET}/acts/{act}", "olga")).text)
    assert f"it would be refused, <code>{code}</code>." in page
    assert 'class="act"' not in page
    token = await write_token(people)
    answer = await people.act(act, "olga", token=token, reason="x", key=str(KEY), tick="yes")
    assert (answer.status_code, people.carrier.sent) == (409, [])
    sentence = unescape(answer.text).split(f"<code>{code}</code> ")[1].split("</p>")[0]
    assert sentence in page


async def write_token(people: People) -> str:
    """The token of somebody who saw the state as it is, and was offered another act."""
    story = await read_story(people.desk.connection, KEY, TOPICS, 1)
    assert story
    assert story.budget
    return people.desk.services.forms.write("olga", KEY, 1, digest_state(story.budget))


async def test_a_reset_needs_the_key_and_a_tick(people: People) -> None:
    await people.desk.receive(*FAILED)
    for fields, problem in (
        ({"key": "4211/90071/1", "tick": "yes"}, f"Type the key of the budget, {KEY}"),
        ({"key": str(KEY)}, "Tick this once it is true."),
    ):
        answer = await people.act("reset", "olga", reason="cleared by hand", **fields)
        assert (answer.status_code, people.carrier.sent) == (422, [])
        assert problem in answer.text
    receipt = await people.follow(
        await people.act("reset", "olga", reason="cleared by hand", key=str(KEY), tick="yes"), "olga"
    )
    assert "reset by olga: cleared by hand" in receipt


@pytest.mark.parametrize(("answer", "words"), [("success", "in Spectrum"), ("failed", "its export failed")])
async def test_an_operator_answers_in_spectrums_place(people: People, answer: str, words: str) -> None:
    await people.desk.receive(lock(), accept())
    sent = await people.act(f"acknowledge-{answer}", "olga", reason="looked at it", tick="yes")
    assert "applied" in await people.follow(sent, "olga")
    assert people.carrier.sent[0].topic == TOPICS.full("spectrum.acknowledgements")
    assert words in (await people.get(BUDGET, "olga")).text


async def test_a_skip_shows_what_is_left_out_and_leaves_out_nothing_else(people: People) -> None:
    await people.desk.receive(lock())
    await people.desk.connection.execute("update budgets set on_hold = true")
    await people.desk.receive(accept())
    page = unescape((await people.get(f"{BUDGET}/acts/skip", "olga")).text)
    assert "approval.decision.v1" in page
    assert "left out" in page
    token = find_token(page)
    receipt = await people.follow(await people.act("skip", "olga", token=token, reason="a mistake"), "olga")
    assert "0 held messages decided after a release by olga: a mistake" in receipt
    assert "waits for approval" in (await people.get(BUDGET)).text


async def test_approvers_command_nothing_and_operators_approve_nothing(people: People) -> None:
    await people.desk.receive(*FAILED)
    assert (await people.get(f"{BUDGET}/acts/retry")).status_code == 403
    assert (await people.get(f"{BUDGET}/acts/accept", "olga")).status_code == 403
    assert "data-accept" not in (await people.get(BUDGET, "olga")).text
    assert "/acts/retry" not in (await people.get(BUDGET)).text
    assert (await people.get(f"{BUDGET}/acts/anything", "olga")).status_code == 404


async def test_an_act_is_not_offered_where_the_desk_may_not_write(people: People) -> None:
    await people.desk.receive(*FAILED)
    live = people.app.state.live
    live._writable = frozenset({TOPICS.full("procore.approvals")})
    assert "/acts/retry" not in (await people.get(BUDGET, "olga")).text
    refused = await people.get(f"{BUDGET}/acts/retry", "olga")
    assert (refused.status_code, "no right to write to bridge.commands" in refused.text) == (403, True)
    assert "data-accept" in (await people.get(BUDGET)).text


OTHERS = [KEY._replace(project_id=project) for project in (1, 2, 3)]


async def fail_three(people: People) -> None:
    jobs = {key.project: RULES.jobs[KEY.project]._replace(job_number=f"J{key.project_id}") for key in OTHERS}
    await people.desk.apply_rules(replace(RULES, jobs={**RULES.jobs, **jobs}))
    for key in OTHERS:
        await people.desk.receive(lock(key=key), accept(by="bob", key=key))
        if key != OTHERS[2]:
            await people.desk.receive(acknowledge("failed", key=key))


async def test_many_are_sent_again_at_once_and_counted_from_history(
    people: People, desk_settings: DeskSettings
) -> None:
    await fail_three(people)
    await people.desk.receive(acknowledge("success", key=OTHERS[2]))
    chosen = "&".join(f"budget={key}" for key in OTHERS)
    page = (await people.get(f"/console/operations/new?act=retry&{chosen}", "olga")).text
    assert "not do it" in page
    fields = {"token": find_token(page), "act": "retry", "reason": "Spectrum was down", "budget": find_budgets(page)}
    assert len(fields["budget"]) == 2
    people.carrier.decides = False
    answer = await people.post("/console/operations", fields, "olga")
    address = answer.headers["location"]
    assert "2 not decided yet" in (await people.get(address, "olga")).text
    async with open_people(people.desk, desk_settings) as others:
        # Another process; what lacks is sent again, and is the same.
        again = await others.post(f"{address.partition('?')[0]}/again", {"of": address.partition("of=")[2]}, "olga")
        page = await others.follow(again, "olga")
        assert "2 applied" in page
        assert [read_id(one) for one in others.carrier.sent] == [read_id(one) for one in people.carrier.sent]
        assert [one.value for one in others.carrier.sent] == [one.value for one in people.carrier.sent]
    assert "2 applied" in (await people.get(address, "olga")).text
    assert (await people.get(address, "ann")).status_code == 403
    assert (await people.get(address.partition("?")[0], "olga")).status_code == 404


def find_budgets(page: str) -> list[str]:
    return [piece.split('"')[0] for piece in page.split('name="budget" value="')[1:]]


async def test_what_has_changed_since_is_left_out(people: People) -> None:
    await fail_three(people)
    chosen = "&".join(f"budget={key}" for key in OTHERS[:2])
    page = (await people.get(f"/console/operations/new?act=retry&{chosen}", "olga")).text
    await people.desk.receive(accept(by="bob", key=OTHERS[0], decided_at="2026-11-25T10:00:00Z"))
    fields = {"token": find_token(page), "act": "retry", "reason": "again", "budget": find_budgets(page)}
    shown = await people.follow(await people.post("/console/operations", fields, "olga"), "olga")
    assert "1 applied" in shown
    assert "1 budget left out" in shown
    assert [one.key for one in people.carrier.sent] == [str(OTHERS[1]).encode()]


@pytest.mark.parametrize(
    "query",
    [
        "act=retry",
        "act=accept&budget=1/1/1",
        "act=retry&budget=x",
        "act=retry" + "".join(f"&budget=1/1/{n}" for n in range(1, 102)),
    ],
)
async def test_an_operation_is_on_one_to_a_hundred_budgets(people: People, query: str) -> None:
    assert (await people.get(f"/console/operations/new?{query}", "olga")).status_code in {400, 404}


async def test_a_dead_letter_goes_back_only_if_it_would_be_read_now(people: People) -> None:
    await people.desk.receive(b"{", *FAILED[:1])
    letters = await people.desk.connection.fetch("select id from outbox where topic = $1", TOPICS.dead_letters)
    [letter] = [UUID(str(row["id"])) for row in letters]
    path = f"/console/dead-letters/{letter}"
    page = unescape((await people.get(path, "olga")).text)
    assert "It would still be unreadable" in page
    assert "/replay" not in page
    answer = await people.post(f"{path}/replay", {"token": "x"}, "olga")
    assert (answer.status_code, people.carrier.sent) == (409, [])

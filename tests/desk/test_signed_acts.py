"""Acts at the desk where decisions must be signed: tried out with the desk's own key, and found at their own place."""

from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape

import pytest

from contracts.records import Place
from contracts.signature.signing import PrivateKey, generate_key
from desk.settings import DeskSettings
from handlers.rules import Rules
from handlers.signers import Signer
from tests.desk.acting import BUDGET, People, open_people
from tests.desk.conftest import Desk
from tests.unit.builders import RULES, accept, lock

KEY_OF_DESK = generate_key("desk-1", "*", "EdDSA")
SIGNED = replace(
    RULES,
    signing_keys={"desk-1": KEY_OF_DESK.public},
    signers=(Signer("desk-1", "*", 4211, None, frozenset({"decision"})),),
    signatures_required=frozenset({"decision"}),
)


@pytest.fixture
async def people(desk: Desk, desk_settings: DeskSettings) -> AsyncIterator[People]:
    async with open_people(desk, desk_settings, key=KEY_OF_DESK) as opened:
        yield opened


async def test_what_the_desk_signs_is_applied(people: People) -> None:
    await people.desk.apply_rules(SIGNED)
    await people.desk.receive(lock())
    answer = await people.act("accept", token=await people.find_token())
    assert "accepted by ann" in await people.follow(answer)
    assert "ce_dssematerial" in dict(people.carrier.sent[0].headers)
    assert await people.desk.connection.fetchval("select kid from history where kid is not null") == "desk-1"


OTHER = generate_key("desk-1", "*", "EdDSA")


@pytest.mark.parametrize(
    ("key", "rules", "code"),
    [
        (None, SIGNED, "signature_missing"),
        (OTHER, SIGNED, "signature_invalid"),
        (KEY_OF_DESK, replace(SIGNED, signers=()), "signer_not_allowed"),
    ],
)
async def test_what_would_not_be_proven_is_said_before_the_click_in_the_same_words(
    desk: Desk, desk_settings: DeskSettings, key: PrivateKey | None, rules: Rules, code: str
) -> None:
    await desk.receive(lock())
    async with open_people(desk, desk_settings, key=key) as people:
        token = await people.find_token()
        people.carrier.decides = False
        sent = await people.act("accept", token=token)
        await desk.apply_rules(rules)
        page = unescape((await people.get(f"{BUDGET}/acts/accept")).text)
        assert f"<code>{code}</code>" in page
        # What was sent before the rules changed is decided by the new ones.
        [record] = people.carrier.sent
        await people.carrier.decide(record, Place(record.topic, 0, 1001))
        detail = await desk.connection.fetchval("select detail from history where verdict = 'refused'")
        assert detail.removeprefix(f"{code}: ") in page
        receipt = await people.follow(sent)
        assert f"<code>{code}</code>" in receipt
        assert detail.removeprefix(f"{code}: ") in receipt


async def test_a_refusal_of_somebody_else_under_the_same_id_is_not_shown(people: People) -> None:
    await people.desk.receive(lock())
    people.carrier.decides = False
    answer = await people.act("accept", token=await people.find_token())
    await people.desk.apply_rules(SIGNED)
    [record] = people.carrier.sent
    forged = replace(record, value=(record.value or b"").replace(b'"accept"', b'"reject"'))
    await people.carrier.decide(forged, Place(record.topic, 0, 5))
    assert "It waits for the bridge." in await people.follow(answer)
    await people.carrier.decide(record, Place(record.topic, 0, 1001))
    assert "accepted by ann" in await people.follow(answer)


async def test_an_acceptance_of_before_is_still_refused_by_its_reason(people: People) -> None:
    await people.desk.apply_rules(SIGNED)
    await people.desk.receive(lock(), accept())
    detail = await people.desk.connection.fetchval("select detail from history where verdict = 'refused'")
    assert detail.startswith("signature_missing")
    assert "data-accept" in (await people.get(BUDGET)).text

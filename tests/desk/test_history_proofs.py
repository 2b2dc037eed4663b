"""Whose signature stands under what, and whether Kafka has what was sent because of it."""

from dataclasses import replace
from uuid import uuid4

from desk.history import tell
from desk.settings import DeskSettings
from handlers.signers import ANYBODY, Signer
from outbox.story import read_story
from tests.desk.acting import BUDGET, open_people
from tests.desk.conftest import Desk
from tests.integration.records import TOPICS
from tests.unit.builders import KEY, lock
from tests.unit.signed import BOB, SIGNED
from worker.kafka.admin import NewTopicSpec, create_topics
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import GroupOffset, commit_group_offsets


async def test_a_verified_signature_is_named_with_its_key_and_for_whom_it_vouches(
    desk: Desk, desk_settings: DeskSettings
) -> None:
    await desk.apply_rules(SIGNED)
    await desk.receive(lock())
    async with open_people(desk, desk_settings, key=BOB) as people:
        assert "You may accept" in (await people.get(BUDGET)).text
        assert "may accept" in (await people.get("/?mine=yes")).text
        await people.act("accept")
        page = (await people.get(BUDGET)).text
    assert "✓ signature verified: key <code>bob-1</code> of whomever it has signed in" in page
    assert "no signature" not in page


async def test_a_desk_without_a_key_says_who_can_give_it_one(desk: Desk) -> None:
    await desk.apply_rules(SIGNED)
    await desk.receive(lock())
    assert "This desk has no key to sign with: whoever runs it gives it one" in (await desk.get(BUDGET)).text
    assert "desk has no key" in (await desk.get("/")).text


async def test_a_key_that_the_rules_no_longer_list_is_still_named(desk: Desk, desk_settings: DeskSettings) -> None:
    await desk.apply_rules(SIGNED)
    await desk.receive(lock())
    async with open_people(desk, desk_settings, key=BOB) as people:
        await people.act("accept")
        await desk.apply_rules(replace(SIGNED, signers=()))
        assert "✓ signature verified: key <code>bob-1</code></span>" in (await people.get(BUDGET)).text


async def test_only_the_rows_of_its_key_say_whose_a_signature_is(desk: Desk, desk_settings: DeskSettings) -> None:
    await desk.apply_rules(SIGNED)
    await desk.receive(lock())
    async with open_people(desk, desk_settings, key=BOB) as people:
        await people.act("accept")
    story = await read_story(desk.connection, KEY, TOPICS, 10)
    assert story
    [accepted] = [one for one in story.received if one.kid]
    may = frozenset({"decision"})
    signers = (
        Signer("bob-1", "bob", 4211, None, may),  # type: ignore[arg-type]
        Signer("bob-1", ANYBODY, 4211, 1, may),  # type: ignore[arg-type]
        Signer("eve-1", "eve", 4211, None, may),  # type: ignore[arg-type]
    )
    assert tell(accepted, signers).signer == "whomever it has signed in, bob"


async def test_what_kafka_does_not_have_yet_is_marked(desk: Desk, desk_settings: DeskSettings, kafka: str) -> None:
    connection, group, lane = KafkaConnection(kafka), f"desk-{uuid4()}", (TOPICS.inbox, 0)
    await create_topics(connection, [NewTopicSpec(TOPICS.inbox, 1, {})], None)
    await desk.receive(lock())
    settings = desk_settings.model_copy(update={"kafka_group_id": group})
    async with open_people(desk, settings, kafka=connection) as people:
        # As once it follows the topic of statuses.
        people.app.state.live.problem = None
        assert "not published yet" in (await people.get(BUDGET)).text
        await commit_group_offsets(connection, group, {lane: GroupOffset(desk.offset, "")})
        page = (await people.get(BUDGET)).text
    assert "not published yet" not in page
    assert "What was sent is in Kafka, unless it says otherwise" in page

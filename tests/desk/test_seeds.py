"""The seeds of the desk's demo reach the states that they promise, on a real Postgres."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from demo.bridge_client import Written, read_sent
from demo.desk_rules import CHARACTERS, write_desk_rules
from demo.keys import make_keys
from demo.scene import OPERATOR
from demo.seeds import LARGE, SEEDS, Reached
from handlers.validation.limits import MAX_LINES
from outbox.database import connect
from tests.desk.world import World, open_world, plant
from worker.rules_files import read_rules


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    connection = await connect(database_url)
    yield await open_world(connection, tmp_path)
    await connection.close()


async def test_each_seed_reaches_its_state(world: World) -> None:
    seeding = await plant(world)
    assert seeding.list_missing(but_for_deadlines=True) == []
    assert [seed.reaches for seed in seeding.list_missing()] == [Reached(1, "EXPORTING", overdue=True)]
    for sent in await world.wait(timedelta(seconds=61)):
        seeding.note(read_sent(sent))
    assert seeding.list_missing() == []


async def test_a_resync_shows_every_kind_of_change_and_the_large_one_is_as_large_as_may_be(world: World) -> None:
    await plant(world)
    asked = [read_sent(sent) for sent in world.sent]
    (resync,) = (one.data for one in asked if one.type == "approval.requested.v1" and one.data["kind"] == "resync")
    assert Counter(line["change"] for line in resync["lines"]) == {"same": 2, "set": 1, "add": 1, "zero": 1}
    assert len(LARGE) == MAX_LINES
    assert max(len(one.data["lines"]) for one in asked if one.type == "approval.requested.v1") == MAX_LINES


async def test_a_retry_of_what_spectrum_refused_succeeds(world: World) -> None:
    await plant(world)
    (failed,) = (seed for seed in SEEDS if seed.reaches.status == "EXPORT_FAILED")
    retry = {"requested_by": OPERATOR, "reason": "the period is open again"}
    sent = await world.send([world.write(Written("export.retry.v1", failed.budget, 1, retry, "retry"))])
    assert "SYNCED" in [read_sent(one).data.get("status") for one in sent]


def test_each_character_has_the_rights_of_their_part(tmp_path: Path) -> None:
    write_desk_rules(tmp_path / "rules", make_keys(tmp_path))
    rules = read_rules(tmp_path / "rules")
    projects = [seed.budget.project for seed in SEEDS]
    approved = {one.user: sum(rules.may_approve(one.user, *project) for project in projects) for one in CHARACTERS}
    assert list(approved.values()) == [len(SEEDS), 2, len(SEEDS), 0, 0]

"""Rules in force, on a real Postgres: one version for everybody, changed at once, never while a batch is decided."""

import asyncio
import json
from dataclasses import replace

import pytest

from contracts.inbound import InboundMessage
from handlers.rules import Rules
from outbox import rules as outbox_rules
from outbox.budget_record import read_budget_record
from outbox.database import Connection, connect, transaction
from outbox.invalid_budgets import CheckedBudget, check_invalid_budgets
from outbox.position import Position
from outbox.rules import (
    RulesUnavailable,
    count_applications,
    find_application,
    list_applications,
    put_in_force,
    read_rules_in_force,
    read_version,
)
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import KEY, RULES, STEEL, accept, lock
from worker.rules_in_force import FIRST_START, RulesFolder, apply_first_rules, apply_rules, is_in_force
from worker.settings import ConfigurationError

STRICT = replace(RULES, removed_lines="block")
OTHER_JOB = replace(RULES, jobs={KEY[:2]: RULES.jobs[KEY[:2]]._replace(job_number="NEW")})
STOLEN = replace(RULES, jobs={(4211, 5): RULES.jobs[KEY[:2]]})
NO_PHASES = replace(RULES, phases={})


@pytest.fixture
def rules() -> None:
    """None are in force yet."""


async def wait_until_blocked(connection: Connection, sessions: int) -> None:
    """Wait until so many sessions wait for the lock on the rules."""
    count = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    while await connection.fetchval(count) < sessions:  # noqa: ASYNC110 - another session's waiting has no event
        await asyncio.sleep(0)


async def test_nothing_is_decided_before_rules_are_in_force(connection: Connection, position: Position) -> None:
    with pytest.raises(RulesUnavailable, match="`budget-bridge rules apply`"):
        await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    assert await connection.fetchval("select next_offset from positions") == 0


async def test_who_applied_what_and_why(connection: Connection) -> None:
    first = await apply_rules(connection, RULES, "ann", "the start")
    second = await apply_rules(connection, STRICT, "bob", "no line may vanish")
    assert (first.is_new, second.is_new) == (True, True)
    assert second.application.rules_id != first.application.rules_id
    assert await find_application(connection) == second.application
    assert await find_application(connection, first.application.rules_id) == first.application
    assert await find_application(connection, 999) is None
    back = await apply_rules(connection, RULES, "ann", "too strict")
    assert (back.application.rules_id, back.application.why) == (first.application.rules_id, "too strict")
    listed = await list_applications(connection, 2)
    assert listed == [back.application, second.application]
    assert await count_applications(connection) == 3
    assert await read_version(connection, second.application.rules_id) == STRICT


async def test_the_same_rules_are_not_applied_again(connection: Connection) -> None:
    first = await apply_rules(connection, RULES, "ann", "the start")
    again = await apply_rules(connection, RULES, "bob", "to be sure")
    assert (again.application, again.is_new) == (first.application, False)
    assert await count_applications(connection) == 1


async def test_a_row_without_a_policy_that_came_later_is_the_same_rules(connection: Connection) -> None:
    await apply_rules(connection, RULES, "ann", "the start")
    content = json.loads(await connection.fetchval("select content from rules"))
    del content["quantities"]
    await connection.execute("update rules set content = $1, digest = 'older'", json.dumps(content))
    assert await is_in_force(connection, RULES)
    assert (await read_rules_in_force(connection)).rules == RULES
    assert not (await apply_rules(connection, RULES, "bob", "after the upgrade")).is_new


async def test_a_version_that_a_newer_program_wrote_decides_nothing(connection: Connection, position: Position) -> None:
    await apply_rules(connection, RULES, "ann", "the start")
    content = json.loads(await connection.fetchval("select content from rules")) | {"dual_control": True}
    await connection.execute("update rules set content = $1, digest = 'newer'", json.dumps(content))
    with pytest.raises(RulesUnavailable, match="a newer budget-bridge wrote them, with dual_control"):
        await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    assert await connection.fetchval("select count(*) from history") == 0


async def test_the_first_start_applies_the_folder_and_no_later_one(connection: Connection) -> None:
    with pytest.raises(ConfigurationError, match="no version of the rules is in force: set RULES_DIR"):
        await apply_first_rules(connection, RulesFolder(None), "budget-bridge run")
    with pytest.raises(ConfigurationError, match=r"jobs\.csv is broken"):
        await apply_first_rules(connection, RulesFolder(None, ("jobs.csv is broken",)), "budget-bridge run")
    first = await apply_first_rules(connection, RulesFolder(RULES), "budget-bridge run")
    assert (first.is_new, first.application.applied_by, first.application.why) == (
        True,
        "budget-bridge run",
        FIRST_START,
    )
    for folder in (RulesFolder(STRICT), RulesFolder(None), RulesFolder(None, ("jobs.csv is broken",))):
        assert await apply_first_rules(connection, folder, "budget-bridge run") == (first.application, False)
    assert not await is_in_force(connection, STRICT)


async def test_twenty_first_starts_at_once_apply_one_version(connection: Connection, database_url: str) -> None:
    sessions = [await connect(database_url) for _ in range(20)]
    applied = await asyncio.gather(
        *(apply_first_rules(session, RulesFolder(RULES), f"worker {n}") for n, session in enumerate(sessions))
    )
    assert sum(one.is_new for one in applied) == 1
    assert await count_applications(connection) == 1
    for session in sessions:
        await session.close()


async def test_a_job_that_spectrum_may_hold_is_not_given_away(connection: Connection, position: Position) -> None:
    before = await apply_rules(connection, RULES, "ann", "the start")
    await store_batch(connection, position, [arrive(0, lock()), arrive(1, accept())], TOPICS)
    with pytest.raises(ConfigurationError, match=f"Spectrum may hold budget {KEY} there"):
        await apply_rules(connection, STOLEN, "bob", "a new owner")
    assert await find_application(connection) == before.application
    # Another job for the same project gives nothing away.
    assert (await apply_rules(connection, OTHER_JOB, "bob", "moved")).is_new


async def test_each_verdict_names_the_version_that_was_in_force(connection: Connection, position: Position) -> None:
    first = await apply_rules(connection, RULES, "ann", "the start")
    position, decided = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    assert decided.rules.id == first.application.rules_id
    second = await apply_rules(connection, replace(RULES, approvers={}), "bob", "nobody")
    position, decided = await store_batch(connection, position, [arrive(1, accept())], TOPICS)
    assert (decided.rules.id, decided.rules.rules.approvers) == (second.application.rules_id, {})
    story = await read_budget_record(connection, KEY)
    assert story
    assert [(row.verdict, row.rules_id) for row in story.history] == [
        ("applied", first.application.rules_id),
        ("refused", second.application.rules_id),
    ]


async def test_the_content_is_read_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    await apply_rules(connection, RULES, "ann", "the start")
    first = await read_rules_in_force(connection)
    monkeypatch.setattr(outbox_rules, "decode_rules", None)
    assert await read_rules_in_force(connection) is first


async def test_an_application_waits_for_the_batch_and_the_next_batch_for_it(
    connection: Connection, database_url: str
) -> None:
    """What is stored after an application was never decided by the version before it."""
    await apply_rules(connection, RULES, "ann", "the start")
    second, third, observer = [await connect(database_url) for _ in range(3)]
    async with transaction(connection):
        before = await read_rules_in_force(connection)
        applying = asyncio.create_task(apply_rules(second, STRICT, "bob", "no line may vanish"))
        await wait_until_blocked(observer, 1)
        reading = asyncio.create_task(read_rules_in_force(third))
        await wait_until_blocked(observer, 2)
        assert not applying.done()
        assert await read_rules_in_force(connection) == before
    applied = await applying
    assert (await reading).id == applied.application.rules_id
    for session in (second, third, observer):
        await session.close()


async def test_a_failed_application_changes_nothing(connection: Connection) -> None:
    await apply_rules(connection, RULES, "ann", "the start")
    with pytest.raises(ZeroDivisionError):
        async with outbox_rules.lock_rules(connection):
            await put_in_force(connection, STRICT, "bob", "a mistake")
            raise ZeroDivisionError
    assert await is_in_force(connection, RULES)
    assert await count_applications(connection) == 1


async def check(connection: Connection, rules: Rules) -> list[CheckedBudget]:
    return [budget async for budget in check_invalid_budgets(connection, rules)]


async def test_which_invalid_budgets_would_pass(connection: Connection, position: Position) -> None:
    await apply_rules(connection, NO_PHASES, "ann", "the start")
    keys = [KEY._replace(project_id=KEY.project_id, budget_id=number) for number in range(1, 4)]
    bodies: list[InboundMessage] = [lock(1, key=key) for key in keys]
    bodies += [lock(2, STEEL | {"description": "\x07"}, key=keys[1]), lock(2, key=keys[2])]
    position, _ = await store_batch(
        connection, position, [arrive(offset, body) for offset, body in enumerate(bodies)], TOPICS
    )
    assert await check(connection, NO_PHASES) == [
        CheckedBudget(keys[0], 1, passes=False),
        CheckedBudget(keys[1], 2, passes=False),
        CheckedBudget(keys[2], 2, passes=False),
    ]
    assert [budget.passes for budget in await check(connection, RULES)] == [True, False, True]
    await connection.execute("update history set pruned = true, key = null, body = null where inbox_offset = 3")
    assert [budget.passes for budget in await check(connection, RULES)] == [True, None, True]
    # One that takes the job leaves none for the others.
    await apply_rules(connection, RULES, "ann", "phases")
    await store_batch(connection, position, [arrive(9, lock(3, key=keys[2]))], TOPICS)
    assert await check(connection, RULES) == [
        CheckedBudget(keys[0], 1, passes=False),
        CheckedBudget(keys[1], 2, passes=None),
    ]


async def test_invalid_budgets_are_checked_in_pages(
    connection: Connection, position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply_rules(connection, NO_PHASES, "ann", "the start")
    keys = [KEY._replace(budget_id=number) for number in range(1, 8)]
    batch = [arrive(offset, lock(1, key=key)) for offset, key in enumerate(keys)]
    await store_batch(connection, position, batch, TOPICS)
    for size in (1, 3, 7, 8):
        monkeypatch.setattr("outbox.invalid_budgets._BUDGETS_AT_ONCE", size)
        assert [budget.key for budget in await check(connection, RULES)] == keys

"""The batch transaction, on a real Postgres: one writer, one verdict for each message, all or nothing."""

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.inbound import BudgetLocked, InboundMessage
from handlers.budget import Budget
from outbox import due
from outbox.backlog import read_outbox
from outbox.budget_record import read_budget_record
from outbox.database import Connection, DatabaseDown, DataRefusedError, connect, transaction, translate_errors
from outbox.due import find_due
from outbox.identity import identify
from outbox.lost_jobs import find_lost_jobs
from outbox.position import Position, PositionLost, start_position, take_position
from outbox.queries import QUERIES
from outbox.rules import lock_rules, put_in_force
from outbox.store import store_batch
from outbox.writing import write_budgets
from tests.integration.records import TOPICS, arrive
from tests.integration.stored import count_rows, read_verdicts
from tests.unit.builders import KEY, RULES, STEEL, accept, acknowledge, hash_of, lock, reject, reset, retrieve


async def test_what_decide_sends_is_what_the_outbox_holds(connection: Connection, position: Position) -> None:
    batch = [arrive(0, lock()), arrive(1, accept())]
    after, decided = await store_batch(connection, position, batch, TOPICS)
    assert after.next_offset == 2
    stored = await read_outbox(connection, 0, 0, 2, 100)
    assert [row.record for row in stored] == [row.record for row in decided.rows]
    assert [row.record.topic for row in stored] == [
        "x.bridge.approval-requests",
        "x.bridge.status",
        "x.spectrum.exports",
        "x.bridge.status",
    ]
    assert [row.inbox_offset for row in await read_outbox(connection, 0, 1, 2, 100)] == [1, 1]
    assert await take_position(connection, 0, position.owner) == after
    story = await read_budget_record(connection, KEY)
    assert story
    assert story.status
    assert (story.status.status, len(story.history), len(story.sent)) == ("EXPORTING", 2, 4)


async def test_two_workers_on_one_position(connection: Connection, database_url: str, position: Position) -> None:
    other = await connect(database_url)
    batch = [arrive(0, lock()), arrive(1, accept())]
    results = await asyncio.gather(
        store_batch(connection, position, batch, TOPICS),
        store_batch(other, position, batch, TOPICS),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["PositionLost", "tuple"]
    assert await count_rows(connection, "outbox") == 4
    await other.close()


async def test_a_zombie_that_wakes_stores_nothing(
    connection: Connection, database_url: str, position: Position
) -> None:
    successor = await connect(database_url)
    taken = await take_position(successor, 0, uuid4())
    assert taken
    with pytest.raises(PositionLost):
        await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    assert await count_rows(connection, "history") == 0
    await store_batch(successor, taken, [arrive(0, lock())], TOPICS)
    await successor.close()


async def test_taking_a_position_waits_for_the_transaction_of_its_owner(
    connection: Connection, database_url: str, position: Position
) -> None:
    successor = await connect(database_url)
    async with transaction(connection):
        await connection.execute("update positions set next_offset = 7")
        taking = asyncio.create_task(take_position(successor, 0, uuid4()))
        done, _ = await asyncio.wait({taking}, timeout=0.3)
        assert not done
    taken = await taking
    assert taken
    assert taken.next_offset == 7
    assert position.next_offset == 0
    await successor.close()


MANY_MOVES = """
do $$ begin
    for batch in 1 .. 20000 loop
        update positions set next_offset = next_offset + 1 where next_offset = batch - 1;
        commit;
    end loop;
end $$
"""


async def test_a_batch_passes_none_of_the_versions_that_a_held_snapshot_keeps(
    connection: Connection, database_url: str, position: Position
) -> None:
    """A report that is left open over a day keeps a version of the position for each batch of that day."""
    # Without the limits of a lane's session: a report has none, and on a slow machine so many moves take longer.
    holder, mover = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await holder.execute("begin isolation level repeatable read")
    await holder.execute("select from positions")
    await mover.execute("set synchronous_commit = off")
    await mover.execute(MANY_MOVES)
    await mover.close()
    moving = f"explain (analyze, buffers, format json) execute moving (0, 20000, '{position.owner}', 20001)"
    await connection.execute(f"prepare moving as {QUERIES['move_position']}")
    [found] = json.loads(await connection.fetchval(moving.replace("20001", "20001, null, null, null")))
    [move] = [part for part in found["Plan"]["Plans"] if part["Node Type"] == "ModifyTable"]
    touched = move["Shared Hit Blocks"] + move["Shared Read Blocks"]
    await holder.execute("rollback")
    await holder.close()
    assert touched < 20


async def test_a_position_that_is_taken_while_its_owner_waits_for_the_rules_is_lost(
    connection: Connection, database_url: str, position: Position
) -> None:
    applying, successor = await connect(database_url), await connect(database_url)
    async with lock_rules(applying):
        storing = asyncio.create_task(store_batch(connection, position, [arrive(0, lock())], TOPICS))
        done, _ = await asyncio.wait({storing}, timeout=0.3)
        assert not done
        # It has not locked the position yet.
        taken = await asyncio.wait_for(take_position(successor, 0, uuid4()), 1)
    with pytest.raises(PositionLost):
        await storing
    assert (taken and taken.next_offset, await count_rows(connection, "history")) == (0, 0)
    await applying.close()
    await successor.close()


async def test_a_lane_is_started_once(connection: Connection, position: Position) -> None:
    with pytest.raises(PositionLost):
        await start_position(connection, position.inbox_partition, position.next_offset + 1, uuid4())
    assert await count_rows(connection, "positions") == 1


async def test_a_session_that_dies_stores_nothing(
    connection: Connection, database_url: str, position: Position
) -> None:
    victim = await connect(database_url)
    pid = await victim.fetchval("select pg_backend_pid()")
    async with transaction(connection):
        # The victim waits here with its transaction open, and is killed.
        await connection.execute("select 1 from positions for update")
        storing = asyncio.create_task(store_batch(victim, position, [arrive(0, lock())], TOPICS))
        await asyncio.wait({storing}, timeout=0.3)
        await connection.execute("select pg_terminate_backend($1)", pid)
        with pytest.raises(DatabaseDown):
            await storing
    assert await count_rows(connection, "history") == 0


async def test_a_failed_commit_is_not_a_success(connection: Connection) -> None:
    await connection.execute("create table t (a int unique deferrable initially deferred)")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with transaction(connection):
            await connection.execute("insert into t values (1), (1)")
    with pytest.raises(DatabaseDown, match="ROLLBACK"):
        async with transaction(connection):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("select 1 / 0")
    assert await count_rows(connection, "t") == 0


async def test_a_budget_changed_by_somebody_else_is_noticed(connection: Connection, position: Position) -> None:
    position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    await connection.execute(
        "create function other() returns trigger language plpgsql as "
        "$$ begin update budgets set revision = revision + 1; return new; end $$;"
        "create trigger other after insert on history execute function other()"
    )
    with pytest.raises(PositionLost):
        await store_batch(connection, position, [arrive(1, accept())], TOPICS)
    assert await read_verdicts(connection) == ["applied"]


async def test_what_cannot_be_read_is_kept_and_set_aside_untouched(connection: Connection, position: Position) -> None:
    junk = b"\x00\xff junk"
    batch = [arrive(0, junk), arrive(1, junk, came_from=0), arrive(2, None), arrive(3, lock())]
    _, decided = await store_batch(connection, position, batch, TOPICS)
    assert len(decided.repeats) == 1
    [letter, null, *_] = [row.record for row in await read_outbox(connection, 0, 0, 9, 100)]
    assert (letter.topic, letter.key, letter.value) == ("x.bridge.dead-letters", b"key", junk)
    headers = dict(letter.headers)
    assert headers["dead_letter_reason"] == b"unreadable"
    assert (headers["dead_letter_topic"], headers["dead_letter_offset"]) == (b"x.procore.budgets", b"0")
    assert null.value is None
    assert await read_verdicts(connection) == ["dead_lettered", "dead_lettered", "applied"]
    assert await connection.fetchval("select body from history where inbox_offset = 0") == junk


async def test_words_of_people_may_hold_anything(connection: Connection, position: Position) -> None:
    late = reject(2, reason="x\x00y")
    batch = [arrive(0, lock(1, STEEL | {"description": "\x00"})), arrive(1, reject(3, reason="\x00")), arrive(2, late)]
    await store_batch(connection, position, [*batch, arrive(3, lock(2))], TOPICS)
    assert await read_verdicts(connection) == ["applied", "parked", "applied", "applied"]


async def test_a_job_passes_from_one_budget_to_another_in_one_batch(connection: Connection, position: Position) -> None:
    second = KEY._replace(budget_id=2)
    batch = [
        arrive(0, lock()),
        arrive(1, lock(1, key=second)),
        arrive(2, retrieve()),
        arrive(3, lock(2, key=second)),
        arrive(4, lock(2)),
    ]
    _, decided = await store_batch(connection, position, batch, TOPICS)
    assert [row.type for row in decided.rows if row.type != "budget.status.v1"] == [
        "approval.requested.v1",
        "budget.returned.v1",
        "budget.returned.v1",
        "approval.requested.v1",
        "budget.returned.v1",
    ]


async def test_verdicts_give_way(connection: Connection, position: Position) -> None:
    early = [arrive(0, accept(content_hash=hash_of(STEEL))), arrive(1, retrieve())]
    position, _ = await store_batch(connection, position, early, TOPICS)
    assert await read_verdicts(connection) == ["parked", "parked"]
    await store_batch(connection, position, [arrive(2, lock())], TOPICS)
    assert await read_verdicts(connection) == ["applied", "refused", "applied"]


async def test_what_is_due_is_found_by_lane(connection: Connection, position: Position) -> None:
    await store_batch(connection, position, [arrive(0, lock()), arrive(1, accept()), arrive(2, reject(9))], TOPICS)
    await connection.execute(
        "update budgets set acknowledgement_due_at = now() + '1 minute', parked_due_at = now() + '1 minute'"
    )
    assert await find_due(connection, [0]) == []
    await connection.execute("update budgets set acknowledgement_due_at = now(), parked_due_at = now()")
    assert sorted((one.deadline, one.version) for one in await find_due(connection, [0])) == [
        ("acknowledgement", 1),
        ("parked", 9),
    ]
    assert await find_due(connection, [1]) == []


async def test_of_more_than_one_round_can_send_the_longest_due_come_first(
    connection: Connection, position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their keys, so that none waits for ever behind those that are due again and again."""
    monkeypatch.setattr(due, "_AT_ONCE", 2)
    keys = [KEY._replace(budget_id=number) for number in (1, 2, 3)]
    await store_batch(connection, position, [arrive(n, reject(9, key=key)) for n, key in enumerate(keys)], TOPICS)
    for hours, key in zip((1, 3, 2), keys, strict=True):
        await connection.execute(
            "update budgets set parked_due_at = now() - make_interval(hours => $1) where budget_id = $2",
            hours,
            key.budget_id,
        )
    assert [one.key.budget_id for one in await find_due(connection, [0])] == [2, 3]


async def test_where_spectrum_may_hold_something(connection: Connection, position: Position) -> None:
    told: list[InboundMessage] = [lock(), accept(), acknowledge("failed")]
    position, _ = await store_batch(connection, position, [arrive(n, body) for n, body in enumerate(told)], TOPICS)
    taken = replace(RULES, jobs={(1, 2): RULES.jobs[KEY.project]})
    [lost], total = await find_lost_jobs(connection, taken)
    assert (lost.key, lost.job_number, lost.taker, total) == (KEY, "26-1001", (1, 2), 1)
    assert await find_lost_jobs(connection, RULES) == ((), 0)
    await store_batch(connection, position, [arrive(3, reset())], TOPICS)
    assert await find_lost_jobs(connection, taken) == ((), 0)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'LOST'",
        "status = null",
        "version = null",
        "content_hash = null",
        "acknowledgement_due_at = null",
        "export_id = null",
        "waiting_version = 1",
        "claims_job = false",
        "parked = 1",
        "status = 'SYNCED', acknowledgement_due_at = null",
        "sequence = 0",
        "status = 'EXPORT_FAILED'",
    ],
)
async def test_the_database_refuses_what_cannot_be(connection: Connection, position: Position, change: str) -> None:
    await store_batch(connection, position, [arrive(0, lock()), arrive(1, accept())], TOPICS)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(f"update budgets set {change}")


async def test_two_budgets_cannot_claim_one_job(connection: Connection, position: Position) -> None:
    await store_batch(
        connection, position, [arrive(0, lock()), arrive(1, lock(1, key=KEY._replace(budget_id=2)))], TOPICS
    )
    with pytest.raises(asyncpg.ExclusionViolationError):
        await connection.execute("update budgets set claims_job = true")


@pytest.mark.parametrize("wrong", [{"sequence": 2**63}, {"last_reference": 2**31}], ids=str)
async def test_a_value_that_does_not_fit_its_column_is_wrong_data(connection: Connection, wrong: Any) -> None:
    with pytest.raises(DataRefusedError):
        async with translate_errors(connection), transaction(connection):
            await write_budgets(connection, 0, {}, {KEY: Budget(KEY, **wrong)})
    assert await count_rows(connection, "budgets") == 0


async def test_the_largest_budget_is_stored(connection: Connection, position: Position) -> None:
    phases = {f"c{number}": RULES.phases["05-120"]._replace(phase_code=f"{number:05d}") for number in range(2000)}
    await put_in_force(connection, replace(RULES, phases=phases), "test", "test")
    lines = [
        STEEL | {"budget_line_item_id": number, "cost_code": f"c{number}", "original_amount": "1.00"}
        for number in range(2000)
    ]
    body: BudgetLocked = lock(1, *lines)
    _, decided = await store_batch(connection, position, [arrive(0, body), arrive(1, accept())], TOPICS)
    assert [len(row.record.value or b"") > 300_000 for row in decided.rows] == [True, False, True, False]


async def test_a_lock_that_others_hold_is_waited_for_and_never_holds_a_budget(
    connection: Connection, database_url: str, position: Position
) -> None:
    """Whatever limits the database has as its default: an ALTER TABLE of others is the world, not wrong data."""
    await connection.execute(
        "do $$ begin execute format('alter database %I set lock_timeout = ''100ms''', current_database());"
        "execute format('alter database %I set statement_timeout = ''100ms''', current_database()); end $$"
    )
    other = await connect(database_url)
    assert await other.fetchval("show lock_timeout") == "0"
    await connection.execute("begin")
    await connection.execute("lock table outbox in access exclusive mode")
    storing = asyncio.create_task(store_batch(other, position, [arrive(0, lock())], TOPICS))
    done, _ = await asyncio.wait({storing}, timeout=0.5)
    assert not done
    await connection.execute("rollback")
    await storing
    await other.execute("set lock_timeout = '100ms'")
    await connection.execute("begin")
    await connection.execute("lock table outbox in access exclusive mode")
    after = (await storing)[0]
    with pytest.raises(DatabaseDown, match="55P03"):
        await store_batch(other, after, [arrive(1, accept())], TOPICS)
    await connection.execute("rollback")
    await other.close()


async def test_a_name_that_shadows_ours_changes_nothing(
    connection: Connection, database_url: str, position: Position
) -> None:
    await connection.execute(
        "do $$ begin execute format('create schema %I', current_user);"
        "execute format('create table %I.positions (inbox_partition integer)', current_user); end $$"
    )
    other = await connect(database_url)
    after, _ = await store_batch(other, position, [arrive(0, lock())], TOPICS)
    assert after.next_offset == 1
    await other.close()


async def test_each_step_of_the_transaction_is_announced(connection: Connection, position: Position) -> None:
    """The crash tests end the process at these points."""
    seen: list[str] = []
    listening = True

    def listen(event: str, _: tuple[object, ...]) -> None:
        if listening and event.startswith("budget-bridge.store."):
            seen.append(event.removeprefix("budget-bridge.store."))

    sys.addaudithook(listen)
    position, _ = await store_batch(
        connection, position, [arrive(0, lock()), arrive(1, accept(2, content_hash="0" * 64))], TOPICS
    )
    begun = ["transaction-begun", "position-moved", "budgets-loaded", "decided", "history-written"]
    ended = ["outbox-written", "before-commit", "after-commit"]
    assert seen == [*begun, "budgets-added", *ended]
    seen.clear()
    batch = [arrive(2, retrieve()), arrive(3, lock(2))]
    await store_batch(connection, position, batch, TOPICS, frozenset({identify(arrive(4, lock(3)))}))
    assert seen == [*begun, "verdicts-changed", "budgets-changed", *ended]
    listening = False


async def test_budgets_of_a_project_share_their_change_references(connection: Connection, position: Position) -> None:
    other = KEY._replace(budget_id=2)
    told: list[InboundMessage] = [
        lock(),
        accept(),
        acknowledge("success"),
        reset(),
        lock(1, key=other),
        accept(1, key=other),
    ]
    for offset, body in enumerate(told):
        position, decided = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    [export] = [row for row in decided.rows if row.record.topic == "x.spectrum.exports"]
    assert b'"change_reference":"B0000002"' in (export.record.value or b"")
    assert {row[0] for row in await connection.fetch("select last_reference from budgets")} == {1, 2}

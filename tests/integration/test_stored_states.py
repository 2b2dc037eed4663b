"""Stored states, on a real Postgres: those of older formats, and those that cannot be read."""

import pytest

from contracts.inbound import InboundMessage
from outbox.audit import Snapshot, open_snapshot
from outbox.budget_record import read_budget_record
from outbox.budget_state import read_state
from outbox.database import Connection
from outbox.decide_again import Deviation, ProjectDecidedAgain
from outbox.due import find_due
from outbox.position import Position
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.integration.stored import read_verdicts
from tests.unit.builders import KEY, RULES, STEEL, accept, acknowledge, lock, reject, release, retrieve, retry
from tests.unit.test_budget_state import read_golden
from worker.reconcile.decided_again import decide_project_again


async def decide_again(snapshot: Snapshot) -> list[Deviation]:
    """Decide the history of a project again, as ``reconcile`` does."""
    return [
        found async for found in decide_project_again(snapshot, KEY.project, ProjectDecidedAgain({1: RULES}, TOPICS))
    ]


async def test_the_state_survives_the_database(connection: Connection, position: Position) -> None:
    told: list[InboundMessage] = [
        lock(),
        retrieve(2),
        accept(),
        lock(2, STEEL | {"original_amount": "1"}),
        acknowledge("success"),
    ]
    for offset, body in enumerate(told):
        position, decided = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    assert await read_verdicts(connection) == ["applied"] * 5
    assert [row.type for row in decided.rows][-2:] == ["budget.returned.v1", "budget.status.v1"]


class TestUnreadableState:
    """A state that cannot be read holds its budget: nothing of it is overwritten, and the others continue."""

    OTHER = KEY._replace(budget_id=2, project_id=7)

    async def spoil(self, connection: Connection, state: str) -> None:
        await connection.execute("update budgets set state = $1 where budget_id = $2", state, KEY.budget_id)

    @pytest.mark.parametrize("state", ['{"format":99}', "[]", '{"format":1}', "null"])
    async def test_its_budget_is_held_and_the_others_continue(
        self, connection: Connection, position: Position, state: str
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
        await self.spoil(connection, state)
        before = await connection.fetchrow("select * from budgets")
        batch = [arrive(1, accept()), arrive(2, lock(1, key=self.OTHER)), arrive(3, reject())]
        position, decided = await store_batch(connection, position, batch, TOPICS)
        assert await read_verdicts(connection) == ["applied", "held", "applied", "held"]
        assert [row.budget for row in decided.rows] == [self.OTHER] * len(decided.rows)
        after = await connection.fetchrow("select * from budgets where budget_id = $1", KEY.budget_id)
        assert after
        assert before
        assert dict(after) == dict(before) | {"on_hold": True, "revision": before["revision"] + 1}
        [hold] = await connection.fetch("select reason, silent from holds")
        assert "stored state" in hold["reason"]
        assert hold["silent"]
        record = await read_budget_record(connection, KEY)
        assert record
        assert (record.status, record.unreadable, record.holds[0].reason) == (None, hold["reason"], hold["reason"])
        # A release is passed over as long as the state cannot be read.
        await store_batch(connection, position, [arrive(4, release())], TOPICS)
        assert (await read_verdicts(connection))[-2:] == ["held", "ignored"]
        assert await find_due(connection, [0]) == []

    async def test_once_it_can_be_read_again_a_release_continues(
        self, connection: Connection, database_url: str, position: Position
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
        state = await connection.fetchval("select state from budgets")
        await self.spoil(connection, '{"format":99}')
        position, _ = await store_batch(connection, position, [arrive(1, accept())], TOPICS)
        await self.spoil(connection, state)
        # Still on hold by the column, whatever the state has.
        position, _ = await store_batch(connection, position, [arrive(2, retrieve())], TOPICS)
        _, decided = await store_batch(connection, position, [arrive(3, release())], TOPICS)
        assert await read_verdicts(connection) == ["applied", "applied", "refused", "applied"]
        assert "spectrum.export.v1" in {row.type for row in decided.rows}
        async with open_snapshot(database_url) as snapshot:
            assert await decide_again(snapshot) == []

    async def test_reading_everything_names_it(
        self, connection: Connection, database_url: str, position: Position
    ) -> None:
        await store_batch(connection, position, [arrive(0, lock()), arrive(1, lock(1, key=self.OTHER))], TOPICS)
        await self.spoil(connection, '{"format":99}')
        async with open_snapshot(database_url) as snapshot:
            found = {stored.key: stored.budget is None async for stored in snapshot.read_budgets()}
            assert found == {KEY: True, self.OTHER: False}
            [deviation] = await decide_again(snapshot)
        assert (deviation.budget, deviation.what) == (KEY, "its stored state cannot be read")

    async def test_the_state_of_another_budget_is_not_its_own(self, connection: Connection, position: Position) -> None:
        batch = [arrive(0, lock()), arrive(1, lock(1, key=self.OTHER))]
        position, _ = await store_batch(connection, position, batch, TOPICS)
        await self.spoil(
            connection,
            await connection.fetchval("select state from budgets where budget_id = $1", self.OTHER.budget_id),
        )
        await store_batch(connection, position, [arrive(2, accept())], TOPICS)
        assert await read_verdicts(connection) == ["applied", "applied", "held"]


async def test_an_old_state_is_stored_in_the_current_format_with_its_next_change(
    connection: Connection, position: Position
) -> None:
    old = next(state for state in read_golden(0) if '"EXPORT_FAILED"' in state)
    key = read_state(old).key
    position, _ = await store_batch(connection, position, [arrive(0, lock(key=key))], TOPICS)
    await connection.execute("update budgets set state = $1", old)
    position, _ = await store_batch(connection, position, [arrive(1, release(key=key))], TOPICS)
    assert await connection.fetchval("select state from budgets") == old
    await store_batch(connection, position, [arrive(2, retry(1, key=key))], TOPICS)
    assert (await connection.fetchval("select state from budgets")).startswith('{"format":4,')

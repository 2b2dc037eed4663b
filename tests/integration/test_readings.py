"""What Spectrum was read to hold, on a real Postgres: stored, loaded, due, decided again, rebuilt and pruned."""

from dataclasses import replace
from datetime import timedelta
from secrets import token_hex

import pytest

from contracts.inbound import InboundMessage
from handlers.readings import Readings
from outbox import splitting
from outbox.audit import open_snapshot
from outbox.budget_record import read_budget_record
from outbox.budget_state import write_readings
from outbox.database import Connection
from outbox.decide_again import ProjectDecidedAgain
from outbox.due import Due, find_due
from outbox.loading import load_batch
from outbox.overview import count_read_back
from outbox.position import Position
from outbox.prune import Old, prune
from outbox.read_backs import count_never_read, count_read_back_states, list_drift
from outbox.recovery import open_recovery
from outbox.rules import put_in_force
from outbox.splitting import split_batch
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.integration.stored import count_rows, read_verdicts
from tests.integration.test_stored_states import decide_again
from tests.unit.builders import (
    CONCRETE,
    KEY,
    RULES,
    STEEL,
    Scenario,
    accept,
    acknowledge,
    list_held,
    lock,
    read_line,
    release,
    request_snapshot,
    snapshot,
)
from tests.unit.test_snapshot_pages import write_pages
from worker.doctor.readings import check_readings, find_patience
from worker.reconcile.budget_states import find_unsound_budgets

SYNCED: tuple[InboundMessage, ...] = (lock(1, STEEL, CONCRETE), accept(), acknowledge("success"))
LINES = (read_line(STEEL), read_line(CONCRETE))


async def store_reading(connection: Connection, position: Position) -> Position:
    """Sync a budget, ask for a snapshot, and store its two pages, the second one first."""
    base = Scenario().send(*SYNCED).budget.base
    assert base
    first, second = write_pages(base, LINES[:1], LINES[1:])
    bodies: tuple[InboundMessage, ...] = (*SYNCED, request_snapshot(), second, first)
    for offset, body in enumerate(bodies):
        position, _ = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    return position


async def test_a_batch_is_split_where_its_readings_are_too_large_for_one_transaction(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each budget counts once, however many messages it has; one that alone is too large is decided alone."""
    monkeypatch.setattr(splitting, "FEW_BUDGETS", 3)
    monkeypatch.setattr(splitting, "READINGS_BYTES", 7_000)
    keys = [KEY._replace(budget_id=number) for number in range(1, 9)]
    for key, size in zip(keys, (3_000, 3_000, 3_000, 20_000, 0, 0, 3_000, 3_000), strict=True):
        if size:
            # Of this nothing can be compressed.
            await connection.execute(
                "insert into readings values ($1, $2, $3, to_json($4::text))", *key, token_hex(size // 2)
            )
    arrivals = [arrive(n, lock(key=key)) for n, key in enumerate([keys[0], *keys, keys[7]])]
    arrivals.append(arrive(10, b"unreadable"))
    parts = [part async for part in split_batch(connection, arrivals)]
    assert [[arrival.inbox.place.offset for arrival in part] for part in parts] == [
        [0, 1, 2],
        [3],
        [4],
        [5, 6, 7, 8, 9, 10],
    ]
    [few] = [part async for part in split_batch(connection, arrivals[2:5])]
    assert len(few) == 3


async def test_a_reading_is_stored_once_beside_its_budget(
    connection: Connection, database_url: str, position: Position
) -> None:
    await store_reading(connection, position)
    assert await read_verdicts(connection) == ["applied"] * 6
    [budget] = (await load_batch(connection, [arrive(9, accept())], TOPICS)).budgets.values()
    readings = budget[0].readings
    assert readings
    assert readings.last
    assert sorted(readings.last.index_lines()) == [("03300", "M"), ("05120", "S")]
    assert await connection.fetchval("select content::text from readings") == write_readings(readings)
    assert await connection.fetchval("select state->>'readings' is null from budgets")
    async with open_snapshot(database_url) as found:
        assert await decide_again(found) == []
    record = await read_budget_record(connection, KEY)
    assert record
    assert record.budget
    assert record.budget.readings == readings


async def test_a_budget_that_nobody_has_read_stores_nothing_more(connection: Connection, position: Position) -> None:
    for offset, body in enumerate(SYNCED):
        position, _ = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    assert await count_rows(connection, "readings") == 0
    assert "read_back" not in await connection.fetchval("select state::text from budgets")


async def test_an_unchanged_reading_is_not_written_again(connection: Connection, position: Position) -> None:
    position = await store_reading(connection, position)
    before = await connection.fetchval("select xmin::text from readings")
    await store_batch(connection, position, [arrive(6, lock(2))], TOPICS)
    assert await connection.fetchval("select xmin::text from readings") == before


async def test_the_deadline_of_a_request_is_found(connection: Connection, position: Position) -> None:
    position = await store_reading(connection, position)
    [due] = [one for one in await find_due(connection, [0]) if one.deadline == "snapshot"]
    assert due == Due("snapshot", KEY, None, due.due_at)
    assert await find_due(connection, [1]) == []


async def test_what_a_reading_shows_is_counted_and_gets_stale(connection: Connection, position: Position) -> None:
    position = await store_reading(connection, position)
    count = await count_read_back(connection)
    assert (count.differ, count.read_since is None) == (0, False)
    base = Scenario().send(*SYNCED).budget.base
    assert base
    typed = list_held(base, S05120={"original_estimate_cost": "1.00"})
    later = snapshot(*typed, begun=base, snapshot_id="s2", read_to="2026-11-26T08:00:00Z")
    await store_batch(connection, position, [arrive(6, later)], TOPICS)
    assert (await count_read_back(connection)).differ == 1
    [differing] = await list_drift(connection, 10)
    assert differing.read_back
    assert [line[:2] for line in differing.read_back.open_lines] == [("05120", "S")]
    assert [(one.state, one.budgets) for one in await count_read_back_states(connection)] == [("differs", 1)]
    assert {due.deadline for due in await find_due(connection, [0])} == {"snapshot", "read_back"}


async def list_checks(connection: Connection) -> list[tuple[str, str]]:
    return [(check.state, check.found) async for check in check_readings(connection)]


async def test_the_doctor_says_where_no_reading_comes(connection: Connection, position: Position) -> None:
    asking = replace(RULES, after_success=True, snapshot_deadline=timedelta(hours=1), require_content_hash=False)
    await put_in_force(connection, asking, "test", "test")
    for offset, body in enumerate(SYNCED):
        position, _ = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    await connection.execute("update budgets set read_since = now()")
    assert [state for state, _ in await list_checks(connection)] == ["ok"]
    await connection.execute("update budgets set read_since = now() - interval '4 hours'")
    assert (await count_never_read(connection, timedelta(hours=3))).budgets == 1
    [(state, found)] = await list_checks(connection)
    assert (state, "snapshots of 1 budgets were asked for, and no reading came of it" in found) == ("warning", True)
    await connection.execute("update budgets set read_back = 'stale'")
    [(state, found)] = await list_checks(connection)
    assert (state, "1 budgets were not read for too long, the oldest since" in found) == ("warning", True)


def test_the_doctor_waits_as_long_as_the_rules_may_take() -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    for after_success, every, patience in ((True, None, 3 * hour), (False, day, day + 3 * hour), (False, None, None)):
        rules = replace(RULES, after_success=after_success, every=every, snapshot_deadline=hour)
        assert find_patience(rules) == patience


async def test_a_changed_reading_is_found_and_can_be_rebuilt(
    connection: Connection, database_url: str, position: Position
) -> None:
    await store_reading(connection, position)
    await connection.execute("""update readings set content = replace(content::text, '64000000', '1')::json""")
    async with open_snapshot(database_url) as found:
        [deviation] = await decide_again(found)
        assert deviation.is_of_state
        assert "readings.last.pages" in deviation.what
        assert [what async for _, what in find_unsound_budgets(found)] == [
            "a page of the last reading is not what came in"
        ]
        again = ProjectDecidedAgain({1: RULES}, TOPICS)
        async for kept in found.read_history([KEY.project]):
            list(again.decide(kept, None))
    async with open_recovery(database_url) as recovery:
        await recovery.put_budgets(0, again.budgets)
        await recovery.keep()
    async with open_snapshot(database_url) as found:
        assert await decide_again(found) == []


async def test_a_reading_that_should_not_be_there_is_dropped_by_a_rebuild(
    connection: Connection, database_url: str, position: Position
) -> None:
    await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    nothing = write_readings(Readings())
    await connection.execute("insert into readings values ($1, $2, $3, $4)", *KEY, nothing)
    async with open_recovery(database_url) as recovery:
        [budget] = (await recovery.snapshot.read_project_budgets(KEY.project)).values()
        assert budget
        await recovery.put_budgets(0, {KEY: budget._replace(readings=None)})
        await recovery.keep()
    assert await count_rows(connection, "readings") == 0


async def test_readings_that_cannot_be_read_hold_their_budget(connection: Connection, position: Position) -> None:
    position = await store_reading(connection, position)
    content = await connection.fetchval("select content::text from readings")
    await connection.execute("""update readings set content = '{"last":1}'""")
    position, _ = await store_batch(connection, position, [arrive(6, lock(2))], TOPICS)
    assert (await read_verdicts(connection))[-1] == "held"
    await connection.execute("update readings set content = $1", content)
    await store_batch(connection, position, [arrive(7, release())], TOPICS)
    assert (await read_verdicts(connection))[-2:] == ["applied", "applied"]


async def test_the_bytes_of_pages_can_be_pruned_but_not_while_they_wait(
    connection: Connection, position: Position
) -> None:
    position = await store_reading(connection, position)
    base = Scenario().send(*SYNCED).budget.base
    assert base
    later = {"snapshot_id": "s2", "read_to": "2026-11-26T08:00:00Z"}
    waiting = write_pages(base, LINES[:1], LINES[1:], **later)[0]
    position, _ = await store_batch(connection, position, [arrive(6, waiting)], TOPICS)
    cutoff = await connection.fetchval("select now()") + timedelta(days=1)
    async for _ in prune(connection, Old(0, position.next_offset, cutoff), dry_run=False):
        pass
    pruned = await connection.fetch("select type, verdict, pruned from history order by inbox_offset")
    assert [row["pruned"] for row in pruned if row["type"] == "erp.snapshot.v1"] == [True, True, False]
    assert [row["pruned"] for row in pruned if row["type"] == "snapshot.request.v1"] == [False]


async def test_a_snapshot_of_a_budget_that_nobody_knows_is_kept_in_history(
    connection: Connection, database_url: str, position: Position
) -> None:
    await store_batch(connection, position, [arrive(0, snapshot())], TOPICS)
    assert await read_verdicts(connection) == ["ignored"]
    record = await read_budget_record(connection, KEY)
    assert record
    assert (record.status, record.history[0].budget_version) == (None, None)
    async with open_snapshot(database_url) as found:
        assert await decide_again(found) == []
        assert await found.find_rowless() == []

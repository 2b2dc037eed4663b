"""Holds, on a real Postgres: held messages are released in order, skipped, or released too early."""

import pytest

from contracts.inbox import Arrival
from handlers.rules import Rules
from outbox.batch import DecisionFailedError
from outbox.budget_record import read_budget_record
from outbox.database import Connection
from outbox.due import find_due
from outbox.identity import identify
from outbox.position import Position
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.integration.stored import count_rows, read_verdicts
from tests.unit.builders import KEY, STEEL, accept, acknowledge, hash_of, lock, reject, release, retrieve


async def hold_at(connection: Connection, position: Position, batch: list[Arrival], number: int) -> Position:
    """Store a batch with one message on which deciding fails."""
    failing = frozenset({identify(batch[number])})
    after, decided = await store_batch(connection, position, batch, TOPICS, failing)
    assert decided.holds
    return after


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_is_held_is_taken_up_again_in_order(
    connection: Connection,
    position: Position,
    at_once: bool,  # noqa: FBT001
) -> None:
    """Also when the release is in the same batch."""
    other = STEEL | {"original_amount": "1.00"}
    early = accept(2, content_hash=hash_of(other))
    batch = [arrive(0, lock()), arrive(1, accept()), arrive(2, acknowledge("success")), arrive(3, early)]
    later = [arrive(4, release()), arrive(5, lock(2, other))]
    if at_once:
        _, decided = await store_batch(connection, position, batch + later, TOPICS, frozenset({identify(batch[1])}))
    else:
        position = await hold_at(connection, position, batch, 1)
        assert await read_verdicts(connection) == ["applied", "held", "held", "held"]
        _, decided = await store_batch(connection, position, later, TOPICS)
    # The second acceptance, held and then parked, was decided when its version became current.
    assert await read_verdicts(connection) == ["applied", "applied", "applied", "applied", "applied", "applied"]
    sent = [row.type for row in decided.rows if row.inbox_offset >= 4]
    assert sent.count("spectrum.export.v1") == 1
    assert sent.count("spectrum.resync.v1") == 1
    story = await read_budget_record(connection, KEY)
    assert story
    assert story.status
    assert (story.status.status, story.status.budget_version, story.status.on_hold) == ("EXPORTING", 2, False)


async def test_a_skipped_message_is_ignored(connection: Connection, position: Position) -> None:
    batch = [arrive(0, lock()), arrive(1, accept()), arrive(2, reject())]
    position = await hold_at(connection, position, batch, 1)
    await store_batch(connection, position, [arrive(3, release("skip"))], TOPICS)
    assert await read_verdicts(connection) == ["applied", "ignored", "applied", "applied"]


async def test_a_release_that_fails_leaves_all_as_it_was(
    connection: Connection, position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bug is not fixed yet: nothing is lost, and a later release can still decide what is held."""
    batch = [arrive(0, lock()), arrive(1, accept())]
    position = await hold_at(connection, position, batch, 1)
    too_early = [arrive(2, release())]
    with monkeypatch.context() as planted:
        planted.setattr(Rules, "may_approve", fail)
        with pytest.raises(DecisionFailedError) as stumbled:
            await store_batch(connection, position, too_early, TOPICS)
        assert stumbled.value.arrival is too_early[0]
        position = await hold_at(connection, position, too_early, 0)
    assert await read_verdicts(connection) == ["applied", "held", "ignored"]
    await store_batch(connection, position, [arrive(3, release())], TOPICS)
    assert await read_verdicts(connection) == ["applied", "applied", "ignored", "applied"]


def fail(*_: object) -> bool:
    """In place of ``Rules.may_approve``: a bug of ours, planted."""
    raise RuntimeError("planted")


async def test_a_bug_holds_its_budget_and_nothing_else(
    connection: Connection, position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rules, "may_approve", fail)
    batch = [arrive(0, lock()), arrive(1, accept()), arrive(2, retrieve())]
    with pytest.raises(DecisionFailedError) as stumbled:
        await store_batch(connection, position, batch, TOPICS)
    assert stumbled.value.arrival is batch[1]
    assert await count_rows(connection, "history") == 0
    other = arrive(3, lock(1, key=KEY._replace(project_id=5)))
    await store_batch(connection, position, [*batch, other], TOPICS, frozenset({identify(batch[1])}))
    assert await read_verdicts(connection) == ["applied", "held", "held", "applied"]
    story = await read_budget_record(connection, KEY)
    assert story
    assert story.status
    assert (story.status.status, story.status.on_hold) == ("PENDING_APPROVAL", True)


async def test_what_is_due_of_a_budget_on_hold_is_not_found(connection: Connection, position: Position) -> None:
    keys = [KEY._replace(project_id=KEY.project_id, budget_id=number) for number in (1, 2, 3)]
    await store_batch(
        connection,
        position,
        [arrive(n, accept(9, key=key, content_hash="0" * 64)) for n, key in enumerate(keys)],
        TOPICS,
    )
    await connection.execute("update budgets set parked_due_at = now() - budget_id * interval '1 minute'")
    assert [due.key.budget_id for due in await find_due(connection, [0])] == [3, 2, 1]
    await connection.execute("update budgets set on_hold = true where budget_id = 2")
    assert [due.key.budget_id for due in await find_due(connection, [0])] == [3, 1]

"""Whatever can be large is read in pages: the backlog of a lane, and dead letters."""

from itertools import pairwise

import pytest

from outbox import backlog
from outbox.backlog import read_backlog
from outbox.database import Connection
from outbox.dead_letters import (
    DeadLetterFilter,
    count_dead_letters,
    find_dead_letter,
    list_dead_letters,
    read_dead_letter,
)
from outbox.position import Position
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import KEY, lock


@pytest.mark.parametrize(("rows", "size"), [(500, 2**30), (2, 2**30), (500, 1), (500, 2000), (1, 1)])
async def test_the_backlog_is_read_in_pieces_that_keep_a_records_rows_together(
    connection: Connection,
    position: Position,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    size: int,
) -> None:
    batch = [arrive(n, b"junk" * n if n % 3 else lock(1, key=KEY._replace(project_id=n + 1))) for n in range(12)]
    _, decided = await store_batch(connection, position, batch, TOPICS)
    monkeypatch.setattr(backlog, "_ROWS_AT_ONCE", rows)
    monkeypatch.setattr(backlog, "_BYTES_AT_ONCE", size)
    pieces = [piece async for piece in read_backlog(connection, 0, 0, 12)]
    assert [row.record for _, piece in pieces for row in piece] == [row.record for row in decided.rows]
    ends = [end for end, _ in pieces]
    assert ends == sorted(set(ends))
    assert ends[-1] == 12
    for (end, piece), (_, following) in pairwise(pieces):
        assert all(row.inbox_offset < end for row in piece)
        assert all(row.inbox_offset >= end for row in following)
    assert (len(pieces) == 1) == ((rows, size) == (500, 2**30))


async def test_dead_letters_are_counted_and_found_whatever_became_one(
    connection: Connection, position: Position
) -> None:
    batch = [arrive(n, b"junk %d" % n) for n in range(5)]
    batch += [arrive(5, lock(), "one"), arrive(6, lock(2), "one")]
    await store_batch(connection, position, batch, TOPICS)
    topic, everything = TOPICS.dead_letters, DeadLetterFilter()
    listed = await list_dead_letters(connection, topic, everything, 3)
    assert [letter.inbox[1] for letter in listed] == [6, 4, 3]
    assert (listed[0].reason, listed[0].message_id) == ("conflicting_content", None)
    counts = await count_dead_letters(connection, topic, everything)
    assert [(count.reason, count.letters) for count in counts] == [("conflicting_content", 1), ("unreadable", 5)]
    place = await find_dead_letter(connection, topic, listed[1].id)
    assert place == (0, 4)
    letter = await read_dead_letter(connection, topic, listed[1].id, place)
    assert letter
    assert letter.value == b"junk 4"
    assert await find_dead_letter(connection, "other", listed[1].id) is None


async def test_dead_letters_are_found_by_an_index(connection: Connection, position: Position) -> None:
    await store_batch(connection, position, [arrive(0, b"junk")], TOPICS)
    await connection.execute("set enable_seqscan = off")
    plan = await connection.fetch("explain select * from outbox where type is null and topic = 'x' order by at desc")
    assert "outbox_dead_letters" in "\n".join(row[0] for row in plan)

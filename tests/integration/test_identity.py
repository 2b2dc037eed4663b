"""The identity of messages, on a real Postgres: repeats, conflicts, and origins that no topic can have."""

from dataclasses import replace

import pytest

from contracts.cloudevents.message import Unreadable
from contracts.inbox import Arrival
from contracts.records import Place
from outbox.backlog import read_outbox
from outbox.database import Connection
from outbox.identity import identify
from outbox.position import Position
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.integration.stored import count_rows, read_verdicts
from tests.unit.builders import KEY, accept, lock, reject, retrieve


async def test_the_same_id_counts_once_in_a_batch_and_in_two(connection: Connection, position: Position) -> None:
    batch = [arrive(0, lock(), "one"), arrive(1, lock(), "one"), arrive(2, accept(), "two")]
    position, decided = await store_batch(connection, position, batch, TOPICS)
    assert [repeat.inbox.place.offset for repeat in decided.repeats] == [1]
    position, decided = await store_batch(
        connection, position, [arrive(3, accept(), "two", partition=9), arrive(4, lock(), "one")], TOPICS
    )
    assert (decided.rows, len(decided.repeats)) == ([], 2)
    assert await count_rows(connection, "history") == 2
    assert position.next_offset == 5


def test_every_arrival_has_an_identity() -> None:
    arrivals: list[Arrival] = [arrive(0, b"junk"), arrive(1, lock())]
    assert [identify(arrival).company_id for arrival in arrivals] == [0, KEY.company_id]


class TestIdentity:
    """The type is part of the identity, and a repeat has the same fields as the first."""

    async def test_an_id_of_one_type_does_not_use_up_that_of_another(
        self, connection: Connection, position: Position
    ) -> None:
        batch = [arrive(0, lock()), arrive(1, retrieve(9), "one"), arrive(2, reject(), "one")]
        _, decided = await store_batch(connection, position, batch, TOPICS)
        assert await read_verdicts(connection) == ["applied", "parked", "applied"]
        assert len({row.id for row in decided.rows}) == len(decided.rows)

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_a_repeat_with_other_fields_is_set_aside(
        self,
        connection: Connection,
        position: Position,
        at_once: bool,  # noqa: FBT001
    ) -> None:
        first, second = [arrive(0, lock(), "one")], [arrive(1, lock(2), "one"), arrive(2, lock(), "one")]
        if at_once:
            position, decided = await store_batch(connection, position, first + second, TOPICS)
        else:
            position, _ = await store_batch(connection, position, first, TOPICS)
            position, decided = await store_batch(connection, position, second, TOPICS)
        assert await read_verdicts(connection) == ["applied", "dead_lettered"]
        [letter] = [row.record for row in decided.rows if row.record.topic.endswith("dead-letters")]
        assert dict(letter.headers)["dead_letter_reason"] == b"conflicting_content"
        assert letter.value == second[0].original.value
        assert [repeat.inbox.place.offset for repeat in decided.repeats] == [2]
        # The same record, copied to the inbox again, is a repeat of what was set aside.
        again = [arrive(5, lock(2), "one", came_from=1)]
        _, decided = await store_batch(connection, position, again, TOPICS)
        assert (len(decided.repeats), decided.rows) == (1, [])

    async def test_the_same_fields_in_other_bytes_are_a_repeat(
        self, connection: Connection, position: Position
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock(), "one")], TOPICS)
        spaced = replace(arrive(1, lock(), "one"))
        original = replace(spaced.original, value=(spaced.original.value or b"").replace(b": ", b":   "))
        _, decided = await store_batch(connection, position, [replace(spaced, original=original)], TOPICS)
        assert len(decided.repeats) == 1

    async def test_of_a_pruned_message_nothing_can_be_compared(
        self, connection: Connection, position: Position
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock(), "one")], TOPICS)
        await connection.execute("update history set pruned = true, key = null, headers = '[]', body = null")
        batch = [arrive(1, lock(2), "one"), arrive(2, lock(3), "one")]
        _, decided = await store_batch(connection, position, batch, TOPICS)
        assert (len(decided.repeats), decided.rows) == (2, [])


async def test_no_record_can_make_postgres_refuse_the_batch(connection: Connection, position: Position) -> None:
    """Written straight into the inbox, a record may name any origin; whatever it names, the next one is decided."""
    batch: list[Arrival] = []
    for topic in ("x.procore.budgets", "a\x00b", "\ud800", "t" * 100_000):
        for number in (-1, 2**31, 2**63, 10**600):
            arrival = arrive(len(batch), b"junk")
            place = Place(topic, number, number)
            headers = (("na\x00me", b"\x00"), ("gr\udcf6sse", b"\xff"))
            original = replace(
                arrival.original, place=place, timestamp_ms=number, key=b"\x00\xff", headers=headers, value=b"\x00"
            )
            inbox = replace(arrival.inbox, timestamp_ms=number if number < 2**64 else 0)
            wrong = Unreadable("unreadable", f"{topic}\x00\ud800 is no topic that we read")
            batch.append(Arrival(inbox, original, wrong))
    last = len(batch)
    position, decided = await store_batch(connection, position, [*batch, arrive(last, lock())], TOPICS)
    assert await read_verdicts(connection) == ["dead_lettered"] * last + ["applied"]
    rows = await read_outbox(connection, 0, 0, last, 100)
    assert [row.record for row in rows] == [row.record for row in decided.rows[:last]]
    assert {row.record.value for row in rows} == {b"\x00"}
    _, again = await store_batch(
        connection,
        position,
        [replace(one, inbox=replace(one.inbox, place=Place("i", 0, 99))) for one in batch],
        TOPICS,
    )
    assert len(again.repeats) == last

"""A topic beside the outbox: what is lost, doubled, out of order or unknown, in memory that does not grow."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from contracts.budget_key import BudgetKey
from contracts.records import Outgoing, Place, Record
from outbox.audit import RowPlace, SentRow
from tests.unit.builders import KEY
from worker.reconcile.temporary_database import open_temporary_database
from worker.reconcile.topic_comparison import TABLES, MissingRow, TopicComparison
from worker.recover.missing_outputs import PIECE_BYTES, PIECE_ROWS, cut_into_pieces

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOPIC = "bridge.status"
HEADERS = (("ce_source", b"budget-bridge"), ("ce_time", b"2026-11-24T12:00:00Z"))


@pytest.fixture
def comparison() -> Iterator[TopicComparison]:
    with open_temporary_database(TABLES) as database:
        yield TopicComparison(database, TOPIC, None)


def row(number: int, budget: BudgetKey | None = KEY) -> SentRow:
    at = NOON + timedelta(seconds=number)
    return SentRow(RowPlace(0, number, 0), at, budget, Outgoing(TOPIC, b"key", b"%d" % number, HEADERS))


def record(number: int, offset: int) -> Record:
    return Record(Place(TOPIC, 0, offset), 0, b"key", b"%d" % number, HEADERS)


def test_differences_are_distinguished(comparison: TopicComparison) -> None:
    for number in range(5):
        comparison.expect(row(number))
    first = [comparison.meet(record(number, offset)) for offset, number in enumerate((0, 2, 1, 1, 9))]
    assert first == [True, True, True, False, False]
    assert [one.place.offset for one in comparison.list_doubled()] == [3]
    assert [one.place.offset for one in comparison.list_reordered()] == [2]
    assert [one.place.offset for one in comparison.list_unknown()] == [4]
    missing = list(comparison.list_missing())
    assert [one.place.inbox_offset for one in missing] == [3, 4]
    assert (comparison.count_met(), comparison.count_by_lane()[0].last_met) == (3, 2)


def test_what_compaction_or_age_may_have_removed_is_marked(comparison: TopicComparison) -> None:
    for number in range(4):
        comparison.expect(row(number, KEY if number < 3 else None))
    comparison.meet(record(2, 0))
    comparison.remember_removed(NOON + timedelta(seconds=1))
    found = [(one.is_outdated, one.is_gone) for one in comparison.list_missing()]
    assert found == [(True, True), (True, False), (False, False)]


def test_what_was_pruned_is_ours_once(comparison: TopicComparison) -> None:
    with open_temporary_database(TABLES) as database:
        pruned = TopicComparison(database, TOPIC, NOON + timedelta(days=1))
        assert [pruned.meet(record(1, 0)), pruned.meet(record(1, 1))] == [True, False]
        assert (pruned.count_pruned(), len(list(pruned.list_doubled()))) == (1, 1)
    assert not comparison.meet(record(1, 0))


@pytest.mark.parametrize("offset", ["-1", "99999999999999999999", "x"])
def test_a_place_that_is_none_is_not_looked_up(comparison: TopicComparison, offset: str) -> None:
    headers = (
        ("dead_letter_topic", b"a"),
        ("dead_letter_partition", b"0"),
        ("dead_letter_offset", offset.encode()),
    )
    assert not comparison.meet(Record(Place(TOPIC, 0, 0), 0, None, None, headers))
    assert comparison.count_unknown() == 1


MEASURE = """
import resource, sys
from tests.unit.test_topic_comparison import TABLES, TOPIC, TopicComparison, open_temporary_database, row, record
with open_temporary_database(TABLES) as database:
    # So small that it is full at once.
    database.execute("pragma cache_size = -256")
    comparison = TopicComparison(database, TOPIC, None)
    for number in range(int(sys.argv[1])):
        comparison.expect(row(number))
        comparison.meet(record(number, number))
    assert comparison.count_met() == int(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_messages() -> None:
    """Beyond its cache it is all on disk: far below 64 bytes a message, which ten million could cost."""

    def measure(messages: int) -> int:
        command = [sys.executable, "-c", MEASURE, str(messages)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    few, many = 10_000, 40_000
    assert (measure(many) - measure(few)) * 1024 / (many - few) < 32


def missing(number: int, size: int = 10, lane: int = 0) -> MissingRow:
    return MissingRow(RowPlace(lane, number, 0), KEY, size, is_outdated=False, is_gone=False)


def test_lost_rows_leave_in_pieces_of_rows_and_bytes_each_of_one_lane() -> None:
    rows = [missing(number) for number in range(PIECE_ROWS + 1)]
    rows += [missing(number, PIECE_BYTES // 2 + 1) for number in range(2000, 2002)]
    rows += [missing(3000, 10 * PIECE_BYTES), missing(0, lane=1)]
    pieces = [[place.inbox_offset for place in piece] for piece in cut_into_pieces(rows)]
    assert [len(piece) for piece in pieces] == [PIECE_ROWS, 2, 1, 1, 1]
    assert [offset for piece in pieces for offset in piece] == [one.place.inbox_offset for one in rows]
    assert list(cut_into_pieces([])) == []

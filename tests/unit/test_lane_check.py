"""The check at the start of a lane, case by case."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from contracts.records import Place, Record
from outbox.position import Position, describe_record
from worker.pipeline.lane_check import NEW, LaneRefused, LaneState, check_lane, check_last_record, sign_offset

OURS = UUID(int=1)
RECORD = Record(Place("inbox", 0, 9), 1000, b"4211/90071", b"value", (("a", b"b"), ("c", None)))
POSITION = Position(0, 10, uuid4(), describe_record(RECORD))
FITS = LaneState(OURS, 7, sign_offset(OURS), 0, 20, POSITION)


@pytest.mark.parametrize(
    "found",
    [
        FITS,
        replace(FITS, offset=10),
        replace(FITS, log_start=10, log_end=10, offset=10),
        replace(FITS, offset=None, metadata="", position=None),
        replace(FITS, offset=0, metadata=sign_offset(OURS, NEW), position=None),
        replace(FITS, offset=0, metadata=sign_offset(OURS, NEW), position=replace(POSITION, next_offset=0)),
    ],
)
def test_what_fits(found: LaneState) -> None:
    check_lane(found)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(FITS, offset=None, metadata=""), "no offset"),
        (replace(FITS, metadata=sign_offset(UUID(int=2))), "another database"),
        (replace(FITS, metadata=""), "another database (unnamed)"),
        (replace(FITS, offset=11), "older backup"),
        (replace(FITS, position=None), "older backup"),
        (replace(FITS, log_end=9), "recreated or truncated"),
        (replace(FITS, log_start=11), "recreated or truncated"),
    ],
)
def test_what_does_not_fit_is_said_with_the_way_out(found: LaneState, said: str) -> None:
    with pytest.raises(LaneRefused, match="recover") as refused:
        check_lane(found)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "other",
    [
        None,
        replace(RECORD, timestamp_ms=1001),
        replace(RECORD, key=None),
        replace(RECORD, value=b""),
        replace(RECORD, headers=(("a", b"b"), ("c", b""))),
        replace(RECORD, place=Place("inbox", 0, 8)),
    ],
)
def test_the_record_before_must_be_the_one_that_was_read(other: Record | None) -> None:
    check_last_record(POSITION, RECORD)
    check_last_record(replace(POSITION, last=None), None)
    with pytest.raises(LaneRefused, match="recreated"):
        check_last_record(POSITION, other)

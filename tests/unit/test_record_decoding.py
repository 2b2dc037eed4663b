"""What a broker can return, decoded: no record stops the records behind it."""

import gzip
import struct
import time
from collections.abc import Callable
from typing import Any

import aiokafka.consumer.fetcher
import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from contracts.stubs import read_stub
from worker.kafka import record_decoding
from worker.kafka.record_decoding import TolerantRecords

Headers = list[tuple[str, bytes | None]]


def build(*records: tuple[bytes | None, bytes | None, Headers], base: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, 1000 + offset, key, value, headers)
    batch = bytearray(builder.build())
    struct.pack_into(">q", batch, 0, base)
    return bytes(batch)


def sign(batch: bytes) -> bytes:
    """Give a batch its length and checksum after something in it was changed."""
    from aiokafka.record.util import calc_crc32c  # noqa: PLC0415

    changed = bytearray(batch)
    struct.pack_into(">i", changed, 8, len(changed) - 12)
    struct.pack_into(">I", changed, 17, calc_crc32c(bytes(changed[21:])))
    return bytes(changed)


def compress(batch: bytes, codec: int, squeeze: Callable[[bytes], bytes]) -> bytes:
    header = bytearray(batch[:61])
    header[22] |= codec
    return sign(bytes(header) + bytes(squeeze(batch[61:])))


def decode(data: bytes) -> list[Any]:
    records = TolerantRecords(data)
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found += list(batch)
    return found


def test_the_fetcher_uses_it() -> None:
    assert aiokafka.consumer.fetcher.MemoryRecords is TolerantRecords


def test_what_is_in_order_comes_out_as_it_went_in() -> None:
    data = build((b"k", b"v", [("a", b"1"), ("ü", None)]), (None, None, [])) + build((b"x", b"", []), base=2)
    assert [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in decode(data)] == [
        (0, 1000, b"k", b"v", [("a", b"1"), ("ü", None)]),
        (1, 1001, None, None, []),
        (2, 1000, b"x", b"", []),
    ]


def test_a_header_name_that_is_not_utf_8_is_written_out() -> None:
    odd = build((b"k", b"v", [("grXsse", b"1")]), (b"next", b"w", [])).replace(b"grXsse", b"gr\xf6sse")
    first, second = decode(sign(odd))
    assert (first.key, first.value, first.headers) == (b"k", b"v", [("gr\\xf6sse", b"1")])
    assert (second.offset, second.key, second.value) == (1, b"next", b"w")


GZIP = 1, gzip.compress
SNAPPY = 2, cramjam.snappy.compress_raw
LZ4 = 3, cramjam.lz4.compress
ZSTD = 4, cramjam.zstd.compress
CODECS = pytest.mark.parametrize(("codec", "squeeze"), [GZIP, SNAPPY, LZ4, ZSTD], ids=["gzip", "snappy", "lz4", "zstd"])


@CODECS
def test_every_codec(codec: int, squeeze: Callable[[bytes], bytes]) -> None:
    [first, second] = decode(compress(build((b"k", b"v" * 5000, []), (b"l", b"w", [])), codec, squeeze))
    assert (first.key, len(first.value), second.value) == (b"k", 5000, b"w")


@CODECS
def test_a_batch_that_unpacks_to_too_much_becomes_stubs_in_time(
    codec: int, squeeze: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_decoding, "UNPACKED_BYTES", 1_000_000)
    bomb = compress(build((b"k", b"\0" * 3_000_000, []), (b"l", b"w", [])), codec, squeeze)
    data = bomb + build((b"next", b"x", []), base=2)
    began = time.monotonic()
    first, second, following = decode(data)
    assert time.monotonic() - began < 1
    assert [
        "unpacks to more than 1000000 bytes" in (read_stub(tuple(one.headers)) or "") for one in (first, second)
    ] == [
        True,
        True,
    ]
    assert (first.value, first.offset, second.offset) == (None, 0, 1)
    assert (following.offset, following.value) == (2, b"x")


def test_what_does_not_decompress_becomes_stubs() -> None:
    broken = compress(build((b"k", b"v", [])), 4, lambda data: b"\x28\xb5\x2f\xfd" + data)
    first, following = decode(broken + build((b"next", b"x", []), base=1))
    assert "cannot be decoded" in (read_stub(tuple(first.headers)) or "")
    assert following.value == b"x"


def test_a_wrong_checksum_is_tried_again_and_then_taken_for_damage() -> None:
    batch = bytearray(build((b"k", b"v", []), (b"l", b"w", [])))
    batch[-1] ^= 0xFF
    data = bytes(batch) + build((b"next", b"x", []), base=2)
    for _ in range(record_decoding.CHECKSUM_TRIES - 1):
        assert not TolerantRecords(data).next_batch().validate_crc()
    records = TolerantRecords(data)
    damaged = records.next_batch()
    assert damaged.validate_crc()
    stubs = list(damaged)
    assert [one.offset for one in stubs] == [0, 1]
    assert "wrong checksum" in (read_stub(tuple(stubs[0].headers)) or "")
    [following] = list(records.next_batch())
    assert following.value == b"x"


def test_a_record_of_headers_alone_becomes_a_stub() -> None:
    many: Headers = [("h" * 20, b"")] * 60_000
    first, second = decode(build((b"k", b"v", many), (b"l", b"w", [])))
    assert "60000 headers" in (read_stub(tuple(first.headers)) or "")
    assert (second.offset, second.value) == (1, b"w")


RECORD: tuple[bytes, bytes, Headers] = (b"key", b"value" * 5, [("header", b"x")])


@given(st.lists(st.tuples(st.integers(61, 200), st.integers(0, 255)), min_size=1, max_size=8))
def test_whatever_the_bytes_of_a_batch_are_nothing_raises_and_the_next_is_read(changes: list[tuple[int, int]]) -> None:
    batch = bytearray(build(*[RECORD] * 4))
    for at, byte in changes:
        batch[at % (len(batch) - 61) + 61] = byte
    *found, last = decode(sign(bytes(batch)) + build((b"next", b"x", []), base=4))
    assert (last.offset, last.value) == (4, b"x")
    # In order and within the batch: no broker lets a batch say otherwise, and no reader is carried past its end.
    assert sorted({one.offset for one in found} & {0, 1, 2, 3}) == [one.offset for one in found]


def give_up(data: bytes) -> list[Any]:
    """Fetch data whose first batch has a wrong checksum until it counts as damaged; returns what then comes out."""
    for _ in range(record_decoding.CHECKSUM_TRIES - 1):
        assert not TolerantRecords(data).next_batch().validate_crc()
    return decode(data)


@pytest.mark.parametrize("claimed", [4, 60, 1_000_000, -5])
def test_a_damaged_batch_does_not_pass_over_the_records_behind_it(claimed: int) -> None:
    batch = bytearray(build((b"k", b"v" * 100, []), (b"l", b"w", []), base=10))
    struct.pack_into(">i", batch, 23, claimed)
    alone = give_up(bytes(batch))
    assert [one.offset for one in alone] == ([10] if claimed < 0 else [10, 11])
    *stubs, last = give_up(bytes(batch) + build((b"next", b"x", []), base=12))
    assert ([one.offset for one in stubs], last.offset, last.value) == ([10, 11], 12, b"x")


def test_a_damaged_number_of_records_leaves_no_gap_before_the_next_batch() -> None:
    batch = bytearray(build((b"k", b"v" * 100, []), (b"l", b"w", []), base=10))
    struct.pack_into(">i", batch, 57, 1)
    assert [one.offset for one in give_up(bytes(batch) + build((b"next", b"x", []), base=12))] == [10, 11, 12]

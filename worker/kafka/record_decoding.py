"""Decodes what a broker returns so that no record, however odd, stops the records behind it.

aiokafka raises, for good, on a header name that is not UTF-8 and on a batch with a wrong checksum, and it unpacks a
compressed batch of any size. Importing this module replaces its decoder by ``TolerantRecords``.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import aiokafka.consumer.fetcher
import cramjam
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from contracts.stubs import make_stub_header

UNPACKED_BYTES: Final = 64 * 1024 * 1024
"""Largest batch after decompression: four messages of the contract's 16 MiB. A larger one becomes stubs."""

TRUSTED_BYTES: Final = 1024 * 1024
"""Batches up to here are decoded by aiokafka's C code, whatever is in them: at most half a million headers."""

MAX_HEADERS: Final = 1000
"""Most headers of a record in a larger batch; with more, the record becomes a stub."""

CHECKSUM_TRIES: Final = 3
"""How often a batch is fetched before a wrong checksum counts as damage on the broker's disk, not on the wire."""

_OVERHEAD: Final = struct.calcsize(">qi")
_LENGTH_AT: Final = struct.calcsize(">q")
_ATTRIBUTES_AT: Final = 21
# Base offset, length, leader epoch, magic, checksum, attributes, last offset delta, first and last timestamp,
# producer id, epoch and sequence, number of records: Kafka's record batch, magic 2.
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_BASE_OFFSET: Final = struct.Struct(">q")
_CODEC: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_XERIAL: Final = b"\x82SNAPPY\x00"
_LAST_MAGIC: Final = 2

_failed_checksums: Final[dict[tuple[int, int], int]] = {}
"""How often a batch, by base offset and checksum, came with a wrong one."""


class _TooLargeError(Exception):
    """A batch unpacks to more than is allowed."""


class DecodedRecord:
    """One record, under the names that aiokafka's fetcher reads."""

    __slots__ = ("headers", "key", "offset", "timestamp", "timestamp_type", "value")
    checksum: Final = None

    def __init__(
        self,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]],
    ) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.timestamp_type = 0
        self.key = key
        self.value = value
        self.headers = headers


class TolerantRecords:
    """The batches of one fetched partition, under the names that aiokafka's fetcher calls."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records = MemoryRecords(data)
        self._at = 0

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def size_in_bytes(self) -> int:
        """Size of everything that was fetched."""
        return len(self._data)

    def next_batch(self) -> Any:
        """Take the next batch."""
        batch = self._records.next_batch()
        (length,) = struct.unpack_from(">i", self._data, self._at + _LENGTH_AT)
        raw = self._data[self._at : self._at + _OVERHEAD + length]
        self._at += len(raw)
        following = (
            _BASE_OFFSET.unpack_from(self._data, self._at)[0] if self._at + _LENGTH_AT <= len(self._data) else None
        )
        # Batches of the formats before headers and transactions are left to aiokafka.
        return TolerantBatch(batch, raw, following) if raw[_OVERHEAD + 4] == _LAST_MAGIC else batch


class TolerantBatch:
    """One batch; a record in it that cannot be decoded becomes a stub with its offset and the reason, no more."""

    def __init__(self, batch: Any, raw: bytes, following: int | None) -> None:
        self._batch = batch
        self._raw = raw
        self._following = following
        """The offset of the batch behind it, if it was fetched with it."""
        self._damage = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        """Check the checksum; one that stays wrong turns the batch into stubs instead of being refused forever."""
        if self._batch.validate_crc():
            return True
        batch = (self._batch.base_offset, self._batch.crc)
        _failed_checksums[batch] = _failed_checksums.get(batch, 0) + 1
        if _failed_checksums[batch] < CHECKSUM_TRIES:
            return False
        del _failed_checksums[batch]
        self._damage = f"its batch has a wrong checksum, also when it is fetched {CHECKSUM_TRIES} times"
        return True

    @property
    def next_offset(self) -> int:
        """The offset after this batch."""
        return self._last + 1

    def __iter__(self) -> Iterator[Any]:
        if self._damage:
            yield from self._make_stubs(self._batch.base_offset, self._damage)
            return
        following, last = self._batch.base_offset, self._last
        try:
            for record in self._decode():
                if not following <= record.offset <= last:
                    message = f"a record claims the offset {record.offset}"
                    raise ValueError(message)  # noqa: TRY301 - caught with what the decoders raise
                yield record
                following = record.offset + 1
        except _TooLargeError:
            limit = f"its batch unpacks to more than {UNPACKED_BYTES} bytes"
            yield from self._make_stubs(following, limit)
        except (
            CorruptRecordException,
            ValueError,
            IndexError,
            MemoryError,
            cramjam.DecompressionError,
            zlib.error,
        ) as error:
            yield from self._make_stubs(following, f"its batch cannot be decoded: {type(error).__name__}: {error}")

    def __next__(self) -> Any:
        # The fetcher reads a control batch by its first record.
        return next(self._batch)

    def _decode(self) -> Iterator[Any]:
        unpacked = self._unpack()
        if len(unpacked) <= TRUSTED_BYTES:
            try:
                # All at once: aiokafka's decoder may raise half way.
                yield from list(DefaultRecordBatch(unpacked))
            except (UnicodeDecodeError, CorruptRecordException):
                yield from _decode_records(unpacked)
        else:
            yield from _decode_records(unpacked)

    def _unpack(self) -> bytes:
        """Decompress the batch, no further than the limit, into one that is not compressed."""
        codec = self._raw[_ATTRIBUTES_AT + 1] & _CODEC
        if not codec:
            return self._raw
        header, payload = bytearray(self._raw[: _HEADER.size]), self._raw[_HEADER.size :]
        header[_ATTRIBUTES_AT + 1] &= ~_CODEC
        return bytes(header) + _decompress(codec, payload)

    def _make_stubs(self, start: int, why: str) -> Iterator[DecodedRecord]:
        headers: list[tuple[str, bytes | None]] = [make_stub_header(why[:500])]
        for offset in range(start, self._last + 1):
            yield DecodedRecord(offset, max(self._batch.max_timestamp, 0), None, None, headers)

    @property
    def _last(self) -> int:
        """The offset of the last record; what a damaged batch says of it must not pass over the records behind it."""
        first: int = self._batch.base_offset
        delta: int = self._batch.last_offset_delta
        if not self._damage:
            return first + delta
        # Nothing is missing in the log of a source or of the inbox: a batch ends where the next begins.
        count = _HEADER.unpack_from(self._raw)[-1]
        delta = min(delta, count - 1) if self._following is None else self._following - 1 - first
        # A record takes more than one byte.
        return first + delta if 0 <= delta < len(self._raw) else first


def _decompress(codec: int, payload: bytes) -> bytes:
    if codec == _GZIP:
        unpacking = zlib.decompressobj(wbits=31)
        unpacked = unpacking.decompress(payload, UNPACKED_BYTES + 1)
        if len(unpacked) > UNPACKED_BYTES:
            raise _TooLargeError
        return unpacked
    if codec == _SNAPPY:
        return b"".join(_decompress_snappy(payload))
    room = bytearray(UNPACKED_BYTES)
    unpack = {_LZ4: cramjam.lz4.decompress_into, _ZSTD: cramjam.zstd.decompress_into}.get(codec)
    if unpack is None:
        message = f"codec {codec} is not known"
        raise ValueError(message)
    try:
        size = unpack(payload, room)
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):
            raise _TooLargeError from error
        raise
    return bytes(memoryview(room)[:size])


def _decompress_snappy(payload: bytes) -> Iterator[bytes]:
    blocks = [payload]
    if payload.startswith(_XERIAL):
        # Java's framing: magic and two versions, then blocks, each with its length before it.
        blocks, at = [], 16
        while at < len(payload):
            (length,) = struct.unpack_from(">i", payload, at)
            if not 0 <= length <= len(payload) - at - 4:
                message = f"a block of {length} bytes where {len(payload) - at - 4} are left"
                raise ValueError(message)
            blocks.append(payload[at + 4 : at + 4 + length])
            at += 4 + length
    if sum(map(cramjam.snappy.decompress_raw_len, blocks)) > UNPACKED_BYTES:
        raise _TooLargeError
    for block in blocks:
        yield bytes(cramjam.snappy.decompress_raw(block))


def _decode_records(batch: bytes) -> Iterator[DecodedRecord]:
    """Decode an uncompressed batch record by record, writing out the bytes of header names that are not UTF-8."""
    base, _, _, _, _, attributes, _, first_timestamp, last_timestamp, *_, count = _HEADER.unpack_from(batch)
    at = _HEADER.size
    for _ in range(count):
        length, at = decode_varint(batch, at)
        end = at + length
        if not 0 < length <= len(batch) - at:
            message = f"a record of {length} bytes where {len(batch) - at} are left"
            raise ValueError(message)
        timestamp_delta, at = decode_varint(batch, at + 1)
        offset_delta, at = decode_varint(batch, at)
        key, at = _decode_bytes(batch, at, end)
        value, at = _decode_bytes(batch, at, end)
        timestamp = last_timestamp if attributes & _LOG_APPEND_TIME else first_timestamp + timestamp_delta
        number, at = decode_varint(batch, at)
        if number > MAX_HEADERS:
            why = f"it has {number} headers; {MAX_HEADERS} is the most that is read"
            yield DecodedRecord(base + offset_delta, timestamp, None, None, [make_stub_header(why)])
        else:
            yield DecodedRecord(
                base + offset_delta, timestamp, key, value, list(_decode_headers(batch, at, end, number))
            )
        at = end


def _decode_headers(batch: bytes, at: int, end: int, number: int) -> Iterator[tuple[str, bytes | None]]:
    for _ in range(number):
        name, at = _decode_bytes(batch, at, end)
        value, at = _decode_bytes(batch, at, end)
        yield (name or b"").decode("utf-8", "backslashreplace"), value


def _decode_bytes(batch: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(batch, at)
    if length < 0:
        return None, at
    if at + length > end:
        message = f"a field of {length} bytes where {end - at} are left"
        raise ValueError(message)
    return batch[at : at + length], at + length


aiokafka.consumer.fetcher.MemoryRecords = TolerantRecords

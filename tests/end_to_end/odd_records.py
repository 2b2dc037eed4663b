"""Hostile records: bytes, headers, sizes, codecs, encodings, depths, digits and times that no reader expects."""

import asyncio
import gzip
import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cramjam
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import LeaderNotAvailableError, NotLeaderForPartitionError, UnknownTopicOrPartitionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from contracts.inbound import BudgetLocked

_HEADER_BYTES: Final = 61
_CODEC_AT: Final = 22
MIB: Final = 1024 * 1024
# What a busy broker answers while a topic is new.
NOT_YET: Final = {
    error.errno for error in (UnknownTopicOrPartitionError, NotLeaderForPartitionError, LeaderNotAvailableError)
}

Codec = tuple[int, Callable[[bytes], Any]]
GZIP: Final[Codec] = 1, gzip.compress
SNAPPY: Final[Codec] = 2, cramjam.snappy.compress_raw
LZ4: Final[Codec] = 3, cramjam.lz4.compress
ZSTD: Final[Codec] = 4, cramjam.zstd.compress


@dataclass(frozen=True)
class OddRecord:
    """One record as it is produced; ``names`` replaces header names of one length by other bytes of that length."""

    name: str
    value: bytes | None = b""
    key: bytes | None = b"k"
    headers: tuple[tuple[str, bytes | None], ...] = ()
    # A broker deletes what is older than its retention.
    timestamp_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    codec: Codec | None = None
    names: Mapping[bytes, bytes] = field(default_factory=dict)
    topic: str = "procore.budgets"

    def write(self) -> bytes:
        """Write it as a batch of its own."""
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
        builder.append(0, self.timestamp_ms, self.key, self.value, list(self.headers))
        batch = bytes(builder.build())
        for name, other in self.names.items():
            assert name in batch
            assert len(name) == len(other)
            batch = batch.replace(name, other)
        if self.codec:
            number, compress = self.codec
            header = bytearray(batch[:_HEADER_BYTES])
            header[_CODEC_AT] |= number
            batch = bytes(header) + bytes(compress(batch[_HEADER_BYTES:]))
        signed = bytearray(batch)
        struct.pack_into(">i", signed, 8, len(signed) - 12)
        struct.pack_into(">I", signed, 17, calc_crc32c(bytes(signed[21:])))
        return bytes(signed)


def head(message_id: str, **changes: bytes | None) -> tuple[tuple[str, bytes | None], ...]:
    attributes = {
        "ce_specversion": b"1.0",
        "ce_id": message_id.encode(),
        "ce_source": b"odd",
        "ce_type": BudgetLocked.type.encode(),
        "content-type": b"application/json",
    } | {name.replace("__", "-"): value for name, value in changes.items()}
    return tuple(attributes.items())


def list_odd_records(lock: Mapping[str, Any]) -> Iterator[OddRecord]:
    """List them; ``lock`` is a valid lock as JSON, to be spoilt."""
    whole = json.dumps(lock).encode()

    def spoil(**changes: object) -> bytes:
        return json.dumps({**lock, **changes}).encode()

    def spoil_line(**changes: object) -> bytes:
        first, *rest = lock["lines"]
        return spoil(lines=[{**first, **changes}, *rest])

    def raw(name: str, text: bytes) -> bytes:
        return whole.replace(json.dumps(lock[name]).encode(), text, 1)

    yield from _list_bytes()
    yield from _list_headers(whole)
    yield from _list_codecs(whole)
    for number, timestamp in enumerate((-1, 0, 1, 2**31, 2**53, 253_402_300_800_000)):
        yield OddRecord(f"timestamp {timestamp}", whole, headers=head(f"time-{number}"), timestamp_ms=timestamp)
    bodies: dict[str, bytes] = {
        "empty lines by the thousand": spoil(lines=[{}] * 300_000),
        "lines that are numbers": spoil(lines=list(range(100_000))),
        "sixty thousand lines": spoil(lines=[lock["lines"][0]] * 60_000),
        "an amount of four million digits": spoil_line(original_amount="9" * 4_000_000),
        "a number of four million digits": raw("total_amount", b"9" * 4_000_000),
        "an amount with a million places": spoil_line(original_amount="0." + "0" * 1_000_000 + "1"),
        "an amount in exponents": raw("total_amount", b"1e999999999"),
        "a negative exponent": raw("total_amount", b"1e-999999999"),
        "not a number": raw("total_amount", b"NaN"),
        "infinity": raw("total_amount", b"-Infinity"),
        "minus zero": raw("total_amount", b"-0"),
        "an amount with a comma": spoil(total_amount="1,000.00"),
        "an amount in Arabic digits": spoil(total_amount="٣٤"),
        "an amount with a plus": spoil(total_amount="+1"),
        "an amount with a space": spoil(total_amount=" 1"),
        "a company of 20 digits": raw("company_id", b"9" * 20),
        "a company of a million digits": raw("company_id", b"9" * 1_000_000),
        "a company that is a text": spoil(company_id="4211x"),
        "a company that is a float": spoil(company_id=4211.5),
        "a company that is true": spoil(company_id=True),
        "a negative company": spoil(company_id=-1),
        "a company beyond 64 bits": raw("company_id", str(2**63).encode()),
        "version zero": spoil(budget_version=0),
        "a version beyond all": spoil(budget_version=10**12),
        "a NUL in a user": spoil(sent_by="ann\x00"),
        "a user of zero-width characters": spoil(sent_by="\u200b\u200b"),
        "a user written from right to left": spoil(sent_by="ann\u202egro"),
        "an escape in a user": spoil(sent_by="\x1b]52;c;aGk=\x07"),
        "a user of 10,000 characters": spoil(sent_by="a" * 10_000),
        "a lone surrogate": whole.replace(b'"sent_by": "', b'"sent_by": "\\ud800', 1),
        "a NUL in a description": spoil_line(description="Concrete\x00"),
        "a description of a million characters": spoil_line(description="x" * 1_000_000),
        "a time in the year zero": spoil(locked_at="0000-01-01T00:00:00Z"),
        "a time beyond years": spoil(locked_at="9999-12-31T23:59:60-23:59"),
        "a time without an offset": spoil(locked_at="2026-11-24T08:00:00"),
        "a time of a million digits": spoil(locked_at="2026-11-24T08:00:00." + "1" * 1_000_000 + "Z"),
        "a currency of two letters": spoil(currency="US"),
        "a currency in small letters": spoil(currency="usd"),
        "a key twice": whole[:-1] + b', "company_id": 1}',
        "a project twice, of two kinds": whole[:-1] + b', "project_id": "1"}',
        "keys that nobody knows": spoil(**{f"unknown{number}": number for number in range(50_000)}),
        "a deep object": whole[:-1] + b', "deep": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        "lines nested in lines": spoil(lines=[[[[[]]]]]),
        "a body of 15 MiB": spoil(padding="x" * (15 * MIB)),
        "a null for each field": json.dumps(dict.fromkeys(lock)).encode(),
        "no fields": b"{}",
        "a byte-order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": whole.decode().encode("utf-16"),
        "Latin-1": whole.replace(b'"sent_by": "', b'"sent_by": "\xe9', 1),
        "a body and something behind it": whole + b"}",
    }
    for number, (name, value) in enumerate(bodies.items()):
        yield OddRecord(name, value, headers=head(f"body-{number}"))


def _list_bytes() -> Iterator[OddRecord]:
    for name, value in {
        "nothing": None,
        "no bytes": b"",
        "one NUL": b"\x00",
        "random bytes": bytes(range(256)) * 40,
        "a lone bracket": b"[",
        "a text": b'"text"',
        "a number": b"1",
        "null": b"null",
        "a deep list": b"[" * 1_000_000,
        "a deep and closed list": b"[" * 50_000 + b"]" * 50_000,
        "a long text": b'"' + b"x" * 8 * MIB + b'"',
        "half a surrogate": b'{"company_id": "\\ud800"}',
        "XML": b"<?xml version='1.0'?><!DOCTYPE x>",
        "Avro": b"\x00\x00\x00\x00\x07" + b"\x02" * 30,
    }.items():
        yield OddRecord(f"as bytes: {name}", value)
        yield OddRecord(f"as a message: {name}", value, headers=head(f"bytes-{name}"))
    yield OddRecord("neither key nor value", None, None)
    yield OddRecord("a key of a mebibyte", b"{}", b"k" * MIB)
    yield OddRecord("a key that is no text", b"{}", b"\xff\x00\xfe")


def _list_headers(whole: bytes) -> Iterator[OddRecord]:
    yield OddRecord(
        "a header name in Latin-1",
        whole,
        headers=(*head("latin-name"), ("grXsse", b"1")),
        names={b"grXsse": b"gr\xf6sse"},
    )
    yield OddRecord("a header without a name", whole, headers=(*head("no-name"), ("", b"1")))
    yield OddRecord("a header name with NUL", whole, headers=(*head("nul-name"), ("a\x00b", b"1")))
    yield OddRecord("a header name of a mebibyte", whole, headers=(*head("long-name"), ("n" * MIB, b"1")))
    yield OddRecord("sixty thousand headers", whole, headers=(*head("many"), *[("h" * 20, b"")] * 60_000))
    yield OddRecord("half a million headers", whole, headers=(*head("many-more"), *[("", None)] * 500_000))
    yield OddRecord("the same header often", whole, headers=head("twice") * 20)
    changes: dict[str, dict[str, bytes | None]] = {
        "an id that is no UTF-8": {"ce_id": b"\xff\xfe"},
        "an id with NUL": {"ce_id": b"a\x00b"},
        "an empty id": {"ce_id": b""},
        "a null id": {"ce_id": None},
        "an id of 100,000 bytes": {"ce_id": b"i" * 100_000},
        "a source of 100,000 bytes": {"ce_source": b"s" * 100_000},
        "the bridge's own source": {"ce_source": b"budget-bridge"},
        "the timer's source": {"ce_source": b"budget-bridge/deadlines"},
        "markup in the type": {"ce_type": b"[/b][red]"},
        "an escape in the type": {"ce_type": b"\x1b[2J"},
        "a type of another topic": {"ce_type": b"approval.decision.v1"},
        "another version of CloudEvents": {"ce_specversion": b"2.0"},
        "another content type": {"content__type": b"text/plain"},
        "a content type that is no text": {"content__type": b"\xff\xff"},
        "structured without an event": {"content__type": b"application/cloudevents+json"},
        "a traceparent that is none": {"traceparent": b"00-zz"},
        "a tracestate of 8 MiB": {"tracestate": b"t" * 8 * MIB},
        "an origin of its own": {"origin_topic": b"bridge.commands", "origin_offset": b"-1"},
        "the mark of a stub": {"bridge_unreadable": b"because I say so"},
        "a dead letter": {"dead_letter_reason": b"unreadable", "dead_letter_offset": b"x"},
    }
    for number, (name, changed) in enumerate(changes.items()):
        yield OddRecord(name, whole, headers=head(f"head-{number}", **changed))


def _list_codecs(whole: bytes) -> Iterator[OddRecord]:
    for name, codec in {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}.items():
        yield OddRecord(f"in order, by {name}", whole, headers=head(f"codec-{name}"), codec=codec)
        padded = whole[:-1] + b', "padding": "' + b"x" * 20 * MIB + b'"}'
        yield OddRecord(f"20 MiB, by {name}", padded, headers=head(f"large-{name}"), codec=codec)
        yield OddRecord(f"a bomb of 100 MiB, by {name}", b"\0" * 100 * MIB, headers=head(f"bomb-{name}"), codec=codec)


async def produce(client: AIOKafkaClient, topic: str, batch: bytes) -> int:
    """Append a batch as it is, as no client would; return its offset, or the broker's error as a negative number."""
    request = ProduceRequest(transactional_id=None, required_acks=-1, timeout=20_000, topics=[(topic, [(0, batch)])])
    await client.set_topics([topic])
    while True:
        answer = await client.send(client.cluster.leader_for_partition(TopicPartition(topic, 0)), request)
        [(_, [(_, error, offset, *_)])] = answer.topics
        if error not in NOT_YET:
            return -abs(error) if error else int(offset)
        await asyncio.sleep(0.1)

"""Compares what a line says with the bytes that it carries."""

from collections.abc import Iterator
from typing import Final

from contracts.records import Headers, Place, Record, fold_headers
from worker.sent_exports import read_export
from worker.trail.describing import Described, describe_sent, digest_value, unpack_bytes
from worker.trail.lines import Bytes, KafkaPlace, Received, Sent

NOT_DONE: Final = frozenset({"refused", "dead_lettered"})
"""Verdicts of messages whose signature may be anything: they were not acted on."""


def rebuild_record(origin: KafkaPlace, packed: Bytes) -> Record:
    """Rebuild a record, as far as it is signed.

    Raises:
        ValueError: its bytes are no base64.
    """
    headers, value = unpack_bytes(packed)
    return Record(Place(origin.topic, origin.partition, origin.offset), 0, None, value, headers)


def compare_sent(line: Sent, headers: Headers, value: bytes | None) -> Iterator[str]:
    """Compare the line of an export with its bytes; yields what differs, in sentences."""
    if digest_value(value) != line.value_sha256:
        yield "the value is not the one whose digest is beside it: one of them was changed"
    if describe_sent(value) != line.says:
        yield "it does not say what its value says: one of them was changed"
    said = fold_headers(headers)
    for name, written in (("id", line.id), ("type", line.type)):
        if said.get(f"ce_{name}") != (written or "").encode():
            yield f"its {name} is not the one of its record: one of them was changed"
    try:
        budget = str(read_export(value).budget)
    except ValueError:
        yield "its value is no export, though it is sent as one"
        return
    if line.budget != budget:
        yield "its budget is not the one of its record: one of them was changed"


def compare_received(line: Received, described: Described, record: Record) -> Iterator[str]:
    """Compare the line of a message that came in with its bytes, as described; yields what differs, in sentences."""
    if digest_value(record.value) != line.value_sha256:
        yield "the value is not the one whose digest is beside it: one of them was changed"
    message = described.message
    if message is None:
        yield f"its record is no {line.type}: one of them was changed"
        return
    said: dict[str, tuple[object, object]] = {
        "budget": (line.budget, str(message.body.key)),
        "version": (line.version, message.body.version),
        "who": (line.who, described.who),
        "says": (line.says, described.says),
        "signed": (line.signed, described.signed),
    }
    if line.verdict not in NOT_DONE:
        # What is refused unverified has its origin for an identity.
        said |= {"id": (line.id, message.id), "source": (line.source, message.source)}
    for name, (written, read) in said.items():
        if written != read:
            yield f"its {name} is not the one of its record: one of them was changed"

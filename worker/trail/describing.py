"""What a record says of itself: who, what, and under which key. The export writes it, and the verifier compares it."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from contracts.body import Inbound
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import is_structured, read_claimed_type, read_message
from contracts.fields import write_time
from contracts.json_text import parse_json
from contracts.outbound import SpectrumExport, SpectrumResync
from contracts.records import Headers, Record, fold_headers
from contracts.signature.envelope import open_material
from contracts.signature.event import MATERIAL_HEADER, SIGNED_HEADERS
from contracts.signature.exact_base64 import decode_standard
from contracts.signature.keys import KEY_ID
from contracts.topics import SOURCES
from worker.trail.lines import Bytes, Scalar, Signed

EXPORTS: Final = frozenset({SpectrumExport.type, SpectrumResync.type})

_KEY_FIELDS: Final = frozenset({*Inbound.model_fields, "budget_version"})
_PEOPLE: Final = ("decided_by", "requested_by", "applied_by", "retrieved_by", "sent_by", "locked_by")
_KEPT_HEADERS: Final = frozenset({*SIGNED_HEADERS.values(), MATERIAL_HEADER})
_SHOWN_TIME: Final = 64


class Described(NamedTuple):
    """What a received record says."""

    message: Message | None
    """``None`` where it is no message of its type."""
    who: str | None
    says: dict[str, Scalar] | None
    signed: Signed | None


def describe_received(kind: str, record: Record) -> Described:
    """Describe a record that came in.

    Args:
        kind: the type of message that it was taken for; empty for a record that was taken for none.
        record: as it was first read.
    """
    # What was refused unproven has no type of its own, so that the genuine message is no repeat of it.
    wanted = kind or read_claimed_type(record.headers)
    topic = next((name for name, models in SOURCES.items() if wanted in {model.type for model in models}), None)
    message = read_message(topic, record) if topic else None
    if not isinstance(message, Message):
        return Described(None, None, None, None)
    fields = dict(message.body)
    who = next((str(fields[name]) for name in _PEOPLE if fields.get(name)), None)
    return Described(message, who, _pick_scalars(fields), _read_signed(record.headers))


def describe_sent(value: bytes | None) -> dict[str, Scalar] | None:
    """Describe the data of a message that was sent; ``None`` for what is no JSON object."""
    try:
        data = parse_json(value or b"")
    except ValueError:
        return None
    return _pick_scalars(data) if isinstance(data, dict) else None


def digest_value(value: bytes | None) -> str | None:
    """Digest the value of a record as ``sha256sum`` does; ``None`` for a null."""
    return None if value is None else sha256(value).hexdigest()


def pack_bytes(headers: Headers, value: bytes | None) -> Bytes:
    """Pack what is signed of a record."""
    kept = tuple((name, _encode(text)) for name, text in headers if name.lower() in _KEPT_HEADERS)
    return Bytes(headers=kept, value=_encode(value))


def unpack_bytes(packed: Bytes) -> tuple[Headers, bytes | None]:
    """Unpack what ``pack_bytes`` has packed.

    Raises:
        ValueError: it is no base64.
    """
    return tuple((name, _decode(text)) for name, text in packed.headers), _decode(packed.value)


def _encode(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _decode(text: str | None) -> bytes | None:
    return None if text is None else decode_standard(text)


def _pick_scalars(fields: Mapping[str, object]) -> dict[str, Scalar]:
    return dict(_write_fields((name, value) for name, value in fields.items() if name not in _KEY_FIELDS))


def _write_fields(fields: Iterable[tuple[str, object]]) -> Iterable[tuple[str, Scalar]]:
    for name, value in fields:
        if value is None or isinstance(value, str | int):
            yield name, value
        elif isinstance(value, list | tuple):
            yield name, len(value)
        elif isinstance(value, datetime):
            yield name, write_time(value)
        elif isinstance(value, date | UUID):
            yield name, str(value)


def _read_signed(headers: Headers) -> Signed | None:
    folded = fold_headers(headers)
    if is_structured(folded) or MATERIAL_HEADER not in folded:
        return None
    try:
        kid = open_material(folded[MATERIAL_HEADER].decode()).kid
    except ValueError:
        return None
    time = folded.get("ce_time", b"").decode(errors="replace")[:_SHOWN_TIME]
    # What is no kid is somebody's text, and no key has it.
    return Signed(kid=kid, at=time) if KEY_ID.fullmatch(kid) else None

"""What is digested and signed, and the envelope that carries the signature.

Verifiable CloudEvents with DSSE: cloudevents/spec, ``cloudevents/extensions/verifiability.md`` at d54e6bb, over DSSE
1.0.2. The vector in docs/messages.md is the reference.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from contracts.fields import read_time, write_time
from contracts.json_text import parse_unique_json, write_json
from contracts.signature.event import SIGNED_HEADERS
from contracts.signature.exact_base64 import decode_either, decode_standard

PAYLOAD_TYPE: Final = "https://cloudevents.io/verifiability/dsse/v0.1"
MAX_MATERIAL_BYTES: Final = 4096
"""Longest ``ce_dssematerial``; ours. One signature with the longest kid takes about 500."""

_CORE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope, opened.

    Attributes:
        payload: the bytes that are signed.
        kid: which key it says it is signed with; it is not signed.
        signature: of the one signature.
    """

    payload: bytes
    kid: str
    signature: bytes


def cut_time(time: str) -> datetime:
    """Read a time as it is signed: UTC, cut to whole seconds.

    Raises:
        ValueError: it is no RFC 3339 time with offset.
    """
    return read_time(time).replace(microsecond=0)


def compute_core(attributes: Mapping[str, str], data: bytes) -> bytes:
    """Compute the digest of a message: of its signed attributes and its data.

    Args:
        attributes: by their name in CloudEvents; one that is absent counts as the empty text.
        data: the value of the record.

    Raises:
        ValueError: ``time`` is there and is no RFC 3339 time with offset.
    """
    texts = {**dict.fromkeys(SIGNED_HEADERS, ""), **attributes}
    if texts["time"]:
        texts["time"] = write_time(cut_time(texts["time"]))
    digests = [sha256(texts[name].encode()).digest() for name in SIGNED_HEADERS]
    return sha256(b"".join(digests) + sha256(data).digest()).digest()


def write_payload(core: bytes) -> bytes:
    """Write the payload that names the digest of a message."""
    return write_json({"core": b64encode(core).decode()})


def encode_for_signing(payload: bytes) -> bytes:
    """Write the bytes that a key signs: DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def write_material(payload: bytes, kid: str, signature: bytes) -> str:
    """Write the envelope as ``ce_dssematerial`` has it."""
    envelope = {
        "payload": b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": kid, "sig": b64encode(signature).decode()}],
    }
    return b64encode(write_json(envelope)).decode()


def open_material(material: str) -> Envelope:
    """Open an envelope.

    Raises:
        ValueError: it is none, or not one of ours; the message says what is wrong, without a signature in it.
    """
    if len(material) > MAX_MATERIAL_BYTES:
        raise ValueError(f"it is longer than {MAX_MATERIAL_BYTES:,} bytes")
    envelope = _read_object("it", decode_standard(material))
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise ValueError(f"its payloadType is not {PAYLOAD_TYPE}")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise ValueError("it does not have exactly one signature")
    if not isinstance(signatures[0], dict):
        raise ValueError("its signature is no object")  # noqa: TRY004
    kid = _read_text("keyid", signatures[0])
    return Envelope(_read_bytes("payload", envelope), kid, _read_bytes("sig", signatures[0]))


def read_core(payload: bytes) -> bytes:
    """Read the digest that a payload names, 32 bytes; its other members are ignored.

    Raises:
        ValueError: it names none; the message says what is wrong.
    """
    core = _read_bytes("core", _read_object("its payload", payload))
    if len(core) != _CORE_BYTES:
        raise ValueError(f"its core is not {_CORE_BYTES} bytes")
    return core


def _read_object(what: str, text: bytes) -> dict[str, object]:
    try:
        parsed = parse_unique_json(text)
    except ValueError as error:
        raise ValueError(f"{what} is no JSON that can be read: {error}") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"{what} is no JSON object")  # noqa: TRY004
    return parsed


def _read_text(name: str, members: Mapping[str, object]) -> str:
    text = members.get(name)
    if not isinstance(text, str):
        raise ValueError(f"its {name} is missing")  # noqa: TRY004
    return text


def _read_bytes(name: str, members: Mapping[str, object]) -> bytes:
    text = _read_text(name, members)
    try:
        return decode_either(text)
    except ValueError as error:
        raise ValueError(f"of its {name}, {error}") from None

"""Verifies that a message is what the holder of a listed key signed: from a Kafka record, or as an event in JSON.

What is wrong becomes a value with a sentence; nothing raises. Whether the key may sign this is asked elsewhere, of
the rules in force.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import ValidationError

from contracts.body import Inbound
from contracts.cloudevents.reading import is_structured
from contracts.inbound import ErpAcknowledgement
from contracts.json_text import parse_unique_json
from contracts.records import Headers, Record, fold_headers
from contracts.signature.envelope import compute_core, cut_time, encode_for_signing, open_material, read_core
from contracts.signature.event import MATERIAL_HEADER, SIGNED_HEADERS, SignedEvent, write_event
from contracts.signature.exact_base64 import decode_standard
from contracts.signature.keys import KEY_ID, PublicKey

MAX_DATA_BYTES: Final = 8192
"""Longest decision or command that is signed; ours, since parked ones and exports under way are kept whole."""

_SIGNATURE_BYTES: Final = 64
_NAMES: Final = frozenset((*SIGNED_HEADERS.values(), MATERIAL_HEADER))
_TIME_SAMPLE: Final = "2026-11-24T09:00:00Z"


@dataclass(frozen=True, slots=True)
class Unverified:
    """A message that nobody has proved to have sent: the code of the refusal, and one sentence for its sender."""

    code: Literal["signature_missing", "signature_invalid"]
    detail: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A message that the holder of a key has signed, as it is.

    Attributes:
        kid: of the key.
        signed_at: ``ce_time``, UTC, in whole seconds.
        attributes: the signed ones that came, by their name in CloudEvents.
        data: the value of the record.
        material: the envelope.
    """

    kid: str
    signed_at: datetime
    attributes: Mapping[str, str]
    data: bytes
    material: str

    @property
    def event(self) -> SignedEvent:
        """The message as ``approval`` of an export has it."""
        return write_event(self.attributes, self.data, self.material)


class _WrongError(Exception):
    """The sentence of a refusal."""


def verify_record(record: Record, subject: str, keys: Mapping[str, PublicKey]) -> Verified | Unverified:
    """Verify a record that has been read as a message.

    Args:
        record: as it was first read.
        subject: the budget of its data, ``company/project/budget``.
        keys: by kid; all others are unknown.
    """
    if is_structured(fold_headers(record.headers)):
        return Unverified(
            "signature_invalid", "A signed message is sent in binary mode, not structured; send attributes as headers."
        )
    if not any(value for name, value in record.headers if name.lower() == MATERIAL_HEADER):
        return Unverified(
            "signature_missing",
            f"This must be signed: send the envelope in {MATERIAL_HEADER}; an operator sets OPERATOR_KEY_FILE.",
        )
    data = record.value or b""
    try:
        attributes, material = _read_headers(record.headers)
        _check_data(attributes, data)
        return _verify(attributes, data, material, subject, keys)
    except _WrongError as wrong:
        return Unverified("signature_invalid", str(wrong))


def verify_event(event: object, keys: Mapping[str, PublicKey]) -> Verified | Unverified:
    """Verify a signed message as an export carries it; what its data says the budget is, is its subject.

    Args:
        event: as a JSON parser gives it, such as ``approval``.
        keys: by kid; all others are unknown.
    """
    try:
        signed = SignedEvent.model_validate(event)
        data = decode_standard(signed.data_base64)
    except ValueError:
        return Unverified(
            "signature_invalid", "This is no signed CloudEvent in JSON format; pass on the one that came."
        )
    attributes = signed.model_dump(include=set(SIGNED_HEADERS), exclude_none=True)
    try:
        parsed = _check_data(attributes, data)
        subject = str(Inbound.model_validate(parsed).key)
        return _verify(attributes, data, signed.dssematerial, subject, keys)
    except ValidationError:
        return Unverified("signature_invalid", "The signed data names no budget; it has company, project and budget.")
    except _WrongError as wrong:
        return Unverified("signature_invalid", str(wrong))


def _read_headers(headers: Headers) -> tuple[dict[str, str], str]:
    names = Counter(name.lower() for name, _ in headers)
    if twice := sorted(name for name in _NAMES if names[name] > 1):
        raise _WrongError(f"The header {twice[0]} is there twice; send each header once.")
    folded = fold_headers(headers)
    try:
        attributes = {name: folded[header].decode() for name, header in SIGNED_HEADERS.items() if header in folded}
        return attributes, folded[MATERIAL_HEADER].decode()
    except UnicodeDecodeError:
        raise _WrongError("A signed header is not UTF-8; send each attribute as UTF-8.") from None


def _check_data(attributes: Mapping[str, str], data: bytes) -> object:
    if len(data) > MAX_DATA_BYTES and attributes.get("type") != ErpAcknowledgement.type:
        raise _WrongError(
            f"The signed data is longer than {MAX_DATA_BYTES:,} bytes; send less, such as a shorter reason."
        )
    try:
        return parse_unique_json(data)
    except ValueError as error:
        raise _WrongError(f"The signed data can be read in two ways: {error}; write it again and sign that.") from None


def _verify(
    attributes: Mapping[str, str], data: bytes, material: str, subject: str, keys: Mapping[str, PublicKey]
) -> Verified:
    try:
        envelope = open_material(material)
    except ValueError as error:
        raise _WrongError(f"The envelope in {MATERIAL_HEADER} is not as it must be: {error}; sign again.") from None
    key = _find_key(envelope.kid, keys)
    if not _is_signed(key, encode_for_signing(envelope.payload), envelope.signature):
        raise _WrongError(
            f"The signature is not one of key {key.kid}; sign with the key of that kid, and {_name_form(key)}."
        )
    signed_at = _read_signed_time(attributes)
    if attributes.get("subject") != subject:
        raise _WrongError(f"The subject of the message is not the budget of its data; send ce_subject {subject}.")
    try:
        core = read_core(envelope.payload)
    except ValueError as error:
        raise _WrongError(f"The envelope in {MATERIAL_HEADER} is not as it must be: {error}; sign again.") from None
    if core != compute_core(attributes, data):
        raise _WrongError(
            f"Key {key.kid} has signed something else than this message; sign exactly the attributes and bytes that "
            "are sent."
        )
    return Verified(key.kid, signed_at, attributes, data, material)


def _find_key(kid: str, keys: Mapping[str, PublicKey]) -> PublicKey:
    if key := keys.get(kid):
        return key
    if KEY_ID.fullmatch(kid):
        raise _WrongError(f"Signed with key {kid}, which is not listed; ask accounting to add it to signers.csv.")
    raise _WrongError("Signed with a key that has no name as a kid has it; sign with a key that signers.csv lists.")


def _name_form(key: PublicKey) -> str:
    return "send 64 bytes" if key.algorithm == "EdDSA" else "send r and s of 32 bytes each, not DER"


def _read_signed_time(attributes: Mapping[str, str]) -> datetime:
    if not (time := attributes.get("time")):
        raise _WrongError(f"The time of signing is missing; send ce_time, such as {_TIME_SAMPLE}.")
    try:
        return cut_time(time)
    except ValueError:
        raise _WrongError(
            f"The time of signing cannot be read; send ce_time as RFC 3339 with offset, such as {_TIME_SAMPLE}."
        ) from None


def _is_signed(key: PublicKey, message: bytes, signature: bytes) -> bool:
    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        if key.algorithm == "EdDSA":
            Ed25519PublicKey.from_public_bytes(key.material).verify(signature, message)
        else:
            half = _SIGNATURE_BYTES // 2
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key.material)
            point.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True

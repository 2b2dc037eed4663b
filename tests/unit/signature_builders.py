"""Signed records for the tests of signatures, and envelopes that no honest signer would write."""

import json
from base64 import b64decode, b64encode
from typing import Any, Final

from contracts.records import Headers, Place, Record
from contracts.signature.envelope import PAYLOAD_TYPE, compute_core, encode_for_signing
from contracts.signature.event import SIGNED_HEADERS
from contracts.signature.signing import PrivateKey, _compute_signature, generate_key, sign
from contracts.signature.verifying import Unverified, Verified, verify_record

SUBJECT: Final = "4211/90071/55210"
KEY: Final = generate_key("anna-1", "anna@hillside.example")
P256_KEY: Final = generate_key("ui-1", "*", "ES256")
KEYS: Final = {key.public.kid: key.public for key in (KEY, P256_KEY)}
ATTRIBUTES: Final = {
    "id": "decision-1",
    "source": "approval-ui",
    "specversion": "1.0",
    "type": "approval.decision.v1",
    "datacontenttype": "application/json",
    "subject": SUBJECT,
    "time": "2026-11-24T09:00:00Z",
}
DATA: Final = b'{"company_id":4211,"project_id":90071,"budget_id":55210,"budget_version":1,"decision":"accept"}'


def write_headers(attributes: dict[str, str] = ATTRIBUTES) -> Headers:
    """Write attributes as the headers of a record."""
    return tuple((SIGNED_HEADERS[name], value.encode()) for name, value in attributes.items())


def make_record(headers: Headers, data: bytes | None = DATA, key: bytes | None = b"4211/90071") -> Record:
    """Make a record of the topic of decisions."""
    return Record(Place("procore.approvals", 0, 7), 0, key, data, headers)


def make_signed(
    attributes: dict[str, str] = ATTRIBUTES, data: bytes = DATA, *, key: PrivateKey = KEY, more: Headers = ()
) -> Record:
    """Make a record that is signed as it is."""
    material = sign(attributes, data, key)
    return make_record((*write_headers(attributes), ("ce_dssematerial", material.encode()), *more), data)


def make_enveloped(material: bytes | str) -> Record:
    """Make a record with this as its envelope."""
    value = material.encode() if isinstance(material, str) else material
    return make_record((*write_headers(), ("ce_dssematerial", value)))


def sign_payload(payload: bytes, key: PrivateKey = KEY) -> dict[str, Any]:
    """Sign any payload, and give the envelope as the object that it is."""
    signature = _compute_signature(key, encode_for_signing(payload))
    return {
        "payload": b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key.public.kid, "sig": b64encode(signature).decode()}],
    }


def make_envelope(key: PrivateKey = KEY) -> dict[str, Any]:
    """Make the honest envelope of the message, as the object that it is."""
    return sign_payload(make_payload(), key)


def make_payload() -> bytes:
    """Make the honest payload of the message."""
    return json.dumps({"core": b64encode(compute_core(ATTRIBUTES, DATA)).decode()}).encode()


def encode(envelope: object) -> str:
    """Encode an envelope, or its text, as the header has it."""
    text = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
    return b64encode(text).decode()


def read_signature(key: PrivateKey = KEY) -> bytes:
    """Read the signature of an honest envelope of ``make_envelope``."""
    return b64decode(make_envelope(key)["signatures"][0]["sig"])


def verify(record: Record) -> Verified | Unverified:
    """Verify a record against the keys of the tests."""
    return verify_record(record, SUBJECT, KEYS)


def refuse(record: Record, sentence: str, code: str = "signature_invalid") -> None:
    """Check that a record is refused by this code, with a sentence that has these words and shows nothing secret."""
    found = verify(record)
    assert isinstance(found, Unverified), f"it verifies: {sentence}"
    assert found.code == code
    assert sentence in found.detail, found.detail
    assert found.detail.endswith(".")
    for name, value in record.headers:
        if name.lower() == "ce_dssematerial" and value:
            assert value[:24].decode("latin-1") not in found.detail

"""The reference vector of docs/signature_vector.json, step by step: the digests, what is signed, and the header."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.records import Headers, Place, Record
from contracts.signature.envelope import compute_core, encode_for_signing, open_material, write_payload
from contracts.signature.event import SIGNED_HEADERS
from contracts.signature.signing import read_private_key, sign, sign_headers
from contracts.signature.verifying import Verified, verify_event, verify_record

VECTOR: Final[dict[str, Any]] = json.loads(Path("docs/signature_vector.json").read_bytes())
KEY: Final = read_private_key(json.dumps(VECTOR["private_jwk"]).encode())
KEYS: Final = {KEY.public.kid: KEY.public}
DATA: Final = VECTOR["data"].encode()
HEADERS: Final[Headers] = tuple((SIGNED_HEADERS[name], value.encode()) for name, value in VECTOR["attributes"].items())


@pytest.mark.parametrize("name", [*SIGNED_HEADERS, "data"])
def test_each_part_has_its_digest(name: str) -> None:
    parts = VECTOR["attributes"] | {"data": VECTOR["data"], "time": "2026-11-24T09:00:00Z"}
    assert sha256(parts.get(name, "").encode()).hexdigest() == VECTOR["digests"][name]


def test_core_payload_and_pae_are_those_of_the_vector() -> None:
    core = compute_core(VECTOR["attributes"], DATA)
    assert core.hex() == VECTOR["core"]
    assert encode_for_signing(write_payload(core)).decode() == VECTOR["pae"]


def test_signature_and_header_are_those_of_the_vector() -> None:
    material = sign(VECTOR["attributes"], DATA, KEY)
    assert material == VECTOR["dssematerial"]
    assert open_material(material).signature.hex() == VECTOR["signature"]
    assert sign_headers(HEADERS, DATA, KEY) == (*HEADERS, ("ce_dssematerial", VECTOR["dssematerial"].encode()))


def test_the_vector_verifies_as_a_record_and_as_an_event() -> None:
    record = Record(Place("procore.approvals", 0, 0), 0, None, DATA, sign_headers(HEADERS, DATA, KEY))
    verified = verify_record(record, "4211/90071/55210", KEYS)
    assert isinstance(verified, Verified)
    assert verified.kid == "anna-2026"
    assert verified.signed_at.isoformat() == "2026-11-24T09:00:00+00:00"
    event = json.loads(verified.event.model_dump_json())
    assert event["time"] == "2026-11-24T10:00:00.250+01:00"
    assert "dataschema" not in event
    assert verify_event(event, KEYS) == verified

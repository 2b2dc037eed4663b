"""Keys: which are listed, which are refused, what a key file holds, and the two algorithms with their traps."""

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from contracts.signature.exact_base64 import encode_jose
from contracts.signature.keys import KeySetError, read_key_set, write_public_jwk
from contracts.signature.signing import PrivateKey, generate_key, read_private_key, sign, write_private_key
from contracts.signature.verifying import Verified, verify_event
from tests.unit.signature_builders import (
    ATTRIBUTES,
    DATA,
    KEY,
    KEYS,
    P256_KEY,
    encode,
    make_envelope,
    make_enveloped,
    make_record,
    make_signed,
    read_signature,
    refuse,
    verify,
    write_headers,
)

_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED_JWK = write_public_jwk(KEY.public)
EC_JWK = write_public_jwk(P256_KEY.public)


def _make_with(signature: bytes, key: PrivateKey) -> str:
    envelope = make_envelope(key)
    return encode(envelope | {"signatures": [{"keyid": key.public.kid, "sig": b64encode(signature).decode()}]})


def _read_problems(*jwks: object) -> tuple[str, ...]:
    with pytest.raises(KeySetError) as raised:
        read_key_set(json.dumps({"keys": jwks}).encode())
    secrets = [ED_JWK["x"], EC_JWK["x"], EC_JWK["y"]]
    assert not any(secret in problem for problem in raised.value.problems for secret in secrets)
    return raised.value.problems


def test_es256_takes_s_and_its_negative() -> None:
    signature = read_signature(P256_KEY)
    r, s = signature[:32], int.from_bytes(signature[32:])
    for form in (s, _P256_ORDER - s):
        assert isinstance(verify(make_enveloped(_make_with(r + form.to_bytes(32), P256_KEY))), Verified)


def test_es256_refuses_der_and_figures_outside_the_group() -> None:
    signature = read_signature(P256_KEY)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    zero, order = bytes(32), _P256_ORDER.to_bytes(32)
    forms = [encode_dss_signature(r, s), signature[:32] + zero, zero + signature[32:], zero + zero, order + order, b""]
    for form in (
        *forms,
        signature[:32] + order,
        b"\xff" * 64,
        signature[:32] + b"\x00" + signature[32:],
        signature[:63],
    ):
        refuse(make_enveloped(_make_with(form, P256_KEY)), "send r and s of 32 bytes each, not DER")


def test_ed25519_refuses_the_second_form_of_its_signature() -> None:
    signature = read_signature()
    second = int.from_bytes(signature[32:], "little") + _ED25519_ORDER
    refuse(make_enveloped(_make_with(signature[:32] + second.to_bytes(32, "little"), KEY)), "send 64 bytes")
    assert isinstance(verify(make_enveloped(_make_with(signature, KEY))), Verified)
    for form in (signature[:63], signature + b"\x00", b""):
        refuse(make_enveloped(_make_with(form, KEY)), "send 64 bytes")


def test_the_algorithm_is_that_of_the_listed_key() -> None:
    as_other = make_envelope(P256_KEY)
    as_other["signatures"][0] |= {"keyid": "anna-1", "alg": "ES256"}
    refuse(make_enveloped(encode(as_other)), "The signature is not one of key anna-1")


def test_a_set_is_read_and_other_members_are_ignored() -> None:
    named = ED_JWK | {"alg": "Ed25519", "use": "sig", "x5c": ["x"]}
    assert read_key_set(json.dumps({"keys": [named, EC_JWK], "more": 1}).encode()) == (KEY.public, P256_KEY.public)
    assert read_key_set(b'{"keys": []}') == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "no JSON"),
        (b"[]", "a JSON Web Key Set is expected"),
        (b'{"keys": {}}', "a JSON Web Key Set is expected"),
        (b'{"keys": [], "keys": []}', "'keys' twice"),
        (json.dumps(ED_JWK).encode(), "a JSON Web Key Set is expected"),
    ],
)
def test_what_is_no_set_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(KeySetError, match=sentence):
        read_key_set(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"d": "x"}, "this is a private key"),
        ({"kid": None}, "kid of 1 to 100"),
        ({"kid": ""}, "kid of 1 to 100"),
        ({"kid": "a b"}, "kid of 1 to 100"),
        ({"kid": "a,b"}, "kid of 1 to 100"),
        ({"kid": "ann\u00e1"}, "kid of 1 to 100"),
        ({"kid": "k" * 101}, "kid of 1 to 100"),
        ({"kid": "k\n"}, "kid of 1 to 100"),
        ({"alg": None}, "anna-1: alg EdDSA or Ed25519"),
        ({"alg": "none"}, "anna-1: alg EdDSA or Ed25519"),
        ({"alg": "HS256", "kty": "oct"}, "anna-1: alg EdDSA or Ed25519"),
        ({"alg": ["EdDSA"]}, "anna-1: alg EdDSA or Ed25519"),
        ({"crv": "Ed448"}, "anna-1: alg EdDSA or Ed25519"),
        ({"crv": "X25519"}, "anna-1: alg EdDSA or Ed25519"),
        ({"kty": "EC", "crv": "P-256"}, "anna-1: alg EdDSA or Ed25519"),
        ({"x": None}, "anna-1: x of 32 bytes"),
        ({"x": ED_JWK["x"] + "="}, "anna-1: x of 32 bytes"),
        ({"x": ED_JWK["x"][:-1]}, "anna-1: x of 32 bytes"),
        ({"x": encode_jose(bytes(33))}, "anna-1: x of 32 bytes"),
        ({"x": encode_jose((2).to_bytes(32, "little"))}, "no point of Ed25519"),
        ({"x": encode_jose(((2**255 - 19) + 3).to_bytes(32, "little"))}, "no point of Ed25519"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(change: dict[str, Any], sentence: str) -> None:
    (problem,) = _read_problems(ED_JWK | change)
    assert problem.startswith("key 1: ")
    assert sentence in problem


@pytest.mark.parametrize("change", [{"y": None}, {"y": EC_JWK["x"]}, {"x": encode_jose(bytes(32))}])
def test_a_key_that_is_no_point_of_p256_is_refused(change: dict[str, Any]) -> None:
    (problem,) = _read_problems(EC_JWK | change)
    assert problem.startswith("key 1: ui-1: ")


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize(
    "point",
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
)
def test_points_of_low_order_are_refused(point: str, sign_bit: int) -> None:
    material = bytearray.fromhex(point)
    material[31] |= sign_bit << 7
    (problem,) = _read_problems(ED_JWK | {"x": encode_jose(bytes(material))})
    assert "low order" in problem or "no point" in problem


def test_a_kid_twice_and_a_key_under_two_kids_are_refused() -> None:
    other = write_public_jwk(generate_key("anna-1", "a").public)
    assert _read_problems(ED_JWK, other) == ("anna-1: this kid is listed twice; give each key a kid of its own",)
    renamed = ED_JWK | {"kid": "anna-2"}
    assert _read_problems(ED_JWK, renamed) == ("anna-2: this is the same key as anna-1; list it under one kid",)


def test_every_problem_is_named() -> None:
    assert len(_read_problems(ED_JWK | {"d": "x"}, "no key", ED_JWK, ED_JWK)) == 3


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_key_file_is_read_as_it_was_written(algorithm: Any) -> None:
    key = generate_key("new-1", "anna@hillside.example", algorithm)
    assert read_private_key(write_private_key(key)) == key
    assert encode_jose(key.secret) not in repr(key)
    assert read_key_set(json.dumps({"keys": [write_public_jwk(key.public)]}).encode()) == (key.public,)
    assert generate_key("new-1", "anna@hillside.example", algorithm).secret != key.secret


@pytest.mark.parametrize("key", [KEY, P256_KEY])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"d": None}, "d of 32 bytes"),
        ({"d": encode_jose(bytes(31))}, "d of 32 bytes"),
        ({"d": encode_jose(b"\x01" * 32)}, "not the one of the public key"),
        ({"d": encode_jose(b"\xff" * 32)}, "not the one of the public key"),
        ({"d": encode_jose(bytes(32))}, "not the one of the public key"),
        ({"user": None}, "user is expected"),
        ({"user": "  "}, "a user is expected, not a blank"),
        ({"kid": "a b"}, "kid of 1 to 100"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused(change: dict[str, Any], sentence: str, key: PrivateKey) -> None:
    text = json.dumps(json.loads(write_private_key(key)) | change)
    with pytest.raises(KeySetError, match=sentence) as raised:
        read_private_key(text.encode())
    assert encode_jose(key.secret) not in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"[]", b'"d"', b"\xff", b"-----BEGIN PRIVATE KEY-----"])
def test_what_is_no_key_file_is_refused(text: bytes) -> None:
    with pytest.raises(KeySetError, match="a private JSON Web Key is expected"):
        read_private_key(text)


@pytest.mark.parametrize(("kid", "user"), [("a b", "ann"), ("", "ann"), ("a", " "), ("a", "\u202e")])
def test_no_key_is_made_for_a_kid_or_user_that_would_be_refused(kid: str, user: str) -> None:
    with pytest.raises(KeySetError):
        generate_key(kid, user)


def test_ed25519_signs_the_same_each_time() -> None:
    assert sign(ATTRIBUTES, DATA, KEY) == sign(ATTRIBUTES, DATA, KEY)


def test_an_event_verifies_as_json_without_us() -> None:
    found = verify(make_signed(ATTRIBUTES | {"dataschema": "https://a.example/s"}))
    assert isinstance(found, Verified)
    event = json.loads(found.event.model_dump_json())
    assert set(event) == {
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data_base64",
        "dssematerial",
    }  # fmt: skip
    assert verify_event(event, KEYS) == found
    assert verify_event(event | {"datacontenttype": event["datacontenttype"], "more": 1}, KEYS) == found
    without_type = {name: value for name, value in ATTRIBUTES.items() if name != "datacontenttype"}
    bare = verify(make_record((*write_headers(without_type), *make_signed(without_type).headers[-1:])))
    assert isinstance(bare, Verified)
    assert "datacontenttype" not in bare.event.model_dump()
    assert verify_event(bare.event.model_dump() | {"datacontenttype": None}, KEYS) == bare


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "decision-2"}, "has signed something else"),
        ({"subject": "4211/90071/55211"}, "send ce_subject 4211/90071/55210"),
        ({"data_base64": b64encode(DATA.replace(b"55210", b"55211")).decode()}, "send ce_subject 4211/90071/55211"),
        ({"data_base64": b64encode(DATA.replace(b":1,", b":2,")).decode()}, "has signed something else"),
        ({"data_base64": b64encode(DATA).decode() + "\n"}, "no signed CloudEvent"),
        ({"data_base64": b64encode(b"[]").decode()}, "names no budget"),
        ({"data_base64": b64encode(b"{").decode()}, "can be read in two ways"),
        ({"data_base64": None}, "no signed CloudEvent"),
        ({"dssematerial": ""}, "not as it must be"),
        ({"dssematerial": 7}, "no signed CloudEvent"),
        ({"time": "2026-11-24T09:00:01Z"}, "has signed something else"),
        ({"time": "soon"}, "cannot be read"),
    ],
)
def test_an_event_that_was_changed_is_refused(change: dict[str, Any], sentence: str) -> None:
    found = verify(make_signed())
    assert isinstance(found, Verified)
    refused = verify_event(json.loads(found.event.model_dump_json()) | change, KEYS)
    assert not isinstance(refused, Verified)
    assert sentence in refused.detail


@pytest.mark.parametrize("event", [None, [], "x", {}, 7])
def test_what_is_no_event_is_refused(event: object) -> None:
    refused = verify_event(event, KEYS)
    assert not isinstance(refused, Verified)
    assert refused.code == "signature_invalid"


def test_a_record_that_verified_is_not_one_of_another_budget() -> None:
    record = make_signed()
    moved = replace(record, value=DATA.replace(b"55210", b"55211"))
    refuse(moved, "has signed something else")

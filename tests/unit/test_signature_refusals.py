"""A forgery for each phrase of what makes a signature invalid, and what is not signed and may differ."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Record
from contracts.signature.event import SIGNED_HEADERS
from contracts.signature.signing import PrivateKey
from contracts.signature.verifying import Unverified, Verified
from tests.unit.signature_builders import (
    ATTRIBUTES,
    DATA,
    KEY,
    P256_KEY,
    encode,
    make_envelope,
    make_enveloped,
    make_payload,
    make_record,
    make_signed,
    refuse,
    sign_payload,
    verify,
    write_headers,
)

HONEST = make_envelope()
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _change_base64(where: str, change: Callable[[str], str]) -> Record:
    """Change the form of one base64 text of an honest envelope; what is inside a payload is signed as it then is."""
    if where == "header":
        return make_enveloped(change(encode(HONEST | {"pad": "x" * ((1 - len(json.dumps(HONEST | {"pad": ""}))) % 3)})))
    if where == "core":
        payload = json.loads(make_payload())
        return make_enveloped(encode(sign_payload(json.dumps({"core": change(payload["core"])}).encode())))
    if where == "sig":
        signature = HONEST["signatures"][0]
        return make_enveloped(encode(HONEST | {"signatures": [signature | {"sig": change(signature["sig"])}]}))
    return make_enveloped(encode(HONEST | {"payload": change(HONEST["payload"])}))


def _set_unused_bits(text: str) -> str:
    bare = text.rstrip("=")
    assert len(bare) < len(text)
    return bare[:-1] + _ALPHABET[_ALPHABET.index(bare[-1]) | 1] + text[len(bare) :]


def test_the_honest_message_verifies() -> None:
    found = verify(make_signed())
    assert isinstance(found, Verified)
    assert found.kid == "anna-1"
    assert found.event.source == "approval-ui"


@pytest.mark.parametrize("material", [None, b""])
def test_no_envelope_or_an_empty_one_is_missing(material: bytes | None) -> None:
    refuse(
        make_record((*write_headers(), ("ce_dssematerial", material))),
        "must be signed",
        "signature_missing",
    )
    refuse(make_record(write_headers()), "must be signed", "signature_missing")


def test_structured_mode_is_refused_even_with_an_envelope() -> None:
    event = json.dumps({**ATTRIBUTES, "data": json.loads(DATA)}).encode()
    headers = (("content-type", b"application/cloudevents+json"), *make_signed().headers[-1:])
    refuse(make_record(headers, event), "binary mode")
    refuse(make_record((), event), "binary mode")


@pytest.mark.parametrize("header", [*SIGNED_HEADERS.values(), "ce_dssematerial"])
@pytest.mark.parametrize("write_name", [str, str.upper, str.title])
def test_a_header_twice_is_refused_whatever_its_case_and_value(header: str, write_name: Callable[[str], str]) -> None:
    record = make_signed(ATTRIBUTES | {"dataschema": "https://a.example/s"})
    (value,) = [value for name, value in record.headers if name == header]
    for more in (value, b"", None):
        twice = replace(record, headers=(*record.headers, (write_name(header), more)))
        refuse(twice, f"The header {header} is there twice")
        refuse(replace(record, headers=((write_name(header), more), *record.headers)), f"{header} is there twice")


def test_names_of_headers_may_have_any_case() -> None:
    record = make_signed()
    shouted = tuple((name.upper(), value) for name, value in record.headers)
    assert isinstance(verify(replace(record, headers=shouted)), Verified)


def test_an_envelope_of_4096_bytes_verifies_and_a_longer_one_is_refused() -> None:
    for more, is_fine in ((0, True), (1, False)):
        bare = len(json.dumps(HONEST | {"pad": ""}))
        record = make_enveloped(encode(HONEST | {"pad": "x" * (3072 - bare + more)}))
        assert len(record.headers[-1][1] or b"") == (4096 if is_fine else 4100)
        if is_fine:
            assert isinstance(verify(record), Verified)
        else:
            refuse(record, "longer than 4,096 bytes")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:8] + "\n" + text[8:],
        lambda text: text[:8] + "*" + text[8:],
        lambda text: text[:8] + "é" + text[8:],
        lambda text: text + "====",
        lambda text: text[:-1],
    ],
)
@pytest.mark.parametrize("where", ["header", "payload", "sig", "core"])
def test_base64_has_one_form_only(where: str, change: Callable[[str], str]) -> None:
    refuse(_change_base64(where, change), "not base64 in its exact form")


@pytest.mark.parametrize("where", ["header", "payload", "sig", "core"])
def test_unused_bits_of_base64_are_zero(where: str) -> None:
    refuse(_change_base64(where, _set_unused_bits), "not base64 in its exact form")


@pytest.mark.parametrize("where", ["payload", "sig", "core"])
def test_the_url_safe_alphabet_is_taken_inside(where: str) -> None:
    assert isinstance(verify(_change_base64(where, lambda text: text.translate(str.maketrans("+/", "-_")))), Verified)


def test_the_url_safe_alphabet_is_refused_outside() -> None:
    # JSON text is ASCII here, so that its base64 has no such character unless a text makes one.
    envelope = encode(json.dumps(HONEST | {"pad": "???>>>~~~"}).encode())
    assert "/" in envelope
    assert isinstance(verify(make_enveloped(envelope)), Verified)
    refuse(make_enveloped(envelope.translate(str.maketrans("+/", "-_"))), "not base64 in its exact form")


def test_both_alphabets_mixed_are_refused() -> None:
    while not {"+", "/"} <= set((envelope := make_envelope(P256_KEY))["signatures"][0]["sig"]):
        pass
    signature = envelope["signatures"][0]
    mixed = signature | {"sig": signature["sig"].replace("+", "-")}
    refuse(make_enveloped(encode(envelope | {"signatures": [mixed]})), "not base64 in its exact form")


@pytest.mark.parametrize(
    ("envelope", "sentence"),
    [
        (b"{", "no JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"\xef\xbb\xbf" + json.dumps(HONEST).encode(), "no JSON"),
        (b"[" * 3000, "no JSON that can be read"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (json.dumps(HONEST).encode() + b"{}", "no JSON"),
        (json.dumps(HONEST)[:-1].encode() + b', "a": NaN}', "NaN is no JSON number"),
        (json.dumps(HONEST)[:-1].encode() + b', "payload": ""}', "names its member 'payload' twice"),
        (json.dumps(HONEST)[:-1].encode() + b', "a": {"b": 1, "\\u0062": 1}}', "names its member 'b' twice"),
        ({name: value for name, value in HONEST.items() if name != "payload"}, "its payload is missing"),
        (HONEST | {"payload": 7}, "its payload is missing"),
        ({name: value for name, value in HONEST.items() if name != "payloadType"}, "payloadType is not"),
        (HONEST | {"payloadType": "https://cloudevents.io/verifiability/dsse/v0.2"}, "payloadType is not"),
        (HONEST | {"payloadType": HONEST["payloadType"].upper()}, "payloadType is not"),
        ({name: value for name, value in HONEST.items() if name != "signatures"}, "exactly one signature"),
        (HONEST | {"signatures": []}, "exactly one signature"),
        (HONEST | {"signatures": HONEST["signatures"] * 2}, "exactly one signature"),
        (HONEST | {"signatures": HONEST["signatures"][0]}, "exactly one signature"),
        (HONEST | {"signatures": ["x"]}, "its signature is no object"),
        (HONEST | {"signatures": [{"sig": HONEST["signatures"][0]["sig"]}]}, "its keyid is missing"),
        (HONEST | {"signatures": [{"keyid": "anna-1"}]}, "its sig is missing"),
    ],
)
def test_what_is_no_envelope_is_refused(envelope: object, sentence: str) -> None:
    refuse(make_enveloped(encode(envelope)), sentence)


def test_other_members_of_the_envelope_are_ignored() -> None:
    signature = HONEST["signatures"][0] | {"cert": "x"}
    assert isinstance(verify(make_enveloped(encode(HONEST | {"signatures": [signature], "more": [1]}))), Verified)


def test_an_envelope_that_is_not_utf_8_is_refused() -> None:
    refuse(make_enveloped(b"\xff\xfe"), "not UTF-8")


@pytest.mark.parametrize(
    ("kid", "sentence"),
    [
        ("otto-1", "Signed with key otto-1, which is not listed; ask accounting to add it to signers.csv."),
        ("Anna-1", "which is not listed"),
        ("", "no name as a kid has it"),
        ("anna-1\nall is well", "no name as a kid has it"),
        ("k" * 101, "no name as a kid has it"),
        ("ui-1", "The signature is not one of key ui-1"),
    ],
)
def test_a_key_that_is_not_listed_or_another_ones_is_refused(kid: str, sentence: str) -> None:
    signature = HONEST["signatures"][0] | {"keyid": kid}
    refuse(make_enveloped(encode(HONEST | {"signatures": [signature]})), sentence)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"{}", "its core is missing"),
        (b'{"core": 7}', "its core is missing"),
        (b'{"core": "' + b64encode(bytes(31)) + b'"}', "its core is not 32 bytes"),
        (b'{"core": "' + b64encode(bytes(33)) + b'"}', "its core is not 32 bytes"),
        (b'{"core": ""}', "its core is not 32 bytes"),
        (b'{"core": "' + b64encode(bytes(32)) + b'"}', "has signed something else"),
        (bytes(32), "its payload is no JSON"),
        (b'["core"]', "its payload is no JSON object"),
        (b'{"core": "", ' + make_payload()[1:], "names its member 'core' twice"),
        (make_payload()[:-1] + b', "more": {"a": 1, "a": 2}}', "names its member 'a' twice"),
    ],
)
def test_a_payload_that_does_not_name_the_message_is_refused(payload: bytes, sentence: str) -> None:
    refuse(make_enveloped(encode(sign_payload(payload))), sentence)


def test_the_payload_counts_as_the_signer_wrote_it() -> None:
    spaced = b"  " + make_payload()[:-1] + b', "iat": 17 }\n'
    assert isinstance(verify(make_enveloped(encode(sign_payload(spaced)))), Verified)
    other = HONEST | {"payload": b64encode(b" " + make_payload()).decode()}
    refuse(make_enveloped(encode(other)), "The signature is not one of key anna-1")


@pytest.mark.parametrize(
    ("time", "sentence"),
    [
        (None, "time of signing is missing"),
        ("", "time of signing is missing"),
        ("2026-11-24T09:00:00", "cannot be read"),
        ("2026-11-24", "cannot be read"),
        ("2026-13-24T09:00:00Z", "cannot be read"),
        ("2026-11-24T09:00:60Z", "cannot be read"),
        ("1764000000", "cannot be read"),
        (" 2026-11-24T09:00:00Z", "cannot be read"),
        ("0001-01-01T00:00:00+10:00", "cannot be read"),
        ("٢٠٢٦-11-24T09:00:00Z", "cannot be read"),
    ],
)
def test_a_time_that_is_missing_or_unreadable_is_refused(time: str | None, sentence: str) -> None:
    attributes = {name: value for name, value in ATTRIBUTES.items() if name != "time"}
    headers = write_headers(attributes) if time is None else write_headers(attributes | {"time": time})
    refuse(make_record((*headers, *make_signed(attributes).headers[-1:])), sentence)


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-24T10:00:00+01:00",
        "2026-11-24T09:00:00.999Z",
        "2026-11-24T09:00:00.9999999999Z",
        "2026-11-23T23:30:00-09:30",
        "2026-11-24t09:00:00z",
        "2026-11-24 09:00:00-00:00",
    ],
)
def test_a_time_is_signed_as_utc_in_whole_seconds(time: str) -> None:
    headers = dict(make_signed().headers) | {"ce_time": time.encode()}
    found = verify(make_record(tuple(headers.items())))
    assert isinstance(found, Verified)
    assert found.signed_at.isoformat() == "2026-11-24T09:00:00+00:00"
    assert found.event.time == time
    later = headers | {"ce_time": b"2026-11-24T09:00:01Z"}
    refuse(make_record(tuple(later.items())), "has signed something else")


@pytest.mark.parametrize("subject", [None, "", "4211/90071/55211", "4211/90071", "04211/90071/55210", f"{55210}"])
def test_a_subject_that_is_not_the_budget_is_refused(subject: str | None) -> None:
    attributes = {name: value for name, value in ATTRIBUTES.items() if name != "subject"}
    attributes |= {} if subject is None else {"subject": subject}
    refuse(make_signed(attributes), "send ce_subject 4211/90071/55210")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (DATA[:-1] + b',"decision":"reject"}', "names its member 'decision' twice"),
        (DATA[:-1] + b',"d\\u0065cision":"reject"}', "names its member 'decision' twice"),
        (DATA[:-1] + b',"a":[{"b":{"c":1,"c":1}}]}', "names its member 'c' twice"),
        (DATA[:-1] + b',"a":Infinity}', "Infinity is no JSON number"),
    ],
)
def test_data_of_which_two_readers_may_think_differently_is_refused(data: bytes, sentence: str) -> None:
    refuse(make_signed(data=data), sentence)


def test_a_decision_of_8192_bytes_verifies_and_a_longer_one_is_refused() -> None:
    longest = DATA[:-1] + b',"reason":"' + b"x" * (8192 - len(DATA) - 12) + b'"}'
    assert len(longest) == 8192
    assert isinstance(verify(make_signed(data=longest)), Verified)
    refuse(make_signed(data=longest + b" "), "longer than 8,192 bytes")


def test_an_acknowledgement_may_be_longer() -> None:
    long = DATA[:-1] + b',"message":"' + b"x" * 9000 + b'"}'
    assert isinstance(verify(make_signed(ATTRIBUTES | {"type": "erp.acknowledgement.v1"}, long)), Verified)


@pytest.mark.parametrize("header", ["content-type", "ce_dataschema"])
def test_a_signed_header_that_is_not_utf_8_is_refused(header: str) -> None:
    record = make_signed()
    headers = tuple((name, value) for name, value in record.headers if name != header)
    refuse(replace(record, headers=(*headers, (header, b"application/json; x=\xff"))), "not UTF-8")


def test_a_null_value_is_refused() -> None:
    refuse(replace(make_signed(), value=None), "no JSON")


def test_what_is_not_signed_may_differ() -> None:
    more = (("traceparent", b"x"), ("ce_datacontenttype", b"text/plain"), ("ce_more", b"1"), ("ce_more", b"2"))
    assert isinstance(verify(replace(make_signed(more=more), key=b"another")), Verified)


@pytest.mark.parametrize("name", [*ATTRIBUTES, "dataschema"])
def test_another_value_of_any_attribute_is_not_what_was_signed(name: str) -> None:
    record = make_signed(ATTRIBUTES | {"dataschema": "https://a.example/s"})
    header = SIGNED_HEADERS[name]
    kept = tuple(pair for pair in record.headers if pair[0] != header)
    assert isinstance(verify(replace(record, headers=kept)), Unverified)
    other = b"2026-11-24T09:00:01Z" if name == "time" else b"application/json; a=b"
    assert isinstance(verify(replace(record, headers=(*kept, (header, other)))), Unverified)


@given(
    part=st.sampled_from([*(SIGNED_HEADERS[name] for name in ATTRIBUTES if name != "time"), "data"]),
    position=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    key=st.sampled_from([KEY, P256_KEY]),
)
def test_any_change_of_a_signed_byte_fails(part: str, position: int, byte: int, key: PrivateKey) -> None:
    record = make_signed(key=key)
    parts = dict(record.headers) | {"data": record.value}
    signed = bytearray(parts[part] or b"")
    was = signed[position % len(signed)]
    signed[position % len(signed)] = byte
    parts[part] = bytes(signed)
    changed = make_record(tuple((name, value) for name, value in parts.items() if name != "data"), parts["data"])
    assert isinstance(verify(changed), Verified if byte == was else Unverified)


@given(position=st.integers(0, 63), byte=st.integers(1, 255), key=st.sampled_from([KEY, P256_KEY]))
def test_any_change_of_a_signature_fails(position: int, byte: int, key: PrivateKey) -> None:
    envelope = make_envelope(key)
    (signature,) = envelope["signatures"]
    changed = bytearray(b64decode(signature["sig"]))
    changed[position] ^= byte
    signature["sig"] = b64encode(changed).decode()
    refuse(make_enveloped(encode(envelope)), "The signature is not one of key")

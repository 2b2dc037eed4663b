"""Signs messages, for whoever sends them: approval UIs, operators, the desk, the demo; and private keys as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_p256
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.fields import check_user
from contracts.json_text import parse_unique_json, write_json
from contracts.records import Headers, fold_headers
from contracts.signature.envelope import compute_core, encode_for_signing, write_material, write_payload
from contracts.signature.event import MATERIAL_HEADER, SIGNED_HEADERS
from contracts.signature.exact_base64 import encode_jose
from contracts.signature.keys import (
    KEY_ID,
    Algorithm,
    KeySetError,
    PublicKey,
    read_public_part,
    read_secret_bytes,
    write_public_jwk,
)

_SCALAR_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key to sign with.

    Attributes:
        public: the same key, for those who verify.
        user: whose key it is, as approvers are named.
        secret: 32 bytes; never shown.
    """

    public: PublicKey
    user: str
    secret: bytes = field(repr=False)


def sign(attributes: Mapping[str, str], data: bytes, key: PrivateKey) -> str:
    """Sign a message; the same one gets the same signature by ``EdDSA``, and another each time by ``ES256``.

    Args:
        attributes: by their name in CloudEvents, with the content type as ``datacontenttype``; all but the signed ones
            are passed over. They and ``data`` must be sent exactly so.
        data: the value of the record.
        key: of the signer.

    Returns:
        ``ce_dssematerial``.

    Raises:
        ValueError: ``time`` is no RFC 3339 time with offset.
    """
    payload = write_payload(compute_core(attributes, data))
    return write_material(payload, key.public.kid, _compute_signature(key, encode_for_signing(payload)))


def sign_headers(headers: Headers, data: bytes, key: PrivateKey) -> Headers:
    """Sign a message by the headers of its record, each of which is there once.

    Returns:
        The headers, and ``ce_dssematerial`` as the last one.

    Raises:
        ValueError: ``ce_time`` is no RFC 3339 time with offset.
    """
    folded = fold_headers(headers)
    attributes = {name: folded[header].decode() for name, header in SIGNED_HEADERS.items() if header in folded}
    return (*headers, (MATERIAL_HEADER, sign(attributes, data, key).encode()))


def generate_key(kid: str, user: str, algorithm: Algorithm = "EdDSA") -> PrivateKey:
    """Make a new key.

    Raises:
        KeySetError: the kid or the user has another form than it must have.
    """
    if not KEY_ID.fullmatch(kid):
        raise KeySetError("a kid of 1 to 100 printable ASCII characters is expected, without comma and space")
    user = _check_user(user)
    if algorithm == "EdDSA":
        secret = Ed25519PrivateKey.generate().private_bytes_raw()
    else:
        secret = generate_p256(SECP256R1()).private_numbers().private_value.to_bytes(_SCALAR_BYTES)
    return PrivateKey(PublicKey(kid, algorithm, _compute_public(algorithm, secret)), user, secret)


def write_private_key(key: PrivateKey) -> bytes:
    """Write a key file: a private JSON Web Key with ``user`` beside the members of its public one."""
    return write_json(write_public_jwk(key.public) | {"user": key.user, "d": encode_jose(key.secret)}) + b"\n"


def read_private_key(text: bytes) -> PrivateKey:
    """Read a key file.

    Raises:
        KeySetError: it is none; the sentences show nothing of the key.
    """
    try:
        jwk = parse_unique_json(text)
    except ValueError:
        raise KeySetError("a private JSON Web Key is expected, a JSON object") from None
    if not isinstance(jwk, dict):
        raise KeySetError("a private JSON Web Key is expected, a JSON object")
    public = read_public_part(jwk)
    user = _check_user(jwk.get("user"))
    secret = read_secret_bytes(jwk)
    try:
        fits = _compute_public(public.algorithm, secret) == public.material
    except ValueError:
        fits = False
    if not fits:
        raise KeySetError(f"{public.kid}: the private key d is not the one of the public key beside it")
    return PrivateKey(public, user, secret)


def _check_user(user: object) -> str:
    try:
        if isinstance(user, str):
            return check_user(user)
    except ValueError as error:
        raise KeySetError(str(error)) from None
    raise KeySetError("user is expected, the person whose key this is")


def _compute_public(algorithm: Algorithm, secret: bytes) -> bytes:
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return _load_p256(secret).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _compute_signature(key: PrivateKey, message: bytes) -> bytes:
    if key.public.algorithm == "EdDSA":
        return Ed25519PrivateKey.from_private_bytes(key.secret).sign(message)
    r, s = decode_dss_signature(_load_p256(key.secret).sign(message, ECDSA(SHA256())))
    return r.to_bytes(_SCALAR_BYTES) + s.to_bytes(_SCALAR_BYTES)


def _load_p256(secret: bytes) -> EllipticCurvePrivateKey:
    return derive_private_key(int.from_bytes(secret), SECP256R1())

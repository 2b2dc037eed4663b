"""Public keys and their set, as ``signers.jwks.json`` has them (RFC 7517).

A key that would make signing worthless never becomes a value: Ed25519 points of low order, for which anybody can
sign, and what is no point of its curve.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from contracts.json_text import parse_unique_json
from contracts.signature.exact_base64 import decode_jose, encode_jose

Algorithm = Literal["EdDSA", "ES256"]

KEY_ID: Final = re.compile(r"[!-+\--~]{1,100}", re.ASCII)
"""Printable ASCII without comma and space: a kid stands in CSV files and in sentences."""

_COORDINATE_BYTES: Final = 32
_UNCOMPRESSED: Final = b"\x04"

# Curve25519 in the form of Edwards, RFC 8032 section 5.1.
_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
# The y of a point of order 8; with 0, 1 and -1, and its negative, these are all the points of low order.
_Y_OF_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_LOW_ORDER: Final = frozenset({0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})


class KeySetError(ValueError):
    """Keys that cannot be used.

    Attributes:
        problems: a sentence each, without a key in it.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whom a signature is checked against.

    Attributes:
        kid: what an envelope names it by.
        algorithm: ``EdDSA`` is Ed25519; never taken from a message.
        material: 32 bytes for ``EdDSA``; for ``ES256`` the uncompressed point, 65 bytes.
    """

    kid: str
    algorithm: Algorithm
    material: bytes


def read_key_set(text: bytes) -> tuple[PublicKey, ...]:
    """Read a JSON Web Key Set; members that are not needed are ignored.

    Args:
        text: ``{"keys": [...]}``.

    Raises:
        KeySetError: it is none, or a key cannot be used, is private, or is there twice.
    """
    try:
        parsed = parse_unique_json(text)
    except ValueError as error:
        raise KeySetError(f"{error}; a JSON Web Key Set is expected") from None
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        raise KeySetError('a JSON Web Key Set is expected: {"keys": [...]}')
    keys, problems = [], []
    for number, jwk in enumerate(listed, 1):
        try:
            keys.append(read_public_key(jwk))
        except KeySetError as error:
            problems += [f"key {number}: {problem}" for problem in error.problems]
    problems += _find_repeated(keys)
    if problems:
        raise KeySetError(*problems)
    return tuple(keys)


def read_public_key(jwk: object) -> PublicKey:
    """Read one public JSON Web Key.

    Args:
        jwk: as ``parse_unique_json`` gives it.

    Raises:
        KeySetError: it cannot be used.
    """
    if not isinstance(jwk, dict):
        raise KeySetError("a JSON Web Key is expected, an object")
    if "d" in jwk:
        raise KeySetError("this is a private key (it has d): treat it as known to others, make a new one, list that")
    return read_public_part(jwk)


def read_public_part(jwk: Mapping[str, object]) -> PublicKey:
    """Read the public part of a JSON Web Key, public or private.

    Raises:
        KeySetError: it cannot be used.
    """
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
        raise KeySetError("kid of 1 to 100 printable ASCII characters is expected, without comma and space")
    form = tuple(str(jwk.get(name)) for name in ("alg", "kty", "crv"))
    if form in {("EdDSA", "OKP", "Ed25519"), ("Ed25519", "OKP", "Ed25519")}:
        return PublicKey(kid, "EdDSA", _check_ed25519(kid, _read_coordinate(kid, jwk, "x")))
    if form == ("ES256", "EC", "P-256"):
        point = _UNCOMPRESSED + _read_coordinate(kid, jwk, "x") + _read_coordinate(kid, jwk, "y")
        return PublicKey(kid, "ES256", _check_p256(kid, point))
    raise KeySetError(
        f"{kid}: alg EdDSA or Ed25519 with kty OKP and crv Ed25519 is expected, or ES256 with EC and P-256"
    )


def write_public_jwk(key: PublicKey) -> dict[str, str]:
    """Write a public key as a JSON Web Key."""
    if key.algorithm == "EdDSA":
        return {"kid": key.kid, "kty": "OKP", "crv": "Ed25519", "x": encode_jose(key.material), "alg": key.algorithm}
    x, y = key.material[1 : 1 + _COORDINATE_BYTES], key.material[1 + _COORDINATE_BYTES :]
    return {
        "kid": key.kid,
        "kty": "EC",
        "crv": "P-256",
        "x": encode_jose(x),
        "y": encode_jose(y),
        "alg": key.algorithm,
    }


def read_secret_bytes(jwk: Mapping[str, object]) -> bytes:
    """Read the secret of a private JSON Web Key, 32 bytes.

    Raises:
        KeySetError: it has none.
    """
    return _read_coordinate(cast("str", jwk["kid"]), jwk, "d")


def _read_coordinate(kid: str, jwk: Mapping[str, object], name: str) -> bytes:
    text = jwk.get(name)
    try:
        value = decode_jose(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if len(value) != _COORDINATE_BYTES:
        raise KeySetError(f"{kid}: {name} of 32 bytes in base64url without padding is expected")
    return value


def _check_ed25519(kid: str, material: bytes) -> bytes:
    y = int.from_bytes(material, "little") & (2**255 - 1)
    if y in _LOW_ORDER:
        raise KeySetError(f"{kid}: x is a point of low order, for which anybody can sign; make a new key")
    # x² of the point's equation: what is no square has no root, so there is no such point.
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if y >= _P or pow(square, (_P - 1) // 2, _P) != 1:
        raise KeySetError(f"{kid}: x is no point of Ed25519; copy the key again")
    return material


def _check_p256(kid: str, point: bytes) -> bytes:
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        raise KeySetError(f"{kid}: x and y are no point of P-256; copy the key again") from None
    return point


def _find_repeated(keys: list[PublicKey]) -> list[str]:
    kids: set[str] = set()
    holders: dict[bytes, str] = {}
    problems = []
    for key in keys:
        if key.kid in kids:
            problems.append(f"{key.kid}: this kid is listed twice; give each key a kid of its own")
        elif key.material in holders:
            problems.append(f"{key.kid}: this is the same key as {holders[key.material]}; list it under one kid")
        kids.add(key.kid)
        holders.setdefault(key.material, key.kid)
    return problems

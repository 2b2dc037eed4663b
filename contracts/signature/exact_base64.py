"""Base64 that has one form only, as RFC 4648 allows a reader to demand.

No white space, nothing outside the alphabet, unused bits zero: two texts never stand for the same bytes.
"""

from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Final

_TO_STANDARD: Final = str.maketrans("-_", "+/")


def decode_standard(text: str) -> bytes:
    """Decode base64 of the standard alphabet, with padding.

    Raises:
        ValueError: it is no such text; the message does not show it.
    """
    decoded = _decode(text)
    if b64encode(decoded).decode() != text:
        raise ValueError("it is not base64 in its exact form")
    return decoded


def decode_either(text: str) -> bytes:
    """Decode base64 of the standard or of the URL-safe alphabet, not of both mixed, with padding.

    Raises:
        ValueError: it is no such text; the message does not show it.
    """
    decoded = _decode(text.translate(_TO_STANDARD))
    if text not in {b64encode(decoded).decode(), urlsafe_b64encode(decoded).decode()}:
        raise ValueError("it is not base64 in its exact form")
    return decoded


def decode_jose(text: str) -> bytes:
    """Decode base64 of the URL-safe alphabet without padding, as JSON Web Keys have it.

    Raises:
        ValueError: it is no such text; the message does not show it.
    """
    decoded = _decode(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4))
    if encode_jose(decoded) != text:
        raise ValueError("it is not base64url in its exact form")
    return decoded


def encode_jose(value: bytes) -> str:
    """Encode bytes as JSON Web Keys have them."""
    return urlsafe_b64encode(value).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return b64decode(text)
    except ValueError:
        raise ValueError("it is not base64 in its exact form") from None

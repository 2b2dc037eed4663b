"""Signs values that go out to a browser and come back: sessions, sign-ins under way, forms.

A seal proves that the desk wrote a value and for which purpose. It hides nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer

MIN_SECRET: Final = 32
"""Characters of a secret, so that nobody guesses it: 128 bits as hexadecimal digits."""


class Seal:
    """Seals values for one purpose; what was sealed for another one does not open."""

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        """Take the secrets, the newest first.

        Args:
            secrets: the first one seals, and all of them open.
            purpose: what the values are for.
        """
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        # itsdangerous has the newest last.
        self._serializer = URLSafeSerializer(secrets[::-1], salt=f"desk.{purpose}", signer_kwargs=options)

    def close(self, values: Mapping[str, object]) -> str:
        """Write values as text for a cookie, a form or a URL."""
        sealed: str | bytes = self._serializer.dumps(dict(values))
        return sealed if isinstance(sealed, str) else sealed.decode()

    def open(self, text: str) -> Mapping[str, Any] | None:
        """Read what was sealed; ``None`` for anything that the desk has not sealed for this purpose."""
        try:
            values: Mapping[str, Any] = self._serializer.loads(text)
        except BadData:
            return None
        return values


def read_secrets(file: Path) -> tuple[str, ...]:
    """Read the secrets in a file, one in each line, the newest first.

    Raises:
        ValueError: the file cannot be read, has none, or has one that is too short; the message never shows one.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{file} cannot be read: {reason}"
        raise ValueError(message) from None
    secrets = tuple(line.strip() for line in lines if line.strip())
    if not secrets:
        message = f"{file} is empty; write one with `openssl rand -hex 32`"
        raise ValueError(message)
    if short := [number for number, secret in enumerate(secrets, 1) if len(secret) < MIN_SECRET]:
        message = f"secret {short[0]} in {file} is shorter than {MIN_SECRET} characters: use `openssl rand -hex 32`"
        raise ValueError(message)
    return secrets

"""Reads what a proxy says, from the bytes of the headers, where nobody has merged or renamed them yet.

A client may send the proxy's header itself, or one that some other program takes for it: X_Forwarded_Email beside
X-Forwarded-Email got past oauth2-proxy (CVE-2025-64484). So one that comes twice, or in another spelling, is refused.
"""

import re
from typing import Final

from starlette.types import Scope

from desk.identity import SignInRefused

_PUNCTUATION: Final = re.compile(rb"[^a-z0-9]")


def read_proxy_header(scope: Scope, name: str) -> str | None:
    """Read the one header of this name; ``None`` where there is none.

    Args:
        scope: of the request.
        name: of the header, in any case.

    Raises:
        SignInRefused: it is there twice, in another spelling, or not in UTF-8.
    """
    wanted = name.lower().encode()
    alike = [(key.lower(), value) for key, value in scope["headers"] if _fold(key) == _fold(wanted)]
    if not alike:
        return None
    [(key, value), *others] = alike
    if others or key != wanted:
        message = f"The header {name}, by which the proxy says who you are, came twice or in another spelling."
        raise SignInRefused(message)
    try:
        text: str = value.decode()
    except UnicodeDecodeError:
        raise SignInRefused(f"The header {name}, by which the proxy says who you are, is not in UTF-8.") from None
    return text.strip()


def _fold(name: bytes) -> bytes:
    """Fold a name as widely as any program does that turns headers into variables."""
    return _PUNCTUATION.sub(b"-", name.lower())

"""Gets the tokens with which OAUTHBEARER logs in, by client credentials from a token endpoint (RFC 6749, 4.4)."""

import asyncio
import base64
import json
import math
import urllib.error
import urllib.request
from http.client import HTTPException
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError, SaslAuthenticationFailed

TOKEN_SECONDS: Final = 4.0
"""Longest that getting a token may take: less than one server of Kafka may take, which waits for it."""

_CHECK_CLIENT: Final = "check KAFKA_OAUTH_CLIENT_ID, KAFKA_OAUTH_CLIENT_SECRET, KAFKA_OAUTH_SCOPE and the URL"
_LONGEST_ANSWER: Final = 1024 * 1024
_MARGIN_SECONDS: Final = 30.0
_REFUSED: Final = range(300, 500)


class TokenUnavailable(KafkaError):  # type: ignore[misc]  # noqa: N818 - a state of the world; aiokafka has no types
    """There is no token; ``found`` says why, and ``to_do`` what to do."""

    def __init__(self, found: str, to_do: str) -> None:
        super().__init__(found, to_do)
        self.found = found
        self.to_do = to_do

    def __str__(self) -> str:
        return f"{self.found}: {self.to_do}"


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]  # aiokafka has no types
    """Notices that a token is refused: the server answers with the reason (RFC 7628, 3.2.3), and aiokafka goes on."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if self._token_sent and payload:
            # Its time says that it is valid, but keys of the provider can change before that.
            self._sasl_oauth_token_provider.forget()
            raise SaslAuthenticationFailed(payload.decode(errors="replace"))
        following: tuple[bytes, bool] | None = await super().step(payload)
        return following


# For the whole process, because a connection makes its authenticator itself.
conn.OAuthAuthenticator = _Authenticator


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the secret would go to whatever address that names, also without TLS."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_StayHere)


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Gets a token, and keeps it until shortly before it expires.

    Args:
        url: the token endpoint.
        client_id: who asks.
        client_secret: its secret.
        scope: what it asks for; empty for what the provider gives by itself.
    """

    def __init__(self, url: str, client_id: str, client_secret: str, scope: str) -> None:
        self.client_id = client_id
        self._url = url
        login = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        self._authorization = f"Basic {base64.b64encode(login.encode()).decode()}"
        asked = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._asked = urlencode(asked).encode()
        self._token = ""
        self._use_until = 0.0

    async def token(self) -> str:
        """Return a token that is valid now.

        Raises:
            TokenUnavailable: the endpoint does not answer within ``TOKEN_SECONDS``, or gives none.
        """
        if monotonic() >= self._use_until:
            asked_at = monotonic()
            try:
                async with asyncio.timeout(TOKEN_SECONDS):
                    answer = await asyncio.to_thread(self._ask)
            except (TimeoutError, OSError, HTTPException) as error:
                raise self._describe(error) from error
            self._token, seconds = self._read(answer)
            self._use_until = asked_at + seconds - min(_MARGIN_SECONDS, seconds / 5)
        return self._token

    def forget(self) -> None:
        """Get another token next time."""
        self._use_until = 0.0

    def _ask(self) -> bytes:
        headers = {"Authorization": self._authorization, "Accept": "application/json"}
        request = urllib.request.Request(self._url, self._asked, headers)  # noqa: S310 - the settings allow http(s) only
        try:
            with _OPENER.open(request, timeout=TOKEN_SECONDS) as answer:
                answered: bytes = answer.read(_LONGEST_ANSWER)
        except urllib.error.HTTPError as refused:
            with refused:
                found = f"the token endpoint {self._url} answers {refused.code} to client {self.client_id}"
                if refused.code in _REFUSED:
                    raise TokenUnavailable(f"{found}{_read_reason(refused)}", _CHECK_CLIENT) from None
                raise TokenUnavailable(found, "check the log of the provider") from None
        return answered

    def _describe(self, error: Exception) -> TokenUnavailable:
        why = getattr(error, "reason", None) or str(error) or "no answer in time"
        to_do = (
            "check KAFKA_OAUTH_TOKEN_URL, that it can be reached, and that its certificate is trusted (SSL_CERT_FILE)"
        )
        return TokenUnavailable(f"the token endpoint {self._url} does not answer ({why})", to_do)

    def _read(self, answer: bytes) -> tuple[str, float]:
        """Read the token, and for how many seconds it is valid; 0 where the endpoint does not say so."""
        try:
            found: Any = json.loads(answer)
            token, seconds = found["access_token"], float(found.get("expires_in", 0))
        except (ValueError, TypeError, KeyError, AttributeError):
            token, seconds = None, 0.0
        if not isinstance(token, str) or not token:
            found = f"the token endpoint {self._url} answers without an access_token"
            raise TokenUnavailable(found, "check KAFKA_OAUTH_TOKEN_URL")
        # A token without an end, as JSON of Python may say, would never be renewed.
        return token, seconds if math.isfinite(seconds) else 0.0


def _read_reason(error: urllib.error.HTTPError) -> str:
    """Read the error code of RFC 6749, which says what is wrong with the request."""
    try:
        said = json.loads(error.read(_LONGEST_ANSWER))["error"]
    except (OSError, HTTPException, ValueError, TypeError, KeyError):
        return ""
    return f" ({said})" if isinstance(said, str) and said.isprintable() and len(said) < 100 else ""  # noqa: PLR2004

"""A proxy in front of the desk says who sends each request: by a token that it signs, or by a plain header.

There is no session of ours and no page for signing in: the proxy has both, and is asked again at each request.
"""

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwt import JWTClaimsRegistry
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import Scope

from desk.identity import LEEWAY_SECONDS, SIGNATURES, Found, SignInRefused, make_person
from desk.identity_settings import ProxyHeaderSettings, ProxyJwtSettings
from desk.proxy_headers import read_proxy_header
from desk.proxy_keys import ProxyKeys
from worker.telemetry.logs import Logger

_NO_ROUTES: Final[Sequence[BaseRoute]] = ()


class ProxyJwtIdentity:
    """Believes a token that the proxy has signed."""

    routes = _NO_ROUTES

    def __init__(self, settings: ProxyJwtSettings, keys: ProxyKeys, now: Callable[[], datetime], log: Logger) -> None:
        """Take what a token must say, and the keys that sign it."""
        self._settings, self._keys, self._now, self._log = settings, keys, now, log

    async def find_person(self, connection: HTTPConnection) -> Found:
        """Find whom the token is about.

        Raises:
            SignInRefused: there is no token, or it is not one of this proxy for this desk at this time.
            ProviderUnavailable: the proxy's keys cannot be read.
        """
        settings = self._settings
        token = read_proxy_header(connection.scope, settings.proxy_header)
        if token is None:
            raise SignInRefused(_describe_silence(settings.proxy_header))
        try:
            claims = await self._verify(token)
        except (JoseError, ValueError) as error:
            self._log.warning("token.refused", error=f"{type(error).__name__}: {error}")
            message = (
                f"The token in {settings.proxy_header} is not one that the proxy has written for the desk and now."
            )
            raise SignInRefused(message) from error
        user_claim = settings.proxy_user_claim
        if user_claim not in claims:
            raise SignInRefused(f"The proxy does not say your {user_claim}: whoever runs it has to add it.")
        # Most proxies leave email_verified out: they let nobody through whom they have not verified themselves.
        if user_claim == "email" and claims.get("email_verified", True) is not True:
            raise SignInRefused(f"Your address {claims[user_claim]} is not verified.")
        at = datetime.fromtimestamp(claims["iat"], UTC) if "iat" in claims else self._now()
        return Found(make_person(claims[user_claim], settings.proxy_issuer, claims["sub"], at))

    async def _verify(self, token: str) -> dict[str, Any]:
        """Verify a token; with keys that are read again where its key is a new one."""
        try:
            found = jwt.decode(token, await self._keys.get(), algorithms=SIGNATURES)
        except InvalidKeyIdError:
            found = jwt.decode(token, await self._keys.get_newest(), algorithms=SIGNATURES)
        registry = JWTClaimsRegistry(
            now=lambda: int(self._now().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.proxy_issuer},
            aud={"essential": True, "value": self._settings.proxy_audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        registry.validate(found.claims)
        return found.claims


class ProxyHeaderIdentity:
    """Believes a header, of a proxy that shares a machine and a secret with the desk."""

    routes = _NO_ROUTES

    def __init__(self, settings: ProxyHeaderSettings, secrets: Sequence[str], now: Callable[[], datetime]) -> None:
        """Take the names of the headers, and the secrets of which the proxy sends one."""
        self._settings, self._now = settings, now
        self._secrets = [secret.encode() for secret in secrets]

    async def find_person(self, connection: HTTPConnection) -> Found:
        """Find whom the header names.

        Raises:
            SignInRefused: the request is not from the proxy, or names nobody.
        """
        settings, scope = self._settings, connection.scope
        if not is_near(scope):
            raise SignInRefused("The desk believes this proxy only on a unix socket or on its own machine.")
        secret = (read_proxy_header(scope, settings.proxy_secret_header) or "").encode()
        if not any([hmac.compare_digest(secret, one) for one in self._secrets]):  # noqa: C419 - each is compared
            raise SignInRefused("This request did not come through the proxy where people sign in.")
        user = read_proxy_header(scope, settings.proxy_header)
        if user is None:
            raise SignInRefused(_describe_silence(settings.proxy_header))
        return Found(make_person(user, "proxy", user, self._now()))


def is_near(scope: Scope) -> bool:
    """Check whether a request comes by a unix socket, which has no address, or from this machine."""
    client = scope.get("client")
    if client is None:
        return True
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _describe_silence(header: str) -> str:
    return (
        f"The proxy in front of the desk did not say who you are: there is no {header}. Sign in there, or report this."
    )

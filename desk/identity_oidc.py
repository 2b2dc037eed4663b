"""People sign in at an OpenID provider: code flow with PKCE, state and nonce.

The desk believes the ID token alone, checks its signature, issuer, audience, times and nonce, and keeps nothing of it
but who it is about.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from desk.identity import LEEWAY_SECONDS, SIGNATURES, Found, Person, ProviderUnavailable, SignInRefused, make_person
from desk.identity_settings import OidcSettings, check_url
from desk.seals import Seal
from desk.session import Sessions, name_cookie, write_cookie
from desk.sign_in import begin_session, choose_next, find_session, make_sign_out_routes
from worker.telemetry.logs import Logger

PROVIDER_SECONDS: Final = 8.0
"""Longest that the provider may take over what one page asks of it."""

SIGN_IN_LASTS: Final = timedelta(minutes=10)
"""Longest from leaving for the provider to coming back."""


class OidcIdentity:
    """Sends people to the provider, and takes its word when they come back."""

    def __init__(
        self, settings: OidcSettings, secrets: Sequence[str], now: Callable[[], datetime], url: str, log: Logger
    ) -> None:
        """Take the provider, what sessions depend on, and the origin of the desk."""
        self._settings, self._now, self._log = settings, now, log
        self._callback = f"{url}/callback"
        self._secure = url.startswith("https:")
        self._sessions = Sessions(secrets, now, secure=self._secure)
        self._seal = Seal(secrets, "sign-in")
        self._client: Any = OAuth().register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid email profile", "code_challenge_method": "S256"},
        )
        self.routes: Sequence[Route] = (
            Route("/login", self._leave),
            Route("/callback", self._come_back),
            *make_sign_out_routes(self._sessions),
        )

    async def find_person(self, connection: HTTPConnection) -> Found | None:
        """Find the person of the session."""
        return find_session(self._sessions, connection)

    async def _leave(self, request: Request) -> Response:
        """Send somebody to the provider, with a cookie that knows them again when they come back."""
        flow: dict[str, Any] = {
            "next": choose_next(request.query_params.get("next")),
            "at": int(self._now().timestamp()),
        }
        request.scope["session"] = flow
        async with self._ask_provider():
            response: Response = await self._client.authorize_redirect(request, self._callback)
        self._keep(response, self._seal.close(flow))
        return response

    async def _come_back(self, request: Request) -> Response:
        """Take the provider's answer."""
        flow = self._read_flow(request)
        request.scope["session"] = flow
        issuer, client = self._settings.oidc_issuer, self._settings.oidc_client_id
        claims = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client}}
        async with self._ask_provider():
            token = await self._client.authorize_access_token(request, claims_options=claims, leeway=LEEWAY_SECONDS)
        if "id_token" not in token:
            raise SignInRefused(f"{issuer} did not say who you are: its answer has no ID token.")
        person = read_claims(token["userinfo"], self._settings.oidc_user_claim, issuer, self._now())
        self._log.info("person.signed_in", user=person.user, issuer=issuer, subject=person.subject)
        response = begin_session(self._sessions, person, flow["next"])
        self._keep(response, "")
        return response

    @asynccontextmanager
    async def _ask_provider(self) -> AsyncIterator[None]:
        """Turn what can go wrong at the provider into an answer for the person."""
        issuer = self._settings.oidc_issuer
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                await self._discover()
                yield
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            self._log.warning("provider.unavailable", issuer=issuer, error=repr(error))
            raise ProviderUnavailable(f"{issuer}, where you sign in, does not answer as it should.") from error
        except (OAuthError, JoseError, KeyError, TypeError, ValueError) as error:
            # Keys that cannot be read would otherwise stay.
            self._client.server_metadata.pop("jwks", None)
            self._log.warning("sign_in.refused", issuer=issuer, error=f"{type(error).__name__}: {error}")
            message = (
                "The answer of your sign-in could not be taken. Perhaps it was begun in another window, more than "
                f"{SIGN_IN_LASTS // timedelta(minutes=1)} minutes ago, or was not completed."
            )
            raise SignInRefused(message) from error

    async def _discover(self) -> None:
        """Read the provider's metadata, once, and take only what can be believed of it."""
        try:
            metadata = await self._client.load_server_metadata()
            _check_metadata(metadata, self._settings.oidc_issuer)
            listed = metadata.get("id_token_signing_alg_values_supported", ())
            metadata["id_token_signing_alg_values_supported"] = sorted(SIGNATURES.intersection(listed)) or ["RS256"]
        except (KeyError, TypeError, ValueError) as error:
            self._client.server_metadata.clear()
            raise httpx2.HTTPError(f"its metadata cannot be used: {error!r}") from error

    def _read_flow(self, request: Request) -> dict[str, Any]:
        flow = self._seal.open(request.cookies.get(name_cookie("desk-sign-in", secure=self._secure), ""))
        if flow is None or self._now() - datetime.fromtimestamp(flow["at"], UTC) > SIGN_IN_LASTS:
            return {"next": "/"}
        return dict(flow)

    def _keep(self, response: Response, value: str) -> None:
        response.headers.append("Set-Cookie", write_cookie("desk-sign-in", value, secure=self._secure))


def _check_metadata(metadata: Mapping[str, Any], issuer: str) -> None:
    if metadata["issuer"] != issuer:
        message = f"it is of issuer {metadata['issuer']!r}"
        raise ValueError(message)
    for endpoint in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        check_url(str(metadata[endpoint]))


def read_claims(claims: Mapping[str, Any], user_claim: str, issuer: str, at: datetime) -> Person:
    """Read who an ID token is about.

    Raises:
        SignInRefused: the claim is missing, is an address that nobody has verified, or is no user.
    """
    if user_claim not in claims:
        raise SignInRefused(f"{issuer} does not say your {user_claim}: whoever runs it has to add it to the ID token.")
    # Anybody can open an account with somebody else's address at a provider that does not verify it.
    if user_claim == "email" and claims.get("email_verified") is not True:
        raise SignInRefused(f"{issuer} has not verified your address {claims[user_claim]}.")
    return make_person(claims[user_claim], issuer, claims["sub"], at)

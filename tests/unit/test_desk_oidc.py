"""Signing in at a real OpenID provider, and every way in which its answer can be wrong."""

import base64
import hashlib
import io
import json
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import Key, OctKey, RSAKey
from starlette.testclient import TestClient

from desk import identity_oidc
from desk.identity_oidc import OidcIdentity
from desk.identity_settings import OidcSettings
from tests.unit.desk_doors import SECRET, URL, Clock, Log, open_desk
from worker.settings import read_settings

with warnings.catch_warnings():
    # It still imports the part of Authlib that became joserfc.
    warnings.simplefilter("ignore")
    import oidc_provider_mock

ANNA, CLIENT, CLIENT_SECRET = "anna@hillside.example", "budget-desk", "a-secret-of-the-client"
RSA_KEY = RSAKey.generate_key(2048, {"kid": "k"})
Change = Callable[[dict[str, Any]], None]


@dataclass
class Provider:
    """A provider, and what a test makes it do otherwise."""

    server: Any
    change_request: Change = lambda _: None
    """Applied to the WSGI environment of each request."""
    change_body: Callable[[str, bytes], bytes] = lambda _, body: body
    """Applied to the body of each answer, by path."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and body of each request."""

    def __post_init__(self) -> None:
        self._application = self.server.app
        self.server.app = self._answer

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server.server_port}"

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        self.asked.append((environ["PATH_INFO"], body.decode()))
        self.change_request(environ)
        held: list[Any] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chunks = b"".join(self._application(environ, lambda *arguments: held.append(arguments)))
        answer = self.change_body(environ["PATH_INFO"], chunks)
        status, headers, *_ = held[0]
        start(status, [(name, value) for name, value in headers if name.lower() != "content-length"])
        return [answer]


def run_provider(**options: Any) -> Any:
    people = [
        oidc_provider_mock.User(
            sub="anna-1", claims={"email": ANNA, "email_verified": True, "upn": "anna@upn.example"}
        ),
        oidc_provider_mock.User(sub="eve-1", claims={"email": ANNA, "email_verified": False}),
        oidc_provider_mock.User(sub="ned-1", claims={"email": ANNA}),
        oidc_provider_mock.User(sub="max-1", claims={"email": "max@hillside.example", "email_verified": "true"}),
        oidc_provider_mock.User(sub="long-1", claims={"email": "a" * 256, "email_verified": True}),
        oidc_provider_mock.User(sub="odd-1", claims={"email": "an\u202ena", "email_verified": True}),
    ]
    return oidc_provider_mock.run_server_in_thread(user_claims=people, **options)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with run_provider() as server:
        yield server


@pytest.fixture
def provider(server: Any) -> Iterator[Provider]:
    application = server.app
    yield Provider(server)
    server.app = application


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def settings(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> OidcSettings:
    monkeypatch.setenv("OIDC_ISSUER", provider.url)
    monkeypatch.setenv("OIDC_CLIENT_ID", CLIENT)
    monkeypatch.setenv("OIDC_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("OIDC_USER_CLAIM", "email")
    return read_settings(OidcSettings)


def open_with(settings: OidcSettings, clock: Clock, log: Log) -> TestClient:
    logger: Any = log
    return open_desk(OidcIdentity(settings, [SECRET], clock, URL, logger), clock)


@pytest.fixture
def desk(settings: OidcSettings, clock: Clock, log: Log) -> TestClient:
    return open_with(settings, clock, log)


def leave(desk: TestClient, wanted: str = "/") -> str:
    """Ask the desk to sign in; return where it sends people."""
    answer = desk.get("/login", params={"next": wanted})
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def agree(address: str, who: str = "anna-1") -> str:
    """Sign in at the provider; return where it sends people back to."""
    answer = httpx2.post(address, data={"sub": who})
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def change_query(address: str, **other: str) -> str:
    parts = urlsplit(address)
    return parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | other)).geturl()


def test_somebody_signs_in_and_comes_back_to_where_they_wanted(desk: TestClient, provider: Provider, log: Log) -> None:
    address = leave(desk, "/?project=4211/90071")
    asked = parse_qs(urlsplit(address).query)
    assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
    assert asked["redirect_uri"] == [f"{URL}/callback"]
    assert len(asked["state"][0]) >= 20
    assert len(asked["nonce"][0]) >= 20
    answer = desk.get(agree(address))
    assert (answer.status_code, answer.headers["location"]) == (303, "/?project=4211/90071")
    session, flow = answer.headers.get_list("set-cookie")
    assert session.startswith("__Host-desk=")
    assert flow == "__Host-desk-sign-in=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
    assert desk.get("/").text == ANNA
    [token_request] = [parse_qs(body) for path, body in provider.asked if path == "/oauth2/token"]
    challenge = hashlib.sha256(token_request["code_verifier"][0].encode()).digest()
    assert base64.urlsafe_b64encode(challenge).decode().rstrip("=") == asked["code_challenge"][0]
    assert log.lines == [("person.signed_in", {"user": ANNA, "issuer": provider.url, "subject": "anna-1"})]


def test_neither_cookies_nor_log_hold_what_the_provider_gave(desk: TestClient, provider: Provider, log: Log) -> None:
    given: list[str] = []

    def note(path: str, body: bytes) -> bytes:
        if path == "/oauth2/token":
            given.append(body.decode())
        return body

    provider.change_body = note
    back = agree(leave(desk))
    answer = desk.get(back)
    assert answer.status_code == 303
    tokens = [value for name, value in httpx2.Response(200, text=given[0]).json().items() if name.endswith("_token")]
    assert len(tokens) >= 2
    cookie = answer.headers.get_list("set-cookie")[0].encode() + str(desk.cookies).encode()
    for token in (*tokens, parse_qs(urlsplit(back).query)["code"][0], CLIENT_SECRET):
        assert token.encode() not in cookie
        assert token not in str(log.lines)
    assert len(cookie) < 1500


@pytest.mark.parametrize(
    ("who", "problem"),
    [
        ("eve-1", f"has not verified your address {ANNA}"),
        ("ned-1", f"has not verified your address {ANNA}"),
        ("max-1", "has not verified your address max@hillside.example"),
        ("long-1", "1 to 255 characters"),
        ("odd-1", "1 to 255 characters"),
    ],
)
def test_an_address_that_is_not_verified_or_no_name_is_refused(desk: TestClient, who: str, problem: str) -> None:
    answer = desk.get(agree(leave(desk), who))
    assert (answer.status_code, problem in answer.text) == (403, True), answer.text
    assert desk.get("/").status_code == 401


@pytest.mark.parametrize(("claim", "found"), [("upn", "anna@upn.example"), ("preferred_username", None)])
def test_the_claim_that_names_people_is_the_one_of_the_settings(
    settings: OidcSettings, clock: Clock, log: Log, claim: Any, found: str | None
) -> None:
    desk = open_with(settings.model_copy(update={"oidc_user_claim": claim}), clock, log)
    answer = desk.get(agree(leave(desk)))
    if found:
        assert desk.get("/").text == found
    else:
        assert (answer.status_code, f"does not say your {claim}" in answer.text) == (403, True)


NOT_TAKEN = "could not be taken"


def refuse(desk: TestClient, back: str) -> None:
    answer = desk.get(back)
    assert (answer.status_code, NOT_TAKEN in answer.text) == (403, True), answer.text
    assert desk.get("/").status_code == 401


def test_a_wrong_state_is_refused(desk: TestClient) -> None:
    back = agree(leave(desk))
    refuse(desk, change_query(back, state="x" * 30))
    refuse(desk, change_query(back, state=""))
    refuse(desk, "/callback")


def test_an_answer_that_belongs_to_another_browser_is_refused(desk: TestClient, settings: OidcSettings) -> None:
    other = open_with(settings, Clock(), Log())
    theirs = agree(leave(other), "anna-1")
    leave(desk)
    refuse(desk, theirs)
    refuse(open_with(settings, Clock(), Log()), theirs)


def test_an_answer_counts_once(desk: TestClient) -> None:
    back = agree(leave(desk))
    assert desk.get(back).status_code == 303
    answer = desk.get(back)
    assert (answer.status_code, NOT_TAKEN in answer.text) == (403, True)


def test_an_answer_after_ten_minutes_is_refused(desk: TestClient, clock: Clock) -> None:
    back = agree(leave(desk))
    clock.pass_by(minutes=10, seconds=1)
    refuse(desk, back)


def test_a_wrong_nonce_is_refused(desk: TestClient) -> None:
    refuse(desk, agree(change_query(leave(desk), nonce="n" * 20)))


def test_a_token_without_the_nonce_is_refused(desk: TestClient) -> None:
    refuse(desk, agree(change_query(leave(desk), nonce="")))


def test_a_token_for_another_audience_is_refused(desk: TestClient, provider: Provider) -> None:
    """The provider takes the code for one of another client, whose token it then writes."""
    another = base64.b64encode(b"another:secret").decode()

    def confuse(environ: dict[str, Any]) -> None:
        if environ["PATH_INFO"] == "/oauth2/token":
            environ["HTTP_AUTHORIZATION"] = f"Basic {another}"

    back = agree(change_query(leave(desk), client_id="another"))
    provider.change_request = confuse
    refuse(desk, back)


def serve_own_token(provider: Provider, header: dict[str, str], claims: dict[str, Any], key: Key) -> None:
    """Let the provider give a token that the test has written, and the key that signs it."""
    token = jwt.encode(header, claims, key, algorithms=[header["alg"]])
    answers = {
        "/jwks": json.dumps({"keys": [key.as_dict(private=isinstance(key, OctKey))]}),
        "/oauth2/token": json.dumps({"access_token": "x", "token_type": "Bearer", "id_token": token}),
    }
    provider.change_body = lambda path, body: answers[path].encode() if path in answers else body


@pytest.mark.parametrize(
    ("other", "is_taken"),
    [
        ({}, True),
        ({"aud": [CLIENT, "more"], "azp": CLIENT}, True),
        ({"aud": "another", "azp": CLIENT}, False),
        ({"aud": None, "azp": CLIENT}, False),
        ({"iss": "https://evil.example"}, False),
        ({"iss": None}, False),
        ({"nonce": None}, False),
        ({"sub": None}, False),
        ({"exp": None}, False),
        ({"exp": 1}, False),
        ({"nbf": 9_999_999_999}, False),
        ({"azp": "another"}, False),
    ],
)
def test_every_claim_of_a_token_counts(
    desk: TestClient, provider: Provider, other: dict[str, Any], *, is_taken: bool
) -> None:
    address = leave(desk)
    claims = write_claims(provider, address) | other
    serve_own_token(
        provider,
        {"alg": "RS256", "kid": "k"},
        {name: value for name, value in claims.items() if value is not None},
        RSA_KEY,
    )
    answer = desk.get(agree(address))
    assert answer.status_code == (303 if is_taken else 403), answer.text
    assert desk.get("/").status_code == (200 if is_taken else 401)


def write_claims(provider: Provider, address: str) -> dict[str, Any]:
    [nonce] = parse_qs(urlsplit(address).query)["nonce"]
    now = int(time.time())
    claims = {"iss": provider.url, "aud": CLIENT, "sub": "anna-1", "iat": now, "exp": now + 300, "nonce": nonce}
    return claims | {"email": ANNA, "email_verified": True}


def test_a_token_signed_with_a_shared_secret_is_refused(
    desk: TestClient, provider: Provider, settings: OidcSettings, clock: Clock, log: Log
) -> None:
    """Also where the provider lists such signatures."""
    key = OctKey.import_key("k" * 32, {"kid": "k"})
    metadata = httpx2.get(f"{provider.url}/.well-known/openid-configuration").json()
    metadata["id_token_signing_alg_values_supported"] = ["HS256", "none"]
    address = leave(desk)
    serve_own_token(provider, {"alg": "HS256", "kid": "k"}, write_claims(provider, address), key)
    answers = provider.change_body
    provider.change_body = lambda path, body: (
        json.dumps(metadata).encode() if path.startswith("/.well-known") else answers(path, body)
    )
    other = open_with(settings, clock, log)
    other.cookies = desk.cookies
    refuse(other, agree(address))


def test_an_expired_token_is_refused(settings: OidcSettings, clock: Clock, log: Log) -> None:
    """Authlib compares it with the machine's clock."""
    with run_provider(access_token_max_age=timedelta(seconds=-61)) as server:
        url = Provider(server).url
        desk = open_with(settings.model_copy(update={"oidc_issuer": url}), clock, log)
        refuse(desk, agree(leave(desk)))
    assert "expired_token" in str(log.lines)


def test_a_token_signed_by_somebody_else_is_refused(desk: TestClient, provider: Provider) -> None:
    with run_provider() as other:
        keys = httpx2.get(f"http://localhost:{other.server_port}/jwks").content
    provider.change_body = lambda path, body: keys if path == "/jwks" else body
    refuse(desk, agree(leave(desk)))


def test_an_answer_without_an_id_token_is_refused(desk: TestClient, provider: Provider) -> None:
    forged = b'{"access_token":"x","token_type":"Bearer","userinfo":{"email":"eve","email_verified":true,"sub":"1"}}'
    provider.change_body = lambda path, body: forged if path == "/oauth2/token" else body
    answer = desk.get(agree(leave(desk)))
    assert (answer.status_code, "has no ID token" in answer.text) == (403, True)


def test_what_the_address_says_went_wrong_is_not_shown(desk: TestClient) -> None:
    leave(desk)
    answer = desk.get("/callback?error=access_denied&error_description=call+0900+123456&state=x")
    assert (answer.status_code, NOT_TAKEN in answer.text, "0900" in answer.text) == (403, True, False)


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"issuer":"https://evil.example","authorization_endpoint":"https://evil.example/"}',
        b"{}",
        b"[]",
        b"null",
        b'{"issuer":7}',
        b"<html>maintenance</html>",
    ],
)
def test_metadata_that_is_not_the_providers_is_not_kept(desk: TestClient, provider: Provider, metadata: bytes) -> None:
    honest = provider.change_body
    provider.change_body = lambda _, __: metadata
    answer = desk.get("/login")
    assert (answer.status_code, provider.url in answer.text) == (503, True), answer.text
    provider.change_body = honest
    assert desk.get(agree(leave(desk))).status_code == 303


@pytest.mark.parametrize(
    "keys", [b"{}", b"[]", b'{"error":"later"}', b'{"keys":[]}', b'{"keys":[{"kty":"x"}]}', b"<html>"]
)
def test_keys_that_cannot_be_read_are_not_kept(desk: TestClient, provider: Provider, keys: bytes) -> None:
    honest = provider.change_body
    provider.change_body = lambda path, body: keys if path == "/jwks" else body
    refuse(desk, agree(leave(desk)))
    provider.change_body = honest
    assert desk.get(agree(leave(desk))).status_code == 303


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"null", b'"x"', b'{"id_token":7}', b'{"id_token":"x"}'])
def test_an_answer_that_is_no_token_is_refused(desk: TestClient, provider: Provider, answer: bytes) -> None:
    provider.change_body = lambda path, body: answer if path == "/oauth2/token" else body
    assert desk.get(agree(leave(desk))).status_code == 403


@pytest.mark.parametrize("step", ["metadata", "token"])
def test_a_provider_that_refuses_connections_is_unavailable(
    step: str, clock: Clock, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_provider() as server:
        url = f"http://localhost:{server.server_port}"
        for name, value in {"ISSUER": url, "CLIENT_ID": CLIENT, "CLIENT_SECRET": "x", "USER_CLAIM": "email"}.items():
            monkeypatch.setenv(f"OIDC_{name}", value)
        desk = open_with(read_settings(OidcSettings), clock, log)
        back = agree(leave(desk)) if step == "token" else "/login"
    answer = desk.get(back)
    assert (answer.status_code, f"{url}, where you sign in, does not answer" in answer.text) == (503, True)


def test_a_silent_provider_costs_its_time_limit(clock: Clock, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_oidc, "PROVIDER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for name, value in {"ISSUER": url, "CLIENT_ID": CLIENT, "CLIENT_SECRET": "x", "USER_CLAIM": "email"}.items():
            monkeypatch.setenv(f"OIDC_{name}", value)
        answer = open_with(read_settings(OidcSettings), clock, log).get("/login")
    assert (answer.status_code, "TimeoutError" in str(log.lines)) == (503, True)

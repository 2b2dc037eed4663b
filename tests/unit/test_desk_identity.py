"""What a proxy says is believed only where nobody else can have said it."""

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from starlette.testclient import TestClient

from desk import proxy_keys
from desk.identity import ProviderUnavailable, SignInRefused, make_person
from desk.identity_demo import DemoIdentity, DemoPerson
from desk.identity_proxy import ProxyHeaderIdentity, ProxyJwtIdentity
from desk.identity_settings import ProxyHeaderSettings, ProxyJwtSettings
from desk.proxy_headers import read_proxy_header
from desk.proxy_keys import KeysBehindUrl, KeysInFile
from tests.unit.desk_doors import OLDER_SECRET, SAME_ORIGIN, SECRET, URL, Clock, Log, make_desk
from worker.settings import read_settings

ANNA = "anna@hillside.example"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("user", ["", " ", "a" * 256, "an\nna", "an\x00na", "an\u202ena", "\u2800", None, 7, ["anna"]])
def test_nobody_signs_in_whom_no_decision_can_name(clock: Clock, user: object) -> None:
    with pytest.raises(SignInRefused, match="1 to 255 characters"):
        make_person(user, "https://login.example", "sub", clock())


@pytest.mark.parametrize("subject", ["", "s" * 256, "s\nub", None, 7])
def test_a_subject_that_no_header_can_carry_is_refused(clock: Clock, subject: object) -> None:
    with pytest.raises(SignInRefused, match="1 to 255 characters"):
        make_person(ANNA, "https://login.example", subject, clock())


def test_a_name_of_255_characters_signs_in_as_it_stands(clock: Clock) -> None:
    name = "Ánna " + "é" * 250
    assert make_person(name, "https://login.example", "sub", clock()).user == name


# A plain header.


@pytest.fixture
def header_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProxyHeaderSettings:
    (tmp_path / "secrets").write_text(f"{SECRET}\n{OLDER_SECRET}\n")
    monkeypatch.setenv("PROXY_HEADER", "X-Forwarded-Email")
    monkeypatch.setenv("PROXY_SECRET_HEADER", "X-Proxy-Secret")
    monkeypatch.setenv("PROXY_SECRET_FILE", str(tmp_path / "secrets"))
    return read_settings(ProxyHeaderSettings)


def ask_behind_proxy(
    settings: ProxyHeaderSettings, headers: list[tuple[str, str]], client: tuple[str, int] = ("127.0.0.1", 5)
) -> tuple[int, str]:
    identity = ProxyHeaderIdentity(settings, [SECRET, OLDER_SECRET], Clock())
    desk = TestClient(make_desk(identity, Clock()), base_url=URL, client=client)
    answer = desk.get("/", headers=headers)
    return answer.status_code, answer.text


OURS: tuple[str, str] = ("X-Proxy-Secret", SECRET)


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        (
            [OURS, ("X-Forwarded-Email", ANNA), ("X-Forwarded-Email", "eve@evil.example")],
            "twice or in another spelling",
        ),
        (
            [OURS, ("X-Forwarded-Email", ANNA), ("X_Forwarded_Email", "eve@evil.example")],
            "twice or in another spelling",
        ),
        ([OURS, ("X_Forwarded-Email", ANNA)], "twice or in another spelling"),
        ([OURS, ("X-Forwarded.Email", ANNA)], "twice or in another spelling"),
        ([OURS, ("x_forwarded_email", ANNA), ("X-Forwarded-Email", ANNA)], "twice or in another spelling"),
        ([OURS], "did not say who you are"),
        ([OURS, ("X-Forwarded-Email", "")], "1 to 255 characters"),
        ([("X-Forwarded-Email", ANNA)], "did not come through the proxy"),
        ([("X-Proxy-Secret", ""), ("X-Forwarded-Email", ANNA)], "did not come through the proxy"),
        ([("X-Proxy-Secret", SECRET[:-1]), ("X-Forwarded-Email", ANNA)], "did not come through the proxy"),
        ([("X_Proxy_Secret", SECRET), ("X-Forwarded-Email", ANNA)], "twice or in another spelling"),
        ([OURS, OURS, ("X-Forwarded-Email", ANNA)], "twice or in another spelling"),
    ],
)
def test_a_header_that_somebody_else_may_have_sent_is_refused(
    header_settings: ProxyHeaderSettings, headers: list[tuple[str, str]], problem: str
) -> None:
    status, text = ask_behind_proxy(header_settings, headers)
    assert (status, problem in text) == (403, True), text
    assert SECRET[:-1] not in text


def test_a_header_is_text_in_utf_8() -> None:
    assert read_proxy_header({"headers": [(b"x-user", "Änna".encode())]}, "X-User") == "Änna"
    with pytest.raises(SignInRefused, match="not in UTF-8"):
        read_proxy_header({"headers": [(b"x-user", b"anna\xff")]}, "X-User")


@pytest.mark.parametrize("secret", [SECRET, OLDER_SECRET])
def test_a_header_with_one_of_the_secrets_names_the_person(header_settings: ProxyHeaderSettings, secret: str) -> None:
    headers: list[tuple[str, str]] = [("x-proxy-secret", secret), ("x-forwarded-email", ANNA)]
    assert ask_behind_proxy(header_settings, headers) == (200, ANNA)


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.1", "::ffff:10.0.0.7", "2001:db8::1", "proxy"])
def test_a_header_from_another_machine_is_refused(header_settings: ProxyHeaderSettings, address: str) -> None:
    headers: list[tuple[str, str]] = [OURS, ("X-Forwarded-Email", ANNA)]
    status, text = ask_behind_proxy(header_settings, headers, (address, 5))
    assert (status, "only on a unix socket or on its own machine" in text) == (403, True)


# A signed token.

NO_ALGORITHM = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
ISSUER, AUDIENCE = "https://proxy.example", "desk"


@pytest.fixture
def jwt_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: ECKey) -> ProxyJwtSettings:
    write_keys(tmp_path / "keys.json", key)
    for name, value in {
        "HEADER": "X-Assertion",
        "ISSUER": ISSUER,
        "AUDIENCE": AUDIENCE,
        "KEYS": str(tmp_path / "keys.json"),
        "USER_CLAIM": "email",
    }.items():
        monkeypatch.setenv(f"PROXY_{name}", value)
    return read_settings(ProxyJwtSettings)


@pytest.fixture(scope="module")
def key() -> ECKey:
    return make_key("one")


def make_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})


def write_keys(file: Path, *keys: Any) -> None:
    file.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))


def make_claims(clock: Clock, **other: object) -> dict[str, Any]:
    at = int(clock().timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna-1", "email": ANNA, "iat": at, "exp": at + 300} | other
    return {name: value for name, value in claims.items() if value is not None}


def ask_with_token(identity: ProxyJwtIdentity, token: str, clock: Clock) -> tuple[int, str]:
    answer = TestClient(make_desk(identity, clock), base_url=URL).get("/", headers={"X-Assertion": token})
    return answer.status_code, answer.text


def make_identity(settings: ProxyJwtSettings, clock: Clock, log: Log | None = None) -> ProxyJwtIdentity:
    logger: Any = log or Log()
    return ProxyJwtIdentity(settings, KeysInFile(Path(settings.proxy_keys)), clock, logger)


def test_a_token_of_the_proxy_names_the_person(jwt_settings: ProxyJwtSettings, key: ECKey, clock: Clock) -> None:
    token = jwt.encode({"alg": "ES256", "kid": "one"}, make_claims(clock), key)
    assert ask_with_token(make_identity(jwt_settings, clock), token, clock) == (200, ANNA)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"iss": "https://evil.example"}, "not one that the proxy has written"),
        ({"iss": None}, "not one that the proxy has written"),
        ({"aud": "another"}, "not one that the proxy has written"),
        ({"aud": ["another", "more"]}, "not one that the proxy has written"),
        ({"aud": None}, "not one that the proxy has written"),
        ({"exp": int(Clock().at.timestamp()) - 61}, "not one that the proxy has written"),
        ({"exp": None}, "not one that the proxy has written"),
        ({"nbf": int(Clock().at.timestamp()) + 61}, "not one that the proxy has written"),
        ({"iat": int(Clock().at.timestamp()) + 61}, "not one that the proxy has written"),
        ({"sub": None}, "not one that the proxy has written"),
        ({"email": None}, "does not say your email"),
        ({"email": "a" * 256}, "1 to 255 characters"),
        ({"email_verified": False}, "is not verified"),
        ({"email_verified": "true"}, "is not verified"),
    ],
)
def test_a_token_for_something_else_is_refused(
    jwt_settings: ProxyJwtSettings, key: ECKey, clock: Clock, other: Mapping[str, object], problem: str
) -> None:
    token = jwt.encode({"alg": "ES256", "kid": "one"}, make_claims(clock, **other), key)
    status, text = ask_with_token(make_identity(jwt_settings, clock), token, clock)
    assert (status, problem in text) == (403, True), text


def test_a_token_that_anybody_could_have_signed_is_refused_and_not_logged(
    jwt_settings: ProxyJwtSettings, key: ECKey, clock: Clock
) -> None:
    public = json.dumps(key.as_dict(private=False))
    claims = make_claims(clock)
    genuine = jwt.encode({"alg": "ES256", "kid": "one"}, claims, key)
    head, body, signature = genuine.split(".")
    by_secret = jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(public))
    log = Log()
    tokens = [
        jwt.encode({"alg": "ES256", "kid": "one"}, claims, make_key("one")),
        jwt.encode({"alg": "ES256", "kid": "two"}, claims, make_key("two")),
        jwt.encode({"alg": "ES256"}, claims, make_key("two")),
        by_secret,
        f"{NO_ALGORITHM}.{body}.",
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
        f"{head}.{body}.{signature}.x",
        "",
        "junk",
        "....",
        "e30.e30.e30",
        "\x7f.\x7f.\x7f",
    ]
    for token in tokens:
        status, text = ask_with_token(make_identity(jwt_settings, clock, log), token, clock)
        assert (status, "not one that the proxy has written" in text) == (403, True), (token, text)
    assert len(log.lines) == len(tokens)
    assert not [line for line in log.lines for token in tokens if token and token in str(line)]


def test_a_shared_secret_among_the_keys_signs_nothing(jwt_settings: ProxyJwtSettings, clock: Clock) -> None:
    secret = OctKey.import_key("k" * 32, {"kid": "one"})
    Path(jwt_settings.proxy_keys).write_text(json.dumps({"keys": [secret.as_dict(private=True)]}))
    token = jwt.encode({"alg": "HS256", "kid": "one"}, make_claims(clock), secret)
    assert ask_with_token(make_identity(jwt_settings, clock), token, clock)[0] == 403


def test_without_a_token_the_proxy_is_missing(jwt_settings: ProxyJwtSettings, clock: Clock) -> None:
    answer = TestClient(make_desk(make_identity(jwt_settings, clock), clock), base_url=URL).get("/")
    assert (answer.status_code, "there is no X-Assertion" in answer.text) == (403, True)


def test_a_key_in_the_file_counts_from_the_next_request(
    jwt_settings: ProxyJwtSettings, key: ECKey, clock: Clock
) -> None:
    identity, file, second = make_identity(jwt_settings, clock), Path(jwt_settings.proxy_keys), make_key("two")
    tokens = [jwt.encode({"alg": "ES256", "kid": one.kid}, make_claims(clock), one) for one in (key, second)]
    assert [ask_with_token(identity, token, clock)[0] for token in tokens] == [200, 403]
    write_keys(file, key, second)
    assert [ask_with_token(identity, token, clock)[0] for token in tokens] == [200, 200]
    write_keys(file, second)
    assert [ask_with_token(identity, token, clock)[0] for token in tokens] == [403, 200]
    file.write_text("{")
    assert [ask_with_token(identity, token, clock)[0] for token in tokens] == [503, 503]
    file.unlink()
    assert [ask_with_token(identity, token, clock)[0] for token in tokens] == [503, 503]


@dataclass
class KeyServer:
    """Serves keys, and counts who asks."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    state = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_behind_a_url_are_kept_and_asked_for_again_where_a_token_needs_it(
    jwt_settings: ProxyJwtSettings, key: ECKey, clock: Clock, key_server: KeyServer
) -> None:
    logger: Any = Log()
    identity = ProxyJwtIdentity(jwt_settings, KeysBehindUrl(key_server.url, clock, logger), clock, logger)
    second = make_key("two")

    def ask(one: ECKey) -> int:
        return ask_with_token(identity, jwt.encode({"alg": "ES256", "kid": one.kid}, make_claims(clock), one), clock)[0]

    key_server.body = json.dumps(KeySet([key]).as_dict(private=False)).encode()
    assert [ask(key), ask(key), len(key_server.asked)] == [200, 200, 1]
    # A new key is looked for at once, but not for every token that names one.
    key_server.body = json.dumps(KeySet([key, second]).as_dict(private=False)).encode()
    clock.pass_by(seconds=31)
    assert [ask(second), ask(make_key("none")), ask(make_key("none")), len(key_server.asked)] == [200, 403, 403, 2]
    # While the server is away the keys count for an hour.
    key_server.status = 500
    clock.pass_by(minutes=59)
    assert [ask(key), ask(key), len(key_server.asked)] == [200, 200, 3]
    clock.pass_by(minutes=2)
    assert ask(key) == 503
    key_server.status, key_server.body = 200, b"[]"
    clock.pass_by(seconds=31)
    assert ask(key) == 503
    key_server.body = json.dumps(KeySet([second]).as_dict(private=False)).encode()
    clock.pass_by(seconds=31)
    assert [ask(key), ask(second)] == [403, 200]


async def test_a_key_server_that_is_silent_costs_its_time_limit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_keys, "FETCH_SECONDS", 0.1)
    logger: Any = Log()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keys = KeysBehindUrl(f"http://127.0.0.1:{silent.getsockname()[1]}/", clock, logger)
        async with asyncio.timeout(5):
            with pytest.raises(ProviderUnavailable, match="does not answer as it should"):
                await keys.get()
    [(event, values)] = logger.lines
    assert (event, "Timeout" in values["error"]) == ("proxy_keys.unavailable", True)


# The demo.

PEOPLE = (DemoPerson(ANNA, "an accountant"), DemoPerson("max@hillside.example", "the manager"))
LOCAL = "http://127.0.0.1:8090"


def test_a_demo_for_other_machines_is_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match="on its own machine alone"):
        DemoIdentity(PEOPLE, [SECRET], clock, URL)


@pytest.mark.parametrize(
    ("form", "status", "to"),
    [
        ({"user": ANNA, "next": "/budgets/1/2/3?x=1"}, 303, "/budgets/1/2/3?x=1"),
        ({"user": ANNA}, 303, "/"),
        ({"user": ANNA, "next": "//evil.example"}, 303, "/"),
        ({"user": ANNA, "next": "/\\evil.example"}, 303, "/"),
        ({"user": ANNA, "next": "https://evil.example/"}, 303, "/"),
        ({"user": ANNA, "next": "/\n/evil.example"}, 303, "/"),
        ({"user": ANNA, "next": "/" + "x" * 1000}, 303, "/"),
        ({"user": "eve@evil.example"}, 400, None),
        ({}, 400, None),
    ],
)
def test_one_click_makes_somebody_one_of_the_people(
    clock: Clock, form: dict[str, str], status: int, to: str | None
) -> None:
    identity = DemoIdentity(PEOPLE, [SECRET], clock, LOCAL)
    client = TestClient(make_desk(identity, clock, LOCAL), LOCAL, client=("127.0.0.1", 5), follow_redirects=False)
    assert client.get("/").status_code == 401
    answer = client.post("/login", data=form, headers=SAME_ORIGIN)
    assert (answer.status_code, answer.headers.get("location")) == (status, to)
    assert client.get("/").status_code == (200 if status == 303 else 401)
    assert client.post("/login", data=form).status_code == 403


def test_from_another_machine_nobody_is_anybody_in_the_demo(clock: Clock) -> None:
    identity = DemoIdentity(PEOPLE, [SECRET], clock, LOCAL)
    near = TestClient(make_desk(identity, clock, LOCAL), LOCAL, client=("127.0.0.1", 5), follow_redirects=False)
    near.post("/login", data={"user": ANNA}, headers=SAME_ORIGIN)
    far = TestClient(make_desk(identity, clock, LOCAL), LOCAL, client=("10.0.0.7", 5), follow_redirects=False)
    assert far.post("/login", data={"user": ANNA}, headers=SAME_ORIGIN).status_code == 403
    assert far.get("/login").status_code == 403
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in near.cookies.items())}
    assert near.get("/").status_code == 200
    assert far.get("/", headers=cookies).status_code == 401

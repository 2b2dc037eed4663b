"""What every request passes, and what every answer carries."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from desk import security
from desk.security import MAX_BODY, Guard
from desk.session import Sessions
from tests.unit.desk_doors import SAME_ORIGIN, SECRET, URL, Clock, SignedIn, make_someone, open_desk

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types desk"
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_signed_in(clock: Clock, url: str = URL) -> TestClient:
    sessions = Sessions([SECRET], clock, secure=url.startswith("https"))
    client = open_desk(SignedIn(sessions), clock, url)
    client.headers["Cookie"] = sessions.write(make_someone(at=clock())).partition(";")[0]
    return client


@pytest.fixture
def client(clock: Clock) -> TestClient:
    return open_signed_in(clock)


ANSWERS = [
    ("GET", "/", {}, 200),
    ("GET", "/static/desk.css", {}, 200),
    ("GET", "/static/a/b", {}, 404),
    ("GET", "/none", {}, 404),
    ("GET", "/act", {}, 405),
    ("GET", "/bug", {}, 500),
    ("GET", "/login", {}, 200),
    ("GET", "/", {"Cookie": ""}, 401),
    ("GET", "/", {"Host": "other.example"}, 421),
    ("POST", "/act", {}, 403),
    ("POST", "/act", SAME_ORIGIN | {"Content-Length": "99999"}, 413),
    ("POST", "/logout", SAME_ORIGIN, 303),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS)
def test_every_answer_carries_every_header(
    client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    found = answer.headers
    assert found.get_list("content-security-policy") == [POLICY]
    assert found["strict-transport-security"] == "max-age=31536000"
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "same-origin"
    assert found["cross-origin-opener-policy"] == found["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in found["permissions-policy"]
    assert "*" not in found["permissions-policy"]
    assert "self" not in found["permissions-policy"]
    is_file = path == "/static/desk.css"
    assert found.get_list("cache-control") == ["public, immutable" if is_file else "no-store"]


def test_over_http_nothing_is_said_about_https(clock: Clock) -> None:
    client = open_signed_in(clock, "http://127.0.0.1:8090")
    answer = client.get("/")
    assert answer.status_code == 200
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(
    ("url", "host", "is_ours"),
    [
        (URL, "desk.example.com", True),
        (URL, "DESK.example.com:443", True),
        (URL, "desk.example.com:8443", False),
        (URL, "desk.example.com.evil.example", False),
        (URL, "evil.example", False),
        (URL, "desk.example.com@evil.example", False),
        (URL, "", False),
        ("http://127.0.0.1:8090", "127.0.0.1:8090", True),
        ("http://127.0.0.1:8090", "127.0.0.1", False),
        ("http://127.0.0.1:8090", "localhost:8090", False),
        ("https://desk.example.com:443", "desk.example.com", True),
    ],
)
def test_another_host_is_refused(clock: Clock, url: str, host: str, *, is_ours: bool) -> None:
    answer = open_signed_in(clock, url).get("/", headers={"Host": host})
    assert answer.status_code == (200 if is_ours else 421)
    assert is_ours or url in answer.text


OTHERS = "https://evil.example"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ([("sec-fetch-site", "same-origin")], True),
        ([("sec-fetch-site", "same-origin"), ("origin", URL)], True),
        ([("origin", URL)], True),
        ([], False),
        ([("sec-fetch-site", "same-site"), ("origin", URL)], False),
        ([("sec-fetch-site", "cross-site"), ("origin", URL)], False),
        ([("sec-fetch-site", "none"), ("origin", URL)], False),
        ([("sec-fetch-site", ""), ("origin", URL)], False),
        ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], False),
        ([("origin", OTHERS)], False),
        ([("origin", "null")], False),
        ([("origin", f"{URL}:443")], False),
        ([("origin", f"{URL}.evil.example")], False),
        ([("origin", URL.replace("https", "http"))], False),
        ([("origin", URL), ("origin", OTHERS)], False),
        ([("referer", f"{URL}/")], False),
    ],
)
def test_only_a_page_of_the_desk_can_act(
    client: TestClient, method: str, headers: list[tuple[str, str]], *, is_ours: bool
) -> None:
    answer = client.request(method, "/act", headers=[*client.headers.items(), *headers], data={"reason": "x"})
    assert answer.status_code == (200 if is_ours else 403)
    assert answer.text.startswith("taken: ") is is_ours


def test_reading_needs_no_origin(client: TestClient) -> None:
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Origin": OTHERS}).status_code == 200


def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(client: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"reason=" + b"x" * (MAX_BODY - 7)
    assert client.post("/act", content=body, headers=SAME_ORIGIN | form).status_code == 200
    assert client.post("/act", content=body + b"x", headers=SAME_ORIGIN | form).status_code == 413


def test_a_body_without_a_length_is_counted_as_it_comes(client: TestClient) -> None:
    sent: list[int] = []

    def stream() -> Iterator[bytes]:
        for _ in range(10):
            sent.append(1)
            yield b"x" * (MAX_BODY // 4)

    assert client.post("/act", content=stream(), headers=SAME_ORIGIN).status_code == 413


async def ask(
    headers: list[tuple[bytes, bytes]], messages: list[Message], method: str = "POST"
) -> tuple[int, list[str]]:
    """Ask a guarded application that notes what it receives."""
    seen: list[str] = []
    statuses: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(f"{scope['method']} {(await receive())['body'].decode()}")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        return messages.pop(0) if messages else await never()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": method, "path": "/act", "headers": [(b"host", b"desk.example.com"), *headers]}
    await Guard(application, URL)(scope, receive, send)
    [status] = statuses
    return status, seen


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


OURS = [(b"sec-fetch-site", b"same-origin")]


async def test_a_body_in_pieces_comes_whole() -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
    ]
    assert await ask(OURS, pieces) == (200, ["POST ab"])


async def test_a_request_that_ends_half_way_does_nothing() -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await ask(OURS, pieces) == (400, [])


async def test_a_request_that_does_not_arrive_in_time_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.05)
    assert await ask(OURS, [{"type": "http.request", "body": b"a", "more_body": True}]) == (408, [])


@pytest.mark.parametrize("length", [b"-1", b"x", b"65537", b"9" * 5000])
async def test_a_length_that_is_none_or_too_long_is_refused_unread(length: bytes) -> None:
    assert await ask([*OURS, (b"content-length", length)], []) == (413, [])


async def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    assert (await ask([*OURS, (b"host", b"desk.example.com")], []))[0] == 421


def test_sixty_acts_a_minute_and_person(client: TestClient, clock: Clock) -> None:
    for _ in range(60):
        assert client.post("/act", headers=SAME_ORIGIN).status_code == 200
    clock.pass_by(seconds=20)
    refused = client.post("/act", headers=SAME_ORIGIN)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert client.get("/").status_code == 200
    other = Sessions([SECRET], clock, secure=True).write(make_someone("bob@hillside.example", clock()))
    cookie = {"Cookie": other.partition(";")[0]}
    assert client.post("/act", headers=SAME_ORIGIN | cookie).status_code == 200
    clock.pass_by(seconds=40)
    assert client.post("/act", headers=SAME_ORIGIN).status_code == 200


@pytest.mark.parametrize("path", ["/", "/none", "/bug", "/act", "/login/x", "/callback", "/static", "/Static/a.css"])
def test_whoever_has_not_signed_in_sees_no_page(client: TestClient, path: str) -> None:
    assert client.get(path, headers={"Cookie": ""}).status_code == 401
    assert client.post(path, headers={"Cookie": ""} | SAME_ORIGIN).status_code == 401

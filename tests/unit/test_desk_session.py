"""Sessions and forms: what opens them, what ends them, and what they never hold."""

import base64
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from contracts.budget_key import BudgetKey
from desk.forms import FormRefused, Forms, name_message
from desk.pages_preferences import keep_preferences
from desk.seals import Seal, read_secrets
from desk.session import Sessions
from tests.unit.desk_doors import OLDER_SECRET, SAME_ORIGIN, SECRET, Clock, SignedIn, make_someone, open_desk

KEY = BudgetKey(4211, 90071, 55210)


def sign_in(client: TestClient, sessions: Sessions, clock: Clock) -> None:
    name, _, value = sessions.write(make_someone(at=clock())).partition("; ")[0].partition("=")
    client.cookies.set(name, value, domain="desk.example.com")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions([SECRET], clock, secure=True)


@pytest.fixture
def client(clock: Clock, sessions: Sessions) -> TestClient:
    client = open_desk(SignedIn(sessions), clock)
    sign_in(client, sessions, clock)
    return client


def test_a_session_names_its_person(client: TestClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (200, "anna@hillside.example")
    assert "set-cookie" not in answer.headers


def test_over_https_no_other_host_and_no_script_can_reach_the_cookie(sessions: Sessions) -> None:
    name, *attributes = sessions.write(make_someone()).split("; ")
    assert name.startswith("__Host-desk=")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    assert sessions.end() == "__Host-desk=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"


def test_over_http_the_cookie_has_no_prefix_that_a_browser_would_refuse(clock: Clock) -> None:
    name, *attributes = Sessions([SECRET], clock, secure=False).write(make_someone()).split("; ")
    assert name.startswith("desk=")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Lax"}


def test_the_cookie_holds_the_person_and_two_times(sessions: Sessions) -> None:
    text = sessions.write(make_someone()).partition("=")[2].partition(";")[0]
    body = text.lstrip(".").split(".")[0]
    held = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    assert set(eval(zlib.decompress(held) if text.startswith(".") else held)) == {
        "user",
        "issuer",
        "subject",
        "signed_in_at",
        "seen_at",
    }


def test_thirty_minutes_without_an_act_end_a_session(client: TestClient, clock: Clock) -> None:
    clock.pass_by(minutes=30)
    assert client.get("/", headers={"Sec-Fetch-Mode": "cors"}).status_code == 200
    clock.pass_by(seconds=1)
    assert client.get("/").status_code == 401


def test_acts_keep_a_session_but_no_longer_than_eight_hours(client: TestClient, clock: Clock) -> None:
    for _ in range(24):
        clock.pass_by(minutes=20)
        assert client.get("/").status_code == 200
    clock.pass_by(seconds=1)
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    ("method", "headers", "is_act"),
    [
        ("GET", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"}, True),
        ("GET", {"Sec-Fetch-Mode": "navigate"}, False),
        ("GET", {"Sec-Fetch-Mode": "cors"}, False),
        ("GET", {}, True),
        ("POST", {"Sec-Fetch-Mode": "navigate"}, True),
    ],
)
def test_only_what_a_person_does_renews_a_session(
    client: TestClient, clock: Clock, method: str, headers: dict[str, str], *, is_act: bool
) -> None:
    clock.pass_by(minutes=2)
    answer = client.request(method, "/act" if method == "POST" else "/", headers=SAME_ORIGIN | headers)
    assert answer.status_code == 200
    assert ("set-cookie" in answer.headers) is is_act


def test_signing_out_ends_the_session_and_is_not_undone_by_its_renewal(client: TestClient, clock: Clock) -> None:
    clock.pass_by(minutes=2)
    answer = client.post("/logout", headers=SAME_ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signed-out")
    assert answer.headers.get_list("set-cookie") == ["__Host-desk=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"]
    assert client.get("/logout").status_code == 405


@pytest.mark.parametrize("secrets", [[SECRET, OLDER_SECRET], [OLDER_SECRET, SECRET], [SECRET]])
def test_a_session_lives_as_long_as_its_secret_is_listed(clock: Clock, secrets: list[str]) -> None:
    client = open_desk(SignedIn(Sessions(secrets, clock, secure=True)), clock)
    sign_in(client, Sessions([OLDER_SECRET], clock, secure=True), clock)
    assert client.get("/").status_code == (200 if OLDER_SECRET in secrets else 401)


def test_the_first_secret_seals() -> None:
    sealed = Seal([SECRET, OLDER_SECRET], "session").close({"a": 1})
    assert Seal([SECRET], "session").open(sealed) == {"a": 1}
    assert Seal([OLDER_SECRET], "session").open(sealed) is None


def test_what_is_sealed_for_one_purpose_or_changed_does_not_open() -> None:
    sealed = Seal([SECRET], "form").close({"a": 1})
    assert Seal([SECRET], "session").open(sealed) is None
    assert Seal([SECRET], "form").open(sealed) == {"a": 1}
    for text in ("", ".", sealed[:-1] + chr(ord(sealed[-1]) ^ 1), "x" + sealed, sealed.rpartition(".")[0], "\x00é"):
        assert Seal([SECRET], "form").open(text) is None, text


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "is empty"), ("\n \n", "is empty"), (f"{SECRET}\nshort\n", "secret 2 in .* is shorter than 32 characters")],
)
def test_secrets_that_protect_nothing_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "secrets"
    file.write_text(text)
    with pytest.raises(ValueError, match=problem) as raised:
        read_secrets(file)
    assert "short\n" not in str(raised.value)
    with pytest.raises(ValueError, match="cannot be read"):
        read_secrets(tmp_path / "none")


def test_secrets_stand_one_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{SECRET}\n\n{OLDER_SECRET}\n")
    assert read_secrets(file) == (SECRET, OLDER_SECRET)


@pytest.fixture
def forms(clock: Clock) -> Forms:
    return Forms([SECRET], clock)


def test_a_form_says_what_its_person_saw(forms: Forms) -> None:
    form = forms.read(forms.write("anna@hillside.example", KEY, 2, "7ad6"), "Anna@Hillside.example", KEY)
    assert (form.key, form.version, form.seen) == (KEY, 2, "7ad6")


def test_a_form_of_somebody_else_another_budget_or_another_time_is_refused(forms: Forms, clock: Clock) -> None:
    token = forms.write("anna@hillside.example", KEY, 2, "7ad6")
    for values, problem in (
        ((token, "bob@hillside.example", KEY), "offered to somebody else"),
        ((token, "anna@hillside.example", KEY._replace(budget_id=1)), "is for budget 4211/90071/55210"),
        ((token[:-2], "anna@hillside.example", KEY), "not one that the desk has written"),
        ((Seal([SECRET], "session").close({}), "anna@hillside.example", KEY), "not one that the desk has written"),
    ):
        with pytest.raises(FormRefused, match=problem):
            forms.read(*values)
    clock.pass_by(hours=8)
    forms.read(token, "anna@hillside.example", KEY)
    clock.pass_by(seconds=1)
    with pytest.raises(FormRefused, match="older than 8 hours"):
        forms.read(token, "anna@hillside.example", KEY)


def test_a_form_that_is_sent_twice_sends_the_same_message(forms: Forms) -> None:
    token, other = (forms.write("anna@hillside.example", KEY, 2, "7ad6") for _ in range(2))
    first, again, another = (forms.read(one, "anna@hillside.example", KEY) for one in (token, token, other))
    assert name_message(first, "accept") == name_message(again, "accept")
    ids = {name_message(first, "accept"), name_message(first, "reject"), name_message(another, "accept")}
    assert len(ids) == 3


@pytest.mark.parametrize(("url", "is_secure"), [("https://desk.example.com", True), ("http://127.0.0.1:8090", False)])
async def test_what_somebody_prefers_is_kept_in_secure_cookies_where_people_come_by_https(
    url: str, *, is_secure: bool
) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"zone=America%2FChicago&next=//elsewhere.example"}

    app = SimpleNamespace(state=SimpleNamespace(settings=SimpleNamespace(desk_url=url)))
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"host", b"desk")]
    scope = {"type": "http", "method": "POST", "scheme": "http", "path": "/preferences", "headers": headers, "app": app}
    answer = await keep_preferences(Request(scope, receive))
    assert answer.headers["location"] == "/"
    cookies = answer.headers.getlist("set-cookie")
    assert ["Secure" in cookie for cookie in cookies] == [is_secure] * 2
    assert all("HttpOnly" in cookie for cookie in cookies)

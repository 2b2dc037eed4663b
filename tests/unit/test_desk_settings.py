"""The settings of the desk: every problem at once, and nothing that anybody could sign in by is taken for granted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from typer.testing import CliRunner

import desk.__main__  # noqa: F401 - adds its command
from contracts.signature.signing import generate_key
from desk.doors import make_identity
from desk.identity import Identity
from desk.identity_oidc import OidcIdentity
from desk.identity_proxy import ProxyHeaderIdentity, ProxyJwtIdentity
from desk.settings import read_desk_settings
from tests.unit.desk_doors import SECRET, Clock, Log
from worker.__main__ import app
from worker.key_files import write_key_file
from worker.settings import ConfigurationError

Set = Callable[[dict[str, str]], None]
OIDC = {
    "OIDC_ISSUER": "https://login.example",
    "OIDC_CLIENT_ID": "desk",
    "OIDC_CLIENT_SECRET": "a-secret",
    "OIDC_USER_CLAIM": "email",
}
JWT = {
    "DESK_IDENTITY": "proxy-jwt",
    "PROXY_HEADER": "X-Assertion",
    "PROXY_ISSUER": "https://proxy.example",
    "PROXY_AUDIENCE": "desk",
    "PROXY_KEYS": "https://proxy.example/keys",
    "PROXY_USER_CLAIM": "email",
}


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Set:
    (tmp_path / "secret").write_text(SECRET)

    def put(values: dict[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    put({"KAFKA_BOOTSTRAP": "kafka:9092", "DESK_URL": "https://desk.example.com"})
    put({"DESK_DATABASE_URL": "postgresql://user:secret@localhost:5432/name"})
    put({"DESK_SECRET_FILE": str(tmp_path / "secret")})
    return put


def header_settings(tmp_path: Path) -> dict[str, str]:
    names = {"PROXY_HEADER": "X-User", "PROXY_SECRET_HEADER": "X-Secret", "PROXY_SECRET_FILE": str(tmp_path / "secret")}
    return {"DESK_IDENTITY": "proxy-header"} | names


def list_problems() -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        read_desk_settings()
    return raised.value.problems


def make() -> Identity:
    log = Log()
    return make_identity(*read_desk_settings(), Clock(), log)  # type: ignore[arg-type]  # it notes what is logged


def test_each_way_to_sign_in(put: Set, tmp_path: Path) -> None:
    put(OIDC)
    assert isinstance(make(), OidcIdentity)
    put(JWT)
    assert isinstance(make(), ProxyJwtIdentity)
    put({"PROXY_KEYS": str(tmp_path / "keys.json")})
    key = ECKey.generate_key("P-256", {"kid": "one"}).as_dict(private=False)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key]}))
    assert isinstance(make(), ProxyJwtIdentity)
    put(header_settings(tmp_path) | {"DESK_BIND": "127.0.0.1"})
    assert isinstance(make(), ProxyHeaderIdentity)
    put({"DESK_BIND": "unix:/run/desk.sock"})
    assert isinstance(make(), ProxyHeaderIdentity)


@pytest.mark.parametrize("bind", ["", "0.0.0.0", "10.0.0.7", "::"])
def test_a_plain_header_is_not_believed_where_others_can_reach_the_desk(put: Set, tmp_path: Path, bind: str) -> None:
    put(header_settings(tmp_path) | {"DESK_BIND": bind})
    with pytest.raises(ConfigurationError, match=r"unix socket .* or on 127\.0\.0\.1 alone"):
        make()


def test_everything_that_is_missing_is_named_at_once(put: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    put({})
    for name in ("DESK_SECRET_FILE", "DESK_URL"):
        monkeypatch.delenv(name)
    missing = [f"{name}: it is not set" for name in ("DESK_URL", "DESK_SECRET_FILE", *OIDC)]
    assert sorted(list_problems()) == sorted(missing)
    monkeypatch.setenv("DESK_IDENTITY", "proxy-header")
    names = ("DESK_URL", "DESK_SECRET_FILE", "PROXY_HEADER", "PROXY_SECRET_HEADER", "PROXY_SECRET_FILE")
    assert sorted(list_problems()) == sorted(f"{name}: it is not set" for name in names)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DESK_IDENTITY", "demo", "one of oidc, proxy-jwt, proxy-header is expected"),
        ("DESK_IDENTITY", "none", "one of oidc, proxy-jwt, proxy-header is expected"),
        ("DESK_URL", "http://desk.example.com", "a URL with https is expected"),
        ("DESK_URL", "https://desk.example.com/desk", "an origin such as"),
        ("OIDC_ISSUER", "http://login.example", "a URL with https is expected"),
        ("OIDC_ISSUER", "login.example", "a URL with https is expected"),
        ("OIDC_USER_CLAIM", "name", "one of email, upn, preferred_username is expected"),
        ("OPERATORS_FILE", "/none/operators.csv", "operators.csv: there is no such file"),
        ("DESK_SECRET_FILE", "/none/secret", "/none/secret cannot be read"),
        ("DESK_KEY_FILE", "/none/key.json", "/none/key.json cannot be read"),
        ("DESK_BIND", "desk", "an IP address such as"),
        ("DESK_BIND", "unix:desk.sock", "an IP address such as"),
    ],
)
def test_a_value_that_cannot_be_used_is_described(put: Set, name: str, value: str, problem: str) -> None:
    put(OIDC | {name: value})
    [found] = list_problems()
    assert found.startswith(f"{name}: {problem}"), found


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PROXY_HEADER", "X_Assertion", "the name of a header is expected"),
        ("PROXY_HEADER", "X Assertion", "the name of a header is expected"),
        ("PROXY_KEYS", "http://proxy.example/keys", "a URL with https is expected"),
        ("PROXY_KEYS", "/none/keys.json", "/none/keys.json cannot be read"),
    ],
)
def test_what_a_proxy_is_believed_by_is_checked(put: Set, name: str, value: str, problem: str) -> None:
    put(JWT | {name: value})
    [found] = list_problems()
    assert found.startswith(f"{name}: {problem}"), found


def test_the_key_of_the_desk_is_for_everybody_and_nobody_else_can_read_it(put: Set, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    write_key_file(file, generate_key("desk-1", "*"))
    put(OIDC | {"DESK_KEY_FILE": str(file)})
    assert read_desk_settings()[0].desk_key_file == file
    file.chmod(0o640)
    [found] = list_problems()
    assert found.startswith("DESK_KEY_FILE: others can use ")
    other = tmp_path / "anna.json"
    write_key_file(other, generate_key("anna-1", "anna"))
    put({"DESK_KEY_FILE": str(other)})
    [found] = list_problems()
    assert (
        found == f"DESK_KEY_FILE: {other} is the key of anna; the desk signs for everybody, with a key whose user is *"
    )


def test_the_command_prints_every_problem_and_no_secret(put: Set) -> None:
    put({"DESK_URL": "http://desk.example.com", "OIDC_CLIENT_SECRET": "a-secret", "OIDC_ISSUER": "x"})
    done = CliRunner().invoke(app, ["desk"])
    assert done.exit_code == 2, done.output
    for problem in ("4 problems:", "DESK_URL: a URL", "OIDC_ISSUER: a URL", "OIDC_CLIENT_ID: it is not set"):
        assert problem in done.stderr
    assert "a-secret" not in done.stderr

"""Tokens for OAUTHBEARER: got once, renewed before they expire, and whatever keeps them away is said."""

import threading
from collections.abc import Iterator

import pytest
from aiokafka import conn
from aiokafka.errors import SaslAuthenticationFailed

from tests.token_endpoint import SECRET, Tokens, make_key, run_token_endpoint
from worker.kafka import oauth
from worker.kafka.oauth import ClientCredentials, TokenUnavailable
from worker.kafka.server_errors import Login, describe_server_error
from worker.settings import ConfigurationError, KafkaSettings, read_settings


@pytest.fixture
def endpoint() -> Iterator[Tokens]:
    with run_token_endpoint(make_key()) as tokens:
        yield tokens


async def test_a_token_is_kept_until_shortly_before_it_expires(
    endpoint: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(oauth, "monotonic", lambda: now)
    tokens = ClientCredentials(endpoint.url, "bridge", SECRET, "kafka read")
    first = await tokens.token()
    assert await tokens.token() == first
    assert endpoint.asked == [{"grant_type": ["client_credentials"], "scope": ["kafka read"]}]
    now += 269
    assert await tokens.token() == first
    now += 2
    assert await tokens.token() != first
    # A short one is renewed when a fifth of its time is left.
    endpoint.seconds = 10
    now += 300
    short = await tokens.token()
    now += 7.9
    assert await tokens.token() == short
    now += 0.2
    assert await tokens.token() != short
    assert len(endpoint.asked) == 4


@pytest.mark.parametrize("time", ["", ', "expires_in": NaN', ', "expires_in": 1e999', ', "expires_in": -1'])
async def test_a_token_without_a_time_is_used_once(endpoint: Tokens, time: str) -> None:
    endpoint.answer = 200, f'{{"access_token": "opaque"{time}}}'.encode()
    tokens = ClientCredentials(endpoint.url, "bridge", SECRET, "")
    assert [await tokens.token(), await tokens.token()] == ["opaque", "opaque"]
    assert endpoint.asked == [{"grant_type": ["client_credentials"]}] * 2


async def test_a_token_that_the_broker_refuses_is_not_used_again(endpoint: Tokens) -> None:
    tokens = ClientCredentials(endpoint.url, "bridge", SECRET, "")
    login = conn.OAuthAuthenticator(sasl_oauth_token_provider=tokens)
    await login.step(None)
    with pytest.raises(SaslAuthenticationFailed, match="invalid_token"):
        await login.step(b'{"status": "invalid_token"}')
    await tokens.token()
    await tokens.token()
    assert len(endpoint.asked) == 2


async def test_the_secret_goes_nowhere_else(endpoint: Tokens) -> None:
    with run_token_endpoint(make_key()) as other:
        endpoint.answer, endpoint.location = (302, b""), other.url
        with pytest.raises(TokenUnavailable, match="answers 302 to client bridge: check KAFKA_OAUTH_CLIENT_ID"):
            await ClientCredentials(endpoint.url, "bridge", SECRET, "").token()
        assert other.asked == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            (401, b'{"error": "invalid_client"}'),
            r"answers 401 to client bridge \(invalid_client\): check KAFKA_OAUTH_C",
        ),
        ((400, b"<html>"), r"answers 400 to client bridge: check KAFKA_OAUTH_CLIENT_ID"),
        ((503, b""), r"answers 503 to client bridge: check the log of the provider"),
        ((200, b"<html>"), r"answers without an access_token: check KAFKA_OAUTH_TOKEN_URL"),
        ((200, b"[]"), "without an access_token"),
        ((200, b'{"access_token": 1}'), "without an access_token"),
        ((200, b'{"access_token": "x", "expires_in": "soon"}'), "without an access_token"),
    ],
)
async def test_an_endpoint_that_gives_no_token_is_described(
    endpoint: Tokens, answer: tuple[int, bytes], says: str
) -> None:
    endpoint.answer = answer
    with pytest.raises(TokenUnavailable, match=says) as raised:
        await ClientCredentials(endpoint.url, "bridge", SECRET, "").token()
    assert SECRET not in str(raised.value)
    problem = describe_server_error(
        "k:9092", Login("SASL_SSL", "OAUTHBEARER", "bridge", has_certificate=False), raised.value
    )
    assert str(problem) == str(raised.value)


async def test_an_endpoint_that_does_not_answer_costs_little_time(
    endpoint: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        TokenUnavailable, match=r"127.0.0.1:1/ does not answer \(.*refused.*\): check KAFKA_OAUTH_TOKEN"
    ):
        await ClientCredentials("http://127.0.0.1:1/", "bridge", SECRET, "").token()
    monkeypatch.setattr(oauth, "TOKEN_SECONDS", 0.1)
    endpoint.delay = threading.Event()
    try:
        with pytest.raises(TokenUnavailable, match=r"does not answer \((no answer in time|timed out)\)"):
            await ClientCredentials(endpoint.url, "bridge", SECRET, "").token()
    finally:
        endpoint.delay.set()


def test_every_setting_that_is_missing_or_wrong_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "k:9092")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
    with pytest.raises(ConfigurationError) as raised:
        read_settings(KafkaSettings)
    needed = "KAFKA_OAUTH_TOKEN_URL and KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET"
    assert raised.value.problems == (f"{needed} must be set to log in by OAUTHBEARER",)
    for url in ("login.example", "http://login.example/token", "ftp://login.example", "https://"):
        monkeypatch.setenv("KAFKA_OAUTH_TOKEN_URL", url)
        with pytest.raises(ConfigurationError) as raised:
            read_settings(KafkaSettings)
        assert raised.value.problems[0].startswith("KAFKA_OAUTH_TOKEN_URL: a URL such as"), url
    monkeypatch.setenv("KAFKA_OAUTH_TOKEN_URL", "https://login.example/token")
    monkeypatch.setenv("KAFKA_OAUTH_CLIENT_ID", "bridge")
    monkeypatch.setenv("KAFKA_OAUTH_CLIENT_SECRET", SECRET)
    assert SECRET not in repr(read_settings(KafkaSettings))

"""Settings from the environment: empty is unset, secrets may be files, and every problem has a sentence."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from worker.settings import (
    ConfigurationError,
    DatabaseSettings,
    HttpSettings,
    KafkaSettings,
    TracesSettings,
    WatcherSettings,
    WorkerSettings,
    read_settings,
)

URL = "postgresql://user:secret@localhost/name"
SECRETS = {"DATABASE_URL", "KAFKA_SASL_PASSWORD"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name in SECRETS:
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def list_problems(kind: type[BaseSettings]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as broken:
        read_settings(kind)
    return broken.value.problems


@pytest.mark.parametrize("name", sorted(WorkerSettings.model_fields))
def test_an_empty_variable_is_not_set(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "localhost:9092")
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("RULES_DIR", str(tmp_path))
    field = WorkerSettings.model_fields[name]
    monkeypatch.setenv(name.upper(), "")
    if field.is_required():
        assert list_problems(WorkerSettings) == (f"{name.upper()}: it is not set",)
    else:
        assert getattr(read_settings(WorkerSettings), name) == field.default


def test_empty_variables_of_every_kind_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "localhost:9092")
    assert read_settings(HttpSettings).http_port is None
    assert read_settings(TracesSettings).otel_sdk_disabled is False
    assert read_settings(WatcherSettings).http_port is None


def test_secrets_are_read_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    assert read_settings(DatabaseSettings).database_url.get_secret_value() == URL
    monkeypatch.setenv("DATABASE_URL", "")
    assert read_settings(DatabaseSettings).database_url.get_secret_value() == URL
    password = tmp_path / "password"
    password.write_text(" p#ss\r\n")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "localhost:9092")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "bridge")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(password))
    found = read_settings(KafkaSettings).kafka_sasl_password
    assert found
    assert found.get_secret_value() == " p#ss"


def test_a_secret_file_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "none"))
    assert list_problems(DatabaseSettings) == (
        f"DATABASE_URL: {tmp_path}/none of DATABASE_URL_FILE cannot be read: No such file or directory",
    )
    (tmp_path / "none").write_bytes(b"\n")
    assert list_problems(DatabaseSettings) == (f"DATABASE_URL: {tmp_path}/none of DATABASE_URL_FILE is empty",)
    monkeypatch.setenv("DATABASE_URL", URL)
    assert list_problems(DatabaseSettings) == (
        "DATABASE_URL: it and DATABASE_URL_FILE are both set; unset one of them",
    )
    monkeypatch.delenv("DATABASE_URL_FILE")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(tmp_path))
    assert any("KAFKA_SASL_PASSWORD: " in problem for problem in list_problems(KafkaSettings))


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_where_the_http_port_listens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_BIND", address)
    assert read_settings(HttpSettings).http_bind == address


def test_a_bind_address_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_BIND", "localhost")
    [problem] = list_problems(HttpSettings)
    assert problem.startswith("HTTP_BIND: an IP address such as")

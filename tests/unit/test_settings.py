"""Settings from the environment: empty is unset, secrets may be files, and every problem has a sentence."""

import subprocess
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from outbox.database_url import parse_database_url
from tests.unit.test_server_errors import make_certificate
from worker.__main__ import app
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
SECRETS = {"DATABASE_URL", "KAFKA_SASL_PASSWORD", "KAFKA_OAUTH_CLIENT_SECRET"}


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


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://user:secret@localhost/name", "a URL such as"),
        (f"{URL}?channel_binding=require", "its parameter 'channel_binding=require' is not supported"),
        (f"{URL}?sslmdoe=require", "its parameter 'sslmdoe' is not known"),
        (f"{URL}?sslmode=full", "its parameter 'sslmode=full' is not one of disable, "),
        (f"{URL}?target_session_attrs=standby", "its parameter 'target_session_attrs=standby' is not one of any, "),
        (f"{URL}?ssl_min_protocol_version=1.3", "its parameter 'ssl_min_protocol_version=1.3' is not one of "),
        (f"{URL}?connect_timeout=soon", "its parameter 'connect_timeout' is not a number of seconds"),
        ("postgresql://user:secret@a,b/name?port=5432,x", "its parameter 'port' is not a port"),
        ("postgresql://user:se:c%40ret@localhost:port/name", "its host and port cannot be read: write %40 for @"),
        ("postgresql://user:secret/12@localhost/name", "it has a '/' that is not escaped: write %40 for @, %2F for /"),
        ("postgresql://user:12/secret@localhost/name", "it has a '/' that is not escaped"),
        ("postgresql://user:secret@12@localhost/name", "it has a '@' that is not escaped"),
        ("postgresql://user:secret%12%zz@localhost/name", "it has a '%' that is not escaped"),
        ("postgresql://user:secret%@localhost/name", "it has a '%' that is not escaped"),
        ("postgresql://user:12?secret@localhost/name", "a URL such as"),
        ("postgresql://user:12?secret=3@localhost/name", "it has a '?' that is not escaped"),
        ("postgresql://user:secret[12@localhost/name", "a URL such as"),
        ("postgresql://user:secret@a:1,b:99999/name", "port 99999 is none from 1 to 65535"),
        ("postgresql://user:secret@a,b/name?port=5432,0", "port 0 is none from 1 to 65535"),
        ("postgresql://user:12#secret@localhost/name", "it has a '#' that is not escaped"),
        (f"{URL}?sslrootcert=%00", "sslrootcert: \x00 cannot be read (embedded null byte)"),
        (f"{URL}?sslmode=verify-full", "sslmode=verify-full needs the certificate of a CA: add sslrootcert=FILE"),
        (f"{URL}?sslrootcert=/none", "sslrootcert: there is no file /none: correct the path"),
        (f"{URL}?sslcert=/none", "sslcert and sslkey: there is no file /none"),
        (f"{URL}?sslcrl=/", "sslcrl: / cannot be read (Is a directory)"),
    ],
)
def test_what_is_wrong_with_the_database_url_is_named_with_all_other_problems(
    url: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("HTTP_PORT", "0")
    problems = dict(one.split(": ", 1) for one in list_problems(WorkerSettings))
    assert problems.keys() == {"KAFKA_BOOTSTRAP", "DATABASE_URL", "HTTP_PORT"}
    assert problems["DATABASE_URL"].startswith(problem)
    assert not any("secret" in one for one in problems.values())


@pytest.mark.parametrize("name", ["KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE", "PGSSLROOTCERT", "PGSSLCERT"])
def test_a_file_of_certificates_that_cannot_be_used_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "localhost:9092")
    monkeypatch.setenv("DATABASE_URL", URL)
    good, key = make_certificate(tmp_path, "good", "DNS:localhost")
    monkeypatch.setenv("KAFKA_SSL_KEYFILE", str(key) if name == "KAFKA_SSL_CERTFILE" else "")
    monkeypatch.setenv("PGSSLKEY", str(key))
    monkeypatch.setenv(name, str(good))
    read_settings(WorkerSettings)
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("no certificate")
    for file, what in (
        (tmp_path / "none", f"there is no file {tmp_path}/none: correct the path, or mount the file"),
        (tmp_path, f"{tmp_path} cannot be read (Is a directory): make it a file that this user may read"),
        (no_pem, f"{no_pem} "),
    ):
        monkeypatch.setenv(name, str(file))
        [problem] = list_problems(WorkerSettings)
        assert name in problem
        assert what in problem
    assert "PEM format" in problem


def test_a_key_that_is_encrypted_or_of_another_certificate_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "localhost:9092")
    certificate, key = make_certificate(tmp_path, "ours", "DNS:localhost")
    _, other = make_certificate(tmp_path, "other", "DNS:localhost")
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", str(key), "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("KAFKA_SSL_CERTFILE", str(certificate))
    for file in (other, encrypted):
        monkeypatch.setenv("KAFKA_SSL_KEYFILE", str(file))
        [problem] = list_problems(KafkaSettings)
        assert problem.startswith(f"KAFKA_SSL_CERTFILE: {certificate} and the key in {file} cannot be used")
    monkeypatch.setenv("KAFKA_SSL_CERTFILE", "")
    assert list_problems(KafkaSettings) == (
        f"KAFKA_SSL_KEYFILE: {encrypted} is the key of no certificate: set KAFKA_SSL_CERTFILE as well",
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_where_the_http_port_listens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_BIND", address)
    assert read_settings(HttpSettings).http_bind == address


@pytest.mark.parametrize("server", ["127.0.0.1:99999", "kafka:0", "a..b:9092", f"{'a' * 64}:9092", "kafka", "kafka:１"])
def test_a_server_of_kafka_has_a_host_and_a_port(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", f"kafka-1:9092,{server}")
    [problem] = list_problems(KafkaSettings)
    assert problem.startswith("KAFKA_BOOTSTRAP: a list of servers such as")


def test_a_bind_address_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_BIND", "localhost")
    [problem] = list_problems(HttpSettings)
    assert problem.startswith("HTTP_BIND: an IP address such as")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HTTP_PORT", "http", "a whole number is expected"),
        ("HTTP_PORT", "0", "1 or more is expected"),
        ("HTTP_PORT", "65536", "65535 or less is expected"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL is expected"),
        ("LOG_FORMAT", "xml", "one of console, json is expected"),
        ("OTEL_SDK_DISABLED", "perhaps", "true or false is expected"),
        ("KAFKA_BOOTSTRAP", "localhost", 'a list of servers such as "kafka-1:9092,kafka-2:9092" is expected'),
        ("TOPIC_PREFIX", "a/b", "only letters, digits,"),
    ],
)
def test_a_value_that_cannot_be_read_is_described_in_words(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "localhost:9092")
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv(name, value)
    [found] = list_problems(WorkerSettings)
    assert found.startswith(f"{name}: {problem}")


COMMANDS = {
    "run": [],
    "migrate": [],
    "topics": [],
    "status": [],
    "reconcile": [],
    "recover": ["--dry-run"],
    "prune": ["--older-than", "400d", "--dry-run"],
    "release": ["1/2/3", "--by", "ann", "--why", "x"],
    "retry": ["1/2/3", "--by", "ann", "--why", "x"],
    "reset": ["1/2/3", "--by", "ann", "--why", "x", "--yes"],
    "dead-letters": ["list"],
    "rules": ["history"],
    "watch": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_with_exit_code_2_for_a_file_of_certificates_that_is_missing(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setenv("KAFKA_SSL_CAFILE", "/none/kafka.pem")
    monkeypatch.setenv("DATABASE_URL", f"{URL}?sslrootcert=/none/database.pem")
    done = CliRunner().invoke(app, [command, *COMMANDS[command]])
    assert done.exit_code == 2, done.output
    said = " ".join(done.stderr.split())
    problems = {
        "KAFKA_SSL_CAFILE: there is no file /none/kafka.pem: correct the path, or mount the file",
        "DATABASE_URL: sslrootcert: there is no file /none/database.pem: correct the path, or mount the file",
    }
    if command in {"topics", "watch"}:
        problems = {one for one in problems if "KAFKA" in one}
    if command in {"migrate", "dead-letters", "rules", "status"}:
        problems = {one for one in problems if "DATABASE" in one}
    assert {one for one in problems if one in said} == problems


def test_run_names_a_bad_database_url_with_every_other_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{URL}?channel_binding=require")
    monkeypatch.setenv("HTTP_PORT", "http")
    monkeypatch.setenv("RULES_DIR", str(tmp_path))
    done = CliRunner().invoke(app, ["run"])
    assert done.exit_code == 2
    for problem in ("KAFKA_BOOTSTRAP: ", "channel_binding=require", "HTTP_PORT: ", "jobs.csv: there is no such file"):
        assert problem in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:%40%2F%23%3F%5B%25@localhost:5432/name",
        "postgresql://us%40er:se:cret@localhost/na%40me?options=-c%20a=b",
        "postgresql://localhost/name?user=me@server&sslrootcert=/file",
        "postgresql://localhost?user=me@server&sslcrl=/file",
    ],
)
def test_what_is_escaped_or_cannot_be_mistaken_is_accepted(url: str) -> None:
    parse_database_url(url)

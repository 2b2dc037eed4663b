"""The doctor warns of servers on other machines that are reached without TLS that checks them."""

from pathlib import Path

import pytest

from tests.unit.test_server_errors import make_certificate
from worker.doctor.check import Check
from worker.doctor.configuration import check_encryption

LOCAL_KAFKA = "127.0.0.1:9092"
LOCAL_DATABASE = "postgresql://u:secret@localhost/name"


def check(monkeypatch: pytest.MonkeyPatch, kafka: str, database: str, protocol: str = "PLAINTEXT") -> list[Check]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", protocol)
    monkeypatch.delenv("PGSSLMODE", raising=False)
    return check_encryption()


@pytest.mark.parametrize("kafka", [LOCAL_KAFKA, "localhost:9092", "[::1]:9092"])
@pytest.mark.parametrize(
    "database",
    [
        LOCAL_DATABASE,
        "postgresql://u@127.0.0.1:5432/name",
        "postgresql://u@[::1]:5432/name",
        "postgresql:///name?host=/run/postgresql",
    ],
)
def test_local_servers_and_checked_ones_are_ok(kafka: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.state for one in check(monkeypatch, kafka, database)] == ["ok"]


def test_a_database_elsewhere_that_is_verified_is_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, _ = make_certificate(tmp_path, "ca", "DNS:db.example")
    url = f"postgresql://u@db.example/name?sslmode=verify-full&sslrootcert={certificate}"
    assert [one.state for one in check(monkeypatch, LOCAL_KAFKA, url)] == ["ok"]


def test_settings_that_cannot_be_read_are_not_called_local(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, LOCAL_KAFKA, "mysql://u@localhost/name") == []


def test_kafka_elsewhere_without_tls_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = check(monkeypatch, f"{LOCAL_KAFKA},kafka.example:9092", LOCAL_DATABASE)
    assert (found.state, "Kafka at kafka.example:9092" in found.found) == ("warning", True)
    [found] = check(monkeypatch, "kafka.example:9093", LOCAL_DATABASE, "SSL")
    assert found.state == "ok"


@pytest.mark.parametrize("query", ["", "?sslmode=require", "?sslmode=verify-ca&sslrootcert=CA", "?sslmode=disable"])
def test_a_database_elsewhere_that_is_not_verified_is_a_warning(
    query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "CA" in query:
        query = query.replace("CA", str(make_certificate(tmp_path, "ca", "DNS:db.example")[0]))
    [found] = check(monkeypatch, LOCAL_KAFKA, f"postgresql://u:secret@db.example:5432/name{query}")
    assert (found.state, "db.example" in found.found) == ("warning", True)
    assert "secret" not in found.found
    assert "verify-full" in found.to_do

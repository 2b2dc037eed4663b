"""The servers the tests run on: real ones, started once for the whole run."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from demo.kafka_server import run_kafka
from demo.postgres_server import run_postgres
from tests.secured_kafka import SecuredPlaces, run_secured_kafka
from worker.kafka.acls import Client

if TYPE_CHECKING:
    from collections.abc import Iterator


class Addresses(NamedTuple):
    """The servers that the processes of xdist share."""

    kafka: str
    postgres: str
    secured: tuple[str, ...]
    """The broker with logins and ACLs, as ``SecuredPlaces``."""


_SHARED: Final = pytest.StashKey[Addresses]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share-servers",
        action="store_true",
        help="start one Kafka and one PostgreSQL for all processes of xdist, rather than both for each",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before xdist starts its processes; in such a process, take over where they are."""
    if hasattr(config, "workerinput"):
        if shared := config.workerinput.get("servers"):
            config.stash[_SHARED] = Addresses(*shared)
    elif config.getoption("share_servers"):
        stack = ExitStack()
        config.add_cleanup(stack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="budget-bridge-tests-")))
        # As root PostgreSQL runs as another user, who has to get to its data.
        folder.chmod(0o711)
        config.stash[_SHARED] = Addresses(
            os.environ.get("KAFKA_BOOTSTRAP") or stack.enter_context(run_kafka(folder / "kafka")).bootstrap,
            os.environ.get("TEST_DATABASE_URL") or stack.enter_context(run_postgres(folder / "postgres")).url,
            tuple(stack.enter_context(run_secured_kafka(folder / "secured", get_args(Client)))),
        )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the addresses on to a process of xdist."""
    if shared := node.config.stash.get(_SHARED, None):
        node.workerinput["servers"] = tuple(shared)


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a Kafka that all tests share.

    Topics are the tests' own business: each takes names nobody else uses.
    """
    if elsewhere := os.environ.get("KAFKA_BOOTSTRAP"):
        yield elsewhere
        return
    if shared := pytestconfig.stash.get(_SHARED, None):
        yield shared.kafka
        return
    with run_kafka(tmp_path_factory.mktemp("kafka"), print) as started:
        yield started.bootstrap


@pytest.fixture(scope="session")
def secured_kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredPlaces]:
    """Where a Kafka with logins and ACLs is, which all tests share: there is a user for each client."""
    if shared := pytestconfig.stash.get(_SHARED, None):
        yield SecuredPlaces(*shared.secured)
        return
    with run_secured_kafka(tmp_path_factory.mktemp("secured"), get_args(Client)) as started:
        yield started


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL, as a user who may create databases."""
    if elsewhere := os.environ.get("TEST_DATABASE_URL"):
        yield elsewhere
        return
    if shared := pytestconfig.stash.get(_SHARED, None):
        yield shared.postgres
        return
    with run_postgres(tmp_path_factory.mktemp("postgres"), print) as started:
        yield started.url


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """The address of an empty database that this test has to itself."""
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(_execute(postgres, f"CREATE DATABASE {name} TEMPLATE template0"))
    yield urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    # WITH (FORCE): a test that failed may have left connections open.
    asyncio.run(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

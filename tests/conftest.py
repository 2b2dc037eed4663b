"""The servers the tests run on: real ones, started once for the whole run."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from demo.kafka_server import run_kafka
from demo.postgres_server import run_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a Kafka that all tests share.

    Topics are the tests' own business: each takes names nobody else uses.
    """
    if elsewhere := os.environ.get("KAFKA_BOOTSTRAP"):
        yield elsewhere
        return
    with run_kafka(tmp_path_factory.mktemp("kafka"), print) as started:
        yield started.bootstrap


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL, as a user who may create databases."""
    if elsewhere := os.environ.get("TEST_DATABASE_URL"):
        yield elsewhere
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

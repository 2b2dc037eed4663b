import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.desk.browser.chromium import run_chromium
from tests.desk.browser.server import Served, serve_desk


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests of this process; each test has contexts of its own."""
    async with run_chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def desk_server(
    browser: Browser,  # noqa: ARG001 - without a browser there is nothing to serve
    postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Served]:
    """A desk for tests that change nothing."""
    name = f"desk_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        async with serve_desk(
            urlunsplit(urlsplit(postgres)._replace(path=f"/{name}")), tmp_path_factory.mktemp("desk")
        ) as served:
            yield served
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()

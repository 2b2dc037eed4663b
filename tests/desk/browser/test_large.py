"""A budget of 2,000 lines on its way to the screen: how soon, how large, and how soon it can be used."""

import asyncio
import time
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser

from demo.scene import ACCOUNTANT
from demo.seeds import LARGE, SEEDS
from tests.desk.browser.chromium import open_tab
from tests.desk.browser.server import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = next(f"/budgets/{seed.budget}" for seed in SEEDS if len(seed.steps[0].data["lines"]) == len(LARGE))
MOST_BYTES = 60_000
FIRST_BYTE_SECONDS = 0.25
USABLE_SECONDS = 1.0
GENEROUS = 20
"""The tests run beside others, on a machine that is not theirs and may be slow: once eight times was not enough. What
is found here is what grows with the square of the lines; the page itself is measured in bench."""


def load(url: str) -> tuple[float, int]:
    """Load the page as a browser does; returns seconds until the first byte, and bytes over the wire."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    form = urlencode({"user": ACCOUNTANT, "next": "/signed-out"}).encode()
    opener.open(urllib.request.Request(f"{url}/login", form, {"Origin": url})).close()
    request = urllib.request.Request(url + PATH, headers={"Accept-Encoding": "gzip"})
    began = time.monotonic()
    with opener.open(request) as answer:
        first = answer.read(1)
        elapsed = time.monotonic() - began
        return elapsed, len(first + answer.read())


async def test_it_comes_soon_and_small(desk_server: Served) -> None:
    seconds, size = min([await asyncio.to_thread(load, desk_server.url) for _ in range(3)])
    print(f"2,000 lines: first byte after {seconds * 1000:.0f} ms, {size:,} bytes over the wire")  # noqa: T201 - shown by pytest -s
    assert size <= MOST_BYTES
    assert seconds <= FIRST_BYTE_SECONDS * GENEROUS


async def test_it_can_be_used_soon(browser: Browser, desk_server: Served) -> None:
    async with open_tab(browser, desk_server.url, ACCOUNTANT) as tab:
        await tab.open(PATH)
        assert await tab.page.locator("table.lines tbody tr").count() == len(LARGE)
        seconds = await tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd / 1000")
        print(f"2,000 lines: usable after {seconds * 1000:.0f} ms")  # noqa: T201 - as above
        assert seconds <= USABLE_SECONDS * GENEROUS

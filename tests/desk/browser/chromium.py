"""Chromium as the tests run it: the one that the machine has, since nothing is downloaded."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING: Final = (
    "this machine has no Chromium, so no page of the desk is looked at in a browser: "
    "install it (Debian: apt-get install -y --no-install-recommends chromium)"
)


def find_chromium() -> str:
    """Find Chromium; a test on a machine without it is skipped, with a sentence."""
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip(MISSING)


@asynccontextmanager
async def run_chromium() -> AsyncIterator[Browser]:
    """Run Chromium; if it does not start, the test fails."""
    path = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """One tab of one person, which keeps everything that a browser complains about."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        # CSP and Trusted Types report what they block on the console as well.
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("requestfailed", lambda request: self._note("error", f"{request.url}: {request.failure}"))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(f"{kind}: {text}")

    async def open(self, path: str, status: int = 200) -> None:
        """Load a page."""
        answer = await self.page.goto(f"{self.url}{path}", wait_until="load")
        assert answer
        assert answer.status == status, f"{path}: {answer.status}\n{(await answer.text())[:2000]}"
        if status >= 400:
            # That is what was asked for, and no complaint.
            self.complaints = [one for one in self.complaints if f"status of {status}" not in one]

    async def evaluate(self, expression: str, argument: object = None) -> Any:
        """Evaluate JavaScript in the page; works without JavaScript of the page too."""
        return await self.page.evaluate(expression, argument)


@asynccontextmanager
async def open_tab(browser: Browser, url: str, user: str | None, **options: Any) -> AsyncIterator[Tab]:
    """Open a tab; in the end nothing may have been complained about.

    Args:
        browser: Chromium.
        url: the desk's origin.
        user: who signs in; ``None`` for nobody.
        options: of the browser's context, such as ``color_scheme``.
    """
    context = await browser.new_context(**options)
    try:
        if user:
            answer = await context.request.post(
                f"{url}/login", form={"user": user, "next": "/static/"}, headers={"Origin": url}, max_redirects=0
            )
            assert answer.status == 303, await answer.text()
        tab = Tab(context, await context.new_page(), url)
        yield tab
        assert tab.complaints == []
    finally:
        await context.close()

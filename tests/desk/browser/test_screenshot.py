"""The picture of the desk in the README is what the desk shows; ``SCREENSHOT=1`` takes it again."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser

from demo.scene import ACCOUNTANT
from demo.seeds import SEEDS
from tests.desk.browser.chromium import open_tab
from tests.desk.browser.server import Served

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "docs" / "images" / "desk.png"


@pytest.mark.asyncio(loop_scope="session")
async def test_the_readme_shows_a_budget_with_every_kind_of_change(
    browser: Browser, desk_server: Served, tmp_path: Path
) -> None:
    async with open_tab(browser, desk_server.url, ACCOUNTANT, viewport={"width": 1280, "height": 900}) as tab:
        await tab.open(f"/budgets/{SEEDS[1].budget}")
        taken = await tab.page.screenshot(path=PICTURE if os.environ.get("SCREENSHOT") else tmp_path / "desk.png")
    # Two machines draw letters differently, so only its size is compared.
    assert PICTURE.read_bytes()[16:24] == taken[16:24]
    assert "(docs/images/desk.png)" in (ROOT / "README.md").read_text()

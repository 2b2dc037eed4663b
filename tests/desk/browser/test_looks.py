"""Every page in every state, in a real Chromium: what axe objects to, keyboard, narrow, dark, forced colours, paper."""

import pytest
from playwright.async_api import Browser

from tests.desk.browser.chromium import open_tab
from tests.desk.browser.looks import find_axe, find_bones, find_focus, find_overflow, find_paper
from tests.desk.browser.server import Served
from tests.desk.browser.views import VIEWS, View

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS]),
]


async def test_a_page_looks_right(browser: Browser, desk_server: Served, view: View) -> None:
    async with open_tab(browser, desk_server.url, view.user) as tab:
        await tab.open(view.path, view.status)
        found = await find_bones(tab) + await find_axe(tab.page) + await find_focus(tab)
        await tab.page.emulate_media(color_scheme="dark")
        found += await find_axe(tab.page)
        await tab.page.emulate_media(color_scheme="light", forced_colors="active")
        found += await find_axe(tab.page)
        await tab.page.emulate_media(forced_colors="none")
        found += await find_overflow(tab) + await find_axe(tab.page) + await find_paper(tab)
        assert not found, "\n".join(found)


async def test_a_page_is_the_same_without_javascript(browser: Browser, desk_server: Served, view: View) -> None:
    texts = []
    for java_script in (True, False):
        async with open_tab(browser, desk_server.url, view.user, java_script_enabled=java_script) as tab:
            await tab.open(view.path, view.status)
            texts.append(await tab.page.locator("main").inner_text())
    assert texts[0].split() == texts[1].split()

"""Every page in every state, in Chromium: axe, keyboard, narrow, dark, forced colours, paper, without scripts."""

import pytest
from playwright.async_api import Browser

from tests.desk.browser.chromium import open_tab
from tests.desk.browser.looks import (
    find_by_keyboard,
    find_in_light,
    find_in_other_colours,
    find_on_paper,
    find_when_narrow,
    shorten_tables,
)
from tests.desk.browser.server import Served
from tests.desk.browser.views import VIEWS, View

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
async def test_a_page_looks_right(browser: Browser, desk_server: Served, view: View) -> None:
    async with open_tab(browser, desk_server.url, view.user) as tab:
        await tab.open(view.path, view.status)
        text = await tab.page.locator("main").inner_text()
        found = await find_on_paper(tab)
        await shorten_tables(tab)
        found += await find_in_light(tab)
        found += await find_by_keyboard(tab)
        found += await find_in_other_colours(tab)
        found += await find_when_narrow(tab)
        assert not found, "\n".join(found)
    async with open_tab(browser, desk_server.url, view.user, java_script_enabled=False) as tab:
        await tab.open(view.path, view.status)
        assert (await tab.page.locator("main").inner_text()).split() == text.split()

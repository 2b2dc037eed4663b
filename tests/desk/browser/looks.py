"""What holds for every page in every state, as lists of findings: empty where nothing is wrong."""

from typing import Any, Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

from tests.desk.browser.chromium import Tab

_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
_LOOKED_AT: Final = 40
"""Rows of a table that axe looks at: the others are made by the same loop, and thousands would take minutes."""
_NARROW: Final[ViewportSize] = {"width": 320, "height": 640}
_MOST_STOPS: Final = 200
"""How often Tab is pressed at most: the rows of a long table are alike."""

_WIDE: Final = """() => [...document.body.querySelectorAll('*')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll'))
    .slice(0, 5).map(one => one.outerHTML.slice(0, 120))"""

# What has the focus: whether it can be seen at all, and whether something else lies over its middle.
_FOCUSED: Final = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const x = Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1);
    const y = box.top + Math.min(box.height / 2, 12);
    const top = document.elementFromPoint(x, y);
    return {
        html: one.outerHTML.slice(0, 150),
        outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
        seen: box.width >= 1 && box.bottom > 0 && box.top < innerHeight,
        covered: !(top && (one.contains(top) || top.contains(one))),
        first: !(window.visited ??= new WeakSet()).has(one) && window.visited.add(one) && true,
    };
}"""

# Everything that Tab must reach: of a group of radio buttons only one.
_STOPS: Final = """() => [...document.querySelectorAll(
        'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
    .filter(one => !one.disabled && one.checkVisibility({visibilityProperty: true}))
    .filter(one => one.type !== 'radio' || one.checked || !document.querySelector(`[name="${one.name}"]:checked`))
    .length"""

_LEFT_ON_PAPER: Final = """() => [...document.querySelectorAll('button, nav, input, select, textarea')]
    .filter(one => one.checkVisibility()).map(one => one.outerHTML.slice(0, 120)).slice(0, 5)"""


async def find_axe(page: Page) -> list[str]:
    """Find what axe objects to."""
    options = {"runOnly": {"type": "tag", "values": _TAGS}, "resultTypes": ["violations"]}
    context = {"exclude": [[f"tbody tr:nth-child(n+{_LOOKED_AT})"]]}
    found: dict[str, Any] = (await Axe().run(page, context, options)).response
    return [
        f"axe: {one['id']}: {one['help']}: {node['target']} {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        for node in one["nodes"][:5]
    ]


async def find_overflow(tab: Tab) -> list[str]:
    """Find what does not fit into 320 px: only a region of its own may be scrolled sideways."""
    await tab.page.set_viewport_size(_NARROW)
    width = await tab.evaluate("document.documentElement.scrollWidth")
    return [f"at 320 px the page is {width} px wide: {await tab.evaluate(_WIDE)}"] if width > _NARROW["width"] else []


async def find_focus(tab: Tab) -> list[str]:
    """Go through the page by Tab; find what it does not reach, and where one would not see the focus."""
    stops = await tab.evaluate(_STOPS)
    found, reached = [], 0
    for _ in range(min(stops, _MOST_STOPS) + 1):
        await tab.page.keyboard.press("Tab")
        focused = await tab.evaluate(_FOCUSED)
        if focused is None or not focused["first"]:
            break
        reached += 1
        found += [
            f"focus {problem}: {focused['html']}"
            for problem, is_so in (
                ("is not shown", not focused["outlined"]),
                ("is outside of the window", not focused["seen"]),
                ("is covered", focused["covered"]),
            )
            if is_so
        ]
    if reached < min(stops, _MOST_STOPS):
        found.append(f"Tab reaches {reached} of {stops}")
    return found


async def find_paper(tab: Tab) -> list[str]:
    """Find what is left on paper of what one can only click, and whether a PDF comes out."""
    await tab.page.emulate_media(media="print")
    left = [f"on paper: {html}" for html in await tab.evaluate(_LEFT_ON_PAPER)]
    pdf = await tab.page.pdf(prefer_css_page_size=True)
    return left if pdf.startswith(b"%PDF") else [*left, "no PDF"]


async def find_bones(tab: Tab) -> list[str]:
    """Find whether the page has one heading, a title and a language."""
    bones = await tab.evaluate(
        "() => [document.querySelectorAll('h1').length, document.title.length > 0, document.documentElement.lang]"
    )
    return [] if bones == [1, True, "en"] else [f"h1, title, language: {bones}"]

"""What holds for every page in every state, as lists of findings: empty where nothing is wrong."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

from tests.desk.browser.chromium import Tab

_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
_EVERYTHING: Final = {"type": "tag", "values": _TAGS}
_COLOURS: Final = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""What can be wrong in dark only, once the page is right in light."""
_SIZES: Final = {"type": "rule", "values": ["target-size", "scrollable-region-focusable"]}
"""What can be wrong in a narrow window only."""
_MORE_OF_THE_SAME: Final = "tbody tr:nth-child(n+25), main > section:nth-of-type(n+8)"
"""Rows of a table and sections of the contract: the others are made by the same loop."""
_AWAY: Final = "Changes are not told at present; this page asks every 10 seconds."
_BY_SCRIPT_ALONE: Final = Counter(["Print", *_AWAY.split()])
"""A button, and what is said while Kafka, which these tests do without, is away."""

_NARROW: Final[ViewportSize] = {"width": 320, "height": 640}
_PRESSES: Final = 8
"""How often Tab may have to be pressed at one place: a field for a date and a time has parts of its own."""

_WIDE: Final = """() => [...document.body.querySelectorAll('*')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll'))
    .slice(0, 5).map(one => one.outerHTML.slice(0, 120))"""

# What has the focus: whether it can be seen at all, and whether something else lies over its middle.
_FOCUSED: Final = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    // The first line of a link that wraps: the middle of its box may lie beside it.
    const box = one.getClientRects()[0] ?? one.getBoundingClientRect(), style = getComputedStyle(one);
    const x = Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1);
    const y = box.top + Math.min(box.height / 2, 12);
    const top = document.elementFromPoint(x, y);
    return {
        html: one.outerHTML.slice(0, 150),
        outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
        seen: box.width >= 1 && box.bottom > 0 && box.top < innerHeight,
        covered: !(top && (one.contains(top) || top.contains(one))),
        number: (window.visited ??= new Map()).get(one) ?? window.visited.set(one, window.visited.size + 1).size,
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


async def find_in_light(tab: Tab) -> list[str]:
    """Find what axe objects to in an ordinary window, and what is wrong with title, language and heading."""
    bones = await tab.evaluate(
        "() => [document.querySelectorAll('h1').length, document.title.length > 0, document.documentElement.lang]"
    )
    found = [] if bones == [1, True, "en"] else [f"h1, title, language: {bones}"]
    return found + await _run_axe(tab.page, _EVERYTHING)


async def find_in_other_colours(tab: Tab) -> list[str]:
    """Find what cannot be read in dark, or in the forced colours of a contrast theme."""
    await tab.page.emulate_media(color_scheme="dark")
    found = await _run_axe(tab.page, _COLOURS)
    await tab.page.emulate_media(color_scheme="light", forced_colors="active")
    found += await _run_axe(tab.page, _COLOURS)
    await tab.page.emulate_media(forced_colors="none")
    return found


async def shorten(tab: Tab) -> None:
    """Take most of a long page away, for the checks that look at one element after the other."""
    await tab.evaluate("which => document.querySelectorAll(which).forEach(one => one.remove())", _MORE_OF_THE_SAME)


async def _run_axe(page: Page, what: Mapping[str, object]) -> list[str]:
    options = {"runOnly": what, "resultTypes": ["violations"]}
    found: dict[str, Any] = (await Axe().run(page, None, options)).response
    return [
        f"axe: {one['id']}: {one['help']}: {node['target']} {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        for node in one["nodes"][:5]
    ]


async def find_when_narrow(tab: Tab) -> list[str]:
    """Find what is wrong at 320 px: only a region of its own may be scrolled sideways."""
    await tab.page.set_viewport_size(_NARROW)
    width = await tab.evaluate("document.documentElement.scrollWidth")
    wide = [f"at 320 px the page is {width} px wide: {await tab.evaluate(_WIDE)}"] if width > _NARROW["width"] else []
    return wide + await _run_axe(tab.page, _SIZES)


async def find_by_keyboard(tab: Tab) -> list[str]:
    """Go through the page by Tab; find what it does not reach, and where one would not see the focus."""
    stops = await tab.evaluate(_STOPS)
    found, reached, presses = [], 0, 0
    while (focused := await _press_tab(tab)) and focused["number"] >= reached and presses < _PRESSES * (stops + 1):
        presses += 1
        if focused["number"] == reached:
            continue
        reached = focused["number"]
        found += [
            f"focus {problem}: {focused['html']}"
            for problem, is_so in (
                ("is not shown", not focused["outlined"]),
                ("is outside of the window", not focused["seen"]),
                ("is covered", focused["covered"]),
            )
            if is_so
        ]
    if reached < stops:
        found.append(f"Tab reaches {reached} of {stops}")
    return found


async def _press_tab(tab: Tab) -> dict[str, Any] | None:
    await tab.page.keyboard.press("Tab")
    focused: dict[str, Any] | None = await tab.evaluate(_FOCUSED)
    return focused


async def find_on_paper(tab: Tab) -> list[str]:
    """Find what is left on paper of what one can only click, and whether a PDF comes out."""
    await tab.page.emulate_media(media="print")
    left = [f"on paper: {html}" for html in await tab.evaluate(_LEFT_ON_PAPER)]
    pdf = await tab.page.pdf(prefer_css_page_size=True)
    await tab.page.emulate_media(media="screen")
    return left if pdf.startswith(b"%PDF") else [*left, "no PDF"]


def find_lost_words(with_script: str, without: str) -> list[str]:
    """Find what a page says with JavaScript alone, beside what only a script can do, or without it alone."""
    words, plain = Counter(with_script.split()), Counter(without.split())
    return [f"only with JavaScript: {word}" for word in words - plain - _BY_SCRIPT_ALONE] + [
        f"only without JavaScript: {word}" for word in plain - words
    ]

"""View, status and main button are in the window, whatever its size, in every tab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import Tab, open_pages

pytestmark = pytest.mark.browser
MAIN = {
    "Reconstruct": "#reconstruct",
    "Generate": "#generate",
    "Interpolate": "#interpolate .primary",
    "Complete": "#regenerate",
    "Inspect": "#inspector .insp-primary",
    "History": "#open-run",
}
"""The main button of each tab."""
SIZES = [
    (320, 568),
    (360, 740),
    (390, 844),
    (844, 390),
    (640, 400),  # 1280 x 800 at 200 %
    (768, 1024),
    (834, 1112),
    (1024, 600),
    (1280, 800),
    (1920, 1080),
    (2560, 1440),
    (3840, 2160),
]
LEAST_VIEW = 120, 0.2
"""Height of the view: pixels, and share of the window's."""
LONG_STATUS = "Langevin correction 19 of 100, 1 min 20 s left"
SEEN = """([selector, inner]) => {
  const part = document.querySelector(selector);
  const {left, top, right, bottom, width, height} = part.getBoundingClientRect();
  const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  const whole = !inner || (part.scrollWidth <= part.clientWidth + 1 && part.scrollHeight <= part.clientHeight + 1);
  return {left, top, right: innerWidth - right, bottom: innerHeight - bottom, width, height, whole,
    above: hit === part || part.contains(hit) || hit?.contains(part)};
}"""
"""Distances of an element from the window's edges, and whether nothing lies over its middle."""


@pytest.fixture(scope="module")
def tab(explorer, chromium) -> Iterator[Tab]:
    """One tab for all sizes; without a view in the frame, which takes long to draw in software where it is large."""
    with open_pages(chromium, explorer[0]) as make:
        opened = make()
        opened.page.evaluate("document.getElementById('viewport-frame').src = 'about:blank'")
        yield opened


def resize(tab: Tab, size: tuple[int, int]) -> None:
    tab.page.set_viewport_size({"width": size[0], "height": size[1]})
    tab.page.wait_for_timeout(80)


def seen(tab: Tab, selector: str, whole: bool = False) -> dict:
    """Where an element is; it must be in the window with nothing over it, and with `whole` its text too."""
    found = tab.page.evaluate(SEEN, [selector, whole])
    outside = [side for side in ("left", "top", "right", "bottom") if found[side] < -1]
    assert not outside, f"{selector} is outside at {outside}"
    assert found["width"] > 20, selector
    assert found["height"] > 10, selector
    assert found["above"], f"something lies over {selector}"
    assert found["whole"], f"{selector} is cut off"
    return found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_view_status_and_main_button_are_in_the_window(tab, size):
    resize(tab, size)
    least = max(LEAST_VIEW[0], LEAST_VIEW[1] * size[1])
    for name, button in MAIN.items():
        tab.page.get_by_role("tab", name=name, exact=True).click()
        tab.page.wait_for_selector(button, state="attached")
        tab.page.wait_for_timeout(80)
        tab.page.evaluate(
            "text => { document.querySelector('.tl-status').textContent = text }", LONG_STATUS
        )
        assert seen(tab, "#viewport-frame")["height"] >= least, name
        seen(tab, ".tl-status", whole=True)
        seen(tab, button)
        seen(tab, f"#tab-{name.lower()}-button")
        assert tab.page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")
        assert tab.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    room = tab.page.locator("#viewport").bounding_box()
    assert tab.page.locator("#viewport-frame").bounding_box() == pytest.approx(room, abs=1)


def test_the_main_button_stays_while_the_panel_is_scrolled(tab):
    resize(tab, (390, 844))
    for name, button in MAIN.items():
        tab.page.get_by_role("tab", name=name, exact=True).click()
        tab.page.wait_for_selector(button, state="attached")
        for where in (0, 90, 10_000):
            tab.page.evaluate("y => { document.getElementById('panel').scrollTop = y }", where)
            tab.page.wait_for_timeout(50)
            seen(tab, button)
            seen(tab, "#viewport-frame")


@pytest.mark.parametrize("size", [(320, 568), (640, 400)], ids=["phone", "low"])
def test_every_tab_is_reached_by_the_arrow_keys(tab, size):
    resize(tab, size)
    tab.page.get_by_role("tab", name="Reconstruct", exact=True).click()
    names = list(MAIN)
    for name in [*names[1:], names[0]]:
        tab.page.keyboard.press("ArrowRight")
        tab.page.wait_for_timeout(150)
        chosen = tab.page.locator("#tabs > .tab-wrapper [role=tab][aria-selected=true]")
        assert chosen.inner_text() == name
        seen(tab, f"#tab-{name.lower()}-button")

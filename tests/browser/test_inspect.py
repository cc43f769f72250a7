"""The Inspect tab's curves as a person uses them: zoomed into, and dragged over."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Tab
from tests.waiting import until

pytestmark = pytest.mark.browser
FIGURE = "document.querySelector('.insp-curves')"


@pytest.fixture
def tab(open_tab) -> Tab:
    tab = open_tab()
    tab.tab("Generate")
    tab.run("#generate")
    tab.tab("Inspect")
    until(lambda: tab.page.locator(".insp-curves .js-line").count() >= 2, "the curves")
    return tab


def seen(tab: Tab) -> list[list[float]]:
    """First and last step that every curve shows."""
    return tab.page.evaluate(
        f"Object.entries({FIGURE}._fullLayout).filter(([name]) => /^xaxis/.test(name)).map(([, axis]) => axis.range)"
    )


def over(tab: Tab, start: float, end: float, chart: int = 2) -> None:
    """Drag over a chart, between two shares of its width."""
    box = tab.page.locator(".chart .plot").nth(chart).bounding_box()
    y = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + start * box["width"], y)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + (start + end) / 2 * box["width"], y)
    tab.page.mouse.move(box["x"] + end * box["width"], y)
    tab.page.mouse.up()


def test_a_zoom_holds_for_all_curves_and_stays_while_steps_and_news_come(tab):
    steps = tab.figures()
    assert seen(tab) == [[0.5, steps + 0.5]] * 6
    tab.page.keyboard.down("Shift")
    over(tab, 0.25, 0.75)
    tab.page.keyboard.up("Shift")
    until(lambda: seen(tab)[0][0] > 1, "the zoom")
    zoomed = seen(tab)
    assert all(span == pytest.approx(zoomed[0]) for span in zoomed)
    assert zoomed[0] == pytest.approx([0.5 + 0.25 * steps, 0.5 + 0.75 * steps], abs=0.2)
    cursor = tab.page.locator(".chart .cursor").first
    assert not cursor.is_visible(), "the last step is out of sight"
    low, high = zoomed[0]
    step = round((low + high) / 2)
    tab.page.evaluate(f"explorer.go({step - 1})")
    until(lambda: tab.shown == step - 1, "a step in sight")
    plot = tab.page.locator(".chart .plot").first.bounding_box()
    place = (step - low) / (high - low) * plot["width"]
    assert cursor.bounding_box()["x"] - plot["x"] == pytest.approx(place, abs=1.5)
    asked = tab.page.evaluate("performance.getEntriesByType('resource').length")
    tab.page.evaluate("explorer.tell('timeline')")
    until(
        lambda: tab.page.evaluate("performance.getEntriesByType('resource').length") > asked,
        "the report",
    )
    tab.page.wait_for_timeout(300)
    assert seen(tab) == zoomed
    tab.page.locator(".insp-curves").dblclick(position={"x": 100, "y": 50})
    until(lambda: seen(tab) == [[0.5, steps + 0.5]] * 6, "all steps")
    assert not tab.problems


def test_dragging_over_a_curve_goes_to_the_step_under_the_pointer(tab):
    steps = tab.figures()
    over(tab, 0.9, 0.5 / steps)
    until(lambda: tab.shown == 0, "the first step")
    over(tab, 0.1, 2.5 / steps)
    until(lambda: tab.shown == 2, "the third step")
    tab.page.get_by_role("button", name="Zoom in").click()
    low, high = seen(tab)[0]
    assert high - low == pytest.approx(steps / 2)
    over(tab, 0.1, 0.99)
    until(lambda: tab.shown == round(low + 0.99 * (high - low)) - 1, "a step of those seen")
    tab.page.get_by_role("button", name="Zoom out").click()
    until(lambda: seen(tab) == [[0.5, steps + 0.5]] * 6, "all steps")
    assert not tab.problems


def test_plotlys_script_is_fetched_when_the_curves_are_first_wanted(open_tab):
    tab = open_tab()
    fetched = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('plotly.min.js')).length"
    assert tab.page.evaluate(fetched) == 0
    tab.tab("Inspect")
    until(lambda: tab.page.evaluate(f"Boolean({FIGURE}.layout)"), "the figure")
    tab.tab("Generate")
    tab.tab("Inspect")
    assert tab.page.evaluate(fetched) == 1

"""Turning the object in a real browser."""

from __future__ import annotations

import pytest

from tests.waiting import until

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(open_tab, explorer):
    """A tab and its viewport."""
    tab = open_tab()
    token = tab.frame_element.get_attribute("src").partition("viewport/")[2].partition("/")[0]
    return tab, explorer[1].viewports.of(explorer[1].sessions.of_token(token))


def test_nearly_every_frame_that_is_sent_is_shown(opened):
    tab, viewport = opened
    shown, sent = tab.settled(), viewport.sent
    tab.drag(steps=40)
    shown, sent = tab.settled() - shown, viewport.sent - sent
    assert sent > 10
    assert shown > 0.8 * sent


def test_the_picture_at_rest_has_the_canvas_own_pixels(opened):
    tab, _ = opened
    assert tab.uploads[-1] == tab.canvas
    tab.drag()
    tab.settled()
    until(lambda: tab.uploads[-1] == tab.canvas, "the refined picture")
    assert tab.view.evaluate("devicePixelRatio") == 1
    box = tab.frame_element.bounding_box()
    assert tab.uploads[-1] == [box["width"], box["height"]], "one pixel for each of the screen's"


def test_a_view_that_is_turned_while_a_run_goes_on_follows_both(opened):
    tab, viewport = opened
    tab.tab("Generate")
    tab.page.fill("#toy-generate-steps input[type=number]", "20")
    tab.page.click("#generate")
    until(lambda: tab.figures() >= 2, "two steps")
    begun, sent = len(tab.uploads), viewport.sent
    tab.drag(steps=20)
    assert viewport.sent - sent > 5
    assert len(tab.uploads) - begun > 5
    until(lambda: tab.state == "done", "the end")
    tab.settled()
    assert tab.uploads[-1] == tab.canvas

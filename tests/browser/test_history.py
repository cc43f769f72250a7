"""The History tab in a real browser: cards, a comparison, and a run that goes from one tab to another as a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.test_explorer import changed
from tests.waiting import until

pytestmark = pytest.mark.browser


def with_two(open_tab):
    """A tab whose history holds two generated objects, opened."""
    tab = open_tab()
    tab.tab("Generate")
    tab.page.fill("#count input[type=number]", "2")
    tab.page.fill("#generate-seed input", "3")
    tab.run("#generate")
    tab.tab("History")
    until(lambda: cards(tab).count() == 2, "two cards")
    return tab


def cards(tab):
    return tab.page.locator("#cards .hcard")


def card(tab, title: str):
    return cards(tab).filter(has_text=title)


def press(tab, title: str, act: str) -> None:
    """One of a card's buttons, which show when the pointer is over it."""
    card(tab, title).hover()
    card(tab, title).locator(f"[data-act={act}]").click()


def pixels(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), int)


def halves_with_objects(tab) -> list[bool]:
    """Whether something stands in the left and in the right half of the view's middle."""
    tab.settled()
    picture = pixels(tab.frame_element)
    rows, cols = picture.shape[:2]
    band = picture[rows // 4 : 3 * rows // 4]
    halves = (band[:, : cols // 2], band[:, cols // 2 :])
    return [bool((np.ptp(half, axis=-1) > 40).mean() > 0.02) for half in halves]


def test_cards_are_pinned_named_and_let_go(open_tab):
    tab = with_two(open_tab)
    head = tab.page.locator(".hhead")
    assert "2 of 32 kept" in head.inner_text()
    press(tab, "Seed 4", "pin")
    until(lambda: "1 pinned" in head.inner_text(), "the pin")
    assert card(tab, "Seed 4").locator("[data-act=pin]").get_attribute("aria-pressed") == "true"

    card(tab, "Seed 4").locator(".htitle b").dblclick()
    tab.page.keyboard.type("<b>a car</b>")
    tab.page.keyboard.press("Enter")
    until(lambda: card(tab, "<b>a car</b>").count() == 1, "the new title")
    press(tab, "Seed 3", "rename")
    tab.page.keyboard.type("never")
    tab.page.keyboard.press("Escape")
    assert card(tab, "Seed 3").count() == 1

    card(tab, "a car").locator("[data-act=show]").click()
    until(lambda: "a car" in tab.page.inner_text(".tl-shown"), "the filmstrip's title")
    card(tab, "Seed 3").locator(".hbody p").first.click()
    until(lambda: "Seed 3" in tab.page.inner_text(".tl-shown"), "what was clicked on")
    until(lambda: "sel" in card(tab, "Seed 3").get_attribute("class").split(), "its frame")
    card(tab, "a car").locator(".htitle b").click()
    until(lambda: "a car" in tab.page.inner_text(".tl-shown"), "the clicked title's")
    seen = tab.frame_element.screenshot()
    press(tab, "a car", "remove")
    assert cards(tab).count() == 2, "one press deletes nothing"
    press(tab, "a car", "remove")
    until(lambda: cards(tab).count() == 1, "the card's end")
    until(lambda: "Seed 3" in tab.page.inner_text(".tl-shown"), "its neighbour")
    tab.settled()
    assert changed(seen, tab.frame_element.screenshot()) > 0.005
    tab.tab("Generate")
    assert tab.page.locator("#history .card").count() == 1
    assert not tab.problems


def test_two_are_compared_in_one_view_and_one_remains(open_tab):
    tab = with_two(open_tab)
    tab.settled()
    alone = tab.frame_element.screenshot()
    ending = tab.page.locator("#end-comparison")
    assert not ending.is_visible()
    before = len(tab.uploads)
    press(tab, "Seed 4", "compare")
    until(ending.is_visible, "a way to end it")
    until(lambda: len(tab.uploads) > before, "a frame of both")
    assert halves_with_objects(tab) == [True, True]
    both = tab.frame_element.screenshot()
    assert changed(alone, both) > 0.02
    tab.drag()
    tab.settled()
    assert changed(both, tab.frame_element.screenshot()) > 0.02, "the comparison does not turn"
    assert halves_with_objects(tab) == [True, True]
    tab.tab("Generate")
    ending.click()
    until(lambda: not ending.is_visible(), "the end")
    tab.page.click("[data-tool=home]")
    tab.settled()
    assert changed(alone, tab.frame_element.screenshot()) < 0.005
    assert not tab.problems


def test_a_saved_run_opens_in_another_tab_and_looks_the_same(open_tab, tmp_path):
    first = with_two(open_tab)
    card(first, "Seed 4").locator("[data-act=show]").click()
    until(lambda: "Seed 4" in first.page.inner_text(".tl-shown"), "the chosen one")
    with first.page.expect_download() as download:
        card(first, "Seed 4").locator("a[download]").click()
    assert download.value.suggested_filename == "seed-4.safetensors"
    path = tmp_path / "run.safetensors"
    download.value.save_as(path)

    second = open_tab()
    second.tab("History")
    second.page.set_input_files("#open-run input[type=file]", str(path))
    until(lambda: card(second, "Seed 4").count() == 1, "the opened run")
    assert second.figures() == first.figures() > 10
    second.settled(), first.settled()
    for tab in (first, second):
        tab.page.mouse.move(600, 10)
    assert changed(first.frame_element.screenshot(), second.frame_element.screenshot()) < 0.002
    for place in (2, second.figures() - 1):
        found = [
            picture_of(tab, f'#timeline figure[data-index="{place}"] img')
            for tab in (first, second)
        ]
        assert found[0] == found[1]
    found = [picture_of(tab, ".hcard.sel img") for tab in (first, second)]
    assert found[0] == found[1]

    words = tmp_path / "words.safetensors"
    words.write_text("these are words")
    second.page.set_input_files("#open-run input[type=file]", str(words))
    error = second.page.locator("#history-problem .error")
    until(error.count, "a sentence")
    assert error.inner_text().startswith("words.safetensors: ")
    assert cards(second).count() == 1
    assert not first.problems
    assert not second.problems


def picture_of(tab, selector: str) -> bytes:
    """What an image of the page holds."""
    address = tab.page.locator(selector).first.evaluate("(image) => image.src")
    return tab.page.request.get(address).body()


def test_a_result_is_used_again(open_tab):
    tab = with_two(open_tab)
    tab.tab("Generate")
    tab.page.fill("#generate-seed input", "77")
    tab.page.fill("#toy-generate-steps input[type=number]", "50")
    tab.tab("History")
    press(tab, "Seed 4", "reuse")
    seed = tab.page.locator("#generate-seed input")
    until(lambda: seed.is_visible() and seed.input_value() == "4", "its seed")
    assert tab.page.input_value("#toy-generate-steps input[type=number]") == "12"

    tab.tab("History")
    card(tab, "Seed 4").locator("[data-act=show]").click()
    press(tab, "Seed 4", "reconstruct")
    tab.page.wait_for_selector("#framed-1 img")
    assert tab.page.input_value("#azimuth-1 input[type=number]") == "32"
    tab.page.click("#reconstruct")
    until(lambda: "dB" in tab.page.inner_text("#result"), "the reconstruction")

    tab.tab("History")
    until(lambda: cards(tab).count() == 3, "three cards")
    press(tab, "Seed 3", "inspect")
    until(lambda: "Seed 3" in tab.page.inner_text(".tl-shown"), "the chosen one")
    until(lambda: tab.page.locator("#inspector .chart").count() == 6, "its curves")
    assert not tab.problems


def test_all_of_it_can_be_reached_by_keys(open_tab):
    tab = with_two(open_tab)
    card(tab, "Seed 4").locator("[data-act=show]").focus()
    tab.page.keyboard.press("Enter")
    until(lambda: "sel" in card(tab, "Seed 4").get_attribute("class").split(), "the selection")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Space")
    until(lambda: "1 pinned" in tab.page.inner_text(".hhead"), "the pin")
    card(tab, "Seed 3").locator("[data-act=pin]").focus()
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    until(tab.page.locator("#end-comparison").is_visible, "the comparison")

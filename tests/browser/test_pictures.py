"""Pictures in a real browser: what cannot be read, and what misses its box."""

from __future__ import annotations

import base64
import io
import os

import pytest
from PIL import Image

from app.examples import EXAMPLES
from engine.data.procedural.categories import VEHICLES
from engine.vision.learned import model_path
from tests.fixtures.backdrop import photograph
from tests.waiting import until

pytestmark = pytest.mark.browser

DROP = """([selector, ...pictures]) => {
  const dataTransfer = new DataTransfer();
  for (const [number, data] of pictures.entries()) {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], `dropped-${number}.png`, {type: 'image/png'}));
  }
  return ['dragover', 'drop'].map((kind) => {
    const event = new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer});
    document.querySelector(selector).dispatchEvent(event);
    return event.defaultPrevented;
  });
}"""
"""Drops pictures on an element; whether the browser was kept from going there."""


def test_a_second_unreadable_file_in_the_same_box_is_one_sentence_too(open_tab, tmp_path):
    tab = open_tab()
    problem, framed = (
        tab.page.locator("#reconstruct-problem .error"),
        tab.page.locator("#framed-1 img"),
    )
    files = {"words.png": b"these are words", "phone.heic": b"\0\0\0\x18ftypheic" + bytes(64)}
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[0].path))
    until(framed.count, "the framed picture")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        tab.page.set_input_files("#image-1 input[type=file]", str(tmp_path / name))
        until(lambda name=name: problem.count() and name in problem.inner_text(), "a sentence")
        assert "/" not in problem.inner_text()
        assert tab.page.locator(".toast-body").count() == 0
        until(lambda: not tab.page.locator("#image-1 img").count(), "the empty box")
        tab.page.wait_for_timeout(500)  # Gradio builds the box anew
    assert "HEIC" in problem.inner_text()
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[1].path))
    until(lambda: framed.count() and not problem.count(), "the next picture")
    assert not tab.problems


def test_a_picture_dropped_anywhere_goes_into_the_first_empty_box(open_tab):
    tab = open_tab()
    data = base64.b64encode(EXAMPLES[0].path.read_bytes()).decode()
    address = tab.page.url
    tab.tab("Generate")
    assert tab.page.evaluate(DROP, ["#timeline", data]) == [True, True]
    until(lambda: tab.page.locator("#framed-1 img").count(), "the first box")
    assert tab.view.evaluate(DROP, ["canvas", data]) == [True, True]
    until(lambda: tab.page.locator("#framed-2 img").count(), "the second box")
    assert tab.page.url == address
    assert not tab.problems


def test_a_result_goes_when_its_picture_does(open_tab):
    tab = open_tab()
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[0].path))
    tab.page.wait_for_selector("#framed-1 img")
    tab.run("#reconstruct")
    until(lambda: "dB" in tab.page.inner_text("#result"), "the result")
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[1].path))
    until(lambda: "dB" not in tab.page.inner_text("#result"), "the end of the old figure")


def test_several_pictures_fill_the_boxes(open_tab):
    tab = open_tab()
    first, second = (
        base64.b64encode(example.path.read_bytes()).decode() for example in EXAMPLES[:2]
    )
    tab.page.evaluate(DROP, ["#timeline", first, second])
    until(lambda: tab.page.locator("#framed-2 img").count(), "the second box")
    assert tab.page.locator("#framed-1 img").count() == 1
    assert not tab.problems


def test_a_photograph_with_a_background_needs_nothing_said(open_tab, tmp_path):
    if model_path() is None and not os.environ.get("CI"):
        pytest.skip("launch.py models get cutout was not run")
    rgb, _ = photograph(VEHICLES, 410, "street")
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    tab = open_tab()
    tab.page.evaluate(DROP, ["#timeline", base64.b64encode(file.getvalue()).decode()])
    chips = tab.page.locator("#guesses-1 button")
    until(chips.count, "the hypotheses")
    assert chips.first.get_attribute("aria-pressed") == "true"
    azimuth = tab.page.locator("#azimuth-1 input[type=number]")
    guessed = azimuth.input_value()
    assert f"{guessed}°" in chips.first.inner_text()
    assert abs(int(guessed) - 231) < 15, "where it was drawn from"

    azimuth.fill("120")
    azimuth.press("Enter")
    until(lambda: chips.first.get_attribute("aria-pressed") == "false", "a camera set by hand")
    chips.first.click()
    until(lambda: azimuth.input_value() == guessed, "the guess again")
    assert chips.first.get_attribute("aria-pressed") == "true"
    tab.page.click("#reconstruct")
    until(lambda: "dB" in tab.page.inner_text("#result"), "the reconstruction")
    assert not tab.problems


def test_a_chair_on_a_model_of_vehicles_is_noticed(open_tab):
    tab = open_tab()
    chair = next(example for example in EXAMPLES if example.category == "chairs")
    tab.page.set_input_files("#image-1 input[type=file]", str(chair.path))
    said = tab.page.locator("#reconstruct-problem")
    until(lambda: "choose the model chairs" in said.inner_text(), "the doubt")
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[1].path))
    until(lambda: "chairs" not in said.inner_text(), "no doubt about a car")
    assert not tab.problems

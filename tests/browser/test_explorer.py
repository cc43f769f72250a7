"""What a visitor does, in a real browser."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.examples import EXAMPLES
from tests.full_disk import files_of_at_most
from tests.waiting import until

pytestmark = pytest.mark.browser


def test_a_dropped_picture_becomes_an_object_step_by_step(open_tab):
    tab = open_tab()
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[0].path))
    tab.page.wait_for_selector("#framed-1 img")
    before = tab.settled()
    tab.page.click("#reconstruct")
    counts = set()

    def streamed() -> bool:
        counts.add(tab.figures())
        return tab.state == "done"

    until(streamed, "the run")
    assert len(counts) > 4, f"the filmstrip jumped through {sorted(counts)}"
    assert len(tab.uploads) > before + 3, "the view did not follow the run"
    assert "dB" in tab.page.inner_text("#result")

    rested = tab.settled()
    tab.drag()
    until(lambda: len(tab.uploads) > rested + 3, "new frames while dragging")
    moved = tab.settled()
    widths = [width for width, _ in tab.uploads[rested:]]
    colour_and_depth = widths[-2:]
    assert max(colour_and_depth) == max(widths) > widths[0], "the view did not refine at rest"

    tab.page.locator('#timeline figure[data-index="2"]').click()
    until(lambda: tab.shown == 2, "the chosen step")
    until(lambda: len(tab.uploads) > moved, "a frame of the chosen step")
    assert not tab.problems


def test_downloads_hold_what_their_names_say(open_tab):
    tab = open_tab()
    starts = {"glb": b"glTF", "png": b"\x89PNG", "safetensors": b"__metadata__"}
    for ending, magic in starts.items():
        with tab.page.expect_download(timeout=60_000) as download:
            tab.page.click(f"#download-{ending}")
        data = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename.endswith(ending)
        assert magic in data[:64]


def test_a_file_that_cannot_be_written_is_said_and_comes_later(open_tab):
    tab = open_tab()
    said, link = tab.page.locator("#said"), tab.page.locator("#download-glb")
    with files_of_at_most(1000):
        link.click()
        until(lambda: "mesh.glb: the server cannot write it" in said.inner_text(), "the sentence")
        assert "failed" in link.get_attribute("class")
    with tab.page.expect_download(timeout=60_000):
        link.click()
    assert "failed" not in link.get_attribute("class")


def test_cancel_stops_within_a_step(open_tab):
    tab = open_tab()
    tab.tab("Generate")
    tab.page.fill("#toy-generate-steps input[type=number]", "100")
    tab.page.click("#generate")
    until(lambda: tab.figures() >= 2 and tab.state == "running", "two steps")
    tab.page.click("#generate-cancel")
    until(lambda: tab.state == "cancelled", "the end")
    reached = tab.figures()
    assert reached < 100
    assert tab.status.startswith("Cancelled")
    tab.page.wait_for_timeout(500)
    assert tab.figures() == reached


def test_closing_the_tab_stops_its_run(open_tab, explorer):
    tab = open_tab()
    tab.tab("Generate")
    tab.page.fill("#toy-generate-steps input[type=number]", "100")
    tab.page.click("#generate")
    until(lambda: tab.state == "running", "the run")
    runner = explorer[1].runner
    job = runner.current
    tab.page.close()
    until(lambda: job.ended, "the end")
    assert job.state == "cancelled"


def test_a_result_comes_back_from_the_gallery(open_tab):
    tab = open_tab()
    tab.tab("Generate")
    tab.page.fill("#count input[type=number]", "2")
    tab.run("#generate")
    cards = tab.page.locator("#history .card")
    assert cards.count() == 2
    before = tab.settled()
    cards.nth(1).click()
    until(lambda: "card-sel" in cards.nth(1).get_attribute("class"), "the selection")
    until(lambda: len(tab.uploads) > before, "a frame of the other object")


def test_a_bad_upload_gets_one_sentence_and_the_page_lives(open_tab, tmp_path):
    words, tiny, white = (tmp_path / name for name in ("words.png", "tiny.png", "white.png"))
    words.write_text("these are words")
    Image.new("RGB", (1, 1), "red").save(tiny)
    Image.new("RGB", (64, 64), "white").save(white)
    tab = open_tab()
    error = tab.page.locator("#reconstruct-problem .error")
    told = set()
    for path in (words, tiny, white):
        tab.page.set_input_files("#image-1 input[type=file]", str(path))
        until(
            lambda: error.count() and error.inner_text() not in told, f"a sentence on {path.name}"
        )
        told.add(error.inner_text())
        assert error.inner_text().strip().endswith(".")
        assert "Traceback" not in error.inner_text()
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[0].path))
    tab.page.wait_for_selector("#framed-1 img")
    until(
        lambda: tab.page.locator("#reconstruct-problem .error").count() == 0, "the sentence's end"
    )


def test_two_tabs_know_nothing_of_each_other(open_tab):
    first, second = open_tab(), open_tab()
    assert first.view.url.split("?")[0] != second.view.url.split("?")[0]
    quiet = second.settled()
    first.tab("Generate")
    first.run("#generate")
    first.page.click("[data-tool=depth]")
    first.drag()
    first.settled()
    assert len(second.uploads) == quiet
    assert second.figures() == 1
    assert second.page.get_attribute("[data-tool=colour]", "aria-pressed") == "true"


def test_another_prior_shows_other_objects_in_this_tab_only(open_tab, explorer):
    first, second = open_tab(), open_tab()
    quiet, before = second.settled(), first.settled()
    seen = first.frame_element.screenshot()
    examples = first.page.locator("#examples button").count()
    first.page.click("#prior input")
    first.page.get_by_role("option", name="Vehicles", exact=True).click()
    until(lambda: len(first.uploads) > before, "a frame of the other prior")
    first.settled()
    assert changed(seen, first.frame_element.screenshot()) > 0.02
    assert first.page.locator("#examples button").count() == examples > 0
    first.tab("Generate")
    steps = first.page.locator("#ssdnerf-generate-steps input[type=number]")
    usual = explorer[1].priors.open("vehicles").result().method.presets["generate"]["ours"].steps
    until(lambda: steps.input_value() == str(usual), "the other prior's usual steps")
    assert len(second.uploads) == quiet
    assert second.page.input_value("#prior input") == "Toy"
    assert not first.problems


def changed(before: bytes, after: bytes) -> float:
    """Share of the pixels that two screenshots do not have in common."""
    a, b = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int) for data in (before, after)
    )
    return float((np.abs(a - b).max(-1) > 40).mean())

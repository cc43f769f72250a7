"""The scoreboard's page in a real browser: errors are drawn, columns and numbers of views can be chosen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.report.page import write_page

pytestmark = pytest.mark.browser
CORNER = """canvas => canvas.getContext('2d').getImageData(0, 0, 1, 1).data.join()"""


def save(folder: Path, name: str, level: int) -> None:
    Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / name)


@pytest.fixture
def page(tmp_path, chromium):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for scene in (0, 1):
        for views in (1, 2):
            save(folder, f"{scene:03d}-{views:02d}-input.png", 30)
            save(folder, f"{scene:03d}-{views:02d}-008-truth.png", 100)
            save(folder, f"{scene:03d}-{views:02d}-008-ours.png", 100 + 20 * scene)
            save(folder, f"{scene:03d}-{views:02d}-008-mean_code.png", 200)
    path = write_page(tmp_path, {})
    tab = chromium.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda r: problems.append(r.url) if r.url.startswith("http") else None)
    tab.goto(path.as_uri())
    yield tab
    tab.close()
    assert not problems


def test_error_is_white_where_pictures_agree_and_dark_where_they_differ(page):
    canvases = page.locator("article:not([hidden]) canvas")
    page.get_by_text("mean 0.0784").first.wait_for()  # 20 of 255
    corners = [canvases.nth(k).evaluate(CORNER) for k in range(2)]
    assert corners[0] == "255,255,255,255"
    assert corners[1] != corners[0]
    page.select_option("#of", "mean_code")
    page.get_by_text("mean 0.3922").first.wait_for()  # 100 of 255, beyond the scale's 0.25
    assert canvases.nth(0).evaluate(CORNER) == "24,10,46,255"


def test_columns_views_and_order_can_be_chosen(page):
    scenes = "[...document.querySelectorAll('article:not([hidden])')].map(a => a.dataset.scene + a.dataset.views)"
    assert page.evaluate(scenes) == ["01", "11"]
    page.get_by_role("button", name="2 views").click()
    page.select_option("#order", "worst")
    assert page.evaluate(scenes) == ["12", "02"]
    picture = page.locator("article:not([hidden]) [data-entry=mean_code]").first
    assert not picture.is_visible()
    page.get_by_role("button", name="Mean code").click()
    assert picture.is_visible()


def test_a_held_picture_shows_the_truth(page):
    ours = page.locator("article:not([hidden]) [data-entry=ours]").last
    source = ours.get_attribute("src")
    truth = page.locator("article:not([hidden]) .truth").last.get_attribute("src")
    ours.hover()
    page.mouse.down()
    assert ours.get_attribute("src") == truth != source
    page.mouse.up()
    assert ours.get_attribute("src") == source

"""The page of a model whose latent is two codes: what it has is offered, and what it lacks is not."""

from __future__ import annotations

import pytest
import torch

from app.server import create_app
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.interpolate.blending import Blend
from engine.render.frames import bake
from tests.app.two_codes import two_codes
from tests.browser.conftest import open_pages, serving
from tests.waiting import until

pytestmark = pytest.mark.browser


def test_shape_and_texture_slide_apart_and_are_exchanged(chromium, monkeypatch):
    monkeypatch.setattr(  # 128 voxels along each side of every thumbnail would be most of the test
        Session,
        "glance",
        lambda self, record, place, look="x0": bake(self.scene(record, place).field),
    )
    method = two_codes()
    with (
        serving(create_app(AppSettings(checkpoint="toy", grace_s=1.0), method)) as (url, explorer),
        open_pages(chromium, url) as make,
    ):
        tab = make()
        page = tab.page
        session = explorer.sessions.of_token(page.evaluate("explorer.token()"))
        tab.tab("Interpolate")
        until(lambda: page.is_visible("[data-way=parts]"), "the ways")
        assert page.inner_text("[data-way=parts]") == "Shape and texture"
        assert not page.is_visible("[data-way=slerp]")
        assert not page.is_visible("[data-mode=paper]")
        assert page.locator(".blend-directions label:visible").count() == 6
        page.click("[data-act=shown]")
        until(lambda: page.locator(".slot:not(.empty)").count() == 1, "the first object")
        page.click("[data-act=seed]")
        page.wait_for_selector(".blend-pad.square.ready", timeout=30_000)
        drawn = "[...document.querySelectorAll('.cell img')].filter(one => one.naturalWidth).map(one => one.alt)"
        wanted = {f"{a}'s shape, {b}'s texture" for a in "AB" for b in "AB"}
        until(lambda: set(page.evaluate(drawn)) == wanted, "the matrix")
        page.click(".blend-swap [data-at='0,1']")
        first, second = (placed.corner.latent for placed in session.part(Blend).placed)
        wanted = torch.stack([first[0], second[1]])
        until(
            lambda: torch.equal(session.selection()[0].latent(-1), wanted),
            "A's shape with B's texture",
        )
        tab.tab("Complete")
        until(lambda: "another model" in page.inner_text("#regenerate-why"), "why it cannot")
        assert page.is_disabled("#regenerate")
        tab.tab("Inspect")
        page.wait_for_selector(".insp-planes img[src]")
        until(lambda: "shape code" in page.inner_text(".insp-note"), "the sheet's words")
        assert page.is_disabled("[data-look=x_t]")
        assert page.get_attribute("[data-look=x_t]", "title").startswith("No step of this run")
        assert not tab.problems

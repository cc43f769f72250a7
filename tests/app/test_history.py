"""What a tab keeps, how its cards say so, and what can be done with them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from app.page.steer import steer
from app.session.priors import Prior
from app.session.records import Record
from app.session.runs import LONGEST_TITLE
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.history import again, cards
from app.tabs.history.history import Shelf, pin, remove, rename, whole
from engine.config import to_json
from engine.errors import ConfigError
from engine.methods.base import fit_options_for, options_of
from engine.ops.cameras import orbit_camera
from engine.store.timeline import result_step
from engine.types import Views
from engine.vision.images import cut_picture, frame_view


def add(session: Session, title: str = "Seed 1", steps: int = 1, **changes) -> Record:
    """A finished record of `steps` steps."""
    latent = session.method.gallery[:1]
    frames = [replace(result_step(latent), latent=latent.clone()) for _ in range(steps)]
    record = Record("generate", title, {}, frames, session.method, state="done")
    for name, value in changes.items():
        setattr(record, name, value)
    session.add(record)
    return record


@pytest.fixture
def small(method):
    """A session with room for three results and half a megabyte."""
    settings = replace(AppSettings(), max_history=3, max_latent_mb=1)
    session = Session(Prior("toy", method), settings)
    yield session
    session.close()


def test_beyond_the_limit_the_oldest_go_and_pinned_ones_never(small):
    records = [add(small, f"Seed {k}") for k in range(3)]
    pin(small, {"record": records[0].id})
    newer = [add(small, f"Seed {k}") for k in range(3, 8)]
    assert small.history == [newer[4], newer[3], records[0]]
    assert small.record(records[0].id) is records[0]
    pin(small, {"record": records[0].id})
    add(small)
    assert records[0] not in small.history


def test_beyond_the_memory_old_steps_go_and_those_of_pinned_runs_never(small):
    code = small.method.gallery[0].nbytes
    many = 2**20 // code + 2
    pinned = add(small, steps=many, pinned=True)
    old, new = add(small, steps=many), add(small, steps=2)
    assert all(frame.latent is not None for frame in pinned.frames)
    assert [frame.latent is None for frame in old.frames] == [True] * (many - 1) + [False]
    assert new.latent(-1) is not None
    assert {one.id: whole(one) for one in small.history} == {
        new.id: False,
        old.id: False,
        pinned.id: True,
    }
    assert "only its end" in cards.history(small)


def test_one_place_stays_free_of_pins(small):
    records = [add(small) for _ in range(3)]
    for record in records[:2]:
        pin(small, {"record": record.id})
    with pytest.raises(ConfigError, match="one must stay free"):
        pin(small, {"record": records[2].id})
    assert [record.pinned for record in records] == [True, True, False]


def test_even_where_all_are_pinned_what_is_new_can_be_seen(small):
    for record in [add(small) for _ in range(3)]:
        small.change(record, pinned=True)
    newest = add(small)
    assert small.history[0] is newest
    assert small.selection()[0] is newest
    assert len(small.history) == 4


def test_what_is_full_is_said(small):
    pin(small, {"record": add(small, steps=5).id})
    shelf = Shelf.of(small)
    assert (shelf.kept, shelf.most, shelf.pinned, shelf.most_mb) == (1, 3, 1, 1)
    assert shelf.mb == small.bytes() / 2**20 > 0
    text = re.sub("<[^>]+>", "", cards.history(small))
    assert "1 of 3 kept, 1 pinned, " in text
    assert "of 1 MB" in text


def test_an_empty_history_says_what_will_be_there(small):
    assert "gathers here" in cards.history(small)
    assert "0 of 3 kept" in re.sub("<[^>]+>", "", cards.history(small))


def test_titles_are_changed_and_are_no_markup(small, runner):
    record = add(small)
    steer(
        small,
        runner,
        {"do": "rename", "record": record.id, "title": "  <b>my</b>\n car" + "x" * 200},
    )
    assert record.title.startswith("<b>my</b> car")
    assert len(record.title) == LONGEST_TITLE
    for page in (cards.history(small), cards.gallery("token", small.history, record.id)):
        assert "<b>my" not in page
        assert "&lt;b&gt;my" in page
    rename(small, {"record": record.id, "title": "   "})
    assert record.title.startswith("<b>my</b> car")


def test_what_a_file_says_is_no_markup(small):
    evil = "<script>"
    add(
        small,
        provenance={
            "preset": evil,
            "seed": evil,
            "checkpoint": evil,
        },
    )
    assert evil not in cards.history(small)
    assert evil not in cards.gallery("token", small.history, 0)


def test_a_card_says_how_and_when_it_was_made(small):
    paper = small.method.presets["reconstruct"]["paper"]
    told = {
        "settings": to_json(small.method.for_views(paper, 2)),
        "for_one": to_json(replace(paper, levels=5)),
    }
    told |= {"preset": "paper", "seed": 5, "checkpoint": "vehicles"}
    camera = orbit_camera(torch.tensor([0.0, 90.0]), 10.0, 1.3, 16)
    views = Views(torch.ones(2, 16, 16, 3), camera)
    record = add(small, provenance=told, made=1000.0, views=views, psnrs=(20.0, 30.0))
    record.kind = "reconstruct"
    page = re.sub("<[^>]+>", " ", cards.history(small, now=1000.0 + 150))
    assert "Reconstructed from 2 pictures, one step, 2 min ago" in page
    assert "Paper · noise levels 5 · seed 5 · vehicles" in page
    assert "25.0 dB" in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "just now"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (86400, "yesterday"),
        (3e5, "3 days ago"),
    ],
)
def test_times_are_words(seconds, words):
    assert cards.ago(seconds) == words


def test_what_is_removed_is_gone_and_its_neighbour_shown(small):
    first, second, third = (add(small) for _ in range(3))
    small.select(second.id)
    small.compare([(third.id, None)])
    remove(small, {"record": second.id})
    assert small.history == [third, first]
    assert small.selection()[0] is first
    assert small.record(second.id) is None
    with pytest.raises(ConfigError, match="cancel it first"):
        remove(small, {"record": add(small, state="running").id})
    with pytest.raises(ValueError, match="no result"):
        remove(small, {"record": second.id})


def test_the_last_one_removed_is_still_shown(small):
    record = add(small)
    remove(small, {"record": record.id})
    assert small.history == []
    assert small.selection()[0] is record


@pytest.mark.parametrize("views", [1, 3, 4])
def test_reused_settings_are_those_of_one_picture(method, views):
    for_one = to_json(options_of(method, "reconstruct", "paper"))
    options = fit_options_for(method, "paper", views)
    camera = orbit_camera(torch.arange(float(views)), 10.0, 1.3, 8)
    given = Views(torch.ones(views, 8, 8, 3), camera)
    record = Record(
        "reconstruct",
        "",
        {"settings": to_json(options), "for_one": for_one},
        [],
        method,
        views=given,
    )
    assert again.made_with(record) == for_one


def test_a_picture_taken_from_the_view_is_framed_where_it_stood(small):
    record = add(small)
    small.camera = orbit_camera(70.0, 25.0, 2.6)
    path, *angles = again.take_picture(small, record)
    assert angles == [70, 25, small.method.data.distance]
    assert Image.open(path).mode == "RGBA"
    views = frame_view(cut_picture(str(path)).rgba, *angles, 128, small.prior.outlines())
    own = orbit_camera(70.0, 25.0, small.method.data.distance, 128)
    assert torch.equal(views.camera.c2w[0], own.c2w)
    from engine.render.frames import render_views

    wanted = render_views(small.scene(record).field, own).cpu()
    error = np.abs((wanted - views.images[0]).numpy()).mean()
    assert error < 0.04, f"the picture lies elsewhere: {error:.3f}"


def test_from_below_the_picture_is_taken_from_as_low_as_the_slider_goes(small):
    small.camera = orbit_camera(0.0, -60.0, 2.6)
    assert again.standpoint(small)[:2] == (0, -10)
    small.camera = None
    assert again.standpoint(small)[:2] == (40, 18)

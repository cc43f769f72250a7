"""Keeping a part of an object: what stays, what changes, and going on bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import max_pool2d

from engine.errors import ConfigError, EngineError, RegionError
from engine.events import finish
from engine.methods.ssdnerf.complete import held_texels, keep_cameras, kept_views, proposed_views
from engine.methods.ssdnerf.options import KeepOptions, RenoiseOptions
from engine.noise import Noise
from engine.ops.metrics import psnr
from engine.render.frames import bake, render_views
from engine.render.region import Region
from engine.store.checkpoint import open_checkpoint
from tests.engine.test_branching import goes_on_alike

FRONT = torch.tensor([[-9.0, 0.0, -9.0], [9.0, 9.0, 9.0]])
SHORT = KeepOptions(
    fit=replace(
        KeepOptions().fit,
        steps=4,
        guide_below=600,
        renoise=RenoiseOptions(steps=3, mix=0.3, t_high=350),
        finetune_steps=2,
        inner_steps=2,
        rays=512,
    ),
    cameras=6,
    size=32,
)


@pytest.fixture(scope="module")
def vehicles():
    return open_checkpoint("vehicles")


@pytest.fixture(scope="module")
def front(vehicles):
    return Region.from_box(FRONT, vehicles.decoder.aabb)


def test_a_run_goes_on_bit_for_bit_from_every_step(vehicles, front):
    original = vehicles.gallery[3]
    goes_on_alike(lambda after: vehicles.complete(original, front, SHORT, Noise(5), after=after))


def test_a_step_that_does_not_say_what_was_proposed_is_refused(vehicles, front):
    original, steps = vehicles.gallery[3], []
    finish(vehicles.complete(original, front, SHORT, Noise(5)), steps.append)
    state = {k: v for k, v in steps[-2].state.items() if k != "proposal"}
    bare = replace(steps[-2], state=state)
    with pytest.raises(EngineError, match="found no proposal"):
        finish(vehicles.complete(original, front, SHORT, Noise(5), after=bare))


def test_the_part_stays_while_the_rest_changes(vehicles, front):
    original, seen = vehicles.gallery[3], []
    result = finish(vehicles.complete(original, front, KeepOptions(), Noise(101)), seen.append)
    assert list(dict.fromkeys(step.stage for step in seen)) == ["guide", "renoise", "finetune"]
    assert result.shape == (1, *vehicles.info.latent_shape)
    assert torch.equal(seen[-1].latent, result)
    assert all("psnr" in step.scalars for step in seen if step.stage == "renoise")
    baked = bake(vehicles.scene(original).field)
    views = kept_views(baked, front, 1.2, KeepOptions(cameras=7, size=64))
    images = render_views(vehicles.scene(result[0]).field, views.camera[0])
    error = (images - views.images[0]).square().mean(-1).flatten()
    kept = torch.zeros(len(error), dtype=torch.bool)
    kept[views.pixels[0]] = True
    assert float(-10 * error[kept].mean().log10()) > 30
    shown = (views.images[0] < 0.95).any(-1).flatten()
    assert float(-10 * error[shown & ~kept].mean().log10()) < 24


def test_texels_that_serve_nothing_else_are_the_originals(vehicles, front):
    original = vehicles.gallery[3]
    hold = held_texels(bake(vehicles.scene(original).field), original, front, SHORT)
    held = (hold.share == 1).expand_as(original)
    assert 0.2 < float(held.float().mean()) < 0.6
    assert not bool(held[0, 0, : held.shape[2] // 2].any()), "row of plane xy, which is y: behind"
    result = finish(vehicles.complete(original, front, SHORT, Noise(0)))[0]
    assert torch.equal(result[held], original[held])
    assert float((result - original)[~held].abs().mean()) > 0.02


def test_the_rest_is_held_to_what_was_drawn_away_from_the_seam(vehicles, front):
    original, other = vehicles.gallery[3], vehicles.gallery[8]
    baked = bake(vehicles.scene(original).field)
    views = kept_views(baked, front, 1.2, KeepOptions(cameras=7, size=64))
    both = proposed_views(views, bake(vehicles.scene(other).field), front)
    kept = views.pixels[0].unique()
    pixels, counts = both.pixels[0].unique(return_counts=True)
    rest = pixels[~torch.isin(pixels, kept)]
    assert torch.isin(kept, pixels).all()
    share = float(counts[torch.isin(pixels, kept)].sum() / counts.sum())
    assert 0.35 < share < 0.65, "either kind counts about as much"
    mask = torch.zeros(7 * 64 * 64, dtype=torch.bool).index_fill(0, kept, True).view(7, 64, 64)
    beside = max_pool2d(mask[:, None].float(), 3, 1, 1)[:, 0].bool().flatten()
    assert not beside[rest].any()
    drawn = render_views(vehicles.scene(other).field, views.camera[0]).flatten(0, 2)
    colors = both.images[0].flatten(0, 2)
    assert float(psnr(colors[rest][None, None], drawn[rest][None, None])) > 40
    assert torch.equal(colors[kept], views.images[0].flatten(0, 2)[kept])
    assert 0.02 < float((drawn[rest] > 0.99).all(-1).float().mean()) < 0.9, "emptiness counts too"


def test_cameras_look_from_above_and_below_at_the_priors_distance():
    cameras = keep_cameras(12, 1.3, 16)
    position = cameras.srn_c2w()[:, :3, 3]
    torch.testing.assert_close(position.norm(dim=-1), torch.full((12,), 1.3))
    assert position[0, 2] < 0 < position[3, 2]
    assert float(position[:, :2].mean(0).norm()) < 0.2


def test_nothing_to_keep_and_nothing_to_draw_are_refused(vehicles):
    original, aabb = vehicles.gallery[0], vehicles.decoder.aabb
    above = Region.from_box(torch.tensor([[-9.0, -9.0, 0.47], [9.0, 9.0, 9.0]]), aabb)
    with pytest.raises(RegionError, match="mark some of the object"):
        finish(vehicles.complete(original, above, SHORT, Noise(0)))
    with pytest.raises(RegionError, match="leave something"):
        finish(vehicles.complete(original, Region.from_box(aabb.clone(), aabb), SHORT, Noise(0)))


@pytest.mark.parametrize(
    "changes", [{"cameras": 0}, {"cameras": 10**6}, {"size": 0}, {"softness": -1.0}]
)
def test_settings_that_nothing_can_be_made_of_are_refused(changes):
    with pytest.raises(ConfigError, match="expected"):
        KeepOptions(**changes)

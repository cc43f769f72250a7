"""Nobody waits for a compiler: what happens while another thread prepares the kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from engine.kernels import compiled
from engine.kernels.triplane_rays import densities
from engine.nets.norm import group_norm
from engine.ops.cameras import orbit_camera
from engine.ops.metrics import psnr
from engine.render.frames import bake, render
from tests.engine.render_fields import soft_car

CAMERA = orbit_camera(40.0, 20.0, 1.4, 48)


@contextmanager
def a_compiler_at_work() -> Iterator[Callable[[], None]]:
    """Another thread is busy with the kernels; yields what lets it finish."""
    started, enough = threading.Event(), threading.Event()

    def work() -> None:
        with compiled.preparing("frames"), compiled.preparing("fits"):
            started.set()
            assert enough.wait(60)

    thread = threading.Thread(target=work)

    def finish() -> None:
        enough.set()
        thread.join()

    thread.start()
    assert started.wait(60)
    try:
        yield finish
    finally:
        finish()


def refuse(*arguments, **options):
    raise AssertionError("this kernel is still being compiled")


@pytest.fixture
def blocked_kernels(monkeypatch) -> pytest.MonkeyPatch:
    """Every way into a compiled kernel, blocked."""
    monkeypatch.setattr("engine.kernels.render_fast.trace", refuse)
    monkeypatch.setattr("engine.kernels.occupancy_fast.cell_density", refuse)
    monkeypatch.setattr("engine.kernels.radiance_fast.densities", refuse)
    monkeypatch.setattr("engine.kernels.norm_fast.normalise", refuse)
    return monkeypatch


def test_pictures_do_not_wait_and_are_the_same(blocked_kernels):
    field = soft_car()
    with a_compiler_at_work() as finish:
        early = bake(field)
        picture = render(early, CAMERA)
        assert early.provisional
        assert not early.outdated
        finish()
        blocked_kernels.undo()
        assert early.outdated
        again = bake(field)
        assert not again.outdated
        assert not again.provisional
        assert float(psnr(picture.rgb, render(again, CAMERA).rgb)) > 45


def test_a_field_baked_before_is_drawn_without_kernels_too(blocked_kernels):
    blocked_kernels.undo()
    baked = bake(soft_car())
    truth = render(baked, CAMERA)
    blocked_kernels.setattr("engine.kernels.render_fast.trace", refuse)
    with a_compiler_at_work():
        assert float(psnr(render(baked, CAMERA).rgb, truth.rgb)) > 45


@torch.no_grad()
def test_neither_do_fits(blocked_kernels):
    field, xyz = soft_car(), torch.rand(50, 3) * 0.4
    norm, images = torch.nn.GroupNorm(4, 16), torch.randn(2, 16, 8, 8)
    with a_compiler_at_work() as finish:
        density = densities(field.decoder, field.latent[None], xyz)
        normalised = group_norm(images, norm)
        finish()
    blocked_kernels.undo()
    torch.testing.assert_close(
        density, densities(field.decoder, field.latent[None], xyz), rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(normalised, group_norm(images, norm), rtol=1e-3, atol=1e-4)


def test_who_prepares_may_use_kernels_and_nobody_else():
    with compiled.preparing("fits"):
        assert compiled.usable("fits")
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(compiled.usable("fits")))
        thread.start()
        thread.join()
        assert seen == [False]
    assert compiled.usable("fits")


def test_kernels_whose_preparation_failed_stay_unused():
    with pytest.raises(RuntimeError, match="no compiler"), compiled.preparing("fits"):
        raise RuntimeError("no compiler")
    assert not compiled.usable("fits")
    with compiled.without(()):
        assert compiled.unusable() == ("fits",)
    with compiled.preparing("fits"):
        pass
    assert compiled.usable("fits")


@torch.no_grad()
def test_what_goes_without_kernels_does_so_to_its_end(blocked_kernels):
    norm, images = torch.nn.GroupNorm(4, 16), torch.randn(2, 16, 8, 8)
    with a_compiler_at_work() as finish:
        assert compiled.unusable() == ("frames", "fits")
        with compiled.without(compiled.unusable()):
            before = group_norm(images, norm)
            finish()
            assert torch.equal(group_norm(images, norm), before)
        assert compiled.unusable() == ()
        with pytest.raises(AssertionError, match="compiled"):
            group_norm(images, norm)
    with compiled.without(("fits",)):
        assert compiled.usable("frames")
        with compiled.without(()):
            assert compiled.usable("fits")
        assert torch.equal(group_norm(images, norm), before)


@torch.no_grad()
def test_what_needs_a_kernel_waits_for_it():
    norm, images = torch.nn.GroupNorm(4, 16), torch.randn(2, 16, 8, 8)
    expected = group_norm(images, norm)
    with a_compiler_at_work(), compiled.without(()):
        assert torch.equal(group_norm(images, norm), expected)

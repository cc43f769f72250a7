"""Frames do not wait for a compiler, and runs do: what happens while another thread prepares the kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from engine.kernels import compiled
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
        with ExitStack() as stack:
            for kind in compiled.KINDS:
                stack.enter_context(compiled.preparing(kind))
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
    """Every way into a kernel that draws frames, blocked."""
    monkeypatch.setattr("engine.kernels.render_fast.trace", refuse)
    monkeypatch.setattr("engine.kernels.occupancy_fast.cell_density", refuse)
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


def test_who_prepares_draws_with_kernels_and_nobody_else():
    with compiled.preparing("frames"):
        assert compiled.usable()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(compiled.usable()))
        thread.start()
        thread.join()
        assert seen == [False]
    assert compiled.usable()


def test_kernels_whose_preparation_failed_draw_nothing_and_nobody_waits_for_them():
    with pytest.raises(RuntimeError, match="no compiler"), compiled.preparing("frames"):
        raise RuntimeError("no compiler")
    assert not compiled.usable()
    assert not bake(soft_car()).provisional
    assert compiled.wait(compiled.KINDS, 0.0)
    with compiled.preparing("frames"):
        pass
    assert compiled.usable()


def test_waiting_ends_when_what_is_waited_for_has_been_prepared():
    compiled.postpone()
    for place, kind in enumerate(compiled.KINDS):
        with compiled.preparing(kind):
            assert not compiled.wait([kind], 0.0)
        assert compiled.wait([kind], 0.0)
        assert compiled.wait(compiled.KINDS, 0.0) == (place == len(compiled.KINDS) - 1)

"""The method without weights keeps a method's promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.events import finish
from engine.methods.ssdnerf.options import SampleOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.types import Views


@pytest.fixture(scope="module")
def method() -> ToyMethod:
    return ToyMethod()


@pytest.mark.parametrize(
    ("mode", "stages"), [("paper", {"denoise"}), ("ours", {"denoise", "renoise"})]
)
def test_generating_yields_the_promised_steps(method, mode, stages):
    seen = []
    options = replace(method.presets["generate"]["ours"], mode=mode)
    latents = finish(method.generate(2, options, Noise(1)), seen.append)
    assert {step.stage for step in seen} == stages
    assert all(step.latent.shape == (2, *method.info.latent_shape) for step in seen)
    assert latents.shape == (2, *method.info.latent_shape)
    assert [step.t for step in seen] == sorted((step.t for step in seen), reverse=True)


def test_the_same_seed_gives_the_same_car(method):
    options = SampleOptions(mode="paper", steps=2)
    first, again, other = (finish(method.generate(1, options, Noise(n))) for n in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_objects_of_a_run_are_those_of_consecutive_seeds(method):
    options = SampleOptions(mode="paper", steps=2)
    both = finish(method.generate(2, options, Noise(5)))
    assert torch.equal(both[1], finish(method.generate(1, options, Noise(6)))[0])


def test_a_run_arrives_at_what_it_returns(method):
    seen = []
    result = finish(method.generate(1, SampleOptions(mode="paper", steps=5), Noise(3)), seen.append)
    distances = [float((step.latent - result).norm()) for step in seen]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == pytest.approx(0, abs=1e-4)


def test_a_reconstruction_wears_the_pictures_colour(method):
    camera = orbit_camera(torch.tensor([30.0, 120.0]), 20.0, 1.3, 48)
    images = torch.ones(2, 48, 48, 3)
    images[:, 16:32, 16:32] = torch.tensor([0.9, 0.1, 0.1])
    seen = []
    latent = finish(
        method.reconstruct(Views(images, camera), method.presets["reconstruct"]["ours"], Noise(1)),
        seen.append,
    )
    rendered = render_views(method.scene(latent[0]).field, camera)
    body = rendered[rendered.amin(-1) < 0.5].mean(0)
    assert body[0] > 1.5 * body[1]
    assert "psnr" in seen[-1].scalars


def test_the_decoder_adds_up_the_planes(method):
    planes = torch.zeros(3, 4, 56, 56)
    planes[:, 1] = torch.tensor([0.1, 0.05, -0.05])[:, None, None]
    density, rgb = method.scene(planes).field.query(torch.zeros(1, 3), torch.tensor([[0.0, 0, 1]]))
    assert float(density) == pytest.approx(torch.exp(torch.tensor(4.2)).item(), rel=1e-4)
    expected = torch.sigmoid(torch.tensor(6.0 * 0.1)) * 1.002 - 0.001
    assert float(rgb[0, 0]) == pytest.approx(float(expected), abs=1e-5)

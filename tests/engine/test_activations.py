"""Squashing functions: inverses, running statistics, gradients."""

import pytest
import torch

from engine.ops.activations import CLIP, NormalizedTanhLatent, latent_activation


@pytest.mark.parametrize("kind", ["tanh", "normalized_tanh", "identity"])
def test_inverses_lead_back(kind):
    activation = latent_activation(kind)
    raw = torch.linspace(-3, 3, 41)
    torch.testing.assert_close(activation.inverse(activation(raw)), raw, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["tanh", "normalized_tanh"])
def test_latents_stay_in_the_clip_range_and_its_rim_has_a_finite_inverse(kind):
    activation = latent_activation(kind)
    assert activation(torch.tensor([-1e6, 1e6])).tolist() == [-CLIP, CLIP]
    assert activation.inverse(torch.tensor([-CLIP, CLIP, 9.0])).isfinite().all()


def test_statistics_follow_the_raw_latents_when_told_to():
    activation = NormalizedTanhLatent(momentum=0.1)
    raw = torch.randn(3, 4, 5) * 2 + 1
    activation(raw)
    assert float(activation.running_mean) == 0
    activation(raw, update=True)
    assert float(activation.running_mean) == pytest.approx(0.1 * float(raw.mean()))
    expected = 0.9 * 0.25 + 0.1 * float(raw.var())
    assert float(activation.running_var) == pytest.approx(expected)


def test_normalised_latents_have_the_wanted_spread():
    torch.manual_seed(0)
    activation = NormalizedTanhLatent(clip=100.0)
    raw = torch.randn(100_000) * 3 + 1
    activation.running_mean.fill_(1.0)
    activation.running_var.fill_(9.0)
    latent = activation(raw)
    assert float(latent.mean()) == pytest.approx(0, abs=0.01)
    assert float(latent.std()) == pytest.approx(0.5, abs=0.01)


def test_no_gradient_runs_through_the_statistics():
    raw = torch.randn(50, requires_grad=True)
    moved, still = NormalizedTanhLatent(), NormalizedTanhLatent()
    moved(raw, update=True).sum().backward()
    gradient, raw.grad = raw.grad, None
    still.load_state_dict(moved.state_dict())
    still(raw).sum().backward()
    torch.testing.assert_close(gradient, raw.grad)

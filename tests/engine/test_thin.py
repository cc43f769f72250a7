"""Thinned samples: what is kept, and that rays keep their colours on average."""

import torch

from engine.render.march import MarchConfig, march
from engine.render.thin import ThinConfig, thinned
from engine.render.volume import composite

AABB = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])


def lattice(rays: int = 40):
    rays_o = torch.tensor([[0.0, 0, -3]]).expand(rays, 3) + torch.rand(rays, 3) * 0.3
    rays_d = torch.tensor([[0.0, 0, 1]]).expand(rays, 3)
    everywhere = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    return march(rays_o, rays_d, everywhere, AABB, MarchConfig(max_steps=64))


def test_samples_in_thin_and_in_dark_places_go_and_the_others_stay():
    samples = lattice()
    z = samples.xyz[:, 2]
    density = torch.where(z.abs() < 0.5, 200.0, 0.0)
    found = thinned(samples, density, torch.ones(len(samples)), ThinConfig())
    first = (z >= -0.5) & (z < -0.4)
    assert set(found.t_starts.tolist()) <= set(samples.t_starts[first].tolist())
    assert (found.counts == 1).all()
    assert torch.equal(torch.bincount(found.ray, minlength=40), found.counts)


def test_everything_stays_where_everything_counts():
    samples = lattice()
    density = torch.rand(len(samples)) * 3
    config = ThinConfig(share=1.0, dimmest=0.0)
    found = thinned(samples, density, torch.rand(len(samples)), config)
    assert torch.equal(found.xyz, samples.xyz)
    assert torch.equal(found.dt, samples.dt)


def test_rays_keep_their_opacity_on_average():
    torch.manual_seed(0)
    samples = lattice(2000)
    density = 0.02 + 4 * (samples.xyz[:, 2] > 0.6)
    rgb = torch.ones(len(samples), 3)
    _, expected, _ = composite(density, rgb, samples)
    config = ThinConfig(thinnest=5e-3, share=0.15)
    few = thinned(samples, density, torch.rand(len(samples)), config)
    assert len(few) < 0.5 * len(samples)
    density = 0.02 + 4 * (few.xyz[:, 2] > 0.6)
    _, found, _ = composite(density, rgb[: len(few)], few)
    assert abs(float(found.mean() - expected.mean())) < 2e-3
    assert float(found.std()) > 1e-3


def test_nothing_comes_from_nothing():
    samples = lattice(3)
    none = thinned(samples, torch.zeros(len(samples)), torch.ones(len(samples)), ThinConfig())
    again = thinned(none, torch.zeros(0), torch.zeros(0), ThinConfig())
    assert len(again) == 0
    assert torch.equal(again.counts, torch.zeros(3, dtype=torch.long))

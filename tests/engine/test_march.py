"""Marching: the lattice of a ray, what culling drops, boxes and grids of any proportions."""

import math

import numpy as np
import pytest
import torch

from engine.ops.cameras import orbit_camera
from engine.ops.rays import camera_rays
from engine.render.march import MarchConfig, cell_of, march

BOX = torch.tensor([[-0.5, -1.0, -0.25], [0.5, 1.0, 0.75]])
SHAPE = (5, 12, 7)


@pytest.fixture
def rays():
    rays_o, rays_d = camera_rays(orbit_camera(30.0, 20.0, 1.2, size=9))
    return rays_o.reshape(-1, 3), rays_d.reshape(-1, 3)


def by_hand(origin, direction, occupied, aabb, config, offset, gamma):
    """Samples of one ray, one lattice point after the other, in float64."""
    low, high = aabb.numpy().astype(float)
    o, d = origin.numpy().astype(float), direction.numpy().astype(float)
    first, second = (low - o) / d, (high - o) / d
    near, far = np.minimum(first, second).max(), np.maximum(first, second).min()
    if near > far:
        return []
    near = max(near, config.min_near)

    def step(t):
        return min(max(t * gamma, config.dt_min), config.dt_max)

    t, found = near + offset * step(near), []
    while t < far and len(found) < config.max_steps:
        inside = ((o + t * d).clip(low, high) - low) / (high - low) * occupied.shape
        cell = tuple(np.minimum(inside.astype(int), np.array(occupied.shape) - 1))
        if occupied[cell]:
            found.append((t, step(t)))
        t += step(t)
    return found


@pytest.mark.parametrize("gamma", [0.0, 0.02])
def test_samples_are_the_lattice_points_in_occupied_cells(gamma, rays):
    torch.manual_seed(0)
    occupied = torch.rand(1, *SHAPE) < 0.5
    jitter = torch.rand(81)
    config = MarchConfig(max_steps=64, dt_gamma=gamma, grid=16)
    samples = march(*rays, occupied, BOX, config, jitter=jitter)
    expected = [
        by_hand(o, d, occupied[0].numpy(), BOX, config, float(j), gamma)
        for o, d, j in zip(*rays, jitter, strict=True)
    ]
    total = sum(len(ray) for ray in expected)
    assert total > 300
    same = samples.counts == torch.tensor([len(ray) for ray in expected])
    assert (~same).sum() <= 2  # a float32 lattice point may fall on the other side of a cell's wall
    kept = same[samples.ray]
    flat = torch.tensor(
        [s for ray, ok in zip(expected, same, strict=True) if ok for s in ray]
    ).float()
    torch.testing.assert_close(samples.t_starts[kept], flat[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(samples.dt[kept], flat[:, 1], rtol=1e-4, atol=1e-6)
    points = rays[0][samples.ray] + samples.t_starts[:, None] * rays[1][samples.ray]
    torch.testing.assert_close(samples.xyz, torch.minimum(torch.maximum(points, BOX[0]), BOX[1]))
    assert occupied[0].flatten()[cell_of(samples.xyz, BOX, SHAPE)].all()


def test_scenes_and_steps_of_their_own_are_marched_as_if_alone(rays):
    torch.manual_seed(1)
    occupied = torch.rand(3, *SHAPE) < 0.4
    scene = torch.arange(3).repeat_interleave(27)
    gammas, jitter = torch.tensor([0.0, 0.01, 0.03]), torch.rand(81)
    config = MarchConfig(max_steps=64, grid=16)
    together = march(
        *rays, occupied, BOX, config, scene=scene, jitter=jitter, dt_gamma=gammas[scene]
    )
    for k in range(3):
        mine = scene == k
        alone = march(
            rays[0][mine],
            rays[1][mine],
            occupied[k : k + 1],
            BOX,
            MarchConfig(max_steps=64, dt_gamma=float(gammas[k]), grid=16),
            jitter=jitter[mine],
        )
        part = together.scene == k
        assert torch.equal(together.counts[mine], alone.counts)
        assert torch.equal(together.xyz[part], alone.xyz)
        assert torch.equal(together.dt[part], alone.dt)


def test_a_world_twice_as_large_has_the_same_samples_twice_as_far(rays):
    occupied = torch.rand(1, *SHAPE) < 0.5
    config = MarchConfig(max_steps=64, grid=16, min_near=0.2)
    large = MarchConfig(max_steps=32, grid=8, min_near=0.4)
    samples = march(*rays, occupied, BOX, config)
    doubled = march(2 * rays[0], rays[1], occupied, 2 * BOX, large)
    assert torch.equal(doubled.counts, samples.counts)
    assert torch.equal(doubled.xyz, 2 * samples.xyz)


def test_cameras_that_look_away_see_no_samples(rays):
    occupied = torch.ones(1, *SHAPE, dtype=torch.bool)
    samples = march(rays[0], -rays[1], occupied, BOX, MarchConfig())
    assert len(samples) == 0
    assert samples.counts.tolist() == [0] * 81
    nothing = march(rays[0][:0], rays[1][:0], occupied, BOX, MarchConfig())
    assert len(nothing.counts) == 0


def test_a_ray_has_no_more_samples_than_allowed():
    occupied = torch.ones(1, 4, 4, 4, dtype=torch.bool)
    aabb = torch.tensor([[-9.0, -9, -9], [9, 9, 9]])
    config = MarchConfig(max_steps=16, grid=4)
    samples = march(torch.zeros(1, 3), torch.tensor([[1.0, 0, 0]]), occupied, aabb, config)
    assert samples.counts.tolist() == [16]


def test_cells_of_any_box_are_those_of_the_unit_box_scaled():
    torch.manual_seed(3)
    unit = torch.rand(500, 3) * 2.4 - 1.2
    low, high = BOX
    xyz = low + (unit + 1) / 2 * (high - low)
    cube = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    clear = (((unit + 1) / 2 * torch.tensor(SHAPE)) % 1 - 0.5).abs().amax(-1) < 0.499
    assert torch.equal(cell_of(xyz, BOX, SHAPE)[clear], cell_of(unit, cube, SHAPE)[clear])


def test_the_step_is_the_unit_diagonal_over_the_number_of_steps():
    config = MarchConfig(max_steps=256, grid=64)
    assert config.dt_min == pytest.approx(2 * math.sqrt(3) / 256)
    assert config.dt_max == pytest.approx(2 * math.sqrt(3) / 64)

"""Occupancy, marching and compositing against the official kernels."""

import pytest
import torch

from engine.fields.box import UNIT_BOX
from engine.ops.rays import intersect_box
from engine.render.march import MarchConfig, march
from engine.render.occupancy import occupied_cells
from engine.render.volume import composite
from engine.store.morton import (
    from_morton,
    morton_decode,
    morton_encode,
    pack_bits,
    to_morton,
    unpack_bits,
)
from tests.engine.vectors import arrays, close, under

BOX = torch.tensor(UNIT_BOX)


@pytest.fixture(scope="module")
def values():
    return arrays("raymarch")


@pytest.fixture(scope="module")
def occupied(values):
    return from_morton(unpack_bits(values["bitfield"]))


def test_morton_indices_are_the_official_ones(values):
    cells = values["coords"].long()
    assert torch.equal(morton_encode(cells), values["morton"])
    assert torch.equal(morton_decode(values["morton"]), cells)


def test_grids_go_to_morton_order_and_back(values):
    dense = torch.zeros(16, 16, 16)
    x, y, z = values["coords"].long().unbind(-1)
    dense[x, y, z] = values["grid_dense_val_by_xyz"]
    assert torch.equal(from_morton(values["grid"])[0], dense)
    assert torch.equal(to_morton(dense[None]), values["grid"])


def test_the_bitfield_is_packed_as_the_official_kernel_packs_it(values, occupied):
    grid = from_morton(values["grid"])
    assert torch.equal(occupied, grid > values["thresh"])
    assert torch.equal(pack_bits(to_morton(occupied)), values["bitfield"])
    mean = grid.clamp_min(0).mean()
    assert torch.equal(occupied_cells(grid, 1e9), grid > mean)


def test_the_box_is_met_where_the_official_kernel_meets_it(values):
    near, far = intersect_box(values["rays_o"], values["rays_d"], BOX)
    close(near, values["near"])
    close(far, values["far"])


@pytest.fixture(scope="module", params="abc")
def case(request, values, occupied):
    name = request.param
    perturbed, dt_gamma, max_steps = values[f"{name}::cfg"].tolist()
    samples = march(
        values["rays_o"],
        values["rays_d"],
        occupied,
        BOX,
        MarchConfig(max_steps=int(max_steps), dt_gamma=dt_gamma, grid=16),
        jitter=values["noise"] if perturbed else None,
    )
    return samples, under(values, f"{name}::")


def test_the_samples_are_the_official_ones_to_the_bit(case):
    samples, expected = case
    offsets, counts = expected["rays"][:, 1].long(), expected["rays"][:, 2].long()
    by_ray = torch.zeros(96, dtype=torch.long)
    by_ray[expected["rays"][:, 0].long()] = counts
    assert torch.equal(samples.counts, by_ray)
    ray_of_row = expected["rays"][:, 0].long()
    order = torch.cat(
        [torch.arange(offsets[row], offsets[row] + counts[row]) for row in ray_of_row.argsort()]
    )
    assert torch.equal(samples.ray, torch.repeat_interleave(torch.arange(96), by_ray))
    assert torch.equal(samples.xyz, expected["xyz"][order])
    assert torch.equal(samples.dt, expected["deltas"][order, 0])
    assert torch.equal(samples.t_starts, expected["deltas"][order, 1])


def test_compositing_and_its_gradients_are_the_official_ones(case):
    samples, expected = case
    density = expected["sigma"].clone().requires_grad_(True)
    rgb = expected["rgb"].clone().requires_grad_(True)
    image, opacity, depth = composite(density, rgb, samples)
    close(image, expected["image"])
    close(opacity, expected["weights_sum"])
    close(depth, expected["depth"])
    loss = (image * expected["grad_im"]).sum() + (opacity * expected["grad_w"]).sum()
    loss.backward()
    close(density.grad, expected["grad_sigma"])
    close(rgb.grad, expected["grad_rgb"])

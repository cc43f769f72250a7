"""Occupancy grids against definitions."""

import numpy as np
import torch
from scipy import ndimage

from engine.render.march import cell_of
from engine.render.occupancy import cell_points, occupied_cells, update_grid

BOX = torch.tensor([[-0.5, -1.0, -0.25], [0.5, 1.0, 0.75]])
SHAPE = (3, 5, 4)


def test_query_points_stay_in_their_cells_wherever_jitter_puts_them():
    torch.manual_seed(0)
    jitter = torch.rand(60, 3) * 0.998 + 0.001
    assert torch.equal(cell_of(cell_points(SHAPE, BOX, jitter), BOX, SHAPE), torch.arange(60))


def test_without_jitter_cells_are_asked_at_their_centres():
    centres = cell_points(SHAPE, BOX).reshape(*SHAPE, 3)
    size = (BOX[1] - BOX[0]) / torch.tensor(SHAPE)
    torch.testing.assert_close(centres[0, 0, 0], BOX[0] + size / 2)
    torch.testing.assert_close(centres[2, 4, 3], BOX[1] - size / 2)
    torch.testing.assert_close(
        centres[1, 2, 3] - centres[0, 2, 3], size * torch.tensor([1.0, 0, 0])
    )


def test_a_grid_keeps_the_larger_of_what_it_saw_and_what_it_sees():
    old = torch.tensor([10.0, 1.0]).reshape(2, 1, 1, 1).expand(2, *SHAPE)
    new = update_grid(old, lambda xyz: torch.full((2, 60), 5.0), BOX, decay=0.9)
    assert torch.equal(new, torch.tensor([9.0, 5.0]).reshape(2, 1, 1, 1).expand(2, *SHAPE))


def test_half_precision_grids_saturate():
    old = torch.zeros(1, *SHAPE, dtype=torch.float16)
    new = update_grid(old, lambda xyz: torch.full((1, 60), 1e9), BOX, decay=1.0)
    assert new.dtype == torch.float16
    assert (new == 65504).all()


def test_cells_above_the_mean_or_the_threshold_are_occupied():
    grid = torch.arange(60.0).reshape(1, *SHAPE)
    assert int(occupied_cells(grid, 1e9).sum()) == 30
    assert int(occupied_cells(grid, 10.0).sum()) == 49
    assert not occupied_cells(torch.zeros(1, *SHAPE), 0.1).any()


def test_scenes_share_a_mean_unless_told_otherwise():
    grid = torch.stack([torch.full(SHAPE, 1.0), torch.full(SHAPE, 3.0)])
    grid[:, 0] *= 1.5
    assert occupied_cells(grid, 1e9).flatten(1).sum(1).tolist() == [0, 60]
    assert occupied_cells(grid, 1e9, per_scene=True).flatten(1).sum(1).tolist() == [20, 20]


def test_dilation_adds_all_neighbours_and_gives_empty_scenes_a_chance():
    torch.manual_seed(1)
    grid = (torch.rand(2, 8, 9, 10) > 0.97).float()
    grid[1] = 0
    found = occupied_cells(grid, 0.1, per_scene=True, dilate=True)
    expected = ndimage.binary_dilation(grid[0].numpy() > 0, structure=np.ones((3, 3, 3)))
    assert np.array_equal(found[0].numpy(), expected)
    assert found[1].all()

"""Latents of any rank as a sheet of tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.tabs.inspect import inspector, sheet


def test_planes_are_blue_below_zero_and_red_above(session):
    planes = torch.zeros(3, 2, 4, 5)
    planes[0, 0, 0, 0], planes[2, 1, 3, 4] = -9.0, 0.5
    drawn = sheet.picture(planes, 1.0)
    gap = sheet.GAP
    assert drawn.shape == (3 * 4 + 2 * gap, 2 * 5 + gap, 3)
    assert drawn[3, 0].tolist() == [36, 84, 196], "row 0 of a plane lies lowest, as z grows upwards"
    last = drawn[2 * (4 + gap), -1]
    assert last[0] > last[2]
    assert np.array_equal(drawn[0, 3], [255, 255, 255])


def test_a_histogram_counts_every_texel_once():
    plane = torch.linspace(-3, 3, 60).reshape(6, 10)
    told = inspector.histogram(plane, 2.0)
    counts = told["figure"]["data"][0]["y"]
    assert sum(counts) == 60
    assert counts[0] > counts[5], "what lies beyond the range is counted at its end"
    assert told["mean"] == pytest.approx(0, abs=1e-6)


def test_codes_are_folded_without_losing_a_number():
    codes = torch.arange(14.0).reshape(2, 7) - 7
    (row,) = sheet.tiles(codes)
    for code, tile in zip(codes, row, strict=True):
        assert tile.shape == (2, 4)
        assert tile[~tile.isnan()].tolist() == code.tolist()
    told = sheet.layout((2, 7), ("shape", "texture"))
    assert told.cols == ("shape code", "texture code")
    drawn = sheet.picture(codes, 7.0)
    scale = told.tile[0] // 2
    assert drawn[0, 0].tolist() == [36, 84, 196], "the first number of the shape code, -7"
    assert drawn[-1, -scale].tolist() == [128, 134, 148], "the tile's last place has no number"
    counts = inspector.histogram(row[1], 7.0)["figure"]["data"][0]["y"]
    assert sum(counts) == 7


def test_of_volumes_the_middle_slice_across_each_axis_is_drawn():
    volumes = torch.arange(2 * 4 * 5 * 6.0).reshape(2, 4, 5, 6)
    found = sheet.tiles(volumes)
    wanted = [volumes[:, 2], volumes[:, :, 2], volumes[:, :, :, 3]]
    for row, slices in zip(found, wanted, strict=True):
        inside = row[:, : slices.shape[1], : slices.shape[2]]
        assert torch.equal(inside, slices)
        assert row.isfinite().sum() == slices.numel()
    assert "other slices are not drawn" in sheet.layout(volumes.shape).note


@pytest.mark.parametrize(
    "shape",
    [(5,), (1, 1), (6, 9), (2, 256), (7, 8, 9), (3, 4, 8, 8), (4, 5, 6, 7), (2, 3, 4, 5, 6)],
)
def test_what_the_page_is_told_is_what_is_drawn(shape):
    told, latent = sheet.layout(shape), torch.zeros(shape)
    assert sheet.tiles(latent).shape[:2] == (len(told.rows), len(told.cols))
    (height, width), gap = told.tile, sheet.GAP
    wanted = (len(told.rows) * (height + gap) - gap, len(told.cols) * (width + gap) - gap, 3)
    assert sheet.picture(latent, 1.0).shape == wanted

"""Regions: boxes and brush strokes against sums over points, and what a picture shows of them."""

from __future__ import annotations

import pytest
import torch

from engine.fields.box import UNIT_BOX
from engine.fields.planes import PLANE_AXES
from engine.ops.cameras import orbit_camera
from engine.render.frames import EMPTY_DEPTH, RenderOptions, bake, render
from engine.render.region import Region, surface_points, texel_shares
from tests.engine.render_fields import constant_box, soft_car

AABB = torch.tensor([[-0.5, -1.0, -0.4], [0.5, 0.8, 0.6]])
BOX = torch.tensor([[-0.2, -0.3, -0.9], [0.3, 0.5, 0.1]])


def points(count: int = 4000) -> torch.Tensor:
    """Anywhere in the field's box and around it."""
    unit = torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    return AABB[0] + unit * (AABB[1] - AABB[0])


def test_a_box_holds_the_points_in_it_but_for_half_a_cell_at_its_sides():
    region, xyz = Region.from_box(BOX, AABB), points()
    half = (AABB[1] - AABB[0]) / 64 / 2
    in_field = ((xyz >= AABB[0]) & (xyz < AABB[1])).all(-1)
    surely = ((xyz > BOX[0] + half) & (xyz < BOX[1] - half)).all(-1) & in_field
    perhaps = ((xyz > BOX[0] - half) & (xyz < BOX[1] + half)).all(-1) & in_field
    found = region.contains(xyz)
    assert bool(surely.any())
    assert bool(found[surely].all())
    assert not bool(found[~perhaps].any())


def test_the_order_of_a_boxs_corners_does_not_matter():
    swapped = torch.tensor([[0.3, -0.3, 0.1], [-0.2, 0.5, -0.9]])
    assert torch.equal(Region.from_box(swapped, AABB).cells, Region.from_box(BOX, AABB).cells)


def test_a_brush_holds_its_points_and_what_is_near_them():
    stroke, xyz = points(60), points()
    radius, cell = 0.12, (AABB[1] - AABB[0]) / 64
    region = Region.from_surface(stroke, radius, AABB)
    inside = ((stroke >= AABB[0]) & (stroke < AABB[1])).all(-1)
    assert bool(region.contains(stroke[inside]).all())
    assert not bool(region.contains(stroke[~inside]).any())
    distance = torch.cdist(xyz, stroke[inside]).amin(1)
    found = region.contains(xyz)
    in_field = ((xyz >= AABB[0]) & (xyz < AABB[1])).all(-1)
    assert bool(found[in_field & (distance < radius - cell.norm())].all())
    assert not bool(found[distance > radius + cell.norm()].any())


def test_a_union_holds_what_either_holds():
    a, b = Region.from_box(BOX, AABB), Region.from_surface(points(5), 0.1, AABB)
    xyz = points()
    assert torch.equal((a | b).contains(xyz), a.contains(xyz) | b.contains(xyz))


def test_a_brush_of_nothing_is_empty():
    assert not bool(Region.from_surface(torch.zeros(0, 3), 0.1, AABB).cells.any())


def test_surface_points_lie_on_the_surface():
    field, camera = constant_box(8.0), orbit_camera(30.0, 20.0, size=48)
    out = render(bake(field), camera, RenderOptions("high"))
    xyz, (low, high) = surface_points(out.depth, camera), field.aabb
    seen = out.depth < EMPTY_DEPTH
    to_side = torch.minimum((xyz - low).abs(), (high - xyz).abs()).amin(-1)
    assert bool(seen.any())
    assert float(to_side[seen].quantile(0.95)) < 0.02
    whole = Region.from_box(torch.tensor(UNIT_BOX) * 2, field.aabb)
    assert not bool(whole.pixels(out.depth, camera)[~seen].any())


def test_the_pixels_of_a_half_are_those_that_show_it():
    field, camera = soft_car(), orbit_camera(90.0, 10.0, size=64)
    out = render(bake(field), camera, RenderOptions("high"))
    half = torch.tensor([[-9.0, 0.0, -9.0], [9.0, 9.0, 9.0]])
    kept = Region.from_box(half, field.aabb).pixels(out.depth, camera)
    seen, y = out.depth < EMPTY_DEPTH, surface_points(out.depth, camera)[..., 1]
    clear = seen & (y.abs() > 0.04)
    assert torch.equal(kept[clear], (y > 0)[clear])


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_texels_share_is_that_of_the_matter_in_its_column(plane):
    generator = torch.Generator().manual_seed(1)
    matter = (torch.rand(8, 8, 8, generator=generator) < 0.3).float()
    region = Region(torch.rand(8, 8, 8, generator=generator) < 0.5, AABB)
    shares = texel_shares(matter, region, 4, 4)
    wide, high = PLANE_AXES[plane]
    for row, col in ((0, 0), (1, 3), (3, 2)):
        part = whole = 0.0
        for cell in torch.cartesian_prod(*[torch.arange(8)] * 3).tolist():
            if cell[wide] // 2 == col and cell[high] // 2 == row:
                whole += float(matter[tuple(cell)])
                part += float(matter[tuple(cell)] * region.cells[tuple(cell)])
        assert float(shares[plane, row, col]) == pytest.approx(part / whole, abs=1e-5)


def test_an_empty_column_has_the_regions_own_share():
    region = Region.from_box(torch.tensor([[-9.0, 0.3, -9.0], [9.0, 9.0, 9.0]]), AABB)
    shares = texel_shares(torch.zeros(64, 64, 64), region, 8, 8)
    assert torch.equal(shares[0, -1], torch.ones(8))
    assert torch.equal(shares[0, 0], torch.zeros(8))
    assert float(shares[1].mean()) == pytest.approx(0.5 / 1.8, abs=0.02)

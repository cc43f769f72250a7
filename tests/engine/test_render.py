"""Pictures against brute force and closed forms, and the two implementations against each other."""

import dataclasses
import threading

import numpy as np
import pytest
import torch

from engine.kernels.occupancy_fast import extent, leap_grid
from engine.kernels.render_fast import Space
from engine.kernels.trace_fast import trace_tiles
from engine.ops.cameras import orbit_camera
from engine.render.frames import (
    EMPTY_DEPTH,
    GRID,
    TIERS,
    RenderOptions,
    bake,
    render,
    render_views,
    to_uint8,
    warm_up,
)
from tests.engine.render_fields import Ball, brute_force, chords, constant_box, rays, soft_car

VIEW = orbit_camera(35.0, 22.0, size=48)
PATHS = ["numba", "torch"]


def baked_for(path, field):
    """The field baked for one implementation."""
    baked = bake(field)
    return baked if path == "numba" else dataclasses.replace(baked, kernels=None)


def psnr(a, b):
    return float(-10 * torch.log10((a.double() - b.double()).square().mean()))


@pytest.fixture(scope="module")
def truth():
    return brute_force(soft_car(), VIEW)


@pytest.mark.parametrize(("quality", "least"), [("preview", 42), ("standard", 50), ("high", 60)])
@pytest.mark.parametrize("path", PATHS)
def test_pictures_equal_brute_force_in_float64(path, quality, least, truth):
    picture = render(baked_for(path, soft_car()), VIEW, RenderOptions(quality))
    assert psnr(picture.rgb, truth[0]) > least
    assert psnr(picture.opacity, truth[1]) > least


@pytest.mark.parametrize("path", PATHS)
def test_a_constant_box_obeys_beer_lambert(path):
    matter = 1.5
    field = constant_box(np.log(matter))
    picture = render(baked_for(path, field), VIEW, RenderOptions("high"))
    enter, leave = chords(VIEW, field.aabb)
    chord = -torch.log1p(-picture.opacity.double()) / matter
    half_step = np.sqrt(3) / 512
    assert (chord - (leave - enter)).abs().max() < half_step + 1e-4
    seen = picture.opacity > 0.3
    depth = enter + 1 / matter - (leave - enter) / torch.expm1(matter * (leave - enter))
    _, _, along = rays(VIEW)
    assert (picture.depth - depth * along)[seen].abs().max() < 2 * half_step
    grey = 0.5 * picture.opacity[..., None] + 1 - picture.opacity[..., None]
    torch.testing.assert_close(picture.rgb, grey.expand(-1, -1, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_field_shows_the_background(path):
    options = RenderOptions(background=(0.2, 0.4, 0.6), normals=True)
    picture = render(baked_for(path, constant_box(-30.0)), VIEW, options)
    assert torch.equal(picture.rgb, torch.tensor(options.background).expand(48, 48, 3))
    assert torch.equal(picture.opacity, torch.zeros(48, 48))
    assert (picture.depth == EMPTY_DEPTH).all()
    assert not picture.normal.any()


FIELDS = {
    "square": {},
    "rows and cols differ": {"rows": 24, "cols": 56},
    "no direction": {"direction": "none"},
    "sharp": {"sharpness": 4.0},
    "foggy": {"sharpness": 0.1},
}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("quality", ["preview", "standard", "high"])
def test_the_two_implementations_agree(kind, quality):
    field = soft_car(**FIELDS[kind])
    options = RenderOptions(quality, background=(0.0, 0.5, 1.0), normals=True)
    fast, slow = (render(baked_for(path, field), VIEW, options) for path in PATHS)
    assert psnr(fast.rgb, slow.rgb) > {"preview": 45, "standard": 52, "high": 60}[quality]
    torch.testing.assert_close(fast.opacity, slow.opacity, atol=2e-2, rtol=0)
    solid = (fast.opacity > 0.5) & (slow.opacity > 0.5)
    assert (fast.depth - slow.depth)[solid].abs().max() < 1e-2


@pytest.mark.parametrize(
    "camera",
    [
        orbit_camera(0.0, 0.0, size=33),
        orbit_camera(90.0, 0.0, 0.3, size=33),
        orbit_camera(10.0, 90.0, size=33),
        orbit_camera(200.0, -20.0, 3.0, size=33).resized(20, 50),
    ],
    ids=["along an axis", "inside the box", "from the pole", "far and not square"],
)
def test_the_two_implementations_agree_from_unusual_places(camera):
    field = soft_car()
    fast, slow = (render(baked_for(path, field), camera) for path in PATHS)
    assert fast.rgb.shape == (camera.height, camera.width, 3)
    assert psnr(fast.rgb, slow.rgb) > 50


def test_fields_of_another_shape_equal_brute_force():
    field = soft_car(direction="concat", flip_z=True, density_activation="softplus")
    camera = VIEW.resized(24, 24)
    picture = render(bake(field), camera, RenderOptions("high"))
    assert psnr(picture.rgb, brute_force(field, camera)[0]) > 50


def test_culling_changes_nothing_but_skipped_cells():
    baked = bake(soft_car())
    full = dataclasses.replace(
        baked, cell_density=torch.full_like(baked.cell_density, 9.0), spaces={}
    )
    for quality in ("preview", "standard", "high"):
        culled, unculled = (render(b, VIEW, RenderOptions(quality)) for b in (baked, full))
        assert psnr(culled.rgb, unculled.rgb) > {"preview": 42, "standard": 55, "high": 65}[quality]


def test_leaps_visit_the_same_lattice_points_as_single_steps():
    baked = bake(soft_car(sharpness=0.05))
    scattered = torch.rand(GRID, GRID, GRID, generator=torch.Generator().manual_seed(1)) < 2e-3
    leaping = dataclasses.replace(baked, cell_density=scattered.float() * 9, spaces={})
    leaps = leap_grid(scattered.numpy()).clip(0, 1)
    stepping = dataclasses.replace(
        leaping, spaces={TIERS["standard"].density: Space(leaps, *extent(leaps))}
    )
    torch_path = dataclasses.replace(leaping, kernels=None)
    a, b, c = (render(each, VIEW) for each in (leaping, stepping, torch_path))
    assert a.opacity.max() > 0.2
    torch.testing.assert_close(a.rgb, b.rgb, atol=1e-6, rtol=0)
    assert psnr(a.rgb, c.rgb) > 50


def test_leaps_are_chebyshev_distances():
    occupied = torch.rand(9, 14, 11, generator=torch.Generator().manual_seed(0)) < 4e-3
    reached, expected = occupied[None, None].float(), torch.full(occupied.shape, 254)
    for distance in range(14):
        expected[(reached[0, 0] > 0) & (expected == 254)] = distance
        reached = torch.nn.functional.max_pool3d(reached, 3, stride=1, padding=1)
    assert occupied.any()
    assert np.array_equal(leap_grid(occupied.numpy()), expected.numpy())
    assert (leap_grid(np.zeros((3, 4, 5), bool)) == 254).all()


def test_no_point_of_an_empty_cell_is_dense():
    for resolution in (40, 128):
        field = soft_car(rows=resolution, cols=resolution)
        baked = bake(field)
        low, high = field.aabb
        share = torch.rand(200_000, 3, generator=torch.Generator().manual_seed(2))
        x, y, z = (share * GRID).long().unbind(-1)
        density = field.density(low + share * (high - low))
        assert (density <= 1.2 * baked.cell_density[x, y, z]).float().mean() > 0.999
        assert (density <= 3 * baked.cell_density[x, y, z]).all()


@pytest.mark.parametrize("path", PATHS)
def test_the_direction_changes_colours_alone(path):
    field, plain = soft_car(), soft_car()
    plain.decoder.direction[0].weight.zero_()
    seen, bare = (render(baked_for(path, each), VIEW) for each in (field, plain))
    assert (seen.rgb - bare.rgb).abs().max() > 0.02
    assert torch.equal(seen.opacity, bare.opacity)


def test_normals_of_a_ball_point_away_from_its_centre():
    camera = orbit_camera(70.0, 30.0, size=40)
    picture = render(bake(Ball()), camera, RenderOptions("high", normals=True))
    origin, dirs, along = rays(camera)
    surface = origin + dirs * (picture.depth / along)[..., None]
    solid = picture.opacity > 0.9
    assert solid.float().mean() > 0.1
    outward = torch.nn.functional.normalize(surface[solid], dim=-1)
    cosine = (picture.normal[solid] * outward).sum(-1)
    assert cosine.mean() > 0.98
    assert cosine.min() > 0.8
    assert not picture.normal[picture.opacity < 0.2].any()
    torch.testing.assert_close(picture.normal[solid].norm(dim=-1), torch.ones(int(solid.sum())))


def test_normals_of_a_triplane_face_the_camera():
    picture = render(bake(soft_car()), VIEW, RenderOptions(normals=True))
    _, dirs, _ = rays(VIEW)
    solid = picture.opacity > 0.95
    facing = (picture.normal.double() * dirs).sum(-1)[solid] < 0
    assert facing.float().mean() > 0.97


@pytest.mark.parametrize("path", PATHS)
def test_a_stopped_render_returns_none(path):
    baked, asked = baked_for(path, soft_car()), []

    def stop():
        asked.append(threading.current_thread())
        return len(asked) > 1

    big = VIEW.resized(160, 160)
    assert render(baked, big, RenderOptions(threads=1), stop) is None
    assert asked == [threading.main_thread()] * 2
    assert render(baked, VIEW, stop=lambda: False) is not None


def test_the_number_of_threads_does_not_change_the_picture():
    baked = bake(soft_car())
    one, three = (render(baked, VIEW, RenderOptions(threads=n)) for n in (1, 3))
    assert torch.equal(one.rgb, three.rgb)
    assert torch.equal(one.depth, three.depth)


def test_noise_in_place_of_a_scene_renders():
    field = soft_car()
    noise = torch.randn(field.latent.shape, generator=torch.Generator().manual_seed(3))
    picture = render(
        bake(dataclasses.replace(field, latent=noise)), VIEW, RenderOptions(normals=True)
    )
    for part in (picture.rgb, picture.opacity, picture.depth, picture.normal):
        assert part.isfinite().all()


def test_views_come_in_the_order_of_their_cameras():
    field, cameras = soft_car(), orbit_camera(torch.tensor([0.0, 90.0, 180.0]), 10.0, size=16)
    views = render_views(field, cameras)
    assert views.shape == (3, 16, 16, 3)
    for view, camera in zip(views, (cameras[i] for i in range(3)), strict=True):
        assert torch.equal(view, render(bake(field), camera).rgb)
    assert torch.equal(render_views(field, cameras[1]), views[1:2])
    with pytest.raises(ValueError, match="found 3 cameras, expected one"):
        render(bake(field), cameras)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0])
def test_a_broken_camera_is_refused(number):
    intrinsics = VIEW.intrinsics.clone()
    intrinsics[0] = number
    with pytest.raises(ValueError, match="expected a finite pose"):
        render(bake(soft_car()), dataclasses.replace(VIEW, intrinsics=intrinsics))


@pytest.mark.parametrize("distance", [1e-3, 1e4, 1e15])
def test_cameras_at_absurd_distances_return(distance):
    picture = render(bake(soft_car()), orbit_camera(30.0, 20.0, distance, size=16))
    assert picture.rgb.isfinite().all()


def test_a_training_field_renders_without_a_graph():
    field = soft_car()
    field.decoder.requires_grad_(True)
    planes = field.latent.clone().requires_grad_(True)
    for path in PATHS:
        picture = render(baked_for(path, dataclasses.replace(field, latent=planes)), VIEW)
        assert not picture.rgb.requires_grad


def test_bytes_are_clamped_and_rounded():
    rgb = torch.tensor([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0])
    assert to_uint8(rgb).tolist() == [0, 0, 0, 1, 255, 255]
    assert to_uint8(rgb).dtype == torch.uint8


@pytest.mark.parametrize("direction", ["none", "add"])
def test_a_field_that_is_warm_needs_no_other_kernel(direction):
    field = soft_car(hidden=16, direction=direction)
    warm_up(field)
    known = list(trace_tiles.signatures)
    render(bake(field), VIEW)
    assert trace_tiles.signatures == known


def test_warming_up_takes_fields_without_kernels():
    warm_up(Ball())

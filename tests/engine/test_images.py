"""Pictures from outside: what opens, what is refused with one sentence, masks, framing, posed views."""

import io
import itertools
import re
import struct
import warnings
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pillow_heif
import pytest
import torch
from PIL import ExifTags, Image

from app.examples import EXAMPLES
from engine.data.posed import Posed, posed_views
from engine.data.poses import read_intrinsics, read_pose
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.procedural.vehicles import build_vehicle
from engine.data.reading import CameraReading
from engine.errors import DataError, ImageError
from engine.ops.cameras import orbit, orbit_camera
from engine.types import WORLD_PER_SRN
from engine.vision.framing import extreme_points, generic_objects, outline, place, project_frames
from engine.vision.images import (
    cut_out,
    cut_picture,
    frame_view,
    join_views,
    matte,
    open_image,
    open_sized,
    posed_view,
)

PHOTO = EXAMPLES[0].path
OBJECTS = generic_objects()


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def red_square(size: int = 64, background=(255, 255, 255)) -> Image.Image:
    """A red square of half the size in the middle."""
    picture = Image.new("RGB", (size, size), background)
    quarter = size // 4
    picture.paste((200, 20, 20), (quarter, quarter, 3 * quarter, 3 * quarter))
    return picture


def claims_size(width: int, height: int) -> bytes:
    """A tiny PNG file whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\x00\x00\x00\x00IDAT"
    )


def one_sentence(error: Exception) -> str:
    """The message, which must be a single plain sentence."""
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text
    assert not re.search(r"\. [A-Z]", text), text
    return text


def test_plain_pictures_come_back_as_their_values():
    picture = red_square()
    for source in (encoded(picture, "PNG"), np.asarray(picture)):
        rgba = open_image(source)
        assert rgba.dtype == np.float32
        assert rgba.shape == (64, 64, 4)
        np.testing.assert_allclose(rgba[..., :3] * 255, np.asarray(picture), atol=1e-4)
        assert (rgba[..., 3] == 1).all()


def test_a_file_and_its_bytes_are_the_same_picture():
    np.testing.assert_array_equal(open_image(PHOTO), open_image(PHOTO.read_bytes()))
    np.testing.assert_array_equal(open_image(PHOTO), open_image(str(PHOTO)))


def test_sixteen_bit_grey_keeps_its_range():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    rgba = open_image(encoded(Image.fromarray(ramp), "PNG"))
    np.testing.assert_allclose(rgba[..., 1], ramp / 65535, atol=1e-6)
    np.testing.assert_allclose(open_image(ramp)[..., 0], ramp / 65535, atol=1e-6)


def test_sixteen_bit_colour_png_opens():
    ramp = np.linspace(0, 65535, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint16)
    rgba = open_image(cv2.imencode(".png", ramp)[1].tobytes())
    np.testing.assert_allclose(rgba[..., :3], ramp[..., ::-1] / 65535, atol=1 / 255)


def test_cmyk_jpeg_has_about_the_right_colours():
    rgba = open_image(encoded(red_square().convert("CMYK"), "JPEG", quality=95))
    np.testing.assert_allclose(rgba[32, 32, :3], np.array([200, 20, 20]) / 255, atol=0.03)
    np.testing.assert_allclose(rgba[2, 2, :3], 1, atol=0.03)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGBX"])
def test_every_common_mode_opens(mode):
    picture = red_square().convert(mode)
    rgba = open_image(encoded(picture, "TIFF"))
    assert rgba.shape == (64, 64, 4)
    assert rgba[2, 2, 0] > 0.95


def test_a_palette_with_a_transparent_entry_has_alpha():
    picture = Image.new("P", (32, 32), 0)
    picture.putpalette([255, 255, 255, 10, 20, 30] + [0] * 762)
    picture.paste(1, (8, 8, 24, 24))
    rgba = open_image(encoded(picture, "PNG", transparency=0))
    assert rgba[0, 0, 3] == 0
    np.testing.assert_allclose(rgba[16, 16] * 255, [10, 20, 30, 255], atol=1e-3)


def test_exif_orientation_is_applied():
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste((0, 0, 255), (0, 0, 40, 10))
    exif = Image.Exif()
    exif[274] = 6
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    rgba = open_image(encoded(turned, "JPEG", exif=exif, quality=95))
    assert rgba.shape[:2] == (20, 40)
    assert rgba[3, 20, 0] < 0.2
    assert rgba[17, 20, 0] > 0.8


def test_a_large_photograph_is_reduced_without_fringes():
    picture = Image.new("RGBA", (4100, 3000), (0, 255, 0, 0))
    picture.paste((200, 20, 20, 255), (1001, 1001, 3001, 2001))
    rgba = open_image(encoded(picture, "PNG"))
    assert max(rgba.shape) <= 2048
    partly = (rgba[..., 3] > 0.1) & (rgba[..., 3] < 0.9)
    assert partly.any()
    np.testing.assert_allclose(rgba[partly, :3] * 255, [[200, 20, 20]] * partly.sum(), atol=8)
    np.testing.assert_allclose(rgba[..., 3].mean(), 2000 * 1000 / (4100 * 3000), rtol=2e-3)


def test_float_arrays_are_averaged_when_large():
    rng = np.random.default_rng(0)
    noise = rng.random((32, 4096)).astype(np.float32)
    rgba = open_image(noise)
    np.testing.assert_allclose(rgba[3, 5, 0], noise[6:8, 10:12].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "empty"),
        (b"hello world, I am a text", "not an image"),
        (b"%PDF-1.7 ....", "PDF"),
        (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 64, "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1\0\0\0\0miafheic" + b"\x00" * 64, "HEIC"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64, "film"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + b"\x00" * 64, "JPEG XL"),
        (b"8BPS" + b"\x00" * 64, "Photoshop"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (encoded(red_square(), "AVIF")[:200], "damaged or unusual AVIF"),
        (encoded(red_square(), "PNG")[:120], "truncated"),
        (encoded(red_square(256), "JPEG")[:1500], "truncated"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "1 x 1"),
        (encoded(Image.new("RGB", (300, 8)), "PNG"), "300 x 8"),
        (encoded(Image.new("RGB", (30_000, 20)), "PNG"), "30000 x 20"),
        (claims_size(30_000, 30_000), "far too many pixels|30000 x 30000"),
        (claims_size(10_000, 10_000), "10000 x 10000"),
        (encoded(Image.new("LAB", (32, 32)), "TIFF"), "LAB"),
        (np.zeros((32, 32, 2), np.uint8), "shape"),
        (np.zeros((32, 32, 3), np.int64), "int64"),
        (np.full((32, 32, 3), np.nan), "nan"),
        (np.full((32, 32, 3), 255.0), "255"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(source, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=words) as caught:
            open_image(source)
    one_sentence(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused_with_their_number_of_frames(kind):
    frames = [red_square(), red_square(64, (0, 0, 255)), red_square(64, (0, 255, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"animated .*3") as caught:
        open_image(data)
    one_sentence(caught.value)


def test_a_still_gif_opens():
    assert open_image(encoded(red_square(), "GIF"))[32, 32, 0] > 0.7


def test_a_missing_file_is_named():
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        open_image("/tmp/nowhere.png")


def test_damaged_files_never_raise_anything_else():
    rng = np.random.default_rng(0)
    picture = red_square(48)
    kinds = [("PNG", {}), ("JPEG", {}), ("GIF", {}), ("WEBP", {}), ("TIFF", {}), ("BMP", {})]
    opened = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, options in kinds:
            good = np.frombuffer(encoded(picture, kind, **options), np.uint8)
            for _ in range(60):
                bad = good.copy()
                places = rng.integers(0, len(bad), rng.integers(1, 12))
                bad[places] = rng.integers(0, 256, len(places))
                length = len(bad) if rng.random() < 0.5 else rng.integers(1, len(bad))
                try:
                    open_image(bad[:length].tobytes())
                    opened += 1
                except ImageError as error:
                    one_sentence(error)
    assert opened > 0


def test_alpha_that_varies_is_the_mask():
    rgba = np.ones((32, 32, 4), np.float32)
    rgba[..., 3] = 0
    rgba[8:24, 8:24, 3] = 1
    rgba[7, 8:24, 3] = 0.3
    np.testing.assert_array_equal(matte(rgba), rgba[..., 3])


def test_a_white_background_is_removed_but_white_inside_the_object_stays():
    rgba = open_image(np.asarray(red_square()))
    rgba[28:36, 28:36, :3] = 1
    alpha = matte(rgba)
    truth = np.zeros((64, 64))
    truth[16:48, 16:48] = 1
    assert np.abs(alpha - truth).max() < 0.05


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_the_noise_of_jpeg_does_not_tear_the_mask(quality):
    disc = np.full((200, 200, 3), 255, np.uint8)
    cv2.circle(disc, (100, 90), 60, (30, 90, 160), -1, cv2.LINE_AA)
    alpha = matte(open_image(encoded(Image.fromarray(disc), "JPEG", quality=quality)))
    rows, cols = np.mgrid[:200, :200]
    truth = (cols - 100) ** 2 + (rows - 90) ** 2 <= 60**2
    both = ((alpha > 0.5) & truth).sum() / ((alpha > 0.5) | truth).sum()
    assert both > 0.95


def test_soft_edges_on_white_get_their_coverage_back():
    fine = np.zeros((512, 512), np.float32)
    cv2.circle(fine, (250, 260), 150, 1.0, -1)
    truth = fine.reshape(64, 8, 64, 8).mean((1, 3))
    color = np.array([0.1, 0.2, 0.6], np.float32)
    rgb = truth[..., None] * color + 1 - truth[..., None]
    rgba = np.concatenate([rgb, np.ones((64, 64, 1), np.float32)], -1).astype(np.float32)
    assert np.abs(matte(rgba) - truth).max() < 0.1
    assert abs(matte(rgba).sum() - truth.sum()) / truth.sum() < 0.005


def test_a_background_of_one_colour_is_removed_without_its_colour_in_the_edges():
    fine = np.zeros((512, 512), np.float32)
    cv2.circle(fine, (250, 260), 150, 1.0, -1)
    truth = fine.reshape(64, 8, 64, 8).mean((1, 3))[..., None]
    rgb = truth * np.array([0.6, 0.1, 0.1]) + (1 - truth) * np.array([0.1, 0.8, 0.2])
    rgba = np.concatenate([rgb, np.ones((64, 64, 1))], -1).astype(np.float32)
    cut = cut_out(rgba)
    on_white = cut[..., :3] * cut[..., 3:] + 1 - cut[..., 3:]
    ideal = truth * np.array([0.6, 0.1, 0.1]) + 1 - truth
    assert np.abs(on_white - ideal).max() < 0.13


def test_the_brush_wins_over_everything():
    rgba = open_image(np.asarray(red_square()))
    brush = np.zeros((64, 64), bool)
    brush[5:30, 7:40] = True
    np.testing.assert_array_equal(matte(rgba, brush), brush.astype(np.float32))


def test_an_unused_brush_counts_as_none():
    rgba = open_image(np.asarray(red_square()))
    np.testing.assert_array_equal(matte(rgba, np.zeros((64, 64), bool)), matte(rgba))


def test_a_brush_painted_on_a_larger_copy_of_the_picture_is_scaled():
    rgba = open_image(np.asarray(red_square()))
    brush = np.zeros((129, 128), bool)
    brush[10:60, 14:80] = True
    wanted = np.zeros((64, 64))
    wanted[5:30, 7:40] = 1
    assert np.abs(matte(rgba, brush) - wanted).sum() <= 40


def busy_picture() -> np.ndarray:
    """No background to speak of."""
    return np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("picture", "brush", "words"),
    [
        (np.ones((64, 64, 3), np.float32), None, "plain colour"),
        (np.full((64, 64, 3), 0.4, np.float32), None, "plain colour"),
        (np.zeros((64, 64, 4), np.float32), None, "transparent"),
        (busy_picture(), None, "brush"),
        (busy_picture(), np.ones((64, 64), bool), "whole picture"),
        (busy_picture(), np.ones((32, 64), bool), "64 x 32"),
    ],
)
def test_pictures_without_a_usable_mask_are_refused_in_one_sentence(picture, brush, words):
    with pytest.raises(ImageError, match=words) as caught:
        matte(open_image(picture), brush)
    one_sentence(caught.value)


def test_a_speck_is_no_object():
    rgba = open_image(np.ones((64, 64, 3), np.float32))
    rgba[30:34, 30:34, :3] = 0
    with pytest.raises(ImageError, match="16 pixels"):
        matte(rgba)


def test_dust_does_not_move_the_outline():
    rgba = open_image(np.asarray(red_square()))
    rgba[3, 3, :3] = 0
    np.testing.assert_allclose(outline(matte(rgba)), [16, 16, 48, 48], atol=0.1)


def test_placing_a_picture_on_itself_changes_nothing():
    rgba = np.random.default_rng(0).random((40, 40, 4)).astype(np.float32) * 0.9 + 0.05
    frame = np.array([10.0, 10.0, 30.0, 30.0], np.float32)
    np.testing.assert_allclose(place(rgba, frame, frame, 40), rgba, atol=1e-5)


def test_shrinking_takes_the_mean_of_the_covered_area_in_premultiplied_alpha():
    rng = np.random.default_rng(0)
    rgba = rng.random((60, 60, 4)).astype(np.float32) * 0.8 + 0.1
    small = place(
        rgba, np.array([0, 0, 60, 60], np.float32), np.array([0, 0, 20, 20], np.float32), 20
    )
    solid = np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)
    mean = solid.reshape(20, 3, 20, 3, 4).mean((1, 3))
    np.testing.assert_allclose(small[..., 3], mean[..., 3], atol=1e-5)
    np.testing.assert_allclose(small[..., :3], mean[..., :3] / mean[..., 3:], atol=1e-5)


def test_a_view_is_white_outside_the_object_and_has_no_dark_fringe():
    rgba = np.zeros((200, 200, 4), np.float32)
    rgba[60:140, 20:180] = [0.9, 0.8, 0.1, 1]
    view = frame_view(rgba, 60, 10, 1.3, 64, OBJECTS)
    alpha = view.alpha[0]
    expected = alpha * torch.tensor([0.9, 0.8, 0.1]) + 1 - alpha
    torch.testing.assert_close(view.images[0], expected, atol=1e-5, rtol=0)
    assert (view.images[0, 0] == 1).all()
    torch.testing.assert_close(view.camera[0].c2w, orbit_camera(60.0, 10.0, 1.3, 64).c2w)


def test_framing_is_the_same_wherever_and_however_large_the_object_was():
    rng = np.random.default_rng(0)
    picture = np.zeros((128, 128, 4), np.float32)
    cv2.ellipse(picture, (64, 60), (45, 20), 10, 0, 360, (0.2, 0.4, 0.6, 1.0), -1, cv2.LINE_AA)
    picture[..., :3] = [0.2, 0.4, 0.6]
    first = outline(frame_view(picture, 50, 15, 1.3, 128, OBJECTS).alpha[0, ..., 0].numpy())
    for _ in range(5):
        scale = rng.uniform(0.7, 3)
        shift = rng.uniform(-20, 20, 2) * scale
        move = np.array([[scale, 0, 40 + shift[0]], [0, scale, 40 + shift[1]]])
        moved = cv2.warpAffine(picture, move, (520, 520), flags=cv2.INTER_LINEAR)
        moved[..., :3] = [0.2, 0.4, 0.6]
        again = outline(frame_view(moved, 50, 15, 1.3, 128, OBJECTS).alpha[0, ..., 0].numpy())
        np.testing.assert_allclose(again, first, atol=1.0)


def test_projected_frames_agree_with_a_projection_matrix():
    camera = orbit_camera(33.0, 21.0, 1.3, 128)
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=3)), np.float32)
    corners = (signs * np.float32([0.3, 0.8, 0.5]))[None]
    world = np.concatenate([corners[0] * WORLD_PER_SRN, np.ones((8, 1))], 1)
    focal = 131.25
    matrix = np.array([[focal, 0, 64, 0], [0, focal, 64, 0], [0, 0, 1, 0]])
    pixels = world @ np.linalg.inv(camera.c2w.double().numpy()).T @ matrix.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    wanted = np.concatenate([pixels.min(0), pixels.max(0)])
    np.testing.assert_allclose(project_frames(camera, corners)[0], wanted, atol=1e-3)


def test_extreme_points_keep_the_outline_of_a_cloud():
    cloud = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32) * 0.1
    few = extreme_points(cloud, 128)
    camera = orbit_camera(33.0, 21.0, 1.3, 128)
    whole, outlined = project_frames(camera, cloud[None])[0], project_frames(camera, few[None])[0]
    np.testing.assert_allclose(outlined, whole, atol=0.05 * (whole[2] - whole[0]))


def test_generic_bodies_have_about_diagonal_one():
    extents = generic_objects().max(1) - generic_objects().min(1)
    np.testing.assert_allclose(np.linalg.norm(extents, axis=1), 1, atol=0.05)


@pytest.fixture(scope="module")
def known_vehicles() -> np.ndarray:
    """Outlines of training vehicles."""
    return np.stack([extreme_points(build_vehicle(seed).vertices) for seed in range(32)])


@pytest.mark.parametrize(("azimuth", "elevation"), [(55.0, 8.0), (130.0, 25.0), (300.0, 45.0)])
def test_the_framing_of_unseen_vehicles_is_recovered(known_vehicles, azimuth, elevation):
    rng = np.random.default_rng(1)
    camera = orbit_camera(azimuth, elevation, 1.3, 128)
    scales, centres = [], []
    for index in range(24):
        vehicle = build_vehicle(scene_seed("val", index))
        c2w, intrinsics = camera.srn_c2w()[None].numpy(), camera.intrinsics.numpy()
        picture = render_shape(vehicle, c2w, intrinsics, 128)[0].astype(np.float32) / 255
        truth = outline(picture[..., 3])
        factor = float(rng.uniform(0.8, 2.5))
        wanted = truth * factor + np.tile(rng.uniform(20, 60, 2), 2)
        moved = place(picture, truth, wanted.astype(np.float32), 420)
        found = outline(
            frame_view(moved, azimuth, elevation, 1.3, 128, known_vehicles).alpha[0, ..., 0].numpy()
        )
        scales.append(abs(np.log((found[2:] - found[:2]) / (truth[2:] - truth[:2])).mean()))
        centres.append(np.linalg.norm(found[:2] + found[2:] - truth[:2] - truth[2:]) / 2 / 128)
    assert np.median(scales) < 0.04
    assert np.median(centres) < 0.02


def test_a_picture_of_a_camera_becomes_a_view():
    view = frame_view(cut_picture(PHOTO).rgba, 50, 12, 1.3, 128, OBJECTS)
    assert view.images.shape == (1, 128, 128, 3)
    left, top, right, bottom = outline(view.alpha[0, ..., 0].numpy())
    assert 70 < right - left < 115
    assert abs((left + right) / 2 - 64) < 8
    assert (view.images[0, :8] == 1).all()
    assert bottom - top > 20


def test_posed_pictures_keep_their_pixels_and_cameras():
    c2w = orbit(torch.tensor(0.3), torch.tensor(0.2), torch.tensor(1.3))
    intrinsics = torch.tensor([600.0, 600.0, 240.0, 180.0])
    view = posed_view(*open_sized(PHOTO), c2w, intrinsics, (360, 480))
    np.testing.assert_allclose(view.images[0].numpy(), open_image(PHOTO)[..., :3], atol=1e-6)
    torch.testing.assert_close(view.camera.srn_c2w()[0], c2w)
    torch.testing.assert_close(view.camera.intrinsics[0], intrinsics)


def test_intrinsics_of_another_resolution_are_scaled_and_of_other_proportions_refused():
    c2w = orbit(torch.tensor(0.3), torch.tensor(0.2), torch.tensor(1.3))
    view = posed_view(
        *open_sized(PHOTO), c2w, torch.tensor([1200.0, 1200.0, 480.0, 360.0]), (720, 960)
    )
    torch.testing.assert_close(view.camera.intrinsics[0], torch.tensor([600.0, 600, 240, 180]))
    with pytest.raises(ImageError, match="480 x 360 pixels but its intrinsics") as caught:
        posed_view(*open_sized(PHOTO), c2w, torch.tensor([600.0, 600.0, 240.0, 240.0]), (480, 480))
    one_sentence(caught.value)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_intrinsics_of_a_picture_that_is_reduced_are_in_pixels_of_its_file(tmp_path, ending):
    rgb = np.full((2701, 4800, 3), 255, np.uint8)
    rgb[900:1800, 1800:3000] = 90
    path = tmp_path / f"large.{ending}"
    Image.fromarray(rgb).save(path)
    _, size = open_sized(path)
    assert size == (2701, 4800)
    pose = orbit(torch.tensor(0.3), torch.tensor(0.2), torch.tensor(1.3))
    values = np.array([5000.0, 5000.0, 2400.0, 1350.5])
    given = [
        Posed(path, pose.double().numpy(), values, resolution, "pose", path.name)
        for resolution in (None, (2701, 4800))
    ]
    views = posed_views(given)[0]
    focal = np.array([2500.0, 2500.0, 2400.0, 1350.5])
    one = replace(given[0], values=focal)
    views += posed_views([one], CameraReading(focal=5000.0))[0]
    for view in views:
        height, width = view.camera.height, view.camera.width
        assert max(height, width) <= 2048
        share = np.array([width, height, width, height]) / [4800, 2701, 4800, 2701]
        np.testing.assert_allclose(view.camera.intrinsics[0], values * share, rtol=1e-5)


def test_a_turned_picture_has_the_size_that_it_is_seen_in(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (2500, 1000)).save(tmp_path / "a.jpg", exif=exif)
    rgba, size = open_sized(tmp_path / "a.jpg")
    assert size == (2500, 1000)
    assert rgba.shape[:2] == (1250, 500)


def test_views_are_joined_in_order():
    views = [frame_view(cut_picture(PHOTO).rgba, angle, 8, 1.3, 64, OBJECTS) for angle in (10, 120)]
    joined = join_views(views)
    assert len(joined) == 2
    assert len(joined.camera) == 2
    torch.testing.assert_close(joined[[1]].images, views[1].images)
    with pytest.raises(ImageError, match="32 x 32 and 64 x 64"):
        join_views([views[0], frame_view(cut_picture(PHOTO).rgba, 10, 8, 1.3, 32, OBJECTS)])


def test_poses_are_read_in_any_layout(tmp_path):
    c2w = orbit(torch.tensor(0.3), torch.tensor(0.2), torch.tensor(1.3))
    line, rows = tmp_path / "line.txt", tmp_path / "rows.txt"
    line.write_text(" ".join(f"{x:.9f}" for x in c2w.flatten().tolist()))
    np.savetxt(rows, c2w.numpy())
    torch.testing.assert_close(read_pose(line), c2w)
    torch.testing.assert_close(read_pose(rows), c2w)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3", "3 numbers"),
        ("1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 one", "one"),
        ("2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", "not a rotation"),
        ("1 0 0 0 0 1 0 0 0 0 -1 0 0 0 0 1", "mirrored"),
        ("1 0 0 0 0 1 0 0 0 0 1 0 1 2 3 1", "last row is 1 2 3 1"),
        ("nan 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "finite"),
    ],
)
def test_bad_poses_are_refused_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "pose.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_pose(path)
    one_sentence(caught.value)


def test_intrinsics_are_read_from_srn_files_and_matrices(tmp_path):
    path = tmp_path / "intrinsics.txt"
    path.write_text("131.25 64.0 62.0 0.\n0. 0. 0.\n1.\n120 128\n")
    values, resolution = read_intrinsics(path)
    assert values.tolist() == [131.25, 131.25, 64.0, 62.0]
    assert resolution == (120, 128)
    for side in (3, 4):
        matrix = np.eye(side)
        matrix[:2, :3] = [[100, 0, 50], [0, 110, 55]]
        np.savetxt(path, matrix)
        values, resolution = read_intrinsics(path)
        assert values.tolist() == [100, 110, 50, 55]
        assert resolution is None


@pytest.mark.parametrize("text", ["1 2 3 4 5", "0 64 64 0 0 0 0 1 128 128", "\x80"])
def test_bad_intrinsics_are_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "intrinsics.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_intrinsics(path)
    one_sentence(caught.value)
    with pytest.raises(DataError, match="no such file"):
        read_intrinsics(tmp_path / "nothing.txt")


def test_a_phones_picture_is_read_upright():
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[:, :50], pixels[:, 50:] = (200, 30, 30), (30, 30, 200)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the first row is the right edge
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, exif=exif.tobytes(), quality=95)
    upright = open_image(file.getvalue(), "phone.heic")
    assert upright.shape == (100, 60, 4)
    np.testing.assert_allclose(upright[10, 30, :3] * 255, (200, 30, 30), atol=4)
    np.testing.assert_allclose(upright[90, 30, :3] * 255, (30, 30, 200), atol=4)

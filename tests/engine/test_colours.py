"""Colours of pictures in other spaces, against the definitions of the spaces."""

import itertools
import struct

import numpy as np
import pytest
from PIL import Image

from engine.errors import ImageError
from engine.vision.images import open_image
from tests.engine.hostile_pictures import (
    curve,
    described,
    encoded,
    icc_profile,
    png,
    png_chunk,
    with_chunks,
    xyz,
)

GREEN = np.array([20, 160, 60]) / 255
"""What a disc looks like, sRGB."""
GAMUTS = {
    "P3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    "Adobe": (0.640, 0.330, 0.210, 0.710, 0.150, 0.060),
    "sRGB": (0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
}
D65 = (0.3127, 0.3290)
CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Bradford's matrix from XYZ to the eye's cones."""


def srgb_light(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)


def srgb_numbers(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def rgb_to_xyz(gamut: str) -> np.ndarray:
    """The matrix of a space under D65."""
    points = [GAMUTS[gamut][k : k + 2] for k in (0, 2, 4)]
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in points]).T
    white = np.array([D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def in_gamut(srgb: np.ndarray, gamut: str, gamma: float | None = None) -> np.ndarray:
    """The numbers of a colour in another space, with sRGB's curve or a power."""
    light = srgb_light(np.asarray(srgb)) @ (np.linalg.inv(rgb_to_xyz(gamut)) @ rgb_to_xyz("sRGB")).T
    light = light.clip(0, 1)
    return srgb_numbers(light) if gamma is None else light ** (1 / gamma)


def display_profile(gamut: str, gamma: float | None = None) -> bytes:
    """The profile of a display with these primaries."""
    d50 = np.array([0.9642, 1.0, 0.8249])
    d65 = rgb_to_xyz(gamut).sum(1)
    adapt = np.linalg.inv(CONES) @ np.diag((CONES @ d50) / (CONES @ d65)) @ CONES
    columns = (adapt @ rgb_to_xyz(gamut)).T
    numbers = np.linspace(0, 1, 1024)
    tone = curve(srgb_light(numbers) if gamma is None else numbers**gamma)
    tags = {b"desc": described(gamut.encode()), b"wtpt": xyz(*d50)}
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {name + b"XYZ": xyz(*column), name + b"TRC": tone}
    return icc_profile(b"RGB ", tags)


def filled(color: np.ndarray, mode: str = "RGB") -> Image.Image:
    """A picture of one colour in [0, 1], with a white border of one block of a JPEG."""
    values = np.full((32, 32, len(color)), 255, np.uint8)
    values[8:-8, 8:-8] = np.round(np.asarray(color) * 255)
    return Image.fromarray(values[..., 0] if len(color) == 1 else values, mode)


def middle(data: bytes) -> np.ndarray:
    return open_image(data)[16, 16] * 255


COLORS = [GREEN, np.array([200, 30, 40]) / 255, np.array([90, 90, 90]) / 255]


@pytest.mark.parametrize(
    ("gamut", "gamma"), [("P3", None), ("Adobe", 563 / 256), ("sRGB", None), ("sRGB", 1.8)]
)
@pytest.mark.parametrize("color", COLORS, ids=["green", "red", "grey"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_colours_of_a_profile_are_those_it_means(gamut, gamma, color, kind):
    picture = filled(in_gamut(color, gamut, gamma))
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(picture, kind, icc_profile=display_profile(gamut, gamma), **options)
    np.testing.assert_allclose(middle(data)[:3], color * 255, atol=8 if kind == "JPEG" else 1.6)
    np.testing.assert_allclose(open_image(data)[1, 1], 1, atol=1.1 / 255)


def test_a_profile_does_not_change_the_alpha():
    color = in_gamut(GREEN, "P3")
    picture = filled(np.array([*color, 0.5]), "RGBA")
    data = encoded(picture, "PNG", icc_profile=display_profile("P3"))
    np.testing.assert_allclose(middle(data), [*GREEN * 255, 128], atol=1.6)


def test_a_palette_has_a_profile_too():
    picture = filled(in_gamut(GREEN, "P3")).quantize(4)
    data = encoded(picture, "PNG", icc_profile=display_profile("P3"))
    np.testing.assert_allclose(middle(data)[:3], GREEN * 255, atol=1.6)


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_of_a_profile_is_that_grey(depth):
    numbers = np.linspace(0, 1, 256)
    tags = {b"desc": described(b"grey"), b"wtpt": xyz(0.9642, 1, 0.8249), b"kTRC": curve(numbers)}
    light = 0.2
    value = round(light * (2**depth - 1))
    array = np.full((32, 32), value, np.uint8 if depth == 8 else np.uint16)
    data = encoded(Image.fromarray(array), "PNG", icc_profile=icc_profile(b"GRAY", tags))
    np.testing.assert_allclose(middle(data)[:3], srgb_numbers(light) * 255, atol=1)


def seen(lab: np.ndarray) -> np.ndarray:
    """A colour of CIELAB under D50 as sRGB."""
    heights = (lab[0] + 16) / 116 + np.array([lab[1] / 500, 0, -lab[2] / 200])
    under_d50 = np.array([0.9642, 1.0, 0.8249]) * heights**3
    d65 = rgb_to_xyz("sRGB").sum(1)
    to_d65 = np.linalg.inv(CONES) @ np.diag((CONES @ d65) / (CONES @ [0.9642, 1.0, 0.8249])) @ CONES
    return srgb_numbers((np.linalg.inv(rgb_to_xyz("sRGB")) @ to_d65 @ under_d50).clip(0, 1))


def ink_profile(inks: np.ndarray, lab: np.ndarray) -> bytes:
    """A profile of four inks by what the sixteen full mixtures look like."""
    table = np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], 1).round()
    straight, unit = bytes(range(256)), (65536 * np.eye(3, dtype=int)).ravel()
    body = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *unit)
    body += straight * 4 + table.clip(0, 255).astype(np.uint8).tobytes() + straight * 3
    about = {b"desc": described(b"inks"), b"wtpt": xyz(0.9642, 1, 0.8249)}
    return icc_profile(b"CMYK", about | {b"A2B0": body, b"A2B1": body})


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_of_a_profile_are_what_they_look_like(kind):
    inks = np.array(list(itertools.product((0, 1), repeat=4)))
    each = np.array([[-30, -30, -40], [-40, 60, 0], [-15, -5, 60], [-100, 0, 0]])
    lab = np.array([100, 0, 0]) + inks @ each
    lab[lab[:, 0] <= 0] = 0
    picture = Image.new("CMYK", (32, 32), (0, 0, 255, 0))
    options = {"quality": 100} if kind == "JPEG" else {}
    data = encoded(picture, kind, icc_profile=ink_profile(inks, lab), **options)
    yellow = lab[(inks == [0, 0, 1, 0]).all(1)][0].astype(float)
    np.testing.assert_allclose(middle(data)[:3], seen(yellow) * 255, atol=2.5)


@pytest.mark.parametrize("profile", [b"", b"nonsense", bytes(200), display_profile("P3")[:300]])
def test_a_damaged_profile_counts_as_none(profile):
    data = encoded(filled(GREEN), "PNG", icc_profile=profile)
    np.testing.assert_allclose(middle(data)[:3], GREEN * 255, atol=0.6)


def test_a_profile_of_another_space_counts_as_none():
    tags = {
        b"desc": described(b"grey"),
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"kTRC": curve(np.linspace(0, 1, 256)),
    }
    data = encoded(filled(GREEN), "PNG", icc_profile=icc_profile(b"GRAY", tags))
    np.testing.assert_allclose(middle(data)[:3], GREEN * 255, atol=0.6)


def chromaticities(gamut: str) -> bytes:
    values = [round(value * 100_000) for value in (*D65, *GAMUTS[gamut])]
    return png_chunk(b"cHRM", struct.pack(">8I", *values))


def gamma_chunk(gamma: float) -> bytes:
    return png_chunk(b"gAMA", struct.pack(">I", round(100_000 / gamma)))


@pytest.mark.parametrize(
    ("chunks", "gamut", "gamma"),
    [
        (gamma_chunk(1.0), "sRGB", 1.0),
        (gamma_chunk(1.8), "sRGB", 1.8),
        (gamma_chunk(2.2), "sRGB", None),
        (chromaticities("P3") + gamma_chunk(2.2), "P3", None),
        (chromaticities("Adobe") + gamma_chunk(1.5), "Adobe", 1.5),
        (chromaticities("sRGB") + gamma_chunk(2.2), "sRGB", None),
        (gamma_chunk(1.0) + png_chunk(b"sRGB", b"\0"), "sRGB", None),
        (png_chunk(b"cICP", bytes([12, 13, 0, 1])), "P3", None),
        (png_chunk(b"cICP", bytes([1, 13, 0, 1])) + gamma_chunk(1.0), "sRGB", None),
    ],
)
def test_chunks_of_a_png_say_what_its_numbers_mean(chunks, gamut, gamma):
    data = with_chunks(encoded(filled(in_gamut(GREEN, gamut, gamma)), "PNG"), chunks)
    np.testing.assert_allclose(middle(data)[:3], GREEN * 255, atol=2.6)


def test_a_png_with_more_light_than_a_screen_has_is_refused():
    data = with_chunks(encoded(filled(GREEN), "PNG"), png_chunk(b"cICP", bytes([9, 16, 0, 1])))
    with pytest.raises(ImageError, match="HDR"):
        open_image(data)


def test_a_camera_may_say_adobe_in_its_exif():
    entries = [
        (0x8769, 4, 1, struct.pack("<I", 26)),
        (0xA005, 4, 1, struct.pack("<I", 44)),
        (1, 2, 4, b"R03\0"),
    ]
    folders = b"".join(struct.pack("<HHHI4sI", 1, *entry, 0) for entry in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + folders
    picture = filled(in_gamut(GREEN, "Adobe", 563 / 256))
    data = encoded(picture, "PNG", exif=exif)
    np.testing.assert_allclose(middle(data)[:3], GREEN * 255, atol=1.6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "deep"])
def test_every_orientation_of_exif_is_set_upright(orientation, kind):
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255  # the upper left corner
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "deep":
        data = encoded(Image.fromarray(stored.astype(np.uint16) * 257), "PNG", exif=exif)
    else:
        data = encoded(Image.fromarray(stored).convert("RGB"), kind, exif=exif)
    rgba = open_image(data)
    assert rgba.shape == (32, 48, 4)
    assert np.abs(rgba[..., 0] - upright / 255).mean() < 0.05


def test_damaged_exif_does_not_spoil_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(filled(GREEN), "PNG", exif=b"Exif\0\0" + exif.tobytes()[:12] + bytes(range(40)))
    np.testing.assert_allclose(middle(data)[:3], GREEN * 255, atol=0.6)


def test_a_transparent_grey_of_sixteen_bits_is_transparent():
    values = np.full((32, 32), 300, ">u2")
    values[8:-8, 8:-8] = 299
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    rgba = open_image(png(32, 32, 16, 0, rows, png_chunk(b"tRNS", struct.pack(">H", 300))))
    assert rgba[0, 0, 3] == 0
    np.testing.assert_allclose(rgba[16, 16], [299 / 65535] * 3 + [1], atol=1e-6)


@pytest.mark.parametrize("color", [2, 4, 6])
def test_sixteen_bits_of_colour_and_alpha_are_not_clipped(color):
    channels = {2: 3, 4: 2, 6: 4}[color]
    values = np.random.default_rng(0).integers(0, 65536, (32, 32, channels)).astype(">u2")
    rgba = open_image(png(32, 32, 16, color, b"".join(b"\0" + row.tobytes() for row in values)))
    found = rgba[..., [0, 3]] if color == 4 else rgba[..., :channels]
    np.testing.assert_allclose(found, values / 65535, atol=1 / 255)


def test_floats_open_as_they_are_and_others_are_refused():
    ramp = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    np.testing.assert_allclose(open_image(encoded(Image.fromarray(ramp), "TIFF"))[..., 0], ramp)
    with pytest.raises(ImageError, match=r"\[0, 2\]"):
        open_image(encoded(Image.fromarray(ramp * 2), "TIFF"))
    whole = np.full((32, 32), 70_000, np.int32)
    with pytest.raises(ImageError, match="70000"):
        open_image(encoded(Image.fromarray(whole), "TIFF"))


def test_multiplied_alpha_is_divided_out():
    values = np.full((32, 32, 4), [100, 50, 25, 128], np.uint8)
    data = encoded(Image.fromarray(values), "TIFF")
    straight, multiplied = (struct.pack("<HHIH", 338, 3, 1, kind) for kind in (2, 1))
    assert data.count(straight) == 1
    data = data.replace(straight, multiplied)
    np.testing.assert_allclose(middle(data), [199, 100, 50, 128], atol=1.1)

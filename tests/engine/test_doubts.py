"""What is cut out is right, or doubted: no floor, shadow, page or second object passes as the object."""

import cv2
import numpy as np
import pytest
from PIL import Image

from app.examples import EXAMPLES
from engine.errors import CutoutError
from engine.vision.images import cut_out, matte, open_image, open_mask
from tests.engine.hostile_pictures import encoded
from tests.engine.test_images import one_sentence

HEIGHT, WIDTH = 220, 320


def car(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawn car of any colour, and its mask."""
    rng = np.random.default_rng(seed)
    fine = np.zeros((4 * HEIGHT, 4 * WIDTH, 4), np.float32)
    left, base = 4 * rng.integers(40, 80), 4 * rng.integers(140, 170)
    right, middle = left + 4 * rng.integers(140, 190), base - 4 * rng.integers(28, 40)
    paint = rng.random(3) * 0.7
    paint[rng.integers(3)] *= 0.3
    fine[middle:base, left:right] = [*paint, 1]
    roof = np.array(
        [
            [left + 120, middle],
            [left + 220, middle - 130],
            [right - 160, middle - 130],
            [right - 60, middle],
        ]
    )
    cv2.fillPoly(fine, [roof.astype(np.int32)], (*paint.tolist(), 1.0))
    inner = ((roof - roof.mean(0)) * 0.75 + roof.mean(0)).astype(np.int32)
    cv2.fillPoly(fine, [inner], (0.15, 0.17, 0.2, 1.0))
    for hub in (left + 110, right - 110):
        cv2.circle(fine, (int(hub), int(base)), 70, (0.05, 0.05, 0.06, 1.0), -1)
    small = cv2.resize(fine * fine[..., 3:], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    alpha = small[..., 3]
    return small[..., :3] / np.maximum(alpha, 1e-6)[..., None], alpha


def on(
    background: np.ndarray | float, seed: int, quality: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The car on a background as an opened picture, and its mask."""
    rgb, alpha = car(seed)
    picture = rgb * alpha[..., None] + np.broadcast_to(background, rgb.shape) * (
        1 - alpha[..., None]
    )
    pixels = Image.fromarray(np.round(picture.clip(0, 1) * 255).astype(np.uint8))
    data = encoded(pixels, "PNG") if quality is None else encoded(pixels, "JPEG", quality=quality)
    return open_image(data), alpha


def shadow(seed: int, strength: float, blur: float) -> np.ndarray:
    """A white floor with a soft shadow under the car."""
    alpha = car(seed)[1]
    rows, cols = np.nonzero(alpha > 0.5)
    dark = np.zeros((HEIGHT, WIDTH), np.float32)
    middle, half = int(cols.mean()), int(np.ptp(cols) * 0.55)
    cv2.ellipse(dark, (middle, int(rows.max()) - 4), (half, half // 4), 0, 0, 360, 1.0, -1)
    return 1 - strength * cv2.GaussianBlur(dark, (0, 0), blur)[..., None]


def away(power: float) -> np.ndarray:
    """Squared distance from the middle of the picture, 1 in its corners."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    return ((2 * (rows / HEIGHT - 0.5) ** 2 + 2 * (cols / WIDTH - 0.5) ** 2) ** power)[..., None]


def road(seed: int) -> np.ndarray:
    """A pale sky over a grey road."""
    back = np.ones((HEIGHT, WIDTH, 3)) * [0.97, 0.98, 1.0]
    back[110:] = 0.55 + 0.1 * np.random.default_rng(seed).random()
    return back


def wall(share: float) -> np.ndarray:
    """Brighter above than below."""
    return np.linspace(1, 1 - share, HEIGHT)[:, None, None]


BACKGROUNDS = {
    "shadow": lambda seed: shadow(seed, 0.4, 8.0),
    "dark shadow": lambda seed: shadow(seed, 0.8, 5.0),
    "wide shadow": lambda seed: shadow(seed, 0.5, 25.0),
    "vignette": lambda seed: 1 - 0.5 * away(1.0),
    "dark vignette": lambda seed: 0.5 - 0.4 * away(2.0),
    "studio": lambda seed: wall(0.3),
    "dim studio": lambda seed: wall(0.12) * 0.7,
    "road": road,
    "shadow on grey": lambda seed: 0.7 * shadow(seed, 0.4, 8.0),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("quality", [None, 85])
def test_what_is_taken_is_the_object(background, quality):
    taken = 0
    for seed in range(6):
        picture, truth = on(BACKGROUNDS[background](seed), seed, quality)
        try:
            alpha = matte(picture)
        except CutoutError as error:
            one_sentence(error)
            continue
        both = (alpha > 0.5) & (truth > 0.5)
        assert both.sum() / ((alpha > 0.5) | (truth > 0.5)).sum() > 0.93, f"seed {seed}"
        taken += 1
    if background in ("road", "dark shadow", "vignette", "studio"):
        assert taken == 0


@pytest.mark.parametrize("background", [1.0, 0.99, 0.75, [0.2, 0.7, 0.3], [0.95, 0.9, 0.8], 0.98])
@pytest.mark.parametrize("quality", [None, 60, 85])
def test_cars_on_a_plain_background_are_taken(background, quality):
    for seed in range(6):
        picture, truth = on(background, seed, quality)
        alpha = matte(picture)
        assert ((alpha > 0.5) & (truth > 0.5)).sum() / ((alpha > 0.5) | (truth > 0.5)).sum() > 0.93


@pytest.mark.parametrize("path", [example.path for example in EXAMPLES], ids=lambda path: path.stem)
def test_bundled_pictures_are_taken(path):
    assert cut_out(open_image(path)).shape[-1] == 4


def page(angle: float = 0.0) -> np.ndarray:
    """A photograph with a background of its own on a white page, turned."""
    photo = np.ones((HEIGHT, WIDTH, 3), np.float32)
    photo[30:190, 40:280] = [0.47, 0.58, 0.7]
    photo[130:190, 40:280] = [0.36, 0.43, 0.35]
    photo[90:160, 110:210] = [0.7, 0.12, 0.12]
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, 0.8)
    return cv2.warpAffine(photo, turn, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderValue=(1, 1, 1))


@pytest.mark.parametrize("angle", [0.0, 7.0, 90.0, 211.0])
def test_a_photograph_on_a_page_is_doubted(angle):
    with pytest.raises(CutoutError, match="whole photograph"):
        matte(open_image(page(angle)))


def test_a_photograph_with_clear_corners_is_doubted():
    picture = np.ones((HEIGHT, WIDTH, 4), np.float32)
    picture[..., :3] = np.random.default_rng(0).random((HEIGHT, WIDTH, 3))
    picture[:8, :, 3] = picture[-8:, :, 3] = 0
    with pytest.raises(CutoutError, match="whole photograph"):
        matte(picture)


def test_a_plain_block_is_no_photograph():
    picture = np.ones((HEIGHT, WIDTH, 3), np.float32)
    picture[60:160, 80:240] = [0.8, 0.1, 0.1]
    assert matte(open_image(picture))[100, 100] == 1


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_two_objects_are_doubted(clear, scale):
    rgb, alpha = car(0)
    small = cv2.resize(
        np.dstack([rgb, alpha]), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    both = np.zeros((HEIGHT, 2 * WIDTH, 4), np.float32)
    both[:, :WIDTH] = np.dstack([rgb, alpha])
    both[: small.shape[0], WIDTH : WIDTH + small.shape[1]] = small
    if not clear:
        both[..., :3] = both[..., :3] * both[..., 3:] + 1 - both[..., 3:]
        both[..., 3] = 1
    with pytest.raises(CutoutError, match="more than one object"):
        matte(both)


def test_parts_with_a_narrow_gap_are_one_object():
    picture = np.ones((HEIGHT, WIDTH, 4), np.float32)
    picture[60:110, 80:240, :3] = picture[112:160, 80:240, :3] = [0.1, 0.2, 0.6]
    picture[60:80, 80:120, :3] = 1
    assert matte(picture)[140, 100] == 1


def test_a_shadow_in_the_alpha_is_doubted():
    rgb, alpha = car(0)
    dark = 1 - shadow(0, 0.8, 8.0)[..., 0]
    with pytest.raises(CutoutError, match="half transparent"):
        matte(np.dstack([rgb, np.maximum(alpha, dark)]).astype(np.float32))


def test_gaps_through_which_a_coloured_background_is_seen_are_no_object():
    frame = np.full((HEIGHT, WIDTH, 3), [0.2, 0.7, 0.3])
    frame[50:170, 90:230] = [0.5, 0.3, 0.1]
    frame[70:150, 110:210] = [0.2, 0.7, 0.3]
    alpha = matte(open_image(frame))
    assert alpha[100, 160] == 0
    assert alpha[60, 160] == 1


def test_large_white_parts_inside_on_white_are_asked_about():
    frame = np.ones((HEIGHT, WIDTH, 3), np.float32)
    frame[50:170, 90:230] = [0.5, 0.3, 0.1]
    frame[70:150, 110:210] = 1
    with pytest.raises(CutoutError, match="just like the background"):
        matte(open_image(frame))


def test_who_paints_or_accepts_is_not_asked(tmp_path):
    picture = open_image(page())
    brush = np.zeros((HEIGHT, WIDTH), np.uint8)
    brush[90:160, 110:210] = 255
    (tmp_path / "mask.png").write_bytes(encoded(Image.fromarray(brush), "PNG"))
    np.testing.assert_array_equal(matte(picture, open_mask(tmp_path / "mask.png")), brush / 255)
    assert matte(picture, accept=True)[110, 80] == 1

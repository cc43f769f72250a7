"""The feature network: what its distances order, and that it is written and read whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import launch
from engine.data.procedural.categories import CATEGORIES
from engine.data.procedural.shape import scene_seed
from engine.errors import CheckpointError
from engine.evaluation.distances import frechet, kernel
from engine.evaluation.features import FOLDER, FeatureNet, features, load_features, save_features
from engine.evaluation.features_training import FeatureRecipe, blurred, corrupted, train_features
from engine.events import finish
from engine.store.checkpoint import list_checkpoints

SCENES, VIEWS = 40, 3


@pytest.fixture(scope="module")
def net() -> FeatureNet:
    return load_features()


@pytest.fixture(scope="module")
def pictures() -> dict[str, torch.Tensor]:
    """Scenes of the test split, which the network was not trained on."""
    return {name: draw(category) for name, category in CATEGORIES.items()}


def draw(category) -> torch.Tensor:
    seeds = [scene_seed("test", index) for index in range(SCENES)]
    found = [
        category.pictures(category.build(seed), category.cameras(seed, VIEWS), 64) for seed in seeds
    ]
    return torch.from_numpy(np.concatenate(found)).float() / 255


def distances(a, b) -> np.ndarray:
    return np.array([frechet(a, b), kernel(a, b, seed=0)])


def test_halves_of_a_category_are_nearer_than_two_categories(net, pictures):
    found = {name: features(net, images) for name, images in pictures.items()}
    halves = {
        name: distances(values[: len(values) // 2], values[len(values) // 2 :])
        for name, values in found.items()
    }
    names = list(found)
    for one in names:
        for two in names:
            if one != two:
                across = distances(found[one][: len(found[one]) // 2], found[two][::2])
                assert (across > 3 * halves[one]).all(), (one, two)


@pytest.mark.parametrize("name", list(CATEGORIES))
@pytest.mark.parametrize("way", ["blur", "noise"])
def test_distances_grow_with_the_corruption(net, pictures, name, way):
    images = pictures[name]
    clean, noise = features(net, images), torch.Generator().manual_seed(0)
    grain = torch.randn(images.shape, generator=noise)

    def spoilt(level: float) -> torch.Tensor:
        if way == "noise":
            return (images + 0.08 * level * grain).clamp(0, 1)
        return blurred(images.movedim(-1, 1), torch.full((len(images),), level)).movedim(1, -1)

    found = np.array([distances(clean, features(net, spoilt(x))) for x in (0.0, 0.7, 1.4, 2.8)])
    assert found[0] == pytest.approx(0, abs=1e-6 + abs(found[0, 1]))
    assert (np.diff(found, axis=0) > 0).all(), found


def test_the_network_tells_categories_apart(net, pictures):
    for index, name in enumerate(net.categories):
        with torch.no_grad():
            guess = net.guess(net(pictures[name].movedim(-1, 1)))
        assert (guess.category.argmax(1) == index).float().mean() > 0.9


def test_large_pictures_are_averaged_down(net, pictures):
    images = pictures["vehicles"][:4]
    large = images.repeat_interleave(2, 1).repeat_interleave(2, 2)
    np.testing.assert_allclose(features(net, large), features(net, images), atol=1e-4)


def test_features_do_not_depend_on_the_batch(net, pictures, monkeypatch):
    images = pictures["vehicles"][:7]
    whole = features(net, images)
    assert whole.dtype == np.float64
    monkeypatch.setattr("engine.evaluation.features.BATCH", 3)
    np.testing.assert_allclose(features(net, images), whole, atol=1e-4)


def test_the_bundled_network_is_small_and_is_no_prior(net):
    assert sum(p.numel() for p in net.parameters()) < 500_000
    assert (FOLDER / "features.safetensors").stat().st_size < 2**20
    assert FOLDER.name not in list_checkpoints()
    assert set(net.categories) == set(CATEGORIES)


def test_blur_is_gaussian_and_none_leaves_the_picture():
    images = torch.zeros(2, 3, 41, 41)
    images[:, :, 20, 20] = 1
    out = blurred(images, torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(out[0], images[0])
    square = (torch.arange(41.0) - 20) ** 2
    expected = torch.exp(-(square[:, None] + square) / 8)
    torch.testing.assert_close(out[1, 0], expected / expected.sum(), atol=2e-4, rtol=0)


def test_a_picture_is_spoilt_in_one_way_as_strongly_as_said():
    images = torch.full((400, 3, 16, 16), 0.5)
    out, strength = corrupted(images, torch.Generator().manual_seed(0))
    assert ((strength > 0).sum(1) <= 1).all()
    assert 0.3 < (strength.sum(1) == 0).float().mean() < 0.5
    sound = torch.isclose(out, images, atol=1e-5).flatten(1).all(1)
    torch.testing.assert_close(sound, strength[:, 1:].sum(1) == 0)  # blur leaves a flat grey
    grainy = strength[:, 1] > 0
    assert (out.flatten(1).std(1)[grainy] / strength[grainy, 1]).mean() == pytest.approx(
        0.25, rel=0.1
    )


def test_training_repeats_with_its_seed_and_what_is_written_is_read(tmp_path):
    recipe = FeatureRecipe(scenes=3, views=2, validation_scenes=2, iterations=3, batch=4)
    run = train_features([CATEGORIES["vehicles"]], recipe)
    steps = []
    net, figures = finish(run, steps.append)
    assert [step.stage for step in steps] == ["dataset"] * 3 + ["train"] * 3 + ["dataset"] * 2
    assert 0 <= figures["kind_accuracy"] <= 1
    again, _ = finish(train_features([CATEGORIES["vehicles"]], recipe))
    images = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(features(net, images), features(again, images), atol=1e-5)
    save_features(tmp_path, net, {"validation": figures})
    read = load_features(tmp_path)
    np.testing.assert_allclose(features(read, images), features(net, images), rtol=0.02, atol=0.02)
    assert (read.categories, read.kinds) == (net.categories, net.kinds)


def test_a_missing_or_damaged_network_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"launch\.py features"):
        load_features(tmp_path)
    save_features(tmp_path, FeatureNet(["a"], ["a: b"]), {})
    about = json.loads((tmp_path / "network.json").read_text())
    (tmp_path / "network.json").write_text(json.dumps(about | {"kinds": []}))
    with pytest.raises(CheckpointError, match="damaged"):
        load_features(tmp_path)


def test_the_command_writes_a_network_and_says_how_good_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "engine.data.procedural.categories.CATEGORIES", {"vehicles": CATEGORIES["vehicles"]}
    )
    words = ["--scenes", "2", "--iterations", "2", "--threads", "1", "--out", str(tmp_path)]
    assert launch.main(["features", *words]) == 0
    assert "kind_accuracy" in capsys.readouterr().err
    about = json.loads((tmp_path / "network.json").read_text())
    assert about["provenance"]["recipe"]["scenes"] == 2
    assert load_features(tmp_path).categories == ("vehicles",)

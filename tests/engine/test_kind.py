"""The kind of object in a picture: told apart on unseen objects, said in a sentence, kept in a file."""

import pytest
import torch

from engine.data.procedural.categories import CATEGORIES
from engine.errors import CheckpointError
from engine.events import finish
from engine.pose.guess import network_picture
from engine.pose.judge import exams
from engine.pose.kind import (
    FOLDER,
    KINDS,
    NONE,
    WEIGHTS,
    KindNet,
    doubt_about_kind,
    kind_of,
    load_kinds,
    save_kinds,
)
from engine.pose.kind_training import ODDMENTS, KindRecipe, train_kinds

MODELS = ("vehicles", "chairs")


def pictures(category, count: int = 16):
    return [network_picture(exam.square) for exam in finish(exams(category, count, hard=True))]


def test_unseen_objects_are_told_apart():
    net = load_kinds(FOLDER)
    for category in (*CATEGORIES.values(), ODDMENTS):
        told = [kind_of(net, picture) for picture in pictures(category)]
        right = sum(max(one, key=one.get) == category.name for one in told)
        assert right >= 13, category.name
        assert all(sum(one.values()) == pytest.approx(1, abs=1e-4) for one in told)


def test_a_picture_of_another_kind_is_said_and_the_model_named():
    net = load_kinds(FOLDER)
    chairs = [
        doubt_about_kind(net, one, "vehicles", MODELS) for one in pictures(CATEGORIES["chairs"])
    ]
    said = [doubt for doubt in chairs if doubt is not None]
    assert len(said) >= 10
    assert (
        sum(
            "looks like a chair" in one and one.endswith("choose the model chairs.") for one in said
        )
        >= 10
    )
    own = [doubt_about_kind(net, one, "chairs", MODELS) for one in pictures(CATEGORIES["chairs"])]
    assert sum(doubt is not None for doubt in own) <= 2


def test_every_category_is_a_kind():
    assert (*CATEGORIES, NONE) == KINDS


class Told(KindNet):
    """Says what it was told to."""

    def __init__(self, kind: str, share: float):
        super().__init__()
        rest = (1 - share) / (len(KINDS) - 1)
        self.logits = torch.tensor([share if one == kind else rest for one in KINDS]).log()

    def forward(self, pictures):
        return self.logits.expand(len(pictures), -1)


@pytest.mark.parametrize(
    ("kind", "share", "words"),
    [
        ("vehicles", 0.9, None),
        ("tables", 0.6, None),
        ("tables", 0.9, "This looks like a table (90 %), and the model knows vehicles."),
        (
            "chairs",
            0.9,
            "This looks like a chair (90 %), and the model knows vehicles; choose the model chairs.",
        ),
        (
            NONE,
            0.95,
            "This looks like none of vehicles, chairs, tables; what comes out is one of the vehicles that fits it best.",
        ),
    ],
)
def test_only_what_is_sure_is_said(kind, share, words):
    picture = torch.rand(4, 64, 64)
    assert doubt_about_kind(Told(kind, share), picture, "vehicles", MODELS) == words


def test_training_is_a_function_of_its_recipe_and_survives_a_file(tmp_path):
    recipe = KindRecipe(scenes=2, iterations=3, batch=8)
    net, again = (finish(train_kinds(recipe)) for _ in range(2))
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    save_kinds(tmp_path, net, recipe)
    picture = torch.rand(4, 64, 64)
    for kind, share in kind_of(load_kinds(tmp_path), picture).items():
        assert share == pytest.approx(kind_of(net, picture)[kind], abs=5e-3)


def test_a_missing_network_is_none_and_a_damaged_one_refused(tmp_path):
    assert load_kinds(tmp_path / "nowhere") is None
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        load_kinds(tmp_path)

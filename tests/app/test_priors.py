"""Several priors in one explorer: which there are, how they are opened, and what a session does with another one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.examples import EXAMPLES
from app.session.jobs import JobRunner
from app.session.priors import Prior, Priors, title
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.reconstruct.pictures import examples_html
from engine.data.procedural.categories import CATEGORIES
from engine.errors import CheckpointError
from engine.methods.base import TrainingData
from engine.methods.toy import ToyMethod
from engine.store.checkpoint import FOLDER
from tests.app.test_session import generate


@pytest.fixture
def folder(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """Two small checkpoints: `one`, and `other` for chairs."""
    for name in ("one", "other"):
        shutil.copytree(tiny_checkpoint, tmp_path / "checkpoints" / name)
    file = tmp_path / "checkpoints" / "other" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "data": {"category": "chairs", "distance": 2.0}}))
    return tmp_path / "checkpoints"


@pytest.fixture
def priors(folder: Path) -> Iterator[Priors]:
    priors = Priors(AppSettings(checkpoint="toy"), ToyMethod(), folder)
    yield priors
    priors.close()


def test_every_prior_on_disk_can_be_chosen_and_no_other(priors, folder):
    assert priors.choices == [("Toy", "toy"), ("One", "one"), ("Other", "other")]
    shutil.rmtree(folder / "one")
    assert priors.choices == [("Toy", "toy"), ("Other", "other")]


def test_the_first_prior_is_listed_once_however_it_was_named(folder):
    priors = Priors(AppSettings(checkpoint=str(folder / "other")), None, folder)
    assert [name for _, name in priors.choices] == [str(folder / "other"), "one"]
    assert priors.choices[0][0] == title("other") == "Other"
    priors.close()


def test_a_prior_is_opened_once(priors):
    opened = priors.open("other").result(60)
    assert priors.open("other").result() is opened
    assert opened.method.checkpoint == "other"
    assert opened.method.data == TrainingData("chairs", 2.0)
    assert priors.open("toy").result() is priors.first


def test_what_is_no_prior_is_refused_by_name(priors, folder):
    for name in ("missing", str(folder / "one"), "../one"):
        with pytest.raises(CheckpointError, match=r"found no such model.*toy, one, other"):
            priors.open(name).result(60)


def test_a_damaged_prior_can_be_restored(priors, folder):
    weights = folder / "one" / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:100])
    with pytest.raises(CheckpointError, match=r"^one/model\.safetensors: not a readable"):
        priors.open("one").result(60)
    weights.write_bytes(kept)
    assert priors.open("one").result(60).name == "one"


def test_a_session_shows_the_prior_it_goes_on_with(session, priors):
    other = priors.open("other").result(60)
    revision = session.revision
    session.use(other)
    record, index = session.selection()
    assert session.method is other.method
    assert torch.equal(record.latent(index), other.first_latent.cpu())
    assert session.baked(record, index) is other.greeting.result()
    assert session.revision > revision


def test_using_the_same_prior_again_changes_nothing(session):
    shown, revision = session.selection(), session.revision
    session.use(session.prior)
    assert (session.selection(), session.revision) == (shown, revision)


def test_what_a_prior_made_stays_its_own(session, runner: JobRunner, priors):
    first = session.method
    (record,) = generate(session, runner)
    session.use(priors.open("other").result(60))
    assert session.history == [record]
    session.select(record.id)
    assert torch.equal(session.scene(record).field.latent, record.latent(-1))
    assert record.method is first
    (later,) = generate(session, runner)
    assert later.latent(-1).shape == session.method.info.latent_shape
    assert later.method is not first


def test_other_sessions_keep_their_prior(session, method, priors):
    neighbour = Session(Prior("toy", method), AppSettings())
    before = neighbour.selection()
    session.use(priors.open("other").result(60))
    assert neighbour.method is method
    assert neighbour.selection() == before
    neighbour.close()


def test_every_example_belongs_to_a_category_and_is_taken_from_its_distance():
    for example in EXAMPLES:
        assert example.path.is_file()
        assert example.distance == CATEGORIES[example.category].distance


@pytest.mark.parametrize("category", [*CATEGORIES, None])
def test_the_examples_are_those_of_the_prior(category):
    shown = examples_html(TrainingData(category))
    for place, example in enumerate(EXAMPLES):
        assert (f'data-pick="{place}"' in shown) == (example.category == category)


def test_the_bundled_priors_have_examples():
    for file in FOLDER.glob("*/config.json"):
        category = json.loads(file.read_text())["data"]["category"]
        assert examples_html(TrainingData(category)), file.parent.name


def test_made_up_names_are_refused_and_forgotten(tmp_path):
    priors = Priors(AppSettings(), ToyMethod(), tmp_path)
    for number in range(20):
        with pytest.raises(CheckpointError, match="no such model"):
            priors.open(f"made up {number}").result(20)
    assert list(priors._opening) == [priors.first.name]
    priors.close()

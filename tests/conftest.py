"""What all tests share: threads, skips that CI does not accept, and a tiny checkpoint."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


def pytest_configure(config):
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="ssdnerf-tests-")
    torch.set_num_threads(1)


def pytest_unconfigure(config):
    shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a browser test that was skipped has failed: there, Chromium is always installed."""
    report = yield
    if IN_CI and report.skipped and "browser" in item.keywords:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but CI runs every browser test."
    return report


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A checkpoint of untrained networks, small enough for tests: what it draws is a coloured brick."""
    from engine.methods.base import TrainingData
    from engine.methods.ssdnerf.method import SSDNeRF
    from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions, SampleOptions
    from engine.store.checkpoint import save_checkpoint
    from train.recipes import RECIPES

    torch.manual_seed(0)
    renoise = RenoiseOptions(steps=1)
    fit = FitOptions(steps=2, renoise=renoise, finetune_steps=1, inner_steps=2, rays=256)
    config = RECIPES["smoke"].model
    solid = dataclasses.replace(config.decoder, density_bias=6.0)
    method = SSDNeRF(dataclasses.replace(config, decoder=solid))
    method.presets["generate"]["ours"] = SampleOptions(steps=2, renoise=renoise)
    method.presets["reconstruct"]["ours"] = fit
    method.presets["generate"]["paper"] = SampleOptions(mode="paper", steps=2)
    method.presets["reconstruct"]["paper"] = FitOptions(
        mode="paper", steps=2, finetune_steps=1, inner_steps=2, rays=256, rate_decay="exponential"
    )
    method.data = TrainingData("vehicles")
    method.gallery = 0.3 * torch.randn(2, *method.info.latent_shape)
    method.directions = 0.1 * torch.randn(8, *method.info.latent_shape)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return save_checkpoint(folder, method, provenance={"recipe": "untrained"})


@pytest.fixture(scope="session")
def vehicles():
    """The bundled prior of vehicles; tests must not change it."""
    from engine.store.checkpoint import open_checkpoint

    return open_checkpoint("vehicles")

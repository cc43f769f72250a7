"""Blending a prior with its descendant: linear in every weight, and only between equal networks."""

import dataclasses
import json

import pytest
import torch

import launch
from engine.errors import CheckpointError
from engine.methods.ssdnerf.method import SSDNeRF
from engine.store.checkpoint import open_checkpoint, save_checkpoint
from train.blend import blend


def test_every_weight_lies_between_those_of_its_parents(tiny_checkpoint, tmp_path):
    second = open_checkpoint(tiny_checkpoint)
    for parameter in second.parameters():
        parameter.data.add_(1.0)
    second.mean_latent = second.mean_latent + 2.0
    save_checkpoint(tmp_path / "second", second, provenance={})
    arguments = [str(tiny_checkpoint), str(tmp_path / "second"), "--share", "0.25"]
    assert launch.main(["blend", *arguments, "--out", str(tmp_path / "out")]) == 0
    first, mixed = open_checkpoint(tiny_checkpoint), open_checkpoint(tmp_path / "out")
    pairs = zip(first.named_parameters(), mixed.named_parameters(), strict=True)
    for (name, before), (_, after) in pairs:
        torch.testing.assert_close(after, before + 0.25, atol=2e-3, rtol=1e-3, msg=name)
    torch.testing.assert_close(mixed.mean_latent, first.mean_latent + 0.5, atol=2e-3, rtol=1e-3)
    assert torch.equal(mixed.gallery, first.gallery)
    assert mixed.presets["reconstruct"]["ours"] == first.presets["reconstruct"]["ours"]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["provenance"] == {"blend": [tiny_checkpoint.name, "second"], "share": 0.25}


def test_other_networks_and_shares_are_refused(tiny_checkpoint, capsys):
    method = open_checkpoint(tiny_checkpoint)
    other = SSDNeRF(dataclasses.replace(method.config, rows=8))
    with pytest.raises(CheckpointError, match="networks differ from those of tiny"):
        blend(method, other, 0.5)
    with pytest.raises(CheckpointError, match=r"share of 1\.5, expected 0 to 1"):
        blend(method, method, 1.5)
    assert launch.main(["blend", "nowhere", "nowhere", "--out", "unused"]) == 2
    assert "found no checkpoint" in capsys.readouterr().err

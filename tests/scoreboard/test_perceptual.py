"""LPIPS and Inception from files: stand-ins of the same form, and what is said where something is missing."""

from __future__ import annotations

import hashlib
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.errors import DataError
from engine.evaluation import perceptual
from engine.evaluation.perceptual import inception_metric, lpips_metric


class Backbone(nn.Module):
    """One convolution, named as the lpips package names its slices."""

    def __init__(self):
        super().__init__()
        self.slice1 = nn.Sequential(nn.Conv2d(3, 4, 1))


class LPIPS(nn.Module):
    """The lpips package's interface on one layer: squared differences of unit features."""

    def __init__(self, net, pnet_rand, verbose):
        super().__init__()
        assert (net, pnet_rand, verbose) == ("vgg", True, False)  # no backbone is fetched
        self.net = Backbone()

    def forward(self, a, b, normalize=False):
        assert normalize  # pictures in [0, 1]
        assert a.shape[1] == 3
        one, two = (F.normalize(self.net.slice1(2 * x - 1)) for x in (a, b))
        return (one - two).square().sum(1, keepdim=True).mean((2, 3), keepdim=True)


class Counts(nn.Module):
    """A program that tells which levels it was given."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        assert images.dtype == torch.uint8
        return images.float().mean((2, 3))


def trust(monkeypatch, constant, path):
    monkeypatch.setattr(perceptual, constant, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def vgg(tmp_path, monkeypatch):
    path = tmp_path / "vgg16.pth"
    noise = torch.Generator().manual_seed(0)
    weights = {
        "features.0.weight": torch.randn(4, 3, 1, 1, generator=noise),
        "features.0.bias": torch.zeros(4),
        "classifier.0.weight": torch.zeros(2, 2),
    }
    torch.save(weights, path)
    trust(monkeypatch, "VGG_SHA256", path)
    return path, weights


def test_lpips_is_the_packages_with_the_backbone_of_the_file(vgg, monkeypatch):
    path, weights = vgg
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=LPIPS))
    noise = torch.Generator().manual_seed(1)
    a, b = (torch.rand(40, 6, 6, 3, generator=noise) for _ in range(2))
    found = lpips_metric(path)(a, b)
    kernel = weights["features.0.weight"][:, :, 0, 0].T
    one, two = (F.normalize((2 * x - 1) @ kernel, dim=-1) for x in (a, b))
    expected = (one - two).square().sum(-1).mean((1, 2)).double()
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-6, rtol=1e-5)
    assert not lpips_metric(path)(a, a).any()


def test_lpips_without_its_package_says_what_to_install(vgg, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(DataError, match=r"install lpips==0\.1\.4"):
        lpips_metric(vgg[0])


def test_inception_sees_bytes_and_gives_the_programs_features(tmp_path, monkeypatch):
    path = tmp_path / "inception.pt"
    torch.jit.script(Counts()).save(str(path))
    trust(monkeypatch, "INCEPTION_SHA256", path)
    images = torch.tensor([0.0, 0.5, 1.2])[:, None, None, None].expand(3, 4, 4, 3)
    features = inception_metric(path, run_foreign_code=True)(images)
    assert features.shape == (3, 3)
    assert features[:, 0].tolist() == [0, 128, 255]
    with pytest.raises(DataError, match="runs the program"):
        inception_metric(path)


@pytest.mark.parametrize("metric", [lpips_metric, inception_metric])
def test_a_missing_or_foreign_file_is_named(metric, tmp_path):
    path = tmp_path / "weights"
    with pytest.raises(DataError, match=r"no such file; put .* nothing is downloaded"):
        metric(path)
    path.write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DataError, match=f"found a file of SHA-256 {digest}, expected"):
        metric(path)


def test_a_trusted_file_that_is_no_program_is_named(tmp_path, monkeypatch):
    path = tmp_path / "inception.pt"
    path.write_bytes(b"not a program")
    trust(monkeypatch, "INCEPTION_SHA256", path)
    with pytest.raises(DataError, match="not a TorchScript program"):
        inception_metric(path, run_foreign_code=True)

"""LPIPS, and Inception's features for FID and KID, if their weights are on this machine; nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from engine.errors import DataError, one_line
from engine.store.pickles import load_pickle

VGG_FILE = "vgg16-397923af.pth"
VGG_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
"""Torchvision's VGG-16 (IMAGENET1K_V1), from download.pytorch.org/models."""
INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""StyleGAN2-ADA's TorchScript Inception, from
nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics."""
BATCH = 32

Lpips = Callable[
    [Float[Tensor, "n height width 3"], Float[Tensor, "n height width 3"]],
    Float[np.ndarray, " n"],
]
"""Perceptual distance of each pair of pictures in [0, 1]."""
Inception = Callable[[Float[Tensor, "n height width 3"]], Float[np.ndarray, "n features"]]
"""Features of pictures in [0, 1]."""


def lpips_metric(weights: Path | str) -> Lpips:
    """LPIPS as published: the `lpips` package, VGG, pictures scaled to [-1, 1].

    The package brings the linear heads; the backbone is read from `weights`, so that it need not be downloaded.

    Args:
        weights: Torchvision's `VGG_FILE`.

    Raises:
        DataError: If the package or the file is missing, or the file is another one.

    Source: Zhang et al. 2018 (1801.03924); the official evaluation of 2304.06714.
    """
    path = _checked(weights, VGG_FILE, VGG_SHA256)
    try:
        package = import_module("lpips")
    except (ImportError, RuntimeError) as error:
        raise DataError(
            f"LPIPS needs the packages lpips and torchvision, and they cannot be used ({one_line(error)}); "
            "install lpips==0.1.4 and the torchvision that belongs to the installed torch."
        ) from error
    model = package.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval().requires_grad_(False)
    tensors = load_pickle(path, DataError)
    trunk = {key: tensors[f"features.{key.split('.', 1)[1]}"] for key in model.net.state_dict()}
    model.net.load_state_dict(trunk)

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> np.ndarray:
        pairs = zip(a.cpu().split(BATCH), b.cpu().split(BATCH), strict=True)
        found = [
            model(x.movedim(-1, 1), y.movedim(-1, 1), normalize=True).flatten() for x, y in pairs
        ]
        return torch.cat(found).double().numpy()

    return distance


def inception_metric(weights: Path | str, *, run_foreign_code: bool = False) -> Inception:
    """Inception's features as StyleGAN2-ADA takes them, for FID and KID.

    The file is a TorchScript program, so loading it runs foreign code. It is loaded only if it is, byte for byte, the
    one that the papers used, and only with the caller's consent.

    Args:
        weights: `INCEPTION_FILE`.
        run_foreign_code: The caller's consent.

    Raises:
        DataError: If consent or the file is missing, or the file is another one.

    Source: StyleGAN2-ADA (2006.06676); 8-bit pictures, resized to 299 px inside the program.
    """
    path = _checked(weights, INCEPTION_FILE, INCEPTION_SHA256)
    if not run_foreign_code:
        raise DataError(
            f"{path}: loading a TorchScript file runs the program in it; allow that explicitly "
            "if you trust this file's source."
        )
    try:
        program = torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError as error:
        raise DataError(f"{path}: not a TorchScript program ({one_line(error)}).") from error

    @torch.no_grad()
    def features(images: Tensor) -> np.ndarray:
        levels = (images.cpu().clamp(0, 1) * 255 + 0.5).to(torch.uint8).movedim(-1, 1)
        found = [program(batch, return_features=True) for batch in levels.split(BATCH)]
        return torch.cat(found).double().numpy()

    return features


def _checked(weights: Path | str, name: str, sha256: str) -> Path:
    """The path of a weights file, after checking that it exists and has the expected digest."""
    path = Path(weights)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; put {name} there, nothing is downloaded.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(f"{path}: found a file of SHA-256 {found}, expected {name} with {sha256}.")
    return path

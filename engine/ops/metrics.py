"""Metrics of images: PSNR, SSIM, and the plaid of generated ones.

Images are RGB in [0, 1]. Axis names: `n`, `m` pictures, `*b` any leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from engine.errors import EngineError

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (Rec. 601)."""
EROSION = 2
"""Pixels between an object's outline and what the plaid measure looks at."""


def psnr(
    a: Float[Tensor, "*b height width 3"], b: Float[Tensor, "*b height width 3"]
) -> Float[Tensor, "*b"]:
    """Peak signal-to-noise ratio of each picture in dB, values as they are; infinite for equal ones."""
    return -10 * torch.log10((a - b).square().mean((-3, -2, -1)))


def evaluation_psnr(
    render: Float[Tensor, "*b height width 3"], target: Float[Tensor, "*b height width 3"]
) -> Float[Tensor, "*b"]:
    """PSNR as published: 8-bit renders, -10 log10(MSE + 1e-6), so at most 60 dB.

    Source: the official evaluation of 2304.06714.
    """
    error = (quantised(render) - target).square().mean((-3, -2, -1))
    return -10 * torch.log10(error + 1e-6)


def ssim(
    render: Float[Tensor, "*b height width 3"], target: Float[Tensor, "*b height width 3"]
) -> Float[Tensor, "*b"]:
    """Structural similarity as published: 8-bit renders, 7 x 7 uniform window.

    Source: scikit-image's defaults, as in pixelNeRF's evaluation.
    """
    from skimage.metrics import structural_similarity  # skimage and scipy

    batch = render.shape[:-3]
    pairs = zip(
        quantised(render).reshape(-1, *render.shape[-3:]).cpu().numpy(),
        target.reshape(-1, *target.shape[-3:]).cpu().numpy(),
        strict=True,
    )
    values = [structural_similarity(a, b, channel_axis=-1, data_range=1.0) for a, b in pairs]
    return torch.tensor(values, dtype=render.dtype).reshape(batch)


def quantised(rgb: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Colours clamped to [0, 1] and rounded to 8-bit levels."""
    return (rgb.clamp(0, 1) * 255).round() / 255


def psnr_matrix(
    a: Float[Tensor, "n height width 3"], b: Float[Tensor, "m height width 3"]
) -> Float[Tensor, "n m"]:
    """PSNR of every picture of `a` against every one of `b`, in dB, at most 120."""
    first, second = a.double().flatten(1), b.double().flatten(1)
    total = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.T
    return (-10 * torch.log10((total / first.shape[1]).clamp_min(1e-12))).to(a.dtype)


def mean_pairwise_psnr(images: Float[Tensor, "n height width 3"]) -> float:
    """Mean PSNR between two different pictures of a set: how little the set varies, in dB."""
    first, second = torch.triu_indices(len(images), len(images), offset=1)
    return float(psnr_matrix(images, images)[first, second].mean())


@dataclass(frozen=True)
class Plaid:
    """Fine structure inside objects, times 1000; panels are flat in clean pictures.

    Attributes:
        luminance: Median of the high-pass luminance, mean over the pictures; the plaid of young priors shows here.
        chroma: The same of the high-pass colour difference.
        high_luminance: Mean of the high-pass luminance, edges included; blur lowers it. Divided by the ground
            truth's it is the `hfLum` of the reports.
        high_chroma: The same of the colour difference.
    """

    luminance: float
    chroma: float
    high_luminance: float
    high_chroma: float


def plaid(
    images: Float[Tensor, "n height width 3"], alpha: Float[Tensor, "n height width"]
) -> Plaid:
    """The plaid measure of a set of pictures, meant for 64 px renders.

    The high pass is the picture minus its 3 x 3 binomial blur; medians are taken over the inside of each object,
    `EROSION` pixels from its outline, means over the whole object. Pictures without an inside do not count.

    Args:
        images: Objects on white.
        alpha: Their opacity.

    Raises:
        EngineError: If no picture has an inside.
    """
    kernel = torch.tensor([1.0, 2.0, 1.0], dtype=images.dtype, device=images.device) / 4
    window = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    channels = images.movedim(-1, 1)
    blurred = F.conv2d(F.pad(channels, (1, 1, 1, 1), mode="replicate"), window, groups=3)
    high = (channels - blurred).movedim(1, -1)
    luminance = high @ high.new_tensor(LUMINANCE)
    chroma = (high - luminance[..., None]).norm(dim=-1)
    solid = alpha > 0.5
    outside = F.max_pool2d((~solid).to(images.dtype)[:, None], 2 * EROSION + 1, 1, EROSION)[:, 0]
    medians, means = [], []
    for index, inside in enumerate((outside == 0) & solid):
        if inside.any():
            parts = torch.stack([luminance[index].abs(), chroma[index]])
            medians.append(parts[:, inside].median(1).values)
            means.append(parts[:, solid[index]].mean(1))
    if not medians:
        raise EngineError(
            f"Found {len(images)} pictures without an object large enough to measure, expected some; "
            "train the model for longer."
        )
    middle = 1000 * torch.stack(medians).mean(0)
    mean = 1000 * torch.stack(means).mean(0)
    return Plaid(float(middle[0]), float(middle[1]), float(mean[0]), float(mean[1]))

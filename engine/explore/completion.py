"""Measures of completion: how well proposals keep a part of an object, and how much they differ elsewhere.

Everything is judged from eight orbit views. A pixel is kept where the original's first surface lies in the region; the
rest is all other pixels. Errors are pooled over the pixels of all views before they become dB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from engine.methods.base import Method
from engine.ops.cameras import orbit_camera
from engine.render.frames import Baked, RenderOptions, bake, render, to_uint8
from engine.render.region import Region
from engine.types import Camera

AZIMUTHS = tuple(10.0 + 45.0 * k for k in range(8))
ELEVATIONS = (20.0, 5.0, 35.0, 10.0, 20.0, 50.0, 0.0, 25.0)
"""Elevations of the views, degrees."""
SIZE = 128
"""Rows and columns of each, pixels."""
SHEET_VIEWS = (0, 1, 2, 4, 5, 7)
"""Numbers of the views that a sheet shows."""
MARK = (0.9, 0.1, 0.1)
"""Colour that kept pixels are mixed with in a sheet."""
PRESENT = 0.5
"""Opacity from which an object is present in a pixel."""


@dataclass(frozen=True)
class Looks:
    """An object in all views.

    Attributes:
        rgb: Colours on white, [0, 1].
        opacity: [0, 1].
        depth: Z-depth, engine units.
    """

    rgb: Float[Tensor, "views height width 3"]
    opacity: Float[Tensor, "views height width"]
    depth: Float[Tensor, "views height width"]


@dataclass(frozen=True)
class KeepFigures:
    """Figures of a set of proposals, dB.

    Attributes:
        kept_psnr: Each proposal against the original, over the kept pixels; empty if the views see none of them.
        between_psnr: Each pair of proposals, over other pixels where any of the proposals or the original is present;
            lower is more varied.
        between_all_psnr: The same over all other pixels, white ones too.
        kept_share: Kept pixels as a share of those where the original is present.
    """

    kept_psnr: list[float]
    between_psnr: list[float]
    between_all_psnr: list[float]
    kept_share: float


def view_cameras(distance: float) -> Camera:
    """The views' cameras, `distance` SRN units from the object's centre."""
    return orbit_camera(torch.tensor(AZIMUTHS), torch.tensor(ELEVATIONS), distance, SIZE)


def look(baked: Baked, cameras: Camera) -> Looks:
    """An object in all views."""
    drawn = [render(baked, cameras[k], RenderOptions("high")) for k in range(len(cameras))]
    channels = ("rgb", "opacity", "depth")
    return Looks(*(torch.stack([getattr(out, name) for out in drawn]) for name in channels))


def kept_pixels(
    original: Looks, region: Region, cameras: Camera
) -> Bool[Tensor, "views height width"]:
    """Pixels whose first surface in the original lies in the region."""
    pairs = enumerate(original.depth)
    return torch.stack([region.pixels(depth, cameras[k]) for k, depth in pairs])


def keep_figures(
    original: Looks, kept: Bool[Tensor, "views height width"], proposals: Sequence[Looks]
) -> KeepFigures:
    """Figures of some proposals; the lists about pairs are empty for a single one."""
    present = torch.stack([looks.opacity for looks in (original, *proposals)]).amax(0) >= PRESENT
    pairs = list(combinations(proposals, 2))
    return KeepFigures(
        kept_psnr=_psnrs([(original, looks) for looks in proposals], kept),
        between_psnr=_psnrs(pairs, present & ~kept),
        between_all_psnr=_psnrs(pairs, ~kept),
        kept_share=float(kept.sum() / (original.opacity >= PRESENT).sum().clamp_min(1)),
    )


def judged(
    method: Method, original: Tensor, region: Region, proposals: Sequence[Tensor]
) -> tuple[KeepFigures, Looks, Bool[Tensor, "views height width"], list[Looks]]:
    """Figures of proposals given as latents.

    Args:
        method: Method that made them.
        original: Latent of the original, `*latent_shape`.
        region: Part of the original that they were to keep.
        proposals: Latents of the proposals, `*latent_shape` each.

    Returns:
        The figures, renders of the original, mask of its kept pixels, and renders of the proposals.
    """
    device = method.mean_latent.device
    cameras = view_cameras(method.data.distance).to(device)
    first, *others = (
        look(bake(method.scene(latent.to(device)).field), cameras)
        for latent in (original, *proposals)
    )
    kept = kept_pixels(first, region.to(device), cameras)
    return keep_figures(first, kept, others), first, kept, others


def keep_sheet(
    original: Looks, kept: Bool[Tensor, "views height width"], proposals: Sequence[Looks]
) -> UInt8[np.ndarray, "rows cols 3"]:
    """Rows of views: the original, the original with its kept pixels marked, and every proposal."""
    from engine.output.video import contact_sheet  # imageio is slow to import

    mark = original.rgb.new_tensor(MARK)
    marked = torch.where(kept[..., None], original.rgb.lerp(mark, 0.6), original.rgb)
    rows = [original.rgb, marked, *(looks.rgb for looks in proposals)]
    views = list(SHEET_VIEWS)
    pictures = [picture for row in rows for picture in to_uint8(row[views]).cpu().numpy()]
    return contact_sheet(pictures, columns=len(views))


def _psnrs(
    pairs: Sequence[tuple[Looks, Looks]], pixels: Bool[Tensor, "views height width"]
) -> list[float]:
    """PSNR of each pair over the pooled pixels, at most 120 dB; empty where there are no pixels."""
    if not bool(pixels.any()):
        return []
    errors = [(a.rgb - b.rgb)[pixels].square().mean() for a, b in pairs]
    return [float(-10 * torch.log10(error.clamp_min(1e-12))) for error in errors]

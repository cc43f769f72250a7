"""SSDNeRF: what keeps a part of an object while the prior draws the rest anew.

Two things hold the part. Texels that serve nothing else stay as they are at every noise level that is guided (RePaint,
2201.09865). But a texel serves everything along its column, so most of the part is held by guidance and finetuning on
renders of the original, and of these only by the pixels whose first surface lies in the part. What holds the part bends
what shares its texels, so the finetuning holds the rest too: to renders of what the prior had drawn by then.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.errors import RegionError
from engine.fields.base import MATTER
from engine.methods.ssdnerf.options import KeepOptions
from engine.ops.cameras import orbit_camera
from engine.render.frames import EMPTY_DEPTH, Baked, render
from engine.render.region import Region, texel_shares
from engine.types import Camera, SceneBatch

GOLDEN_ANGLE_DEG = 137.50776
"""Between neighbours on a sunflower: azimuths that never meet."""
LOWEST, HIGHEST = -0.25, 0.95
"""Heights of the cameras, as shares of their distance."""
SEAM, HALO = 1, 4
"""Pixels beside the part that nothing holds, and those around the object whose emptiness is held."""


@dataclass(frozen=True)
class Hold:
    """Texels that stay what they are while the others are drawn anew.

    Blended into every x0 it is RePaint's step (2201.09865, eq. 8) with the noise that the state itself is taken to
    hold: `w q(x_t | original) + (1 - w) x_t` is the noise level of `w original + (1 - w) x0`.

    Attributes:
        latent: What they are.
        share: How far each stays, in [0, 1].
        region: What they are held for.
        proposal: What the prior had drawn when the finetuning began; None before.
    """

    latent: Float[Tensor, "1 3 channels rows cols"]
    share: Float[Tensor, "3 1 rows cols"]
    region: Region
    proposal: Float[Tensor, "1 3 channels rows cols"] | None = None

    def blend(
        self, latents: Float[Tensor, "1 3 channels rows cols"]
    ) -> Float[Tensor, "1 3 channels rows cols"]:
        """Latents with every texel drawn back by its share."""
        return self.fix(latents.lerp(self.latent, self.share), self.latent)

    def fix(
        self,
        values: Float[Tensor, "1 3 channels rows cols"],
        held: Float[Tensor, "1 3 channels rows cols"],
    ) -> Float[Tensor, "1 3 channels rows cols"]:
        """Values, with those of the wholly held texels from `held`."""
        return torch.where(self.share == 1, held, values)


def keep_cameras(count: int, distance: float, size: int) -> Camera:
    """Cameras spread evenly over the sphere from a little below the horizon to the top.

    Args:
        count: How many.
        distance: From the object's centre, SRN units.
        size: Rows and columns of a picture, pixels.
    """
    number = torch.arange(count)
    height = LOWEST + (HIGHEST - LOWEST) * (number + 0.5) / count
    elevation = torch.rad2deg(torch.asin(height))
    return orbit_camera(number * GOLDEN_ANGLE_DEG % 360, elevation, distance, size)


def kept_views(baked: Baked, region: Region, distance: float, options: KeepOptions) -> SceneBatch:
    """Renders of the original, of which the pixels count whose first surface lies in the region.

    Args:
        baked: The original.
        region: What to keep.
        distance: Of the cameras from its centre, SRN units.
        options: How many renders, and how large.

    Returns:
        The renders.

    Raises:
        RegionError: If they show nothing in the region, or nothing outside it.
    """
    cameras = keep_cameras(options.cameras, distance, options.size)
    drawn = [render(baked, cameras[k]) for k in range(len(cameras))]
    kept = torch.stack([region.pixels(out.depth, cameras[k]) for k, out in enumerate(drawn)])
    seen = torch.stack([out.depth < EMPTY_DEPTH for out in drawn])
    if not bool(kept.any()):
        raise RegionError(
            "Found none of the object's surface in the part to keep; mark some of the object."
        )
    if bool(kept[seen].all()):
        raise RegionError(
            "Found the whole object in the part to keep; leave something to draw anew."
        )
    images = torch.stack([out.rgb for out in drawn])
    pixels = torch.nonzero(kept.flatten())[:, 0]
    return SceneBatch(images[None], cameras.to(images.device)[None], pixels=pixels[None])


def proposed_views(batch: SceneBatch, proposal: Baked, region: Region) -> SceneBatch:
    """The kept pixels of the original, and beside them those of a proposal that show the rest.

    Args:
        batch: What `kept_views` made.
        proposal: What the prior drew.
        region: What to keep.

    Returns:
        The same views; about as many pixels of either kind count, some of the fewer ones several times. Of the rest these
        count that show the proposal or lie close beside it, and neither show the region nor touch kept pixels.
    """
    cameras, images = batch.camera[0], batch.images[0]
    drawn = [render(proposal, cameras[k]) for k in range(len(cameras))]
    seen = torch.stack([out.depth < EMPTY_DEPTH for out in drawn])
    inside = torch.stack([region.pixels(out.depth, cameras[k]) for k, out in enumerate(drawn)])
    kept = torch.zeros_like(seen).flatten().index_fill(0, batch.pixels[0], True).view_as(seen)
    rest = _grown(seen | kept, HALO) & ~_grown(kept | (inside & seen), SEAM)
    pixels = [batch.pixels[0], torch.nonzero(rest.flatten())[:, 0]]
    most = max(map(len, pixels))
    even = [one.repeat(max(round(most / max(len(one), 1)), 1)) for one in pixels]
    colors = torch.where(kept[..., None], images, torch.stack([out.rgb for out in drawn]))
    return SceneBatch(colors[None], batch.camera, pixels=torch.cat(even)[None])


def _grown(mask: Bool[Tensor, "views height width"], by: int) -> Bool[Tensor, "views height width"]:
    """A mask and the pixels up to so many beside it."""
    return F.max_pool2d(mask[:, None].float(), 2 * by + 1, stride=1, padding=by)[:, 0] > 0


def held_texels(
    baked: Baked,
    latent: Float[Tensor, "3 channels rows cols"],
    region: Region,
    options: KeepOptions,
) -> Hold:
    """Weight by which each texel is held: the kept share of the original's matter that it serves.

    A texel serves what lies up to one texel beside its column too, so the least share of its neighbours counts.
    """
    matter = (baked.cell_density >= MATTER).float()
    share = texel_shares(matter, region, *latent.shape[-2:])
    least = -F.max_pool2d(-share[None], 3, stride=1, padding=1)[0]
    return Hold(latent[None], least.pow(options.softness)[:, None], region)

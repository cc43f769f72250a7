"""Colours of rays through any field, differentiable in the field's tensors and in the rays, hence in cameras.

The plain quadrature of NeRF (2003.08934) eq. 3 through torch; no ray ends early, so that every sample has its gradient.
`engine.render.frames` renders pictures without gradients, faster.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from engine.fields.base import Field
from engine.render.march import MarchConfig, march
from engine.render.volume import composite


def render_rays(
    field: Field,
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    occupied: Bool[Tensor, "gx gy gz"] | None = None,
    config: MarchConfig = MarchConfig(),
    *,
    background: float | None = None,
    jitter: Float[Tensor, " rays"] | None = None,
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """Colours and opacities of rays.

    A ray's samples start where it enters the field's box and move with that point. The number of samples in the box
    changes in whole steps, which has no gradient: fields whose density vanishes towards the box's faces do not notice.

    Args:
        field: The field.
        rays_o: Origins, engine units.
        rays_d: Unit directions.
        occupied: Cells of the box that may hold matter; None samples all of it.
        config: Steps.
        background: Grey level behind the object; None for colours over black.
        jitter: Offset of each ray's samples in steps, [0, 1); None for the middle of the steps.
    """
    if occupied is None:
        occupied = torch.ones(1, 1, 1, dtype=torch.bool, device=rays_o.device)
    if jitter is None:
        jitter = torch.full_like(rays_o[:, 0], 0.5)
    samples = march(rays_o, rays_d, occupied[None], field.aabb, config, jitter=jitter)
    density, rgb = field.query(samples.xyz, rays_d[samples.ray])
    image, opacity, _ = composite(density, rgb, samples, stop=0.0)
    if background is not None:
        image = image + background * (1 - opacity[:, None])
    return image, opacity

"""Triplane decoders with their first layer merged into the planes: what fused kernels read.

The layer is linear and the lookup bilinear, so the layer can be applied to the texels, once, instead of to every point.
On a GPU `render_rays` and `densities` hand the merged planes to the Triton kernels.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from engine.device import runs_triton
from engine.fields.triplane import TriplaneDecoder
from engine.ops.harmonics import spherical_harmonics
from engine.ops.march import MarchConfig
from engine.ops.volume import STOP_TRANSMITTANCE
from engine.types import RayBatch


def mergeable(decoder: TriplaneDecoder) -> bool:
    """Whether a decoder has the shape that kernels are written for: one layer for each purpose."""
    config = decoder.config
    shallow = all(
        len(widths) == 1
        for widths in (config.base_widths, config.density_widths, config.color_widths)
    )
    directed = config.direction == "add" and len(config.direction_widths) == 1
    plain = (config.activation, config.density_activation) == ("silu", "trunc_exp")
    dropping = bool(config.dropout) and decoder.training
    return shallow and plain and not dropping and (directed or config.direction == "none")


def merged_planes(
    decoder: TriplaneDecoder, triplanes: Float[Tensor, "scenes 3 channels rows cols"]
) -> Float[Tensor, "scenes 3 rows cols hidden"]:
    """Planes times the first layer, without its bias; differentiable."""
    if decoder.scene_base is not None:
        triplanes = triplanes + decoder.scene_base
    if decoder.config.flip_z:
        triplanes = torch.cat([triplanes[:, :1], triplanes[:, 1:].flip(-2)], 1)
    weight = decoder.base[0].weight.unflatten(1, (-1, 3))
    return torch.einsum("spcrw,hcp->sprwh", triplanes, weight)


def merged_heads(decoder: TriplaneDecoder) -> Float[Tensor, " values"]:
    """Bias of the first layer, weights of density and colours (`hidden` each), then their four biases."""
    density, color = decoder.density_head[0], decoder.color_head[0]
    parts = (decoder.base[0].bias, density.weight, color.weight, density.bias, color.bias)
    return torch.cat([part.flatten() for part in parts])


def direction_terms(
    decoder: TriplaneDecoder, rays_d: Float[Tensor, "rays 3"]
) -> Float[Tensor, "rays hidden"]:
    """What each direction adds to the hidden layer for its colour; zero channels where colour ignores it."""
    if decoder.direction is None:
        return rays_d.new_zeros(len(rays_d), 0)
    return decoder.direction(spherical_harmonics(rays_d))


def on_triton(decoder: TriplaneDecoder, triplanes: Tensor) -> bool:
    """Whether the Triton kernels can render these planes."""
    return runs_triton(triplanes) and mergeable(decoder)


def render_rays(
    decoder: TriplaneDecoder,
    triplanes: Float[Tensor, "scenes 3 channels rows cols"],
    occupied: Bool[Tensor, "scenes gx gy gz"],
    rays: RayBatch,
    config: MarchConfig,
    *,
    jitter: Float[Tensor, " rays"] | None,
    dt_gamma: Float[Tensor, " rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """Colour over black and opacity of rays, all in one kernel: what march, decode and composite give.

    Args:
        decoder: One that `on_triton` accepts.
        triplanes: One activated triplane per scene.
        occupied: Cells to sample.
        rays: The rays.
        config: Steps.
        jitter: Offset of each ray's lattice in steps; None for none.
        dt_gamma: Growth of each ray's steps.
    """
    from engine.ops.rays_triton import render_rays

    if jitter is None:
        jitter = torch.zeros_like(dt_gamma)
    limits = (config.dt_min, config.dt_max, config.min_near, config.max_steps, STOP_TRANSMITTANCE)
    return render_rays(
        merged_planes(decoder, triplanes),
        merged_heads(decoder),
        direction_terms(decoder, rays.rays_d),
        (rays.rays_o, rays.rays_d, rays.scene, jitter, dt_gamma),
        occupied,
        decoder.aabb,
        limits,
        decoder.config.saturation,
    )


@torch.no_grad()
def densities(
    decoder: TriplaneDecoder,
    triplanes: Float[Tensor, "scenes 3 channels rows cols"],
    xyz: Float[Tensor, "points 3"],
) -> Float[Tensor, "scenes points"]:
    """Extinction of the same points in every scene."""
    from engine.ops.rays_triton import densities

    return densities(merged_planes(decoder, triplanes), merged_heads(decoder), decoder.aabb, xyz)

"""Colours of rays through many triplane scenes at once, differentiable in latents and decoder: for training and fits.

Three implementations stand behind the functions here: Numba kernels on the CPU, Triton kernels on a GPU, and torch, the
oracle of both, for everything else. Source: 2304.06714 section 3.1; NeRF (2003.08934) eq. 3.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from engine.device import runs_triton
from engine.fields.triplane import TriplaneDecoder
from engine.kernels.merged import direction_terms, mergeable, merged_heads, merged_planes
from engine.render.march import MarchConfig, march
from engine.render.volume import STOP_TRANSMITTANCE, composite
from engine.types import RayBatch


def on_triton(decoder: TriplaneDecoder, triplanes: Tensor) -> bool:
    """True if the Triton kernels render these planes."""
    return runs_triton(triplanes) and mergeable(decoder)


def on_numba(decoder: TriplaneDecoder, triplanes: Tensor) -> bool:
    """True if the Numba kernels render these planes."""
    on_cpu = triplanes.device.type == "cpu" and triplanes.dtype == torch.float32
    return on_cpu and mergeable(decoder)


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
    """Colours over black and opacities.

    The kernels take rays as constants: rays that require a gradient go through torch.

    Args:
        decoder: Reads all scenes.
        triplanes: One activated triplane per scene.
        occupied: Cells to sample.
        rays: As many of each scene.
        config: Steps.
        jitter: Offset of each ray's lattice in steps; None for none.
        dt_gamma: Growth of each ray's steps.
    """
    render = render_rays_portable
    fixed = not (rays.rays_o.requires_grad or rays.rays_d.requires_grad)
    if fixed and on_triton(decoder, triplanes):
        render = _render_rays_triton
    elif fixed and on_numba(decoder, triplanes):
        render = _render_rays_numba
    return render(
        decoder,
        triplanes,
        occupied,
        rays,
        config,
        jitter=torch.zeros_like(dt_gamma) if jitter is None else jitter,
        dt_gamma=dt_gamma,
    )


def render_rays_portable(
    decoder: TriplaneDecoder,
    triplanes: Float[Tensor, "scenes 3 channels rows cols"],
    occupied: Bool[Tensor, "scenes gx gy gz"],
    rays: RayBatch,
    config: MarchConfig,
    *,
    jitter: Float[Tensor, " rays"],
    dt_gamma: Float[Tensor, " rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """`render_rays` through torch alone, for any device, precision and decoder."""
    samples = march(
        rays.rays_o,
        rays.rays_d,
        occupied,
        decoder.aabb,
        config,
        scene=rays.scene,
        jitter=jitter,
        dt_gamma=dt_gamma,
    )
    density, rgb = decoder(triplanes, samples.xyz, rays.rays_d, samples.ray, samples.scene)
    image, opacity, _ = composite(density, rgb, samples)
    return image, opacity


def _render_rays_numba(
    decoder: TriplaneDecoder,
    triplanes: Tensor,
    occupied: Tensor,
    rays: RayBatch,
    config: MarchConfig,
    *,
    jitter: Tensor,
    dt_gamma: Tensor,
) -> tuple[Tensor, Tensor]:
    from engine.kernels import radiance_fast

    terms = direction_terms(decoder, rays.rays_d)
    lattice = radiance_fast.Lattice(
        rays_o=rays.rays_o,
        rays_d=rays.rays_d,
        jitter=jitter,
        dt_gamma=dt_gamma,
        occupied=occupied,
        aabb=decoder.aabb,
        dt=(config.dt_min, config.dt_max),
        max_steps=config.max_steps,
        min_near=config.min_near,
    )
    return radiance_fast.render_rays(
        merged_planes(decoder, triplanes),
        merged_heads(decoder),
        terms if terms.shape[1] else None,
        lattice,
        saturation=decoder.config.saturation,
        stop=STOP_TRANSMITTANCE,
    )


def _render_rays_triton(
    decoder: TriplaneDecoder,
    triplanes: Tensor,
    occupied: Tensor,
    rays: RayBatch,
    config: MarchConfig,
    *,
    jitter: Tensor,
    dt_gamma: Tensor,
) -> tuple[Tensor, Tensor]:
    from engine.kernels import rays_triton

    limits = (config.dt_min, config.dt_max, config.min_near, config.max_steps, STOP_TRANSMITTANCE)
    return rays_triton.render_rays(
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
    """Density of every scene at the same points, engine units."""
    on_gpu = on_triton(decoder, triplanes)
    if not on_gpu and not on_numba(decoder, triplanes):
        return torch.stack([decoder.density(planes[None], xyz) for planes in triplanes])
    planes, heads = merged_planes(decoder, triplanes), merged_heads(decoder)
    if on_gpu:
        from engine.kernels import lookup_triton

        return lookup_triton.densities(planes, heads, decoder.aabb, xyz)
    from engine.kernels import radiance_fast

    return radiance_fast.densities(planes, heads, xyz, decoder.aabb)

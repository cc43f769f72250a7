"""CodeNeRF's network, rendering loss and choice of rays: what training and fitting share.

Source: CodeNeRF (2109.01750) and its released code. What differs, and why: the background is composited explicitly (the
released code lets an endless last sample stand in for it), rays are drawn at random with most of them near the object, and
samples that hardly matter are left out (`engine.render.thin`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from engine.config import Bounds
from engine.fields.conditional import ConditionalConfig, ConditionalField, ConditionalNet
from engine.noise import Noise
from engine.ops.rays import MISS, camera_rays, intersect_box
from engine.render.march import MarchConfig, march
from engine.render.occupancy import cell_points, occupied_cells
from engine.render.thin import ThinConfig, thinned
from engine.render.volume import composite
from engine.types import RayBatch, Views

Regulariser = Literal["squared", "norm"]

NEARLY_WHITE = 250 / 255
"""Pixels whose least channel is at least this may be background."""
MARGIN = 4
"""Pixels around an object that count as near it."""
OCCUPIED = 1.0
"""Cells below this density, per engine unit, may be skipped."""


@dataclass(frozen=True)
class CodeNeRFConfig:
    """Sizes of the network and weights of the loss."""

    net: ConditionalConfig = ConditionalConfig()
    """Points and codes to density and colour."""
    march: MarchConfig = MarchConfig(max_steps=128)
    """Sampling of rays in training and fitting."""
    thin: ThinConfig = ThinConfig()
    """Selection of the samples that are evaluated in full."""
    grid_shape: tuple[
        Annotated[int, Bounds(1, 256)],
        Annotated[int, Bounds(1, 256)],
        Annotated[int, Bounds(1, 256)],
    ] = (20, 38, 20)
    """Cells that a fit skips where they are empty."""
    regulariser: Regulariser = "squared"
    """Squared norms of the codes (eq. 4), or norms, as in the released code."""
    code_weight: Annotated[float, Bounds(0.0, 1e3)] = 1e-4
    """Weight of the regulariser: eq. 4's 1 / nu^2."""
    near_share: Annotated[float, Bounds(0.0, 1.0)] = 0.85
    """Share of the rays that go near the object."""


class CodeNeRFModel(nn.Module):
    """The network with its rendering loss."""

    def __init__(self, config: CodeNeRFConfig):
        super().__init__()
        self.config = config
        self.net = ConditionalNet(config.net)
        self.latent_shape = (2, config.net.code)
        self.network_dtype: torch.dtype | None = None
        """Precision of the network's products in training and fitting; None for float32."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.net.aabb.device

    def field(self, codes: Float[Tensor, "2 code"]) -> ConditionalField:
        """One scene."""
        return ConditionalField(self.net, codes)

    def render_rays(
        self,
        codes: Float[Tensor, "scenes 2 code"],
        occupied: Bool[Tensor, "scenes gx gy gz"] | None,
        rays: RayBatch,
        noise: Noise,
        stage: str,
        step: int,
        config: MarchConfig | None = None,
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
        """Colours over white and opacities, differentiable in codes and network.

        Args:
            codes: Of every scene.
            occupied: Cells to sample, one grid per scene; None for all.
            rays: As many of each scene.
            noise: Offsets of the samples and which empty ones are kept.
            stage: Name of the draws.
            step: Number of the draws.
            config: How rays are sampled; None for the model's own way.
        """
        device = codes.device
        scene = rays.scene if len(codes) > 1 else None
        if occupied is None:
            occupied = torch.ones(len(codes), 1, 1, 1, dtype=torch.bool, device=device)
        jitter = noise.uniform((len(rays.rays_o),), f"{stage}/jitter", step, device=device)
        samples = march(
            rays.rays_o,
            rays.rays_d,
            occupied,
            self.net.aabb,
            config or self.config.march,
            scene=scene,
            jitter=jitter,
        )
        with torch.no_grad():
            seen = self._narrow(self.net.density)(codes, samples.xyz, samples.scene)
        draws = noise.uniform((len(samples),), f"{stage}/thin", step, device=device)
        samples = thinned(samples, seen, draws, self.config.thin)
        density, rgb = self._narrow(self.net)(
            codes, samples.xyz, rays.rays_d, samples.ray, samples.scene
        )
        image, opacity, _ = composite(density, rgb, samples)
        return image + (1 - opacity)[:, None], opacity

    def loss(
        self,
        codes: Float[Tensor, "scenes 2 code"],
        occupied: Bool[Tensor, "scenes gx gy gz"] | None,
        rays: RayBatch,
        noise: Noise,
        stage: str,
        step: int,
        config: MarchConfig | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " scenes"]]:
        """Squared colour error plus weighted regulariser (eq. 4), mean over scenes, and each scene's error per channel.

        The arguments are those of `render_rays`.
        """
        image, _ = self.render_rays(codes, occupied, rays, noise, stage, step, config)
        error = (image - rays.rgb).square().sum(-1).reshape(-1, rays.per_scene).mean(1)
        penalty = self.config.code_weight * code_size(codes, self.config.regulariser)
        return (error + penalty).mean(), error.detach() / 3

    @torch.no_grad()
    def occupied(
        self, codes: Float[Tensor, "scenes 2 code"], noise: Noise, stage: str, step: int
    ) -> Bool[Tensor, "scenes gx gy gz"]:
        """Cells of every scene that may hold matter: looked at in the centre and in one other place, with neighbours."""
        shape, aabb = self.config.grid_shape, self.net.aabb
        cells = shape[0] * shape[1] * shape[2]
        jitter = noise.uniform((cells, 3), f"{stage}/cells", step, device=aabb.device)
        grid = torch.zeros(len(codes), *shape, device=aabb.device)
        for points in (cell_points(shape, aabb), cell_points(shape, aabb, jitter)):
            density = [self._narrow(self.net.density)(code[None], points) for code in codes]
            grid = torch.maximum(grid, torch.stack(density).reshape(grid.shape))
        return occupied_cells(grid, OCCUPIED, dilate=True)

    def _narrow(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function with its products in `network_dtype`."""
        if self.network_dtype is None:
            return function
        return torch.autocast(self.device.type, self.network_dtype)(function)


def code_size(
    codes: Float[Tensor, "scenes 2 code"], regulariser: Regulariser
) -> Float[Tensor, " scenes"]:
    """Both codes' squared norms, summed, or their norms."""
    if regulariser == "squared":
        return codes.square().sum((1, 2))
    return codes.norm(dim=-1).sum(1)


def near_object(
    images: Float[Tensor, "views height width 3"],
) -> Bool[Tensor, "views height width"]:
    """Pixels close to what is not white, whatever its colour is underneath."""
    shown = (images.amin(-1) < NEARLY_WHITE).float()[:, None]
    return F.max_pool2d(shown, 2 * MARGIN + 1, 1, MARGIN)[:, 0] > 0


def pixel_pools(
    views: Views, aabb: Float[Tensor, "2 3"]
) -> tuple[Int[Tensor, " near"], Int[Tensor, " far"]]:
    """Flat (view, row, column) indices of pixels near the object, and of the others whose rays meet the box.

    A pool that would be empty holds all pixels.
    """
    near = near_object(views.images).flatten()
    rays_o, rays_d = (rays.reshape(-1, 3) for rays in camera_rays(views.camera))
    hit = intersect_box(rays_o, rays_d, aabb)[1] < MISS
    pools = (torch.nonzero(pool)[:, 0] for pool in (near, hit & ~near))
    every = torch.arange(len(near), device=near.device)
    near, far = (pool if len(pool) else every for pool in pools)
    return near, far


def pick(
    pools: tuple[Tensor, Tensor], count: int, near_share: float, noise: Noise, stage: str, step: int
) -> Int[Tensor, " count"]:
    """Random pixels, a given share of them from the first pool."""
    counts = round(count * near_share), count - round(count * near_share)
    names = f"{stage}/near", f"{stage}/far"
    picked = [
        pool[noise.integers(0, len(pool), (number,), name, step, device=pool.device)]
        for pool, number, name in zip(pools, counts, names, strict=True)
    ]
    return torch.cat(picked)


def adamw(
    codes: Float[Tensor, "scenes 2 code"],
    gradient: Float[Tensor, "scenes 2 code"],
    moments: Float[Tensor, "2 scenes 2 code"],
    step: int,
    rate: float,
    decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor]:
    """Codes and moments after AdamW's `step`-th step, counted from 1 (1711.05101, as `torch.optim.AdamW`)."""
    first = torch.lerp(moments[0], gradient, 1 - betas[0])
    second = torch.lerp(moments[1], gradient.square(), 1 - betas[1])
    size = rate / (1 - betas[0] ** step)
    scale = (second / (1 - betas[1] ** step)).sqrt() + eps
    return codes * (1 - rate * decay) - size * first / scale, torch.stack([first, second])

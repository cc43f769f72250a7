"""SSDNeRF's networks, losses and latent steps: what training and fitting share.

Source: Single-Stage Diffusion NeRF (2304.06714), official code; every formula is pinned by parity tests.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from engine.config import Bounds
from engine.diffusion.schedule import Schedule
from engine.errors import ConfigError
from engine.fields.planes import stack_planes, unstack_planes
from engine.fields.triplane import DecoderConfig, Side, TriplaneDecoder
from engine.kernels import triplane_rays
from engine.methods.optimise import LatentRecords
from engine.nets.frozen import frozen, may_freeze
from engine.nets.unet2d import UNet2D, UNetConfig
from engine.noise import Noise
from engine.ops.activations import CLIP, LatentActivation, latent_activation
from engine.ops.losses import pixel_scale, total_variation
from engine.render.march import MarchConfig
from engine.render.occupancy import occupied_cells, update_grid
from engine.render.pixels import gather_rays
from engine.types import RayBatch, SceneBatch

BACKGROUND = 1.0
"""White."""

Cells = Annotated[int, Bounds(1, 256)]
Share = Annotated[float, Bounds(0.0, 1e9)]
MOST_ACTIVATIONS = 2**24
"""Numbers in the denoiser's widest layer; the paper's has an eighth of them."""
MOST_ATTENDED = 4096
"""Texels that look at each other; their squares are kept."""

GRID_INTERVAL = 16
"""Inner steps between two looks at the density."""


@dataclass(frozen=True)
class SSDNeRFConfig:
    """Sizes of the networks and weights of the losses; the defaults are the paper's `cars_uncond`."""

    rows: Side = 128
    """Rows of each plane."""
    cols: Side = 128
    """Columns of each plane."""
    decoder: DecoderConfig = DecoderConfig()
    """Triplane to density and colour."""
    unet: UNetConfig = UNetConfig()
    """The denoiser."""
    schedule: Schedule = Schedule()
    """Noise levels."""
    activation: LatentActivation = "tanh"
    """From raw latent to latent."""
    tiled: bool = False
    """Arrange the planes side by side for the denoiser instead of stacking them along channels."""
    march: MarchConfig = MarchConfig()
    """Sampling of rays in training and fitting."""
    dt_gamma_scale: Annotated[float, Bounds(0.0, 100.0)] = 0.5
    """Growth of steps with distance, in units of one over the focal length in pixels."""
    grid_shape: tuple[Cells, Cells, Cells] = (64, 64, 64)
    """Cells of the occupancy grid."""
    density_threshold: Share = 0.1
    """Cells below this density may be skipped."""
    dilate_occupancy: bool = False
    """Count neighbours of occupied cells as occupied (for coarse grids)."""
    pixel_weight: Share = 20.0
    """Weight of the squared colour error (20 is the paper's c_rend = 0.00244)."""
    pixel_coefficient: Share = 0.1 / 16384
    """Growth of the colour error's weight with the number of rays."""
    reg_weight: Share = 3e-3
    """Weight of the mean squared latent."""
    tv_weight: Share = 0.0
    """Weight of the latent's total variation."""
    tv_power: Annotated[float, Bounds(0.0, 10.0)] = 2.0
    """Power of the gradients in the total variation (1.5 in the official first-stage configs)."""
    snr_power: Annotated[float, Bounds(-10.0, 10.0)] = 0.5
    """omega of the diffusion loss."""
    diffusion_weight: Share = 4.0
    """c_diff."""
    normalize_diffusion: bool = True
    """Divide the diffusion loss by the running mean of the squared latent."""

    def check(self) -> None:
        """Refuse parts that do not go together, and more memory than opening a file may lead to."""
        rows, cols = self.rows, self.cols * (3 if self.tiled else 1)
        channels = self.decoder.channels * (1 if self.tiled else 3)
        if self.unet.channels != channels:
            raise ConfigError(
                f"Found a denoiser of {self.unet.channels} channels, expected the {channels} of the planes."
            )
        halvings = 2 ** (len(self.unet.multipliers) - 1)
        if rows % halvings or cols % halvings:
            raise ConfigError(
                f"Found planes of {rows} x {cols} texels, expected multiples of {halvings} for a denoiser of "
                f"{len(self.unet.multipliers)} levels."
            )
        finest = min([f for f in self.unet.attention_factors if f <= halvings], default=halvings)
        if (
            rows * cols * self.unet.base > MOST_ACTIVATIONS
            or rows * cols > MOST_ATTENDED * finest**2
        ):
            raise ConfigError(
                f"Found planes of {rows} x {cols} texels for a denoiser of {self.unet.base} base channels with attention "
                f"at every {finest} texels, expected smaller ones."
            )


class SSDNeRFModel(nn.Module):
    """Denoiser and decoder with their losses (eq. 4-6), and one step of latents under optimisation."""

    norm_factor: Tensor

    def __init__(self, config: SSDNeRFConfig):
        super().__init__()
        self.config = config
        self.decoder = TriplaneDecoder(config.decoder)
        self.unet = UNet2D(config.unet).to(memory_format=torch.channels_last)
        self.activation = latent_activation(config.activation)
        self.schedule = config.schedule
        self.register_buffer("norm_factor", torch.ones(1))
        self.latent_shape = (3, config.decoder.channels, config.rows, config.cols)
        self.network_dtype: torch.dtype | None = None
        """Precision of the denoiser's arithmetic; None for float32."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.norm_factor.device

    def networks(self) -> Hashable:
        """Everything that must be equal for weights to mean the same; the box of the scenes may differ."""
        config = self.config
        decoder = replace(config.decoder, aabb=DecoderConfig().aabb)
        shape = config.rows, config.cols, config.tiled, config.activation
        return shape, decoder, config.unet, config.schedule

    # ---------------------------------------------------------------------------------- the parts

    def activated(
        self, raw: Float[Tensor, "scenes 3 channels rows cols"]
    ) -> Float[Tensor, "scenes 3 channels rows cols"]:
        """Latents from raw ones."""
        return self.activation(raw)

    def deactivated(self, latents: Float[Tensor, "*latents"]) -> Float[Tensor, "*latents"]:
        """Raw latents that `activated` takes to these."""
        return self.activation.inverse(latents)

    def to_images(
        self, latents: Float[Tensor, "scenes 3 channels rows cols"]
    ) -> Float[Tensor, "scenes c rows w"]:
        """Latents as the denoiser sees them."""
        return stack_planes(latents, tiled=self.config.tiled)

    def from_images(
        self, images: Float[Tensor, "scenes c rows w"]
    ) -> Float[Tensor, "scenes 3 channels rows cols"]:
        """The inverse of `to_images`."""
        return unstack_planes(images, tiled=self.config.tiled)

    def predict_v(
        self, x_t: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The denoiser's answer, float32; weights that need no gradient are used frozen where that is faster.

        They answer item by item, which takes no longer, and so bit for bit the same whatever the batch around it.
        """
        kind, dtype = self.device.type, self.network_dtype
        if may_freeze(self.unet):
            net = frozen(self.unet, dtype or torch.float32)
            return torch.cat([net(*item) for item in zip(x_t.split(1), t.split(1), strict=True)])
        with torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
            v = self.unet(x_t.contiguous(memory_format=torch.channels_last), t)
        return v.float()

    def predict_x0(
        self, x_t: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """Clean latents from noisy ones, clipped."""
        return self.schedule.x0_from_v(x_t, self.predict_v(x_t, t), t).clamp(-CLIP, CLIP)

    def look(
        self,
        grid: Float[Tensor, "scenes gx gy gz"],
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        jitter: Float[Tensor, "cells 3"],
        decay: float = 0.9,
    ) -> tuple[Float[Tensor, "scenes gx gy gz"], Bool[Tensor, "scenes gx gy gz"]]:
        """Update occupancy grids with the latents' densities; also which cells count as occupied."""

        def density(xyz: Tensor) -> Tensor:
            return triplane_rays.densities(self.decoder, latents, xyz)

        latents = latents.detach()
        grid = update_grid(grid, density, self.decoder.aabb, decay=decay, jitter=jitter)
        config = self.config
        dilate = config.dilate_occupancy
        return grid, occupied_cells(grid, config.density_threshold, per_scene=dilate, dilate=dilate)

    def cell_jitter(self, noise: Noise, stage: str, step: int) -> Float[Tensor, "cells 3"]:
        """Offset of each density query within its cell."""
        gx, gy, gz = self.config.grid_shape
        return noise.uniform((gx * gy * gz, 3), f"{stage}/cells", step, device=self.device)

    def render_rays(
        self,
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        occupied: Bool[Tensor, "scenes gx gy gz"],
        rays: RayBatch,
        jitter: Float[Tensor, " rays"] | None,
    ) -> Float[Tensor, "rays 3"]:
        """Colours of rays on white, differentiable in latents and decoder."""
        image, opacity = triplane_rays.render_rays(
            self.decoder,
            latents,
            occupied,
            rays,
            self.config.march,
            jitter=jitter,
            dt_gamma=self.config.dt_gamma_scale / rays.focal,
        )
        return image + BACKGROUND * (1 - opacity[:, None])

    # --------------------------------------------------------------------------------- the losses

    def rendering_loss(
        self,
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        occupied: Bool[Tensor, "scenes gx gy gz"],
        rays: RayBatch,
        num_rays: int,
        jitter: Float[Tensor, " rays"] | None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " scenes"]]:
        """Colour error plus latent regularisation (eq. 4), and each scene's mean squared colour error.

        Args:
            latents: Activated latents.
            occupied: Cells to sample.
            rays: Rays with their true colours.
            num_rays: Rays available in each scene's views; more views, more weight.
            jitter: Offset of each ray's samples.
        """
        config = self.config
        error = (self.render_rays(latents, occupied, rays, jitter) - rays.rgb).square()
        mse = error.reshape(-1, rays.per_scene * 3).mean(1)
        weight = config.pixel_weight * pixel_scale(num_rays, config.pixel_coefficient) * 3
        loss = weight * mse.mean() + config.reg_weight * latents.square().mean()
        if config.tv_weight:
            loss = loss + config.tv_weight * total_variation(latents, config.tv_power)
        return loss, mse.detach()

    def diffusion_loss(
        self,
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        t: Int[Tensor, " scenes"],
        eps: Float[Tensor, "scenes c rows w"],
        weight: float,
    ) -> Float[Tensor, ""]:
        """The denoising error (eq. 5), differentiable in latents and denoiser.

        Args:
            latents: Activated latents.
            t: Timestep of each scene.
            eps: Noise.
            weight: c_diff.
        """
        x0 = self.to_images(latents)
        v = self.predict_v(self.schedule.diffuse(x0, eps, t), t)
        error = 0.5 * (v - self.schedule.v_target(x0, eps, t)).square().mean((1, 2, 3))
        loss = weight * (self.schedule.snr_weight(t, self.config.snr_power) * error).mean()
        return loss / self.norm_factor[0] if self.config.normalize_diffusion else loss

    def draw_level(
        self, noise: Noise, scenes: int, stage: str, step: int
    ) -> tuple[Int[Tensor, " scenes"], Float[Tensor, "scenes c rows w"]]:
        """Timesteps and noise for the diffusion loss."""
        config = self.config
        shape = self.to_images(torch.empty(scenes, *self.latent_shape, device="meta")).shape
        t = noise.integers(
            0, config.schedule.timesteps, (scenes,), f"{stage}/t", step, device=self.device
        )
        return t, noise.normal(shape, f"{stage}/eps", step, device=self.device)

    def pick_rays(
        self, batch: SceneBatch, count: int, chunk: int, noise: Noise, stage: str, step: int
    ) -> tuple[RayBatch, Float[Tensor, " rays"]]:
        """Random pixels of every scene, of those that count, as rays, and the offsets of their samples."""
        pixels = [
            noise.pixels(batch.num_pixels, count, chunk, f"{stage}/pixels/{k}", step)
            for k in range(batch.num_scenes)
        ]
        picked = torch.stack(pixels).to(batch.images.device)
        if batch.pixels is not None:
            picked = batch.pixels.gather(1, picked)
        rays = gather_rays(batch, picked)
        jitter = noise.uniform(
            (len(rays.scene),), f"{stage}/rays/{chunk}", step, device=self.device
        )
        return rays, jitter

    def starting_noise(self, num_scenes: int, noise: Noise) -> Tensor:
        """The `x_T` that runs start from, `num_scenes *latent_shape`."""
        shape = (num_scenes, *self.latent_shape)
        return noise.batch(num_scenes).normal(shape, "x_T", device=self.device)

    # ------------------------------------------------------------- latents under optimisation

    def refresh(
        self, records: LatentRecords, noise: Noise, stage: str, step: int
    ) -> Bool[Tensor, "scenes gx gy gz"]:
        """Look at the latents once; returns the occupied cells."""
        jitter = self.cell_jitter(noise, stage, step)
        records.grid, occupied = self.look(records.grid, self.activation(records.raw), jitter)
        return occupied

    def latent_step(
        self,
        records: LatentRecords,
        occupied: Tensor,
        rays: RayBatch,
        num_rays: int,
        jitter: Tensor,
        prior: Tensor,
        rate: float | Tensor,
        decoder_optimizer: torch.optim.Optimizer | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One Adam step of the latents on the rendering loss plus the cached prior gradient.

        With a `decoder_optimizer` the decoder takes its step on the same loss.
        """
        with torch.enable_grad():
            raw = records.raw.detach().requires_grad_(True)
            loss, mse = self.rendering_loss(self.activation(raw), occupied, rays, num_rays, jitter)
            if decoder_optimizer is None:
                (gradient,) = torch.autograd.grad(loss, raw)
            else:
                decoder_optimizer.zero_grad(set_to_none=True)
                loss.backward()
                decoder_optimizer.step()
                gradient = raw.grad
        records.adam(gradient + prior, rate)
        return loss.detach(), mse


def mean_psnr(mse: Float[Tensor, " scenes"]) -> Float[Tensor, ""]:
    """PSNR in dB, averaged over scenes."""
    return -10 * torch.log10(mse + 1e-6).mean()

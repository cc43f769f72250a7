"""SSDNeRF's training step as published (2304.06714, official code), written plainly in torch.

Culled samples of a lattice march, `grid_sample` scene by scene, the direction's network on every sample, whole batches,
autograd through all of it, float32, tensors as torch lays them out. The early stop is the official one: a ray ends
after the sample that takes its transmittance below 1e-4, and that sample gets no gradient. It shares with the engine
the weights, the configuration, the random draws and the noise schedule, and none of the code that does the work.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from engine.methods.ssdnerf.method import SSDNeRF, TrainOptions, scheduled
from engine.nets.unet2d import Attention, Downsample, ResidualBlock, UNet2D, Upsample
from engine.noise import Noise
from engine.types import RayBatch, SceneBatch
from tests.bench.plain import PlainDecoder

STOP = 1e-4
"""A ray ends once less than this passes."""
GRID_INTERVAL = 16
"""Inner steps between two looks at the density."""


@dataclass(frozen=True)
class Marched:
    """Samples of many rays, sorted by ray."""

    xyz: Float[Tensor, "n 3"]
    ray: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    dt: Float[Tensor, " n"]
    counts: Int[Tensor, " rays"]


class Published:
    """Networks copied from an engine method, and what is done with them."""

    def __init__(self, method: SSDNeRF):
        """Copies the weights."""
        self.method, self.config = method, method.config
        self.decoder = PlainDecoder.of(method.decoder)
        self.learn_decoder(True)
        self.unet = copy.deepcopy(method.unet).requires_grad_(True)
        self.unet.to(memory_format=torch.contiguous_format)
        self.norm_factor = method.norm_factor.clone()
        self.average = [weight.detach().clone() for weight in self.weights()]

    def weights(self) -> list[Tensor]:
        """Of both networks."""
        return [*self.unet.parameters(), *self.decoder.parameters()]

    def learn_decoder(self, learn: bool) -> None:
        """Whether losses pull at the decoder too; it is frozen in the inner steps."""
        for weight in self.decoder.parameters():
            weight.requires_grad_(learn)

    # ------------------------------------------------------------------------------ render part

    def march(
        self, rays: RayBatch, occupied: Bool[Tensor, "scenes gx gy gz"], jitter: Tensor
    ) -> Marched:
        """The points of every ray's lattice that lie in occupied cells."""
        steps, low, high = self.config.march, *self.decoder.aabb
        first, second = (low - rays.rays_o) / rays.rays_d, (high - rays.rays_o) / rays.rays_d
        near = torch.minimum(first, second).amax(-1)
        far = torch.maximum(first, second).amin(-1)
        (hit,) = torch.nonzero(far >= near, as_tuple=True)
        near, far = near[hit].clamp_min(steps.min_near), far[hit]
        growth = (self.config.dt_gamma_scale / rays.focal)[hit]

        def step(t: Tensor) -> Tensor:
            return (t * growth).clamp(steps.dt_min, steps.dt_max)

        t = near + jitter[hit] * step(near)
        ts, dts = [], []
        while bool((t < far).any()):
            ts.append(t)
            dts.append(step(t))
            t = t + dts[-1]
        t, dt = torch.stack(ts, 1), torch.stack(dts, 1)
        xyz = rays.rays_o[hit, None] + t[..., None] * rays.rays_d[hit, None]
        xyz = torch.minimum(torch.maximum(xyz, low), high)
        shape = torch.tensor(occupied.shape[1:], device=xyz.device)
        cell = ((xyz - low) * (shape / (high - low))).long().minimum(shape - 1)
        scene = rays.scene[hit, None].expand(cell.shape[:2])
        keep = occupied[scene, cell[..., 0], cell[..., 1], cell[..., 2]] & (t < far[:, None])
        rank = keep.cumsum(1)
        keep &= rank <= steps.max_steps
        row, place = torch.nonzero(keep, as_tuple=True)
        counts = torch.zeros(len(rays.rays_o), dtype=torch.long, device=t.device)
        counts[hit] = keep.sum(1)
        return Marched(xyz[row, place], hit[row], rank[row, place] - 1, dt[row, place], counts)

    def decode(
        self,
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        rays: RayBatch,
        marched: Marched,
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour of all samples."""
        scene = rays.scene[marched.ray]
        counts = torch.bincount(scene, minlength=len(latents)).tolist()
        features = [
            self.decoder.read(planes, xyz)
            for planes, xyz in zip(latents, marched.xyz.split(counts), strict=True)
        ]
        return self.decoder(torch.cat(features), rays.rays_d[marched.ray])

    def composite(
        self, density: Float[Tensor, " n"], rgb: Float[Tensor, "n 3"], marched: Marched
    ) -> Float[Tensor, "rays 3"]:
        """Colours on white."""
        rays = len(marched.counts)
        at = (marched.ray, marched.column)
        depth = density * marched.dt
        dense = depth.new_zeros(rays, max(int(marched.counts.max()), 1))
        with torch.no_grad():
            live = torch.exp(-dense.index_put(at, depth).cumsum(1)[at]) >= STOP
        depth = torch.where(live, depth, depth.detach())
        rgb = torch.where(live[:, None], rgb, rgb.detach())
        filled = dense.index_put(at, depth)
        through = torch.exp(filled - filled.cumsum(1))[at]
        weight = torch.where(through >= STOP, through * (1 - torch.exp(-depth)), 0.0)
        image = rgb.new_zeros(rays, 3).index_add(0, marched.ray, weight[:, None] * rgb)
        opacity = rgb.new_zeros(rays).index_add(0, marched.ray, weight)
        return image + (1 - opacity[:, None])

    def render(
        self,
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        occupied: Bool[Tensor, "scenes gx gy gz"],
        rays: RayBatch,
        jitter: Float[Tensor, " rays"],
        marched: Marched | None = None,
    ) -> Float[Tensor, "rays 3"]:
        """Colours of rays on white; `marched` where the samples are known."""
        marched = marched or self.march(rays, occupied, jitter)
        return self.composite(*self.decode(latents, rays, marched), marched)

    @torch.no_grad()
    def look(
        self, grid: Tensor, latents: Tensor, jitter: Float[Tensor, "cells 3"]
    ) -> tuple[Tensor, Bool[Tensor, "scenes gx gy gz"]]:
        """Occupancy grids after one more look, and the cells that count as occupied."""
        low, high = self.decoder.aabb
        shape = grid.shape[1:]
        index = torch.cartesian_prod(*(torch.arange(n, device=low.device) for n in shape))
        xyz = low + (index + jitter) * ((high - low) / torch.tensor(shape, device=low.device))
        seen = torch.stack(
            [self.decoder.density_of(self.decoder.read(planes, xyz)) for planes in latents]
        )
        seen = seen.clamp(max=torch.finfo(grid.dtype).max).reshape(grid.shape).to(grid.dtype)
        grid = torch.maximum(grid * 0.9, seen)
        values = grid.float()
        if not self.config.dilate_occupancy:
            return grid, values > values.mean().clamp(max=self.config.density_threshold)
        mean = values.mean((1, 2, 3), keepdim=True)
        occupied = values > mean.clamp(max=self.config.density_threshold)
        wide = F.max_pool3d(occupied[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0
        return grid, wide | ~wide.flatten(1).any(1)[:, None, None, None]

    # --------------------------------------------------------------------------------- training

    def optimizers(self, unet_rate: float, decoder_rate: float) -> dict[str, torch.optim.Optimizer]:
        """Adam on both networks."""
        return {
            "unet": torch.optim.Adam(self.unet.parameters(), unet_rate),
            "decoder": torch.optim.Adam(self.decoder.parameters(), decoder_rate),
        }

    def training_step(
        self,
        batch: SceneBatch,
        scenes: PublishedScenes,
        optimizers: dict[str, torch.optim.Optimizer],
        options: TrainOptions,
        step: int,
        noise: Noise,
    ) -> dict[str, float]:
        """One outer iteration of Algorithm 1."""
        report = self._diffusion_step(scenes, optimizers["unet"], noise)
        prior = [raw.grad.clone() for raw in scenes.raw]
        self.learn_decoder(False)
        for k in range(scheduled(options.inner_steps, step)):
            if k % GRID_INTERVAL == 0:
                occupied = self._refresh(scenes, noise, "inner", k)
            loss, _ = self._loss(batch, scenes, occupied, options.rays, noise, "inner", k)
            scenes.step(loss, prior)
        self.learn_decoder(True)
        occupied = self._refresh(scenes, noise, "decoder", 0)
        loss, mse = self._loss(batch, scenes, occupied, options.rays, noise, "decoder", 0)
        optimizers["decoder"].zero_grad()
        scenes.step(loss, prior)
        optimizers["decoder"].step()
        report["rendering_loss"] = float(loss.detach())
        report["psnr"] = float(-10 * torch.log10(mse + 1e-6).mean())
        return report

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the averaged weights towards the live ones."""
        for average, weight in zip(self.average, self.weights(), strict=True):
            average.lerp_(weight, 1 - decay)

    def _diffusion_step(
        self, scenes: PublishedScenes, optimizer: torch.optim.Optimizer, noise: Noise
    ) -> dict[str, float]:
        """Update the denoiser; leaves the prior's gradient on the raw latents."""
        method, config = self.method, self.config
        latents = scenes.latents()
        if config.normalize_diffusion:
            self.norm_factor.lerp_(latents.detach().square().mean(), 0.001)
        t, eps = method.draw_level(noise, len(latents), "train", 0)
        x0, schedule = latents.flatten(1, 2), config.schedule
        v = denoise(self.unet, schedule.diffuse(x0, eps, t), t)
        error = 0.5 * (v - schedule.v_target(x0, eps, t)).square().mean((1, 2, 3))
        loss = config.diffusion_weight * (schedule.snr_weight(t, config.snr_power) * error).mean()
        if config.normalize_diffusion:
            loss = loss / self.norm_factor[0]
        optimizer.zero_grad()
        scenes.optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"diffusion_loss": float(loss.detach())}

    def _refresh(self, scenes: PublishedScenes, noise: Noise, stage: str, step: int) -> Tensor:
        jitter = self.method.cell_jitter(noise, stage, step)
        scenes.grid, occupied = self.look(scenes.grid, scenes.latents().detach(), jitter)
        return occupied

    def _loss(
        self,
        batch: SceneBatch,
        scenes: PublishedScenes,
        occupied: Tensor,
        count: int,
        noise: Noise,
        stage: str,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        """The rendering loss of random rays, and each scene's mean squared error."""
        config = self.config
        rays, jitter = self.method.pick_rays(batch, count, chunk, noise, stage, 0)
        latents = scenes.latents()
        error = (self.render(latents, occupied, rays, jitter) - rays.rgb).square()
        mse = error.reshape(len(latents), -1).mean(1)
        scale = 1 - math.exp(-config.pixel_coefficient * batch.num_pixels)
        loss = config.pixel_weight * scale * 3 * mse.mean()
        return loss + config.reg_weight * latents.square().mean(), mse.detach()


class PublishedScenes:
    """Raw latents of a batch with Adam's state and occupancy grids."""

    def __init__(self, raw: Tensor, grid: Tensor, rate: float):
        """Takes copies."""
        self.raw = [latent.clone().requires_grad_(True) for latent in raw]
        self.grid = grid.clone()
        self.optimizer = torch.optim.Adam(self.raw, rate)

    def latents(self) -> Float[Tensor, "scenes 3 channels rows cols"]:
        """Activated latents."""
        return 2 * torch.tanh(torch.stack(self.raw))

    def step(self, loss: Tensor, prior: list[Tensor]) -> None:
        """Adam on the rendering loss plus the prior's cached gradient."""
        for raw, gradient in zip(self.raw, prior, strict=True):
            raw.grad = gradient.clone()
        loss.backward()
        self.optimizer.step()


# -------------------------------------------------------------------------------------- denoiser


def denoise(unet: UNet2D, x: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]) -> Tensor:
    """An engine UNet's answer, from its weights and torch's own layers."""
    half = unet.config.base // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    embedding = unet.time2(F.silu(unet.time1(torch.cat([angles.cos(), angles.sin()], -1))))
    skips = []
    for stage in unet.encoder:
        x = _through(stage, x, embedding)
        skips.append(x)
    x = _through(unet.middle, x, embedding)
    for stage in unet.decoder:
        x = _through(stage, torch.cat([x, skips.pop()], 1), embedding)
    return unet.out(F.silu(unet.norm(x)))


def _through(stage: nn.ModuleList, x: Tensor, embedding: Tensor) -> Tensor:
    for block in stage:
        if isinstance(block, ResidualBlock):
            x = _residual(block, x, embedding)
        elif isinstance(block, Attention):
            x = _attention(block, x)
        elif isinstance(block, Upsample):
            x = block.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        else:
            x = block.conv(x) if isinstance(block, Downsample) else block(x)
    return x


def _residual(block: ResidualBlock, x: Tensor, embedding: Tensor) -> Tensor:
    h = block.conv1(F.silu(block.norm1(x)))
    scale, shift = block.embed(F.silu(embedding))[:, :, None, None].chunk(2, 1)
    h = F.silu(block.norm2(h) * (1 + scale) + shift)
    h = block.conv2(F.dropout(h, block.dropout, block.training))
    return h + (x if block.shortcut is None else block.shortcut(x))


def _attention(block: Attention, x: Tensor) -> Tensor:
    batch, width, rows, cols = x.shape
    qkv = block.qkv(block.norm(x).reshape(batch, width, -1))
    q, k, v = qkv.reshape(batch * block.heads, -1, rows * cols).chunk(3, 1)
    shares = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(q.shape[1]), -1)
    h = (v @ shares.transpose(1, 2)).reshape(batch, width, -1)
    return x + block.proj(h).reshape(x.shape)

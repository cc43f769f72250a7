"""SSDNeRF: a triplane auto-decoder and a latent diffusion prior trained in one stage.

Source: Single-Stage Diffusion NeRF (2304.06714), official code; every formula is pinned by parity tests.
The file follows the paper: losses (eq. 4-6), one training iteration (Algorithm 1), unconditional sampling,
image-guided sampling (section 4.3) and finetuning. Mode `ours` adds renoise-averaging to both uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from engine.diffusion.sample import ddim, renoise_average
from engine.diffusion.schedule import Schedule
from engine.errors import EngineError, UnsupportedTaskError
from engine.events import Run, Step
from engine.fields.triplane import DecoderConfig, TriplaneDecoder, TriplaneField
from engine.methods.base import FitOptions, MethodInfo, SampleOptions
from engine.methods.latents import LatentRecords
from engine.nets.unet2d import UNet2D, UNetConfig
from engine.noise import Noise
from engine.ops.activations import CLIP, LatentActivation, latent_activation
from engine.ops.losses import pixel_scale, total_variation
from engine.ops.march import MarchConfig, march
from engine.ops.occupancy import occupied_cells, update_grid
from engine.ops.pixels import gather_rays
from engine.ops.planes import stack_planes, unstack_planes
from engine.ops.volume import composite
from engine.scene import Scene
from engine.types import RayBatch, SceneBatch, Views

BACKGROUND = 1.0
"""White."""

GRID_INTERVAL = 16
"""Inner steps between two looks at the density."""


@dataclass(frozen=True)
class SSDNeRFConfig:
    """What the networks are and what the losses weigh; the defaults are the paper's `cars_uncond`."""

    rows: int = 128
    """Rows of each plane."""
    cols: int = 128
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
    """Whether the denoiser sees the planes side by side instead of stacked along channels."""
    march: MarchConfig = MarchConfig()
    """How rays are sampled in training and fitting."""
    dt_gamma_scale: float = 0.5
    """Growth of steps with distance, in units of one over the focal length in pixels."""
    grid_shape: tuple[int, int, int] = (64, 64, 64)
    """Cells of the occupancy grid."""
    density_threshold: float = 0.1
    """Cells below this density may be skipped."""
    dilate_occupancy: bool = False
    """Whether neighbours of occupied cells count as occupied (for coarse grids)."""
    pixel_weight: float = 20.0
    """Weight of the squared colour error (20 is the paper's c_rend = 0.00244)."""
    pixel_coefficient: float = 0.1 / 16384
    """How the colour error's weight grows with the number of rays."""
    reg_weight: float = 3e-3
    """Weight of the mean squared latent."""
    tv_weight: float = 0.0
    """Weight of the latent's total variation."""
    tv_power: float = 2.0
    """Power of the gradients in the total variation (1.5 in the official first-stage configs)."""
    snr_power: float = 0.5
    """omega of the diffusion loss."""
    diffusion_weight: float = 4.0
    """c_diff."""
    normalize_diffusion: bool = True
    """Whether the diffusion loss is divided by the running mean of the squared latent."""


@dataclass(frozen=True)
class TrainOptions:
    """Algorithm 1's settings; schedules are `((from_step, value), ...)`."""

    stage: Literal["joint", "fields", "denoiser"] = "joint"
    """`joint` is Algorithm 1. The paper's two-stage ablation fits latents and decoder without a prior (`fields`),
    then trains the prior on latents that stay (`denoiser`)."""
    inner_steps: tuple[tuple[int, int], ...] = ((0, 15), (2000, 3), (100_000, 1))
    """K_in - 1: latent-only steps in each iteration."""
    rays: int = 4096
    """Rays of each scene in each rendering step."""
    latent_rate: float = 5e-3
    """Adam's rate on the raw latents."""
    freeze_norm: int | None = 100_000
    """Iteration from which the norm factor stays."""


PAPER_FIT = FitOptions(
    mode="paper",
    steps=75,
    guidance_gain=3.2 * 2**14,
    finetune_steps=25,
    inner_steps=4,
    learning_rate=5e-3,
    rate_decay="exponential",
    rays=16384,
)
"""The paper's settings for cars from one view (spec section 5.3)."""


def scheduled(schedule: tuple[tuple[int, int], ...], step: int) -> int:
    """The value of a step schedule."""
    return [value for start, value in schedule if start <= step][-1]


class SSDNeRF(nn.Module):
    """The method: denoiser, decoder, and everything they are used for."""

    norm_factor: Tensor

    def __init__(
        self,
        config: SSDNeRFConfig,
        *,
        sample_options: SampleOptions = SampleOptions(),
        fit_options: FitOptions = FitOptions(),
    ):
        super().__init__()
        self.config = config
        self.sample_options, self.fit_options = sample_options, fit_options
        self.decoder = TriplaneDecoder(config.decoder)
        self.unet = UNet2D(config.unet)
        self.activation = latent_activation(config.activation)
        self.schedule = config.schedule
        self.register_buffer("norm_factor", torch.ones(1))
        shape = (3, config.decoder.channels, config.rows, config.cols)
        self.info = MethodInfo(
            name="ssdnerf",
            title="SSDNeRF",
            paper="2304.06714",
            tasks=frozenset({"generate", "reconstruct"}),
            latent_shape=shape,
        )
        self.mean_latent = torch.zeros(shape)
        self.directions = torch.zeros(0, *shape)
        self.gallery = torch.zeros(0, *shape)
        self.paper_sample_options = SampleOptions(mode="paper", steps=50)
        self.paper_fit_options = PAPER_FIT
        self.checkpoint: str | None = None
        self.network_dtype: torch.dtype | None = None
        """Precision of the denoiser's arithmetic (autocast); None for float32."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.norm_factor.device

    # ---------------------------------------------------------------------------------- the parts

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Wrap one activated latent as a renderable scene."""
        return Scene(
            TriplaneField(self.decoder, latent.to(self.device)),
            {"method": self.info.name, "checkpoint": self.checkpoint, **provenance},
        )

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
        """The denoiser's answer, float32."""
        kind, dtype = self.device.type, self.network_dtype
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
            return torch.stack([self.decoder.density(latent[None], xyz) for latent in latents])

        latents = latents.detach()
        grid = update_grid(grid, density, self.decoder.aabb, decay=decay, jitter=jitter)
        config = self.config
        dilate = config.dilate_occupancy
        return grid, occupied_cells(grid, config.density_threshold, per_scene=dilate, dilate=dilate)

    def cell_jitter(self, noise: Noise, stage: str, step: int) -> Float[Tensor, "cells 3"]:
        """Where in its cell each density query lies."""
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
        samples = march(
            rays.rays_o,
            rays.rays_d,
            occupied,
            self.decoder.aabb,
            self.config.march,
            scene=rays.scene,
            jitter=jitter,
            dt_gamma=self.config.dt_gamma_scale / rays.focal,
        )
        density, rgb = self.decoder(latents, samples.xyz, rays.rays_d, samples.ray, samples.scene)
        image, opacity, _ = composite(density, rgb, samples)
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
        shape = self.to_images(torch.empty(scenes, *self.info.latent_shape, device="meta")).shape
        t = noise.integers(
            0, config.schedule.timesteps, (scenes,), f"{stage}/t", step, device=self.device
        )
        return t, noise.normal(shape, f"{stage}/eps", step, device=self.device)

    def pick_rays(
        self, batch: SceneBatch, count: int, chunk: int, noise: Noise, stage: str, step: int
    ) -> tuple[RayBatch, Float[Tensor, " rays"]]:
        """Random pixels of every scene as rays, and the offsets of their samples."""
        pixels = [
            noise.pixels(batch.num_pixels, count, chunk, f"{stage}/pixels/{k}", step)
            for k in range(batch.num_scenes)
        ]
        rays = gather_rays(batch, torch.stack(pixels).to(batch.images.device))
        jitter = noise.uniform(
            (len(rays.scene),), f"{stage}/rays/{chunk}", step, device=self.device
        )
        return rays, jitter

    # ------------------------------------------------------------------------------- Algorithm 1

    def training_step(
        self,
        batch: SceneBatch,
        records: LatentRecords,
        optimizers: Mapping[str, torch.optim.Optimizer],
        options: TrainOptions,
        step: int,
        noise: Noise,
    ) -> dict[str, float]:
        """One outer iteration of training, by Algorithm 1 or one of its stages; updates `records` in place.

        Args:
            batch: Views of some scenes.
            records: Their latents and state.
            optimizers: Of the `unet` and the `decoder`, with their current rates.
            options: Inner steps, rays and the latents' rate.
            step: Iteration, from 0.
            noise: Randomness of this iteration.

        Returns:
            Numbers to log.
        """
        prior, report = torch.zeros_like(records.raw), {}
        if options.stage != "fields":
            prior, report = self._diffusion_step(
                batch, records, optimizers["unet"], options, step, noise
            )
        if options.stage == "denoiser":
            return report
        inner = scheduled(options.inner_steps, step)
        total, rate = batch.num_pixels, options.latent_rate
        for k in range(inner):
            if k % GRID_INTERVAL == 0:
                occupied = self._refresh(records, noise, "inner", k)
            rays, jitter = self.pick_rays(batch, options.rays, k, noise, "inner", 0)
            self._latent_step(records, occupied, rays, total, jitter, prior, rate)
        if options.stage == "fields":
            self.activation(records.raw, update=True)
        occupied = self._refresh(records, noise, "decoder", 0)
        rays, jitter = self.pick_rays(batch, options.rays, 0, noise, "decoder", 0)
        loss, mse = self._latent_step(
            records,
            occupied,
            rays,
            total,
            jitter,
            prior,
            rate,
            decoder_optimizer=optimizers["decoder"],
        )
        report["rendering_loss"] = float(loss)
        report["psnr"] = mean_psnr(mse)
        return report

    def _diffusion_step(
        self,
        batch: SceneBatch,
        records: LatentRecords,
        optimizer: torch.optim.Optimizer,
        options: TrainOptions,
        step: int,
        noise: Noise,
    ) -> tuple[Tensor, dict[str, float]]:
        """Update the denoiser; returns the prior's gradient on the raw latents, to be cached."""
        raw = records.raw.requires_grad_(True)
        latents = self.activation(raw, update=True)
        if self.config.normalize_diffusion and (
            options.freeze_norm is None or step < options.freeze_norm
        ):
            self.norm_factor.lerp_(latents.detach().square().mean(), 0.001)
        t, eps = self.draw_level(noise, batch.num_scenes, "train", 0)
        loss = self.diffusion_loss(latents, t, eps, self.config.diffusion_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        prior, raw.grad = raw.grad, None
        records.raw = raw.detach()
        rms = float(latents.detach().square().mean().sqrt())
        return prior, {"diffusion_loss": float(loss.detach()), "latent_rms": rms}

    def _refresh(self, records: LatentRecords, noise: Noise, stage: str, step: int) -> Tensor:
        jitter = self.cell_jitter(noise, stage, step)
        records.grid, occupied = self.look(records.grid, self.activation(records.raw), jitter)
        return occupied

    def _latent_step(
        self,
        records: LatentRecords,
        occupied: Tensor,
        rays: RayBatch,
        num_rays: int,
        jitter: Tensor,
        prior: Tensor,
        rate: float,
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

    # -------------------------------------------------------------------------------- test time

    @torch.no_grad()
    def generate(self, num_scenes: int, options: SampleOptions, noise: Noise) -> Run[Tensor]:
        """Draw scenes from the prior. Scene i is what seed `noise.seed + i` alone would give."""
        draws = noise.batch(num_scenes)
        x = self.to_images(
            draws.normal((num_scenes, *self.info.latent_shape), "x_T", device=self.device)
        )

        def estimate(x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
            return self.predict_x0(x_t, t), {}

        run = ddim(x, estimate, self.schedule, draws, steps=options.steps, eta=options.eta)
        x = yield from self._in_latents(run)
        if options.mode == "ours":
            renoise = dataclasses.asdict(options.renoise)
            run = renoise_average(x, estimate, self.schedule, draws, **renoise)
            x = yield from self._in_latents(run)
        return self.from_images(x)

    @torch.no_grad()
    def reconstruct(
        self, views: Views | SceneBatch, options: FitOptions, noise: Noise
    ) -> Run[Tensor]:
        """Fit scenes to posed views: image-guided sampling, then finetuning.

        Args:
            views: One scene's pictures, or several scenes' with as many views each.
            options: Test-time settings.
            noise: Randomness; all scenes of a batch share their starting noise.
        """
        batch = (SceneBatch.of(views) if isinstance(views, Views) else views).to(self.device)
        if batch.images.shape[1] > self.info.max_views:
            raise UnsupportedTaskError(
                f"found {batch.images.shape[1]} views, expected at most {self.info.max_views}; leave some out."
            )
        guide = _Guide(self, batch, options, noise)
        if options.steps:
            x = noise.normal((1, *self.info.latent_shape), "x_T", device=self.device)
            x = self.to_images(x.expand(batch.num_scenes, -1, -1, -1, -1))
            run = ddim(
                x,
                guide,
                self.schedule,
                noise,
                steps=options.steps,
                langevin_steps=options.langevin_steps,
                langevin_delta=options.langevin_delta,
                stage="guide",
            )
            x = yield from self._in_latents(run)
            if options.mode == "ours":
                renoise = dataclasses.asdict(options.renoise)
                run = renoise_average(x, guide.linear, self.schedule, noise, **renoise)
                x = yield from self._in_latents(run)
            latents = self.from_images(x).clamp(-CLIP, CLIP)
        else:
            latents = self.mean_latent.to(self.device).expand(
                batch.num_scenes, *self.info.latent_shape
            )
        if options.finetune_steps:
            latents = yield from self.finetune(latents, batch, options, noise, guide.grid)
        return latents

    @torch.no_grad()
    def finetune(
        self,
        latents: Float[Tensor, "scenes 3 channels rows cols"],
        batch: SceneBatch,
        options: FitOptions,
        noise: Noise,
        grid: Float[Tensor, "scenes gx gy gz"],
    ) -> Run[Tensor]:
        """Optimise latents on the views with the prior's gradient cached in each outer step (spec 5.3)."""
        records = LatentRecords.fresh(self.activation.inverse(latents), self.config.grid_shape)
        records.grid = grid
        for outer in range(options.finetune_steps):
            mse = self._finetune_block(records, batch, options, noise, outer)
            latents = self.activation(records.raw)
            step = Step(
                stage="finetune",
                index=outer + 1,
                total=options.finetune_steps,
                latent=latents,
                scalars={"psnr": mean_psnr(mse)},
            )
            yield _finite(step)
        return latents

    def _finetune_block(
        self,
        records: LatentRecords,
        batch: SceneBatch,
        options: FitOptions,
        noise: Noise,
        outer: int,
    ) -> Tensor:
        """One outer finetuning step; returns each scene's colour error before its last update."""
        if options.mode == "ours" and options.finetune_mix:
            latents = self._renoise_once(self.activation(records.raw), options, noise, outer)
            records.raw = self.activation.inverse(latents)
        prior = torch.zeros_like(records.raw)
        if options.prior_weight:
            t, eps = self.draw_level(noise, batch.num_scenes, "finetune", outer)
            with torch.enable_grad():
                raw = records.raw.detach().requires_grad_(True)
                loss = self.diffusion_loss(self.activation(raw), t, eps, options.prior_weight)
                (prior,) = torch.autograd.grad(loss, raw)
        mse = prior.new_zeros(batch.num_scenes)
        total = options.finetune_steps * options.inner_steps
        for k in range(options.inner_steps):
            taken = outer * options.inner_steps + k
            if k % GRID_INTERVAL == 0:
                occupied = self._refresh(records, noise, "finetune", taken)
            rays, jitter = self.pick_rays(batch, options.rays, k, noise, "finetune", outer)
            rate = options.learning_rate
            rate *= 0.998**taken if options.rate_decay == "exponential" else 1 - taken / total
            _, mse = self._latent_step(
                records, occupied, rays, batch.num_pixels, jitter, prior, rate
            )
        return mse

    def _renoise_once(
        self, latents: Tensor, options: FitOptions, noise: Noise, outer: int
    ) -> Float[Tensor, "scenes 3 channels rows cols"]:
        """Mix in the prior's estimate of the renoised latents."""
        x, stage = self.to_images(latents), "finetune/renoise"
        low, high = options.renoise.t_low, options.renoise.t_high
        t = noise.integers(low, high, x.shape[:1], f"{stage}/t", outer, device=x.device)
        eps = noise.normal(x.shape, f"{stage}/eps", outer, device=x.device)
        x0 = self.predict_x0(self.schedule.diffuse(x, eps, t), t)
        return self.from_images(torch.lerp(x, x0, options.finetune_mix))

    def _in_latents(self, run: Run[Tensor]) -> Run[Tensor]:
        """The same run with its steps' x0 as latents instead of the denoiser's images."""
        while True:
            try:
                step = next(run)
            except StopIteration as stop:
                return stop.value
            yield _finite(dataclasses.replace(step, latent=self.from_images(step.latent)))


def _finite(step: Step) -> Step:
    """The same step; a run whose numbers broke stops here and says where."""
    if not bool(torch.isfinite(step.latent).all()):
        raise EngineError(
            f"{step.stage} step {step.index}: found a latent that is not finite; "
            "lower the guidance gain or the learning rate."
        )
    return step


def mean_psnr(mse: Float[Tensor, " scenes"]) -> float:
    """PSNR in dB, averaged over scenes."""
    return float(-10 * torch.log10(mse + 1e-6).mean())


class _Guide:
    """x0 estimates pulled towards the views by the rendering loss (spec section 5.2).

    `x0 <- x0 - gain * sigma^(2 - 2 omega) * signal^(2 omega - 1) * dLoss/dx_t`, clipped before and after; the
    gradient runs through the denoiser, or stops at x0 where the options say so. The occupancy grid persists over the whole sampling.
    """

    def __init__(self, method: SSDNeRF, batch: SceneBatch, options: FitOptions, noise: Noise):
        self.method, self.batch, self.options, self.noise = method, batch, options, noise
        shape = (batch.num_scenes, *method.config.grid_shape)
        self.grid = torch.zeros(shape, device=method.device)
        self.evaluations = 0

    def __call__(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """The guided estimate at scale sigma^(2 - 2 omega) * signal^(2 omega - 1)."""
        power = self.options.snr_power
        signal, sigma = self.method.schedule.signal(t), self.method.schedule.sigma(t)
        return self._estimate(x_t, t, sigma ** (2 - 2 * power) * signal ** (2 * power - 1))

    def linear(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """The guided estimate at scale sigma, for renoise-averaging."""
        return self._estimate(x_t, t, self.method.schedule.sigma(t))

    def _estimate(
        self, x_t: Tensor, t: Tensor, scale: Tensor
    ) -> tuple[Tensor, Mapping[str, float]]:
        method, batch, options = self.method, self.batch, self.options
        with torch.enable_grad():
            x_t = x_t.detach().requires_grad_(options.through_denoiser)
            x0 = method.predict_x0(x_t, t)
            if not options.through_denoiser:
                x0 = x0.detach().requires_grad_(True)
            latents = method.from_images(x0)
            jitter = method.cell_jitter(self.noise, "guide", self.evaluations)
            self.grid, occupied = method.look(self.grid, latents, jitter)
            rays, offsets = method.pick_rays(
                batch, options.rays, self.evaluations, self.noise, "guide", 0
            )
            loss, mse = method.rendering_loss(latents, occupied, rays, rays.per_scene, offsets)
            pulled = x_t if options.through_denoiser else x0
            (gradient,) = torch.autograd.grad(loss * batch.num_scenes, pulled)
        self.evaluations += 1
        step = gradient * scale * options.guidance_gain
        scalars = {
            "psnr": mean_psnr(mse),
            "guidance_norm": float(step.flatten(1).norm(dim=1).mean()),
        }
        return (x0.detach() - step).clamp(-CLIP, CLIP), scalars

"""SSDNeRF: a triplane auto-decoder and a latent diffusion prior trained in one stage.

Source: Single-Stage Diffusion NeRF (2304.06714), official code; every formula is pinned by parity tests.
The file follows the paper: one training iteration (Algorithm 1), unconditional sampling, and reconstruction by
image-guided sampling and finetuning (section 4.3). The losses (eq. 4-6) are the model's, guidance and finetuning have
a file of their own. Mode `ours` adds renoise-averaging to both uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from engine.diffusion.invert import invert_ddim
from engine.diffusion.sample import renoise_average, solve
from engine.events import Run, Step
from engine.fields.scene import Scene
from engine.fields.triplane import TriplaneField
from engine.kernels.triplane_rays import on_triton
from engine.methods.base import (
    Capabilities,
    MethodInfo,
    TrainingData,
    before,
    check_task,
    reached,
    taken,
)
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.complete import held_texels, kept_views
from engine.methods.ssdnerf.fit import fit, in_images, in_latents
from engine.methods.ssdnerf.model import GRID_INTERVAL, SSDNeRFConfig, SSDNeRFModel, mean_psnr
from engine.methods.ssdnerf.options import (
    ABLATION,
    PAPER_FIT,
    TUNING,
    FitOptions,
    KeepOptions,
    SampleOptions,
    for_views,
    without_prior,
)
from engine.methods.ssdnerf.published import PUBLISHED
from engine.methods.training import ParameterGroup, Stage, latent_statistics
from engine.noise import Noise
from engine.ops.activations import CLIP
from engine.render.frames import bake
from engine.render.region import Region
from engine.types import SceneBatch, Views

TrainingStage = Literal["joint", "fields", "denoiser"]
"""`joint` is Algorithm 1. The paper's two-stage ablation fits latents and decoder without a prior (`fields`),
then trains the prior on latents that stay (`denoiser`)."""


@dataclass(frozen=True)
class TrainOptions:
    """Algorithm 1's settings; schedules are `((from_step, value), ...)`."""

    stage: TrainingStage = "joint"
    """Part of Algorithm 1 to train."""
    denoiser_from: int | None = None
    """Iteration from which latents and decoder stay and the denoiser alone learns: the second stage of the paper's
    two-stage ablation, whose first is `stage` "fields"."""
    inner_steps: tuple[tuple[int, int], ...] = ((0, 15), (2000, 3), (100_000, 1))
    """K_in - 1: latent-only steps in each iteration."""
    rays: int = 4096
    """Rays of each scene in each rendering step."""
    unet_rate: float = 1e-3
    """Adam's rate of the denoiser."""
    decoder_rate: float = 5e-3
    """Adam's rate of the decoder."""
    latent_rate: float = 5e-3
    """Adam's rate on the raw latents."""
    freeze_norm: int | None = 100_000
    """Iteration from which the norm factor stays."""

    def stage_at(self, step: int) -> TrainingStage:
        """Name of the part of Algorithm 1 that an iteration takes."""
        second = self.denoiser_from
        return self.stage if second is None or step < second else "denoiser"


def scheduled(schedule: tuple[tuple[int, int], ...], step: int) -> int:
    """The value of a step schedule."""
    return [value for start, value in schedule if start <= step][-1]


class SSDNeRF(SSDNeRFModel):
    """The method: denoiser, decoder, and everything they are used for."""

    ABLATION = ABLATION
    PUBLISHED = PUBLISHED
    TUNING = TUNING
    OPTIONS: ClassVar[Mapping[str, type]] = {
        "generate": SampleOptions,
        "reconstruct": FitOptions,
        "complete": KeepOptions,
    }

    def __init__(self, config: SSDNeRFConfig):
        super().__init__(config)
        shape = self.latent_shape
        self.presets = {
            "generate": {"ours": SampleOptions(), "paper": SampleOptions(mode="paper", steps=50)},
            "reconstruct": {"ours": FitOptions(), "paper": PAPER_FIT},
            "complete": {"ours": KeepOptions()},
        }
        self.info = MethodInfo(
            name="ssdnerf",
            title="SSDNeRF",
            paper="2304.06714",
            latent_shape=shape,
            limit=CLIP,
            capabilities=Capabilities(
                generate="prior", max_views=32, interpolate=("noise", "latent"), complete=True
            ),
        )
        self.mean_latent = torch.zeros(shape)
        self.directions = torch.zeros(0, *shape)
        self.gallery = torch.zeros(0, *shape)
        self.data = TrainingData()
        self.checkpoint: str | None = None

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Wrap one activated latent as a renderable scene."""
        return Scene(
            TriplaneField(self.decoder, latent.to(self.device)),
            {"method": self.info.name, "checkpoint": self.checkpoint, **provenance},
        )

    # ---------------------------------------------------------------------------------- training

    def stages(self, options: TrainOptions, iterations: int) -> tuple[Stage, ...]:
        """Algorithm 1, or the two parts of the paper's ablation."""
        first, second = Stage(options.stage), options.denoiser_from
        return (first,) if second is None else (first, Stage("denoiser", second))

    def begin_stage(self, stage: str, records: LatentRecords | None) -> None:
        """Nothing: every stage goes on with what is there."""

    def bank(self, scenes: int, noise: Noise, options: TrainOptions) -> LatentRecords:
        """Raw latents near zero, and empty occupancy grids."""
        raw = torch.empty(scenes, *self.latent_shape)
        for scene in range(scenes):
            raw[scene] = (2 * noise.uniform(self.latent_shape, "latent", scene) - 1) * 1e-4
        return LatentRecords.fresh(raw, self.config.grid_shape, torch.float16)

    def parameter_groups(self, options: TrainOptions) -> dict[str, ParameterGroup]:
        """Denoiser and decoder."""
        return {
            "unet": ParameterGroup(list(self.unet.parameters()), options.unet_rate),
            "decoder": ParameterGroup(list(self.decoder.parameters()), options.decoder_rate),
        }

    def for_views(self, options: FitOptions, num_views: int) -> FitOptions:
        """More views, more steps. See `engine.methods.ssdnerf.options.GROWTH`."""
        return for_views(options, num_views)

    def without_prior(self, ours: FitOptions, rate: float) -> FitOptions:
        """Settings of a fit from the mean latent by the rendering loss alone, for comparison with `ours`."""
        return without_prior(ours, rate)

    def inverse_options(self, steps: int, like: SampleOptions | None = None) -> SampleOptions:
        """DDIM of as many steps. See `Invertible.inverse_options`.

        Any other sampler leads a noise that was found for an unusual object elsewhere: to 20 dB instead of 40.
        """
        like = SampleOptions(mode="paper") if like is None else like
        return replace(like, sampler="ddim", steps=steps, eta=0.0)

    def training_step(
        self,
        batch: SceneBatch,
        records: LatentRecords,
        optimizers: Mapping[str, torch.optim.Optimizer],
        options: TrainOptions,
        step: int,
        noise: Noise,
        rate_factor: float | Tensor = 1.0,
    ) -> dict[str, Tensor]:
        """One outer iteration by Algorithm 1 or one of its stages. See `Trainable.training_step`."""
        stage, rate = options.stage_at(step), options.latent_rate * rate_factor
        prior, report = torch.zeros_like(records.raw), {}
        if stage != "fields":
            prior, report = self._diffusion_step(
                batch, records, optimizers["unet"], options, step, noise
            )
        if stage == "denoiser":
            return report
        inner = scheduled(options.inner_steps, step)
        total = batch.num_pixels
        for k in range(inner):
            if k % GRID_INTERVAL == 0:
                occupied = self.refresh(records, noise, "inner", k)
            rays, jitter = self.pick_rays(batch, options.rays, k, noise, "inner", 0)
            self.latent_step(records, occupied, rays, total, jitter, prior, rate)
        if stage == "fields":
            self.activation(records.raw, update=True)
        occupied = self.refresh(records, noise, "decoder", 0)
        rays, jitter = self.pick_rays(batch, options.rays, 0, noise, "decoder", 0)
        loss, mse = self.latent_step(
            records,
            occupied,
            rays,
            total,
            jitter,
            prior,
            rate,
            decoder_optimizer=optimizers["decoder"],
        )
        report["rendering_loss"] = loss
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
    ) -> tuple[Tensor, dict[str, Tensor]]:
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
        rms = latents.detach().square().mean().sqrt()
        return prior, {"diffusion_loss": loss.detach(), "latent_rms": rms}

    def iteration_kind(self, options: TrainOptions, step: int) -> Hashable | None:
        """Inner steps, and whether the norm factor stays; None without the GPU's kernels, or of two stages."""
        if options.denoiser_from is not None or not on_triton(self.decoder, self.norm_factor):
            return None
        frozen = options.freeze_norm is not None and step >= options.freeze_norm
        return scheduled(options.inner_steps, step), frozen

    def finish(self, raw: Tensor) -> None:
        """Keep statistics of the latents and some of them."""
        statistics = latent_statistics(self.activated(raw))
        self.mean_latent, self.directions, self.gallery = statistics

    # -------------------------------------------------------------------------------- test time

    @torch.no_grad()
    def generate(
        self,
        num_scenes: int,
        options: SampleOptions,
        noise: Noise,
        *,
        x_T: Tensor | None = None,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Draw scenes from the prior: the sampler, then renoise-averaging. See `Method.generate`."""
        draws = noise.batch(num_scenes) if x_T is None else noise.shared(num_scenes)
        if x_T is None:
            x_T = self.starting_noise(num_scenes, noise)
        after = in_images(self, after)
        x = self.to_images(x_T.to(self.device)) if after is None else reached(after)

        def estimate(x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
            return self.predict_x0(x_t, t), {}

        if before(after, "renoise"):
            run = solve(
                options.sampler,
                x,
                estimate,
                self.schedule,
                draws,
                steps=options.steps,
                eta=options.eta,
                after=after,
            )
            x = yield from in_latents(self, run)
        if options.mode == "ours":
            renoise = {**dataclasses.asdict(options.renoise), "first": taken(after, "renoise")}
            run = renoise_average(x, estimate, self.schedule, draws, **renoise)
            x = yield from in_latents(self, run)
        return self.from_images(x)

    @torch.no_grad()
    def invert(self, latents: Tensor, steps: int = 100, corrections: int = 2) -> Run[Tensor]:
        """The `x_T` that DDIM takes to `latents`. See `Invertible.invert`.

        Args:
            latents: Activated latents, `n *latent_shape`.
            steps: Noise levels.
            corrections: Of each; 100 steps with 0, 1, 2 of them take a bundled prior 0.5, 0.9 and 1.3 s on two cores and
                bring back the objects that it drew to about 30, 60 and 70 dB.
        """

        def estimate(x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
            return self.predict_x0(x_t, t), {}

        x0 = self.to_images(latents.to(self.device))
        run = invert_ddim(x0, estimate, self.schedule, steps=steps, corrections=corrections)
        return self.from_images((yield from in_latents(self, run)))

    @torch.no_grad()
    def reconstruct(
        self,
        views: Views | SceneBatch,
        options: FitOptions,
        noise: Noise,
        *,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Fit scenes to posed views: image-guided sampling, then finetuning.

        Args:
            views: One scene's pictures, or several scenes' with as many views each.
            options: Test-time settings.
            noise: Randomness; all scenes of a batch share their starting noise.
            after: A step of an earlier run to go on from.
        """
        batch = (SceneBatch.of(views) if isinstance(views, Views) else views).to(self.device)
        check_task(self, "reconstruct", batch.images.shape[1])
        return (yield from fit(self, batch, options, noise, after))

    @torch.no_grad()
    def complete(
        self,
        latent: Tensor,
        region: Region,
        options: KeepOptions,
        noise: Noise,
        *,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Draw an object anew but for a part, by its renders and its texels. See `Completing.complete`."""
        latent, region = latent.to(self.device), region.to(self.device)
        baked = bake(self.scene(latent).field)
        batch = kept_views(baked, region, self.data.distance, options)
        hold = held_texels(baked, latent, region, options)
        return (yield from fit(self, batch, options.fit, noise, after, hold))

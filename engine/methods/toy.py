"""Cars made of coloured blobs: the smallest whole method, and the one to copy from when another is added.

A scene is a handful of blobs, and the model is the Gaussian of all scenes' numbers. Its denoiser is known in closed form, so
there is no network: sampling, inversion, guidance and completion run through `engine.diffusion` all the same, in
milliseconds. Training fits blobs to pictures and takes the Gaussian from them; untrained, it is that of cars made by hand.

A method is a class with the members of `engine.methods.base.Method` and `engine.methods.training.Trainable`, a config, and a
frozen dataclass of settings for each task. A line in `METHODS` and a recipe in `train/recipes` make all else know it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from engine.config import Bounds
from engine.diffusion.gaussian import Gaussian
from engine.diffusion.invert import invert_ddim
from engine.diffusion.sample import solve
from engine.diffusion.schedule import CosineSchedule
from engine.errors import RegionError
from engine.events import Run, Step
from engine.fields.blobs import NUMBERS, BlobConfig, BlobField
from engine.fields.scene import Scene
from engine.methods.base import Capabilities, MethodInfo, TrainingData, check_task, check_views
from engine.methods.optimise import LatentRecords
from engine.methods.toy_cars import hand_made_cars
from engine.methods.toy_options import TIMESTEPS, DrawOptions, MatchOptions, TrainOptions
from engine.methods.training import ParameterGroup, Stage, latent_statistics
from engine.noise import Noise
from engine.render.march import MarchConfig
from engine.render.pixels import gather_rays
from engine.render.rays import render_rays
from engine.render.region import Region
from engine.types import SceneBatch, Views

FIELD = BlobConfig()
"""Blobs of a scene, and their box."""
LEVELS = CosineSchedule(TIMESTEPS)
"""Noise levels."""
REST = 0.12
"""Standard deviation of every number beside what the directions say."""
MARCH = MarchConfig(max_steps=64)
"""Sampling of the rays that are fitted."""


@dataclass(frozen=True)
class ToyConfig:
    """The method's config, kept in checkpoints and named by recipes."""

    step_seconds: Annotated[float, Bounds(0.0, 60.0)] = 0.0
    """Time that each step takes longer, for tests."""


class ToyMethod(nn.Module):
    """The method. What `Method`, `Invertible`, `Completing` and `Trainable` say of a member is not said again."""

    OPTIONS: ClassVar[Mapping[str, type]] = {
        "generate": DrawOptions,
        "reconstruct": MatchOptions,
        "complete": DrawOptions,
    }

    def __init__(self, config: ToyConfig = ToyConfig()):
        super().__init__()
        self.config = config
        self.latent_shape = FIELD.blobs, NUMBERS
        self.info = MethodInfo(
            name="toy",
            title="Toy cars",
            paper="none",
            latent_shape=self.latent_shape,
            capabilities=Capabilities(
                generate="noise", max_views=4, interpolate=("noise", "latent"), complete=True
            ),
        )
        self.presets: dict[str, dict[str, Any]] = {
            "generate": {"ours": DrawOptions(), "paper": DrawOptions("ddim", 16)},
            "reconstruct": {"ours": MatchOptions(), "paper": MatchOptions(rounds=0)},
            "complete": {"ours": DrawOptions()},
        }
        self.data, self.checkpoint, self.network_dtype = TrainingData("vehicles"), None, None
        names = ("mean_latent", "directions", "gallery")  # every checkpoint holds these
        for name, value in zip(names, hand_made_cars(), strict=True):
            self.register_buffer(name, value.clone(), persistent=False)

    @property
    def device(self) -> torch.device:
        """Device of the latents."""
        return self.mean_latent.device

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Blobs as a scene."""
        field = BlobField(FIELD, latent.float().to(self.device))
        about = {"method": self.info.name, "checkpoint": self.checkpoint}
        return Scene(field, {**about, **provenance})

    def gaussian(self, spread: float = 1.0) -> Gaussian:
        """The model: what the directions span, and a little more."""
        flat = self.directions.flatten(1)
        rest = torch.eye(flat.shape[1], device=self.device) * REST**2
        return Gaussian(self.mean_latent, spread**2 * (flat.T @ flat + rest))

    # ---------------------------------------------------------------------------- test time

    @torch.no_grad()
    def generate(
        self,
        num_scenes: int,
        options: DrawOptions,
        noise: Noise,
        *,
        x_T: Tensor | None = None,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Sample: stage "denoise"."""
        x_T = self.starting_noise(num_scenes, noise) if x_T is None else x_T
        return (yield from self._sample(self.gaussian(options.spread), x_T, options, noise, after))

    def starting_noise(self, num_scenes: int, noise: Noise) -> Tensor:
        """Standard normal numbers."""
        shape = (num_scenes, *self.latent_shape)
        return noise.batch(num_scenes).normal(shape, "x_T", device=self.device)

    def invert(self, latents: Tensor, steps: int = 100) -> Run[Tensor]:
        """DDIM backwards."""
        x0, estimate = latents.to(self.device), self.gaussian().estimator(LEVELS)
        return (yield from invert_ddim(x0, estimate, LEVELS, steps=steps, corrections=8))

    def inverse_options(self, steps: int, like: DrawOptions | None = None) -> DrawOptions:
        """DDIM from the Gaussian as it is."""
        return DrawOptions("ddim", steps)

    @torch.no_grad()
    def complete(
        self,
        latent: Tensor,
        region: Region,
        options: DrawOptions,
        noise: Noise,
        *,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Sample the other blobs given those whose centres are to be kept: stage "denoise"."""
        latent = latent.to(self.device)
        kept = region.to(self.device).contains(self.scene(latent).field.centres)
        if not kept.any() or kept.all():
            found = f"Found {int(kept.sum())} of {len(kept)} blobs in the part to keep"
            raise RegionError(f"{found}, expected some; mark another part.")
        known = kept[:, None].expand_as(latent)
        gaussian = self.gaussian(options.spread).given(known, latent)
        x_T = self.starting_noise(1, noise)
        x0 = yield from self._sample(gaussian, x_T, options, noise, after)
        return torch.where(known, latent, x0)

    @torch.no_grad()
    def reconstruct(
        self, views: Views, options: MatchOptions, noise: Noise, *, after: Step | None = None
    ) -> Run[Tensor]:
        """Guided sampling, then Adam on the blobs: stages "guide" and "fit"."""
        check_task(self, "reconstruct", len(views))
        batch, x = SceneBatch.of(views).to(self.device), self.starting_noise(1, noise)
        gaussian, denoise = self.gaussian(), self.gaussian().estimator(LEVELS)

        def estimate(x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
            x0, _ = denoise(x_t, t)
            gradient, scalars = self._gradient(x0, batch, options.rays, noise, "guide", int(t[0]))
            shift = gaussian.shift(-options.pull * gradient, t, LEVELS)
            return x0 + shift, {**scalars, "guidance_norm": float(shift.norm())}

        if after is None or after.stage == "guide":
            walk = {"steps": options.levels, "stage": "guide", "after": after}
            x = yield from self._slowly(solve("ddim", x, estimate, LEVELS, noise, **walk))
            after = None
        return (yield from self._slowly(self._fit(x, batch, options, noise, after)))

    def for_views(self, options: MatchOptions, num_views: int) -> MatchOptions:
        """More pictures, more steps of Adam."""
        check_views(num_views)
        return replace(options, rounds=options.rounds * num_views)

    def _sample(
        self,
        gaussian: Gaussian,
        x_T: Tensor,
        options: DrawOptions,
        noise: Noise,
        after: Step | None,
    ) -> Run[Tensor]:
        """From noise to what a Gaussian holds."""
        estimate, walk = gaussian.estimator(LEVELS), {"steps": options.steps, "after": after}
        run = solve(options.sampler, x_T.to(self.device), estimate, LEVELS, noise, **walk)
        return (yield from self._slowly(run))

    def _fit(
        self, x: Tensor, batch: SceneBatch, options: MatchOptions, noise: Noise, after: Step | None
    ) -> Run[Tensor]:
        """Adam on blobs; a step's `state` is what it takes to go on from there."""
        records, rays = LatentRecords.fresh(x), options.rays
        if after is not None:
            records = LatentRecords.after(after, self.device)
        for index in range(int(records.steps), options.rounds):
            gradient, scalars = self._gradient(records.raw, batch, rays, noise, "fit", index)
            records.adam(gradient, options.rate)
            state = {name: value.clone() for name, value in records.tensors().items()}
            yield Step(
                stage="fit",
                index=index + 1,
                total=options.rounds,
                latent=state.pop("raw"),
                state=state,
                scalars=scalars,
            )
        return records.raw

    def _gradient(
        self, latents: Tensor, batch: SceneBatch, count: int, noise: Noise, stage: str, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Gradient of each scene's mean squared colour error on random pixels, and the PSNR there."""
        shape, device = (len(latents), count), self.device
        pixels = noise.integers(0, batch.num_pixels, shape, f"{stage}/pixels", step, device=device)
        rays = gather_rays(batch, pixels)
        each = zip(*(part.split(count) for part in (rays.rays_o, rays.rays_d)), strict=True)
        with torch.enable_grad():
            leaf = latents.detach().requires_grad_(True)
            fields = [BlobField(FIELD, latent) for latent in leaf]
            images = [
                render_rays(field, *parts, config=MARCH, background=1.0)[0]
                for field, parts in zip(fields, each, strict=True)
            ]
            error = (torch.cat(images) - rays.rgb).square().mean()
            (gradient,) = torch.autograd.grad(error * len(latents), leaf)
        return gradient, {"psnr": float(-10 * error.detach().log10())}

    def _slowly(self, run: Run[Tensor]) -> Run[Tensor]:
        """A run slowed down by the config's time at each step."""
        while True:
            try:
                step = next(run)
            except StopIteration as end:
                return end.value
            if self.config.step_seconds:
                time.sleep(self.config.step_seconds)
            yield step

    # ----------------------------------------------------------------------------- training

    def stages(self, options: TrainOptions, iterations: int) -> tuple[Stage, ...]:
        """One."""
        return (Stage("blobs"),)

    def begin_stage(self, stage: str, records: LatentRecords | None) -> None:
        """Nothing to prepare."""

    def bank(self, scenes: int, noise: Noise, options: TrainOptions) -> LatentRecords:
        """Every scene begins as the mean car."""
        return LatentRecords.fresh(self.mean_latent.cpu().repeat(scenes, 1, 1))

    def parameter_groups(self, options: TrainOptions) -> dict[str, ParameterGroup]:
        """None: there is no network."""
        return {}

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
        """One step of Adam on the blobs of some scenes."""
        gradient, scalars = self._gradient(records.raw, batch, options.rays, noise, "train", step)
        records.adam(gradient, options.rate * rate_factor)
        return {name: torch.tensor(value) for name, value in scalars.items()}

    def iteration_kind(self, options: TrainOptions, step: int) -> None:
        """Iterations differ in their samples."""

    def networks(self) -> tuple[int, ...]:
        """Latents of one shape mean the same."""
        return self.latent_shape

    def activated(self, raw: Tensor) -> Tensor:
        """Numbers are used as they are."""
        return raw

    def deactivated(self, latents: Tensor) -> Tensor:
        """Numbers are used as they are."""
        return latents

    def finish(self, raw: Tensor) -> None:
        """Mean and directions of the scenes are the model."""
        self.mean_latent, self.directions, self.gallery = latent_statistics(raw)

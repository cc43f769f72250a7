"""SSDNeRF at test time: image guidance and finetuning.

Source: Single-Stage Diffusion NeRF (2304.06714) section 4.3, official code. Mode `ours` adds renoise-averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from engine.diffusion.sample import even_times, renoise_average, solve
from engine.errors import EngineError
from engine.events import Run, Step
from engine.fields.triplane import TriplaneField
from engine.methods.base import before, reached, taken
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.complete import Hold, proposed_views
from engine.methods.ssdnerf.model import GRID_INTERVAL, SSDNeRFModel, mean_psnr
from engine.methods.ssdnerf.options import FitOptions
from engine.noise import Noise
from engine.ops.activations import CLIP
from engine.render.frames import bake
from engine.types import SceneBatch


class Guide:
    """x0 estimates pulled towards the views by the rendering loss (2304.06714, section 4.3).

    `x0 <- x0 - gain * sigma^(2 - 2 omega) * signal^(2 omega - 1) * dLoss/dx_t`, clipped before and after; the
    gradient runs through the denoiser, or stops at x0 where the options say so. The occupancy grid persists over the whole sampling.
    What a `hold` keeps is put back into every estimate.
    """

    def __init__(
        self,
        method: SSDNeRFModel,
        batch: SceneBatch,
        options: FitOptions,
        noise: Noise,
        after: Step | None = None,
        hold: Hold | None = None,
    ):
        self.method, self.batch, self.options, self.noise = method, batch, options, noise
        self.hold = hold
        shape = (batch.num_scenes, *method.config.grid_shape)
        state = {} if after is None else after.state
        self.grid = state.get("grid", torch.zeros(shape, device=method.device))
        self.evaluations = state.get("evaluations", 0)

    def state(self) -> dict[str, Any]:
        """State that guidance goes on from."""
        return {"grid": self.grid, "evaluations": self.evaluations}

    def __call__(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """The guided estimate at scale sigma^(2 - 2 omega) * signal^(2 omega - 1); the prior's own above the guide."""
        if int(t.max()) >= self.options.guide_below:
            return self.method.predict_x0(x_t, t), {}
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
            "psnr": float(mean_psnr(mse)),
            "guidance_norm": float(step.flatten(1).norm(dim=1).mean()),
        }
        x0 = (x0.detach() - step).clamp(-CLIP, CLIP)
        if self.hold is not None:
            x0 = method.to_images(self.hold.blend(method.from_images(x0)))
        return x0, scalars


@torch.no_grad()
def fit(
    method: SSDNeRFModel,
    batch: SceneBatch,
    options: FitOptions,
    noise: Noise,
    after: Step | None = None,
    hold: Hold | None = None,
) -> Run[Tensor]:
    """Latents whose renders agree with a batch's pixels: guided sampling, then finetuning.

    Args:
        method: The prior.
        batch: Pictures; all scenes share their starting noise.
        options: Test-time settings.
        noise: Randomness.
        after: A step of an earlier run, with latents, to go on from.
        hold: Texels that stay.
    """
    after = in_images(method, after)
    guide = Guide(method, batch, options, noise, after, hold)
    latents = method.mean_latent.to(method.device).expand(batch.num_scenes, *method.latent_shape)
    sampled = not before(after, "finetune")
    if not sampled and (options.steps or after is not None):
        latents = yield from _sample_guided(guide, after)
    if sampled or options.finetune_steps:
        after = after if sampled else None
        if hold is not None:
            proposal = latents if after is None else known(after, "proposal")["proposal"]
            hold = replace(hold, proposal=proposal)
            baked = bake(TriplaneField(method.decoder, proposal[0]))
            batch = proposed_views(batch, baked, hold.region)
        latents = yield from finetune(
            method, latents, batch, options, noise, guide.grid, after, hold
        )
    return latents if hold is None else hold.fix(latents, hold.latent)


def _sample_guided(guide: Guide, after: Step | None) -> Run[Tensor]:
    """From noise to latents that agree with the guide's views."""
    method, options, noise = guide.method, guide.options, guide.noise
    x_T = method.starting_noise(1, noise).expand(guide.batch.num_scenes, -1, -1, -1, -1)
    x = method.to_images(x_T) if after is None else reached(after)
    if before(after, "renoise"):
        run = solve(
            options.sampler,
            x,
            guide,
            method.schedule,
            noise,
            steps=options.steps,
            langevin_steps=options.langevin_steps,
            langevin_delta=options.langevin_delta,
            stage="guide",
            after=after,
        )
        x = yield from in_latents(method, run, guide)
    if options.mode == "ours":
        renoise = {**asdict(options.renoise), "first": taken(after, "renoise")}
        run = renoise_average(x, guide.linear, method.schedule, noise, **renoise)
        x = yield from in_latents(method, run, guide)
    return method.from_images(x).clamp(-CLIP, CLIP)


def in_latents(method: SSDNeRFModel, run: Run[Tensor], guide: Guide | None = None) -> Run[Tensor]:
    """The same run with its steps' x0 and x_t as latents instead of the denoiser's images, and the guide's state."""
    while True:
        try:
            step = next(run)
        except StopIteration as stop:
            return stop.value
        latent, x_t = method.from_images(step.latent), method.from_images(step.noisy_latent)
        state = {**step.state, **(guide.state() if guide else {})}
        yield finite(replace(step, latent=latent, noisy_latent=x_t, state=state))


def in_images(method: SSDNeRFModel, step: Step | None) -> Step | None:
    """The inverse of that: a step to go on from, as samplers know it, on the method's device."""
    if step is None:
        return None
    _check_state(method, step)
    device = method.device
    latent, x_t = (method.to_images(value.to(device)) for value in (step.latent, step.noisy_latent))
    state = {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in step.state.items()
    }
    return replace(step, latent=latent, noisy_latent=x_t, state=state)


def _check_state(method: SSDNeRFModel, step: Step) -> None:
    """Refuse a step, of which a file may have told anything, whose state is not shaped like its latent.

    Raises:
        EngineError: If it is not.
    """
    scenes, size = len(step.latent), step.latent.numel()
    if tuple(step.latent.shape[1:]) != method.latent_shape or step.noisy_latent is None:
        raise EngineError(
            f"{step.stage} step {step.index}: found a latent of shape {tuple(step.latent.shape[1:])}, expected "
            f"{method.latent_shape} with its noisy state; choose a run of this model."
        )
    shaped = {"grid": (scenes, *method.config.grid_shape)}
    shaped |= dict.fromkeys(("t", "log_snr", "steps"), (scenes,))
    for name, value in step.state.items():
        if not isinstance(value, Tensor):
            fits = name in ("step", "correction", "steps", "evaluations")
        elif name in shaped:
            fits = tuple(value.shape) == shaped[name]
        else:
            fits = value.shape[0] == scenes and value.numel() == size
        if not fits:
            raise EngineError(
                f"{step.stage} step {step.index}: found a {name} that its latent has no use for; choose another step."
            )


@torch.no_grad()
def finetune(
    method: SSDNeRFModel,
    latents: Float[Tensor, "scenes 3 channels rows cols"],
    batch: SceneBatch,
    options: FitOptions,
    noise: Noise,
    grid: Float[Tensor, "scenes gx gy gz"],
    after: Step | None = None,
    hold: Hold | None = None,
) -> Run[Tensor]:
    """Optimise latents on the views with the prior's gradient cached in each outer step.

    With `after`, a step of an earlier run, it goes on from there; with `hold`, wholly held texels stay.
    """
    if after is None:
        records = LatentRecords.fresh(method.activation.inverse(latents), method.config.grid_shape)
        records.grid = grid
    else:
        names = [field.name for field in fields(LatentRecords)]
        records = LatentRecords(**{k: v.clone() for k, v in known(after, *names).items()})
        latents = _latents(method, records, hold)
    for outer in range(after.index if after else 0, options.finetune_steps):
        mse = _finetune_block(method, records, batch, options, noise, outer, hold)
        latents = _latents(method, records, hold)
        step = Step(
            stage="finetune",
            index=outer + 1,
            total=options.finetune_steps,
            latent=latents,
            noisy_latent=latents,
            state=_state(records, hold),
            scalars={"psnr": float(mean_psnr(mse))},
        )
        yield finite(step)
    return latents


def _finetune_block(
    method: SSDNeRFModel,
    records: LatentRecords,
    batch: SceneBatch,
    options: FitOptions,
    noise: Noise,
    outer: int,
    hold: Hold | None,
) -> Tensor:
    """One outer finetuning step; returns each scene's colour error before its last update."""
    if options.mode == "ours" and options.finetune_mix:
        latents = _renoise_once(method, method.activation(records.raw), options, noise, outer)
        records.raw = method.activation.inverse(latents)
    prior = torch.zeros_like(records.raw)
    if options.prior_weight:
        t, eps = method.draw_level(noise, batch.num_scenes, "finetune", outer)
        with torch.enable_grad():
            raw = records.raw.detach().requires_grad_(True)
            loss = method.diffusion_loss(method.activation(raw), t, eps, options.prior_weight)
            (prior,) = torch.autograd.grad(loss, raw)
    mse = prior.new_zeros(batch.num_scenes)
    total = options.finetune_steps * options.inner_steps
    for k in range(options.inner_steps):
        taken = outer * options.inner_steps + k
        if k % GRID_INTERVAL == 0:
            occupied = method.refresh(records, noise, "finetune", taken)
        rays, jitter = method.pick_rays(batch, options.rays, k, noise, "finetune", outer)
        rate = options.learning_rate
        rate *= 0.998**taken if options.rate_decay == "exponential" else 1 - taken / total
        _, mse = method.latent_step(records, occupied, rays, batch.num_pixels, jitter, prior, rate)
        if hold is not None:
            records.raw = hold.fix(records.raw, method.activation.inverse(hold.latent))
    return mse


def _latents(
    method: SSDNeRFModel, records: LatentRecords, hold: Hold | None
) -> Float[Tensor, "scenes 3 channels rows cols"]:
    """The records' latents; held texels exactly as they are."""
    latents = method.activation(records.raw)
    return latents if hold is None else hold.fix(latents, hold.latent)


def _state(records: LatentRecords, hold: Hold | None) -> dict[str, Tensor]:
    """State that the finetuning goes on from."""
    state = {name: value.clone() for name, value in vars(records).items()}
    return state if hold is None else {**state, "proposal": hold.proposal}


def known(step: Step, *names: str) -> dict[str, Any]:
    """Parts of a step's state.

    Raises:
        EngineError: If the step does not hold them.
    """
    if missing := [name for name in names if name not in step.state]:
        raise EngineError(
            f"{step.stage} step {step.index}: found no {', '.join(missing)}, which going on from it takes; choose another."
        )
    return {name: step.state[name] for name in names}


def _renoise_once(
    method: SSDNeRFModel, latents: Tensor, options: FitOptions, noise: Noise, outer: int
) -> Float[Tensor, "scenes 3 channels rows cols"]:
    """Mix in the prior's estimate of the renoised latents."""
    x, stage = method.to_images(latents), "finetune/renoise"
    low, high = options.renoise.t_low, options.renoise.t_high
    t = even_times(x, low, high, noise, f"{stage}/t", outer)
    eps = noise.normal(x.shape, f"{stage}/eps", outer, device=x.device)
    x0 = method.predict_x0(method.schedule.diffuse(x, eps, t), t)
    return method.from_images(torch.lerp(x, x0, options.finetune_mix))


def finite(step: Step) -> Step:
    """The same step; a run whose numbers broke stops here and says where."""
    if not bool(torch.isfinite(step.latent).all()):
        raise EngineError(
            f"{step.stage} step {step.index}: found a latent that is not finite; "
            "lower the guidance gain or the learning rate."
        )
    return step

"""CodeNeRF: an auto-decoder with one code for the shape and one for the texture of every scene.

Source: CodeNeRF (2109.01750) and its released code. The file follows the paper: joint training of the network and all codes
(eq. 4), then reconstruction by optimising the codes alone. There is no prior; objects drawn from a Gaussian that is fitted to
the training codes are an extra under that name. The network and the loss are the model's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from engine.errors import EngineError
from engine.events import Run, Step
from engine.fields.conditional import ConditionalField
from engine.fields.scene import Scene
from engine.methods.base import Capabilities, MethodInfo, TrainingData, check_task, check_views
from engine.methods.codenerf.model import (
    CodeNeRFConfig,
    CodeNeRFModel,
    adamw,
    near_object,
    pick,
    pixel_pools,
)
from engine.methods.codenerf.options import (
    PAPER_FIT,
    PUBLISHED,
    FitOptions,
    SampleOptions,
    TrainOptions,
)
from engine.methods.optimise import LatentRecords
from engine.methods.training import ParameterGroup, Stage, latent_statistics
from engine.noise import Noise
from engine.render.pixels import gather_rays
from engine.types import SceneBatch, Views

PARTS = ("shape", "texture")
"""The two codes, in the order of a latent's first axis."""
CANDIDATES = 8
"""Pixels that are looked at for each ray that is to go near an object."""
GRID_INTERVAL = 20
"""Steps of a fit between two looks at where the scene is empty."""
DIRECTIONS = 4
"""Principal directions of each code that are kept."""


class CodeNeRF(CodeNeRFModel):
    """The method: the network and everything it is used for."""

    OPTIONS: ClassVar[Mapping[str, type]] = {"generate": SampleOptions, "reconstruct": FitOptions}
    PUBLISHED = PUBLISHED
    factor: Tensor
    """Cholesky factors of the training codes' covariances, `2 code code`."""

    def __init__(self, config: CodeNeRFConfig):
        super().__init__(config)
        shape = self.latent_shape
        self.presets: dict[str, dict[str, Any]] = {
            "generate": {"ours": SampleOptions()},
            "reconstruct": {"ours": FitOptions(), "paper": PAPER_FIT},
        }
        self.info = MethodInfo(
            name="codenerf",
            title="CodeNeRF",
            paper="2109.01750",
            latent_shape=shape,
            capabilities=Capabilities(
                generate="Gaussian of the training codes",
                max_views=32,
                interpolate=("latent", *PARTS),
                edit=PARTS,
            ),
        )
        self.register_buffer("factor", torch.zeros(2, config.net.code, config.net.code))
        self.mean_latent = torch.zeros(shape)
        self.directions = torch.zeros(0, *shape)
        self.gallery = torch.zeros(0, *shape)
        self.data = TrainingData()
        self.checkpoint: str | None = None
        self._near: dict[tuple[int, int], Bool[Tensor, " pixels"]] = {}

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Wrap one scene's two codes as a renderable scene."""
        return Scene(
            ConditionalField(self.net, latent.float().to(self.device)),
            {"method": self.info.name, "checkpoint": self.checkpoint, **provenance},
        )

    def for_views(self, options: FitOptions, num_views: int) -> FitOptions:
        """The same settings for any number of views."""
        check_views(num_views)
        return options

    # ---------------------------------------------------------------------------------- training

    def stages(self, options: TrainOptions, iterations: int) -> tuple[Stage, ...]:
        """One: network and codes together."""
        return (Stage("joint"),)

    def begin_stage(self, stage: str, records: LatentRecords | None) -> None:
        """Nothing: there is one stage."""

    def bank(self, scenes: int, noise: Noise, options: TrainOptions) -> LatentRecords:
        """Codes from N(0, 1) / sqrt(d / 2), as in the released code."""
        scale = (self.config.net.code / 2) ** -0.5
        codes = [noise.normal(self.latent_shape, "code", scene) for scene in range(scenes)]
        return LatentRecords.fresh(torch.stack(codes) * scale)

    def parameter_groups(self, options: TrainOptions) -> dict[str, ParameterGroup]:
        """The network."""
        return {"net": ParameterGroup(list(self.net.parameters()), options.net_rate)}

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
        """One step of the network and of the codes of some scenes on the same rays. See `Trainable.training_step`."""
        rays = gather_rays(batch, self._pixels(batch, options.rays, noise))
        march = self.config.march
        if step < options.fine_from:
            march = replace(march, max_steps=options.coarse_steps)
        codes = records.raw.detach().requires_grad_(True)
        loss, mse = self.loss(codes, None, rays, noise, "train", 0, march)
        optimizers["net"].zero_grad(set_to_none=True)
        loss.backward()
        optimizers["net"].step()
        # the loss is a mean over scenes, whose codes are independent of each other
        gradient = codes.grad * batch.num_scenes
        records.adam(gradient, options.code_rate * rate_factor, beta2=0.99)
        return {
            "rendering_loss": loss.detach(),
            "psnr": -10 * mse.mean().log10(),
            "code_norm": codes.detach().norm(dim=-1).mean(),
        }

    def iteration_kind(self, options: TrainOptions, step: int) -> Hashable | None:
        """None: how many samples there are depends on what the network has learnt."""
        return None

    def networks(self) -> Hashable:
        """Width, code and blocks."""
        return replace(self.config.net, aabb=((-1.0,) * 3, (1.0,) * 3))

    def activated(self, raw: Float[Tensor, " n *latent"]) -> Float[Tensor, " n *latent"]:
        """Codes are used as they are."""
        return raw

    def deactivated(self, latents: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Codes are used as they are."""
        return latents

    def finish(self, raw: Float[Tensor, " scenes *latent"]) -> None:
        """Mean, principal directions of either code, a gallery, and the Gaussian of the training codes."""
        self.mean_latent, _, self.gallery = latent_statistics(raw)
        directions = []
        for part in range(len(PARTS)):
            found = latent_statistics(raw[:, part], DIRECTIONS).directions
            alone = raw.new_zeros(len(found), *self.latent_shape)
            alone[:, part] = found
            directions.append(alone)
            centred = (raw[:, part] - raw[:, part].mean(0)).double()
            covariance = centred.T @ centred / max(1, len(raw) - 1)
            ridge = 1e-6 * torch.eye(len(covariance), dtype=torch.float64, device=raw.device)
            self.factor[part] = torch.linalg.cholesky(covariance + ridge).float()
        self.directions = torch.cat(directions)

    def _pixels(self, batch: SceneBatch, count: int, noise: Noise) -> Int[Tensor, "scenes count"]:
        """Random pixels of every scene, most of them near its object."""
        device, total = batch.images.device, batch.num_pixels
        shape = batch.num_scenes, CANDIDATES * count
        candidates = noise.integers(0, total, shape, "train/pixels", device=device)
        close = round(count * self.config.near_share)
        hits = [self._near_pixels(batch, k)[row] for k, row in enumerate(candidates)]
        anywhere = shape[1] - (count - close)  # from here on they are taken wherever they lie
        missed = ~torch.stack(hits)
        missed[:, anywhere:] = True
        order = missed.to(torch.uint8).argsort(dim=1, stable=True)[:, :close]
        return torch.cat([candidates.gather(1, order), candidates[:, anywhere:]], 1)

    def _near_pixels(self, batch: SceneBatch, place: int) -> Bool[Tensor, " pixels"]:
        """Mask of a scene's pixels near its object; remembered for scenes of a data set."""
        scene = place if batch.scene is None else int(batch.scene[place])
        key = batch.images.data_ptr(), scene
        if batch.scene is not None and key in self._near:
            return self._near[key]
        images = batch.images[scene]
        if images.dtype == torch.uint8:
            images = images.float() / 255
        found = near_object(images).flatten()
        if batch.scene is not None:
            self._near[key] = found
        return found

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
        """Codes drawn from the Gaussian of the training codes: stage "sample", of one step. See `Method.generate`."""
        if x_T is None:
            x_T = self.starting_noise(num_scenes, noise)
        strayed = torch.einsum("pij,npj->npi", self.factor, x_T.to(self.device))
        codes = self.mean_latent.to(self.device) + options.spread * strayed
        if after is None:
            yield Step(stage="sample", index=1, total=1, latent=codes)
        return codes

    def starting_noise(self, num_scenes: int, noise: Noise) -> Tensor:
        """Standard normal codes, `num_scenes 2 code`."""
        shape = (num_scenes, *self.latent_shape)
        return noise.batch(num_scenes).normal(shape, "x_T", device=self.device)

    @torch.no_grad()
    def reconstruct(
        self, views: Views, options: FitOptions, noise: Noise, *, after: Step | None = None
    ) -> Run[Tensor]:
        """Codes that agree with posed views, from the mean code: stage "fit". See `Method.reconstruct`."""
        check_task(self, "reconstruct", len(views))
        batch = SceneBatch.of(views).to(self.device)
        given = Views(batch.images[0], batch.camera[0])
        pools = pixel_pools(given, self.net.aabb)
        state = self._fresh() if after is None else self._reached(after)
        codes, first, second = state["codes"], state["first_moment"], state["second_moment"]
        occupied = state["occupied"]
        for index in range(after.index if after else 0, options.steps):
            if index and index % GRID_INTERVAL == 0:
                occupied = self.occupied(codes, noise, "fit", index).float()
            picked = pick(pools, options.rays, self.config.near_share, noise, "fit", index)
            rays = gather_rays(batch, picked[None])
            with torch.enable_grad():
                leaf = codes.clone().requires_grad_(True)
                loss, mse = self.loss(leaf, occupied > 0, rays, noise, "fit", index)
                (gradient,) = torch.autograd.grad(loss, leaf)
            rate = options.rate * 0.5 ** (index // options.halve_every)
            moments = torch.stack([first, second])
            codes, (first, second) = adamw(
                codes, gradient, moments, index + 1, rate, options.weight_decay
            )
            kept = {"codes": codes, "first_moment": first, "second_moment": second}
            yield Step(
                stage="fit",
                index=index + 1,
                total=options.steps,
                latent=codes,
                state={**kept, "occupied": occupied},
                scalars={"psnr": float(-10 * mse.mean().log10())},
            )
        return codes

    def _fresh(self) -> dict[str, Tensor]:
        """State of a fit that has taken no step: at the mean of the training codes."""
        codes = self.mean_latent.to(self.device)[None].clone()
        everywhere = torch.ones(1, 1, 1, 1, device=self.device)
        none = torch.zeros_like(codes)
        kept = {"codes": codes, "first_moment": none, "second_moment": none}
        return {**kept, "occupied": everywhere}

    def _reached(self, after: Step) -> dict[str, Tensor]:
        """The state of a step, of which a file may have told anything.

        Raises:
            EngineError: If it is none of a fit's.
        """
        fresh, grid = self._fresh(), (1, *self.config.grid_shape)
        for name, value in fresh.items():
            found = after.state.get(name)
            shapes = {tuple(value.shape), grid} if name == "occupied" else {tuple(value.shape)}
            if not isinstance(found, Tensor) or tuple(found.shape) not in shapes:
                raise EngineError(
                    f"{after.stage} step {after.index}: found no {name} of a fit; choose another step to go on from."
                )
        return {name: after.state[name].to(self.device) for name in fresh}

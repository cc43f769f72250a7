"""A known denoiser without weights: cars of a few soft shapes whose parameters the noise decides.

The planes are drawn by hand and the decoder's weights are set by hand, so that every step of a run is a renderable
scene and the whole explorer runs, and is tested, in milliseconds and without a checkpoint. It is no model of
anything: `reconstruct` takes the paint from the pictures and everything else from the noise.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from engine.events import Run, Step
from engine.fields.planes import PLANE_AXES
from engine.fields.scene import Scene
from engine.fields.triplane import DecoderConfig, TriplaneDecoder, TriplaneField
from engine.methods.base import (
    Capabilities,
    MethodInfo,
    TrainingData,
    before,
    taken,
)
from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions, SampleOptions, for_views
from engine.noise import Noise
from engine.types import Views

RESOLUTION = 56
CHANNELS = 4
"""Shape, then the logits of red, green and blue."""
BOX = ((-0.5, -1.0, -0.45), (0.5, 1.0, 0.45))
SHARPNESS = 12.0
"""How fast density falls outside a silhouette, in e-folds per unit of plane value."""
LOG_DENSITY = 4.2
COLOR_GAIN = 6.0
EDGE = 0.05
"""Width of a silhouette's soft edge, engine units."""
TIMESTEPS = 1000


@dataclass(frozen=True)
class ToyConfig:
    """Settings of the toy."""

    step_seconds: float = 0.0
    """Time spent in each step."""


def toy_decoder() -> TriplaneDecoder:
    """The decoder whose density is large where all three planes say inside, and whose colours add up.

    `silu(x) - silu(-x) = x` carries a sum through the hidden layer unchanged.
    """
    config = DecoderConfig(
        channels=CHANNELS, base_widths=(2 * CHANNELS,), direction="none", aabb=BOX
    )
    decoder = TriplaneDecoder(config)
    gains = torch.tensor([SHARPNESS] + 3 * [COLOR_GAIN])
    with torch.no_grad():
        decoder.base[0].weight.zero_()
        decoder.density_head[0].weight.zero_()
        decoder.color_head[0].weight.zero_()
        decoder.density_head[0].bias.fill_(LOG_DENSITY)
        for channel in range(CHANNELS):
            head = decoder.density_head[0] if channel == 0 else decoder.color_head[0]
            row = max(channel - 1, 0)
            for sign, unit in ((1.0, 2 * channel), (-1.0, 2 * channel + 1)):
                decoder.base[0].weight[unit, 3 * channel : 3 * channel + 3] = sign
                head.weight[row, unit] = sign * gains[channel]
    return decoder.eval().requires_grad_(False)


def toy_car(
    shape: Float[Tensor, " shape"], paint: Float[Tensor, "3"]
) -> Float[Tensor, "3 channels rows cols"]:
    """Planes of one car.

    Args:
        shape: Length, width, height, cabin length and cabin position, each in [0, 1].
        paint: Colour of the body, sRGB in [0, 1].
    """
    length, width, height, cabin, shift = shape.tolist()
    half_length, half_width = 0.68 + 0.22 * length, 0.3 + 0.08 * width
    belt, roof, floor = -0.02 + 0.06 * height, 0.16 + 0.18 * height, -0.24
    cabin_half, cabin_y = half_length * (0.42 + 0.4 * cabin), half_length * 0.25 * (shift - 0.7)
    wheel_y, wheel_radius = 0.62 * half_length, 0.14
    planes = torch.zeros(3, CHANNELS, RESOLUTION, RESOLUTION)

    x, y = _grid(0)
    planes[0, 0] = _inside(_box(x, y, half_width, half_length, 0.12))
    planes[0, 1:] = (_logit(paint) / COLOR_GAIN)[:, None, None]
    x, z = _grid(1)
    lower = _box(x, z - (floor + belt) / 2, half_width, (belt - floor) / 2, 0.06)
    upper = _box(x, z - (floor + roof) / 2, half_width * 0.82, (roof - floor) / 2, 0.08)
    tyres = _box(x.abs() - half_width + 0.07, z - floor, 0.07, wheel_radius, 0.03)
    planes[1, 0] = _inside(torch.minimum(torch.minimum(lower, upper), tyres))

    y, z = _grid(2)
    body = _box(y, z - (floor + belt) / 2, half_length, (belt - floor) / 2, 0.08)
    rise = ((z - belt) / (roof - belt)).clamp(0, 1)
    glass = _box(y - cabin_y, z - belt, cabin_half - 0.2 * rise, roof - belt, 0.05)
    wheels = torch.hypot(y.abs() - wheel_y, z - floor) - wheel_radius
    planes[2, 0] = _inside(torch.minimum(torch.minimum(body, glass), wheels))
    window = _box(
        y - cabin_y, z - (belt + roof) / 2, cabin_half - 0.06, (roof - belt) / 2 - 0.05, 0.02
    )
    planes[2, 1:] -= (
        0.85 * torch.sigmoid(-window / 0.015) * torch.tensor([1.0, 0.9, 0.75])[:, None, None]
    )
    planes[2, 1:] -= torch.sigmoid(-wheels / 0.015)
    lights = torch.sigmoid((y - half_length + 0.06) / 0.02) * (z.abs() < 0.06)
    planes[2, 1:] += 0.8 * lights
    return planes.clamp(-1, 1)


def _grid(plane: int) -> tuple[Tensor, Tensor]:
    """Engine coordinates of a plane's texel centres along its width and its height."""
    unit = (torch.arange(RESOLUTION) + 0.5) / RESOLUTION
    low, high = torch.tensor(BOX)
    along_width, along_height = (low[a] + unit * (high[a] - low[a]) for a in PLANE_AXES[plane])
    rows, cols = torch.meshgrid(along_height, along_width, indexing="ij")
    return cols, rows


def _box(u: Tensor, v: Tensor, half_u: float | Tensor, half_v: float, corner: float) -> Tensor:
    """Signed distance to a rounded box around the origin."""
    out_u, out_v = u.abs() - half_u + corner, v.abs() - half_v + corner
    outside = torch.hypot(out_u.clamp(min=0), out_v.clamp(min=0))
    return outside + torch.maximum(out_u, out_v).clamp(max=0) - corner


def _inside(distance: Tensor) -> Tensor:
    """0 inside a silhouette, falling to -1 over its edge."""
    return (-distance / EDGE).clamp(-1, 0)


def _logit(color: Tensor) -> Tensor:
    color = color.clamp(0.02, 0.98)
    return torch.log(color / (1 - color))


class ToyMethod:
    """A `Method` that needs no weights."""

    info = MethodInfo(
        name="toy",
        title="Toy cars",
        paper="none",
        latent_shape=(3, CHANNELS, RESOLUTION, RESOLUTION),
        limit=2.0,
        capabilities=Capabilities(generate="noise", max_views=4),
    )
    OPTIONS: ClassVar[Mapping[str, type]] = {"generate": SampleOptions, "reconstruct": FitOptions}
    checkpoint = None
    data = TrainingData("vehicles")

    def __init__(self, config: ToyConfig | None = None):
        self.config = config or ToyConfig()
        self.presets = {
            "generate": {
                "ours": SampleOptions(steps=12, renoise=RenoiseOptions(steps=4)),
                "paper": SampleOptions(mode="paper", steps=12),
            },
            "reconstruct": {
                "ours": FitOptions(
                    steps=12, renoise=RenoiseOptions(steps=4, mix=0.3), finetune_steps=4
                ),
                "paper": FitOptions(
                    mode="paper", steps=12, finetune_steps=4, rate_decay="exponential"
                ),
            },
        }
        self.decoder = toy_decoder()
        middle = torch.full((5,), 0.5)
        self.mean_latent = toy_car(middle, torch.tensor([0.55, 0.58, 0.62]))
        corners = torch.eye(8)[:, :5] * 0.5
        self.directions = (
            torch.stack(
                [toy_car(middle + corner, torch.tensor([0.55, 0.58, 0.62])) for corner in corners]
            )
            - self.mean_latent
        )
        self.gallery = torch.stack([self._car(Noise(1000 + i), None) for i in range(4)])

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Wrap one latent."""
        return Scene(TriplaneField(self.decoder, latent.float()), {"method": "toy", **provenance})

    def for_views(self, options: FitOptions, num_views: int) -> FitOptions:
        """More views, more steps."""
        return for_views(options, num_views)

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
        """Cars drawn by the noise, or by the ranks of a few numbers of `x_T`: "denoise", "renoise" in mode `ours`."""
        cars = [self._car(Noise(noise.seed + i), None) for i in range(num_scenes)]
        if x_T is not None:
            cars = [
                toy_car(ranks[:5], ranks[5:]) for ranks in torch.special.ndtr(x_T[:, 0, 0, 0, :8])
            ]
        cars = torch.stack(cars)
        yield from self._approach(cars, "denoise", options.steps, noise, after)
        if options.mode == "ours":
            yield from self._settle(cars, "renoise", options.renoise.steps, {}, after)
        return cars

    def starting_noise(self, num_scenes: int, noise: Noise) -> Tensor:
        """Numbers whose ranks are the cars."""
        return noise.batch(num_scenes).normal((num_scenes, *self.info.latent_shape), "x_T")

    @torch.no_grad()
    def reconstruct(
        self, views: Views, options: FitOptions, noise: Noise, *, after: Step | None = None
    ) -> Run[Tensor]:
        """A car in the pictures' mean colour: "guide", "renoise" in mode `ours`, "finetune"."""
        car = self._car(noise, _paint(views))[None]
        scalars = {"psnr": self._psnr(car[0], views)}
        yield from self._approach(car, "guide", options.steps, noise, after)
        if options.mode == "ours":
            yield from self._settle(car, "renoise", options.renoise.steps, scalars, after)
        yield from self._settle(car, "finetune", options.finetune_steps, scalars, after)
        return car

    def _car(self, noise: Noise, paint: Tensor | None) -> Tensor:
        if paint is None:
            paint = noise.uniform((3,), "paint") * 0.85 + 0.05
        return toy_car(noise.uniform((5,), "shape"), paint)

    def _approach(
        self, target: Tensor, stage: str, steps: int, noise: Noise, after: Step | None
    ) -> Run[None]:
        """Predictions that start at the mean under noise and arrive at the target."""
        eps = noise.batch(len(target)).normal(target.shape, "eps")
        first = taken(after, stage) if before(after, "renoise") else steps
        for index in range(first + 1, steps + 1):
            self._wait()
            done = (index / steps) ** 0.7
            x0 = self.mean_latent + done * (target - self.mean_latent) + 0.35 * (1 - done) * eps
            t = round((1 - index / steps) * (TIMESTEPS - 1))
            x_t = (1 - t / TIMESTEPS) * target + t / TIMESTEPS * eps
            yield Step(
                stage=stage, index=index, total=steps, latent=x0.clamp(-1, 1), noisy_latent=x_t, t=t
            )

    def _settle(
        self,
        target: Tensor,
        stage: str,
        steps: int,
        scalars: dict[str, float],
        after: Step | None,
    ) -> Run[None]:
        """Steps that change nothing any more."""
        past = after is not None and not before(after, stage) and after.stage != stage
        for index in range(steps + 1 if past else taken(after, stage) + 1, steps + 1):
            self._wait()
            yield Step(
                stage=stage,
                index=index,
                total=steps,
                latent=target,
                noisy_latent=target,
                t=0,
                scalars=scalars,
            )

    def _psnr(self, latent: Tensor, views: Views) -> float:
        from engine.render.frames import bake, render

        baked = bake(self.scene(latent).field)
        images = torch.stack([render(baked, views.camera[i]).rgb for i in range(len(views))])
        return float(-10 * torch.log10((images - views.images).square().mean().clamp(min=1e-10)))

    def _wait(self) -> None:
        time.sleep(self.config.step_seconds)


def _paint(views: Views) -> Tensor | None:
    """Mean colour of what is not white background, or None where nothing is left."""
    alpha = 1 - views.images.amin(-1) if views.alpha is None else views.alpha[..., 0]
    inside = alpha > (0.05 if views.alpha is None else 0.5)
    return views.images[inside].mean(0) if inside.any() else None

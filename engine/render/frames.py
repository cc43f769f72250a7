"""Fields to pictures: `bake` a field once, `render` it from many cameras.

Rays are sampled on a fixed lattice (`t = near + (k + 1/2) * dt`, `dt` in engine units whatever the field's box);
lattice points in empty cells are skipped, which changes nothing else, and a ray ends when hardly any light passes.
Fields whose kind has compiled kernels for their device (`engine.kernels.adapters`) go through them; everything else
goes through torch in bands of rays, as does everything while the kernels are still being prepared
(`engine.kernels.compiled`), so that no frame waits for a compiler. Nothing here is differentiable (`engine.render.rays`
is).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from engine.fields.base import Field
from engine.kernels import compiled
from engine.kernels.adapters import frame_kernels
from engine.kernels.base import FrameKernels, Limits
from engine.ops.cameras import orbit_camera
from engine.ops.rays import camera_rays
from engine.render.march import MarchConfig, Samples, march
from engine.types import Camera

Quality = Literal["preview", "standard", "high"]

EMPTY_DEPTH = 1e6
"""Depth of pixels that show nothing, engine units."""
EMPTY_OPACITY = 0.25
"""Pixels less opaque than this show mostly the background: they have neither depth nor normal."""
GRID = 64
"""Occupancy cells along each axis of the field's box."""


@dataclass(frozen=True)
class Tier:
    """Settings of one quality."""

    max_steps: int
    """Lattice points along the diagonal of [-1, 1]^3; training uses 256."""
    density: float
    """Cells thinner than this everywhere are skipped, per engine unit."""
    stop: float
    """A ray ends once less than this share of light passes."""
    carry: float
    """A colour is evaluated whenever this much weight has gathered."""


TIERS: dict[str, Tier] = {
    "preview": Tier(max_steps=160, density=1.0, stop=1e-2, carry=0.03),
    "standard": Tier(max_steps=256, density=0.03, stop=3e-3, carry=0.01),
    "high": Tier(max_steps=512, density=0.01, stop=1e-3, carry=1e-3),
}


@dataclass(frozen=True)
class RenderOptions:
    """Settings of a frame."""

    quality: Quality = "standard"
    """`preview` while the camera moves, `standard` at rest and for turntables, `high` for pictures and metrics."""
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour behind the object, [0, 1]."""
    normals: bool = False
    """Compute surface normals too."""
    threads: int | None = None
    """Threads of the CPU kernels; None takes every core."""


@dataclass(frozen=True)
class RenderOutput:
    """One picture.

    Attributes:
        rgb: Colour over the background, [0, 1].
        opacity: Share of each pixel that the object covers, [0, 1].
        depth: Expected z-depth, engine units; `EMPTY_DEPTH` where nothing is seen.
        normal: Unit normals pointing out of the object, world frame; zero where nothing is seen. None unless asked for.
    """

    rgb: Float[Tensor, "height width 3"]
    opacity: Float[Tensor, "height width"]
    depth: Float[Tensor, "height width"]
    normal: Float[Tensor, "height width 3"] | None = None


@dataclass(frozen=True)
class Baked:
    """A field made ready for many frames. Bake again when the field changes.

    Attributes:
        field: The field.
        cell_density: Largest density found in each occupancy cell, x slowest.
        kernels: The field's compiled kernels; None if it has none, or they were not ready yet.
        spaces: Occupied cells in the kernels' form, by density threshold; filled on use.
    """

    field: Field
    cell_density: Float[Tensor, "gx gy gz"]
    kernels: FrameKernels | None = None
    spaces: dict[float, Any] = field(default_factory=dict, compare=False)

    @property
    def outdated(self) -> bool:
        """True if the field was baked before its kernels were ready; baked again, it renders faster."""
        return self.kernels is None and _usable(frame_kernels(self.field))

    @property
    def provisional(self) -> bool:
        """True if it is rendered through torch only because its kernels are not ready yet."""
        kernels = frame_kernels(self.field)
        return kernels is not None and kernels.prepared and compiled.pending()


@torch.no_grad()
def bake(field: Field) -> Baked:
    """Prepare a field for rendering: find out where it is empty."""
    kind = frame_kernels(field)
    if not _usable(kind):
        return Baked(field, _probe(field))
    kernels = kind.of(field)
    return Baked(field, kernels.cell_density(GRID), kernels)


@torch.no_grad()
def render(
    baked: Baked,
    camera: Camera,
    options: RenderOptions = RenderOptions(),
    stop: Callable[[], bool] | None = None,
) -> RenderOutput | None:
    """One picture of a field.

    Args:
        baked: The field, from `bake`.
        camera: One camera.
        options: Quality, background and channels.
        stop: Called now and then (on the caller's thread); if it returns True, the picture is abandoned.

    Returns:
        The picture on the field's device, or None if it was abandoned.

    Raises:
        ValueError: If `camera` holds several cameras, or an invalid one.
    """
    camera = _checked(camera).to(baked.cell_density.device)
    if _usable(baked.kernels):
        traced = _trace_compiled(baked, camera, options, stop)
    else:
        traced = _trace_torch(baked, camera, TIERS[options.quality], stop)
    return None if traced is None else _finish(baked, camera, options, *traced)


def render_views(
    field: Field | Baked, camera: Camera, options: RenderOptions = RenderOptions()
) -> Float[Tensor, "views height width 3"]:
    """The colours of one field from every camera of a batch (or from a single camera)."""
    camera = camera[None] if camera.c2w.ndim == 2 else camera
    baked = field if isinstance(field, Baked) else bake(field)
    return torch.stack([render(baked, camera[i], options).rgb for i in range(len(camera))])


def to_uint8(rgb: Float[Tensor, "*b"]) -> UInt8[Tensor, "*b"]:
    """Colours in [0, 1] as bytes, clamped and rounded to the nearest."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


def warm_up(field: Field) -> None:
    """Compile the kernels that a field needs ahead of its first frame.

    Takes seconds the first time on a machine and a fraction of one afterwards.
    """
    render(bake(field), orbit_camera(0.0, 0.0, size=8))


class TimeModel:
    """Predicted time of a frame: seconds = a + b * rays, fitted to the frames measured so far.

    A weighted least-squares line through recent frames; a and b are never negative. Two weakly weighted synthetic
    frames, the first guess scaled to the measured frames, keep the line well-defined when all frames have one size.
    """

    GUESSED_RAYS, GUESS_WEIGHT = (64**2, 512**2), 0.02

    def __init__(self, overhead: float = 2e-3, per_ray: float = 5e-7, memory: float = 0.9):
        """Start from a guess; `memory` is the share of its weight that a frame keeps when the next arrives."""
        self.memory = memory
        self._guess = overhead, per_ray
        self._sums = np.zeros(5)

    @staticmethod
    def _moments(rays: int, seconds: float) -> np.ndarray:
        # Relative errors count: a small frame says as much as a large one.
        weight = 1 / max(seconds, 1e-6) ** 2
        return weight * np.array([1, rays, rays * rays, seconds, rays * seconds])

    def observe(self, rays: int, seconds: float) -> None:
        """Update the fit with a measured frame."""
        self._sums = self.memory * self._sums + self._moments(rays, seconds)

    @property
    def line(self) -> tuple[float, float]:
        """A (seconds) and b (seconds per ray)."""
        n, x, xx, y, xy = self._sums + self._guessed()
        per_ray = max((n * xy - x * y) / max(n * xx - x * x, 1e-300), 0.0)
        overhead = max((y - per_ray * x) / n, 0.0)
        return overhead, xy / xx if overhead == 0 else per_ray

    def _guessed(self) -> np.ndarray:
        overhead, per_ray = self._guess
        n, x, _, y, _ = self._sums
        level = y / (overhead * n + per_ray * x) if n else 1.0
        frames = [
            self._moments(rays, level * (overhead + per_ray * rays)) for rays in self.GUESSED_RAYS
        ]
        return self.GUESS_WEIGHT * sum(frames)

    def seconds(self, rays: int) -> float:
        """Expected duration of a frame."""
        overhead, per_ray = self.line
        return overhead + per_ray * rays

    def rays(self, seconds: float) -> int:
        """Number of rays that fit into a duration."""
        overhead, per_ray = self.line
        return int(max(seconds - overhead, 0) / max(per_ray, 1e-12))


def _checked(camera: Camera) -> Camera:
    """One camera without a leading axis, checked for validity, which compiled code does not do."""
    if camera.c2w.ndim > 2:
        if camera.c2w.shape[:-2].numel() != 1:
            raise ValueError(
                f"found {len(camera)} cameras, expected one; use render_views for several."
            )
        camera = replace(
            camera, c2w=camera.c2w.reshape(4, 4), intrinsics=camera.intrinsics.reshape(4)
        )
    finite = torch.cat([camera.c2w.flatten(), camera.intrinsics]).isfinite().all()
    if not finite or not (camera.intrinsics[:2] > 0).all():
        raise ValueError(
            "found a camera with infinite or undefined numbers or without a positive focal length; "
            "expected a finite pose and intrinsics."
        )
    return camera


def _finish(
    baked: Baked,
    camera: Camera,
    options: RenderOptions,
    rgb: Float[Tensor, "height width 3"],
    opacity: Float[Tensor, "height width"],
    depth: Float[Tensor, "height width"],
) -> RenderOutput:
    """Colours over the background, depths of visible pixels, normals; works in place for speed."""
    background = rgb.new_tensor(options.background)
    rgb.addcmul_((1 - opacity)[..., None], background).clamp_(0, 1)
    seen = opacity >= EMPTY_OPACITY
    depth = depth.div_(opacity.clamp_min(EMPTY_OPACITY)).masked_fill_(~seen, EMPTY_DEPTH)
    normal = _normals(camera, depth, opacity * seen) if options.normals else None
    return RenderOutput(rgb, opacity, depth, normal)


def _normals(
    camera: Camera,
    depth: Float[Tensor, "height width"],
    weight: Float[Tensor, "height width"],
) -> Float[Tensor, "height width 3"]:
    """Unit normals of the surface that the depths of neighbouring pixels span; zero where `weight` is.

    The density's own gradient is of no use inside an object, where fields are noisy. Depths are averaged over 3 x 3
    pixels by weight.
    """
    box = torch.ones(1, 1, 3, 3, dtype=depth.dtype, device=depth.device)
    sums = F.conv2d(torch.stack([depth * weight, weight])[:, None], box, padding=1)
    rays_o, rays_d = camera_rays(camera)
    distance = sums[0, 0] / sums[1, 0].clamp_min(EMPTY_OPACITY) / (rays_d @ camera.c2w[:3, 2])
    xyz, seen = rays_o + distance[..., None] * rays_d, weight > 0
    down = _slope(xyz, seen)
    right = _slope(xyz.transpose(0, 1), seen.T).transpose(0, 1)
    return F.normalize(torch.cross(down, right, dim=-1), dim=-1) * seen[..., None]


def _slope(
    xyz: Float[Tensor, "rows cols 3"], seen: Bool[Tensor, "rows cols"]
) -> Float[Tensor, "rows cols 3"]:
    """Change of position from row to row. The nearer of the two neighbours counts more: edges stay sharp."""
    step = xyz.diff(dim=0)
    weight = (seen[1:] & seen[:-1]) / (step.square().sum(-1) + 1e-8)
    both = torch.cat([step * weight[..., None], weight[..., None]], -1)
    both = F.pad(both, (0, 0, 0, 0, 1, 0)) + F.pad(both, (0, 0, 0, 0, 0, 1))
    return both[..., :3] / both[..., 3:].clamp_min(1e-12)


def _usable(kernels: FrameKernels | type[FrameKernels] | None) -> bool:
    """True if there are kernels, and the caller may use them now."""
    return kernels is not None and (not kernels.prepared or compiled.usable())


def _trace_compiled(
    baked: Baked, camera: Camera, options: RenderOptions, stop: Callable[[], bool] | None
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Colour over black, opacity and opacity-weighted z-depth of every pixel."""
    tier, kernels = TIERS[options.quality], baked.kernels
    if tier.density not in baked.spaces:
        baked.spaces[tier.density] = kernels.space(baked.cell_density > tier.density)
    config = MarchConfig(max_steps=tier.max_steps)
    return kernels.draw(
        baked.spaces[tier.density],
        camera,
        Limits(config.dt_min, config.min_near, tier.stop, tier.carry),
        threads=options.threads or os.cpu_count() or 1,
        stop=stop,
    )


PROBE_CHUNK = 1 << 17
"""Points per density query while baking."""
CPU_BAND, GPU_BAND = 1 << 12, 1 << 16
"""Rays that the torch path marches at a time."""
FIRST_ROUND = 8
"""Samples per ray before rays are first asked whether they have ended; doubles from round to round."""


def _probe(field: Field) -> Float[Tensor, "gx gy gz"]:
    """The largest density at the corners and the centre of every cell."""
    low, high = field.aabb
    probes = 2 * GRID + 1
    axes = [
        torch.linspace(float(low[a]), float(high[a]), probes, device=low.device) for a in range(3)
    ]
    corners = torch.cartesian_prod(*(axis[::2] for axis in axes))
    centres = torch.cartesian_prod(*(axis[1::2] for axis in axes))
    at_corners = torch.cat([field.density(xyz) for xyz in corners.split(PROBE_CHUNK)])
    at_centres = torch.cat([field.density(xyz) for xyz in centres.split(PROBE_CHUNK)])
    at_corners = at_corners.reshape(1, 1, GRID + 1, GRID + 1, GRID + 1)
    cells = F.max_pool3d(at_corners, 2, stride=1)[0, 0]
    return torch.maximum(cells, at_centres.reshape(GRID, GRID, GRID))


def _trace_torch(
    baked: Baked, camera: Camera, tier: Tier, stop: Callable[[], bool] | None
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Colour over black, opacity and opacity-weighted z-depth of every pixel."""
    rays_o, rays_d = (rays.reshape(-1, 3) for rays in camera_rays(camera))
    occupied = baked.cell_density[None] > tier.density
    config = MarchConfig(max_steps=tier.max_steps)
    band = GPU_BAND if rays_o.is_cuda else CPU_BAND
    pieces = []
    for first in range(0, len(rays_o), band):
        if stop is not None and stop():
            return None
        origins, directions = rays_o[first : first + band], rays_d[first : first + band]
        middle = torch.full_like(origins[:, 0], 0.5)
        samples = march(origins, directions, occupied, baked.field.aabb, config, jitter=middle)
        pieces.append(_integrate(baked.field, directions, samples, tier.stop))
    size = (camera.height, camera.width)
    rgb, opacity, distance = (torch.cat(piece) for piece in zip(*pieces, strict=True))
    depth = distance * (rays_d @ camera.c2w[:3, 2])
    return rgb.reshape(*size, 3), opacity.reshape(size), depth.reshape(size)


def _integrate(
    field: Field, rays_d: Float[Tensor, "rays 3"], samples: Samples, stop: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Composite the samples of rays front to back, in rounds, leaving out rays that have ended.

    A ray that ends counts as opaque: its colour and distance are divided by what it had gathered.
    """
    rays = len(rays_d)
    out = rays_d.new_zeros(rays, 5)
    passing = rays_d.new_ones(rays)
    starts = samples.counts.cumsum(0) - samples.counts
    done, width = 0, FIRST_ROUND
    while True:
        (alive,) = torch.nonzero((passing >= stop) & (samples.counts > done), as_tuple=True)
        if not len(alive):
            break
        rank = done + torch.arange(width, device=rays_d.device)
        row, column = torch.nonzero(rank < samples.counts[alive, None], as_tuple=True)
        index = starts[alive][row] + rank[column]
        density, rgb = field.query(samples.xyz[index], rays_d[alive][row])
        depth = density.new_zeros(len(alive), width)
        depth[row, column] = density * samples.dt[index]
        through = torch.exp(-depth.cumsum(1))
        before = F.pad(through[:, :-1], (1, 0), value=1.0) * passing[alive, None]
        weights = (before * -torch.expm1(-depth)) * (before >= stop)
        weight = weights[row, column][:, None]
        values = torch.cat([rgb, torch.ones_like(weight), samples.t_starts[index, None]], 1)
        out.index_add_(0, alive[row], weight * values)
        passing[alive] -= weights.sum(1)
        done, width = done + width, 2 * width
    ended = (passing < stop) & (out[:, 3] > 0)
    out[ended] /= out[ended, 3:4]
    return out[:, :3], out[:, 3].clamp(max=1), out[:, 4]

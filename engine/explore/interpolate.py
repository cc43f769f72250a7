"""Paths between objects: through the noise that they come from, or straight through their latents.

Two to four corners span a path or a square pad: `u` runs from A to B (and from C to D), `v` from the edge A B to the
edge C D. With three corners the whole lower edge is C. Points of a path differ in their starting noise only; all other
random draws are shared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from engine.config import from_json
from engine.errors import ConfigError, EngineError
from engine.events import Run, Step, finish
from engine.explore.fitting import scene_latent
from engine.fields.scene import Scene
from engine.methods.base import Invertible, Method, options_of
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.ops.metrics import psnr
from engine.render.frames import RenderOptions, render_views

Kind = Literal["slerp", "lerp"]
"""Along the great circle, which keeps a noise's length, or straight."""
Space = Literal["noise", "code", "parts"]
"""Quantity to blend: starting noises, from which each point is then sampled; latents ("code"); or the two parts of
latents, the first along `u` and the second along `v`."""

VIEWS = 8
"""Pictures, all around the object, by which two objects are compared."""
VIEW_SIZE, VIEW_ELEVATION = 128, 20.0
"""Their side in pixels, and the elevation of the camera in degrees."""
SAME_DB = 40.0
"""Likeness from which a scene file's object counts as the one of its seed (machines differ in rounding)."""


@dataclass(frozen=True)
class Corner:
    """An object that a path leads through.

    Attributes:
        latent: Its latent, `*latent_shape`.
        x_T: Its starting noise, `*latent_shape`; None while unknown.
        title: Its name for people.
        returned: `likeness` of the object to DDIM's sample from an inverted `x_T`, dB; None if `x_T` is its own.
        steps: Noise levels of that inversion.
    """

    latent: Tensor
    x_T: Tensor | None = None  # noqa: N815 (the noise is x_T everywhere)
    title: str = ""
    returned: float | None = None
    steps: int | None = None


# ------------------------------------------------------------------------------------- between points


def lerp(
    a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], share: float
) -> Float[Tensor, "*shape"]:
    """`a` at share 0, `b` at share 1, on the straight line between them."""
    return torch.lerp(a, b, share)


def slerp(
    a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], share: float
) -> Float[Tensor, "*shape"]:
    """`a` at share 0, `b` at share 1, on the great circle between them; neither is normalised.

    Vectors that point the same or opposite ways, or nowhere, span no circle: there it is `lerp`.

    Source: the official code's `spherical_linear`, on whole flattened vectors.
    """
    first, second = a.double().flatten(), b.double().flatten()
    length = first.norm() * second.norm()
    cosine = float((first @ second / length).clamp(-1, 1)) if float(length) else 1.0
    angle = torch.acos(torch.tensor(cosine, dtype=torch.float64))
    sine = float(torch.sin(angle))
    if sine < 1e-6:
        return lerp(a, b, share)
    return a * float(torch.sin((1 - share) * angle) / sine) + b * float(
        torch.sin(share * angle) / sine
    )


def blend(
    corners: Float[Tensor, " n *shape"], u: float, v: float = 0.0, kind: Kind = "slerp"
) -> Float[Tensor, "*shape"]:
    """The point `u`, `v` of the pad that two to four corners span, exact at the corners.

    Args:
        corners: A, B; or A, B, C, where the edge v = 1 is C; or A, B, C, D.
        u: Position from A to B, and from C to D: 0 to 1.
        v: Position from the edge A B to the other one, 0 to 1; ignored for two corners.
        kind: Interpolation between two points.

    Raises:
        ConfigError: If there are fewer than two or more than four corners.
    """
    if not 2 <= len(corners) <= 4:
        raise ConfigError(f"Found {len(corners)} corners of a path, expected 2 to 4.")
    way = slerp if kind == "slerp" else lerp
    top = way(corners[0], corners[1], u)
    if len(corners) == 2:
        return top
    return way(top, way(corners[2], corners[3], u) if len(corners) == 4 else corners[2], v)


def blend_parts(
    corners: Float[Tensor, "2 parts *shape"], u: float, v: float
) -> Float[Tensor, " parts *shape"]:
    """The first part at share `u` of the way from A to B, the second at share `v`, straight; exact at the corners.

    Raises:
        ConfigError: If there are not two corners of two parts.
    """
    if len(corners) != 2 or corners.shape[1] != 2:
        raise ConfigError(
            f"Found {len(corners)} corners to exchange parts, expected 2 of two parts."
        )
    shares = corners.new_tensor([u, v]).reshape(2, *[1] * (corners.ndim - 2))
    return torch.lerp(corners[0], corners[1], shares)


def grid_points(rows: int, cols: int) -> list[tuple[float, float]]:
    """`u`, `v` of a regular grid over the pad, row by row: `path` there gives `between` its keyframes, reshaped."""
    return [
        (col / max(cols - 1, 1), row / max(rows - 1, 1))
        for row in range(rows)
        for col in range(cols)
    ]


def between(
    keyframes: Float[Tensor, "rows cols *shape"], u: float, v: float = 0.0
) -> Float[Tensor, "*shape"]:
    """Bilinear interpolation at `u`, `v` of the keyframes of a regular grid; takes well under a millisecond.

    Args:
        keyframes: Latents at `grid_points(rows, cols)`; one row without a `v`.
        u: Position along the columns, clamped to 0 to 1.
        v: Position along the rows.
    """
    row, down = _place(v, keyframes.shape[0])
    col, right = _place(u, keyframes.shape[1])
    near = keyframes[row : row + 2, col : col + 2]
    line = torch.lerp(near[0], near[-1], down)
    return torch.lerp(line[0], line[-1], right)


def filled(keyframes: Float[Tensor, " keys *shape"], count: int) -> Float[Tensor, " count *shape"]:
    """`count` latents, evenly along a path of keyframes by linear interpolation; the keyframes if they are as many."""
    if len(keyframes) == count:
        return keyframes
    return torch.stack([between(keyframes[None], k / max(count - 1, 1)) for k in range(count)])


def _place(share: float, count: int) -> tuple[int, float]:
    """Index of the keyframe before a share of the way, and the fraction from it to the next."""
    along = min(max(share, 0.0), 1.0) * (count - 1)
    before = min(int(along), max(count - 2, 0))
    return before, along - before


# -------------------------------------------------------------------------------------------- corners


def likeness(method: Method, first: Tensor, second: Tensor) -> float:
    """Likeness of two objects (`*latent_shape`): mean PSNR of 8 views all around, dB; infinite for equal ones."""
    if torch.equal(first.cpu(), second.cpu()):
        return math.inf
    azimuths = torch.arange(VIEWS) * (360.0 / VIEWS)
    cameras = orbit_camera(azimuths, VIEW_ELEVATION, method.data.distance, VIEW_SIZE)
    pictures = [
        render_views(method.scene(latent).field, cameras, RenderOptions(quality="high"))
        for latent in (first, second)
    ]
    return float(psnr(*pictures).mean())


def seed_corner(method: Method, seed: int, options: Any) -> Run[Corner]:
    """The object of a seed, with its noise; steps as `generate` yields them."""
    latents = yield from method.generate(1, options, Noise(seed))
    x_T = method.starting_noise(1, Noise(seed))[0]
    return Corner(latents[0], x_T, f"seed {seed}")


def scene_corner(method: Method, scene: Scene, title: str) -> Run[Corner]:
    """A saved object, with its own noise if its provenance names a seed that still reproduces it.

    The seed is tried: the noise is taken only if sampling from it gives an object that looks the same.

    Raises:
        SceneError: If the method cannot decode the scene: another shape, or another model's decoder.
    """
    latent = scene_latent(method, scene, title)
    seed = scene.provenance.get("seed")
    try:
        kind = type(options_of(method, "generate"))
        options = from_json(kind, scene.provenance["settings"], "settings")
    except (EngineError, KeyError):  # not drawn from the prior, but fitted or edited
        options = None
    if options is None or not isinstance(seed, int):
        return Corner(latent, None, title)
    try:
        drawn = yield from seed_corner(method, seed, options)
    except EngineError:  # settings that go together in no run
        return Corner(latent, None, title)
    found = likeness(method, drawn.latent, latent) >= SAME_DB
    return Corner(latent, drawn.x_T if found else None, title)


def with_noise(method: Invertible, corner: Corner, steps: int = 100) -> Run[Corner]:
    """The corner with its starting noise: its own, or one found by inversion and checked by sampling.

    Stages "invert", then "denoise" of DDIM from the noise found; `returned` of the corner is the likeness. Objects that
    the model sampled come back almost exactly; those that renoising or a fit has smoothed lie outside of its samples,
    so that rounding alone changes them on the way.

    Args:
        method: One that interpolates in "noise".
        corner: An object; one with noise is returned as it is.
        steps: Noise levels of the inversion, and of the DDIM that checks it.
    """
    if corner.x_T is not None:
        return corner
    x_T = yield from method.invert(corner.latent[None], steps)
    options = method.inverse_options(steps)
    again = yield from method.generate(1, options, Noise(0), x_T=x_T)
    returned = likeness(method, again[0], corner.latent)
    return replace(corner, x_T=x_T[0], returned=returned, steps=steps)


def path_options(method: Method, options: Any, corners: Sequence[Corner]) -> Any:
    """Settings for a path through these corners: where one was inverted, those that undo its inversion."""
    steps = max((corner.steps or 0 for corner in corners), default=0)
    return method.inverse_options(steps, options) if steps else options


def corner_return(method: Method, corner: Corner, options: Any, seed: int) -> Run[float]:
    """`likeness` of a corner's object to what a path with these settings shows there, dB; infinite if they are equal.

    Yields one step, as `path` does.
    """
    shown = yield from path(method, [corner, corner], [(0.0, 0.0)], options=options, seed=seed)
    return likeness(method, shown[0], corner.latent)


# ----------------------------------------------------------------------------------------------- paths


def path(
    method: Method,
    corners: Sequence[Corner],
    points: Sequence[tuple[float, float]],
    *,
    options: Any,
    seed: int,
    space: Space = "noise",
    kind: Kind = "slerp",
) -> Run[Tensor]:
    """One object for each point: stage "path", each step with its latent (`1 *latent_shape`).

    Args:
        method: The method that samples them.
        corners: Two to four; in noise space with their noise.
        points: `u`, `v` in [0, 1]; see `blend`.
        options: Settings of sampling each point (noise space); see `path_options`.
        seed: Seed of the draws that all points share; with a corner's own seed and settings that corner is exact.
        space: Blend noises and sample, or blend latents or their parts (then always linearly).
        kind: Interpolation between two noises.

    Returns:
        `points *latent_shape`.

    Raises:
        ConfigError: If there are too few or too many corners, one lacks its noise, or a point lies outside the pad.
    """
    for u, v in points:
        if not (0 <= u <= 1 and 0 <= v <= 1):
            raise ConfigError(f"Found the point {u}, {v} of a path, expected both in 0 to 1.")
    if space == "noise":
        for corner in corners:
            if corner.x_T is None:
                raise ConfigError(
                    f"Found no starting noise of {corner.title or 'a corner'}; invert it, or blend latents."
                )
    device = method.mean_latent.device
    ends = torch.stack(
        [(corner.x_T if space == "noise" else corner.latent).to(device) for corner in corners]
    )
    codes = ends.new_empty(len(points), *ends.shape[1:])
    for index, (u, v) in enumerate(points):
        if space == "noise":
            x_T = blend(ends, u, v, kind)[None]
            codes[index] = finish(method.generate(1, options, Noise(seed), x_T=x_T))[0]
        elif space == "parts":
            codes[index] = blend_parts(ends, u, v)
        else:
            codes[index] = blend(ends, u, v, "lerp")
        yield Step(
            stage="path", index=index + 1, total=len(points), latent=codes[index : index + 1]
        )
    return codes

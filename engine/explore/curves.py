"""Curves of a run: one value per step, and None where a step has none."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from engine.events import Step
from engine.fields.base import SURFACE, Field
from engine.ops.cameras import orbit_camera
from engine.render.frames import RenderOptions, bake, render
from engine.render.live import SMALL, live
from engine.types import WORLD_PER_SRN

Curve = list[float | None]
NAMES = ("log_snr", "change", "guidance_norm", "psnr", "opacity", "extent")
"""Names of the curves: log signal-to-noise ratio of x_t; root mean square change of x0 since the step before; norm of
the guidance; PSNR on the inputs, dB; share of a picture that the object covers; diagonal of solid cells, SRN units."""
SOLID = 2 * SURFACE
"""Density from which a cell counts as solid, per engine unit: half the light goes in a thirtieth of a unit."""
PICTURE = 48
"""Side of the picture that opacity is measured in, pixels."""


@dataclass(frozen=True)
class Extent:
    """Apparent size of a field.

    Attributes:
        opacity: Share of a picture from three quarters that it covers, [0, 1].
        size: Diagonal of the box around all solid cells, SRN units; 0 for an empty field.
    """

    opacity: float
    size: float


def measure(field: Field, distance: float = 1.3) -> Extent:
    """Measure a field's opacity and size, seen from `distance` SRN units; one without kernels as a small voxel grid."""
    baked = bake(live(field, SMALL))
    camera = orbit_camera(40.0, 18.0, distance, PICTURE)
    picture = render(baked, camera, RenderOptions(quality="preview"))
    return Extent(
        float(picture.opacity.mean()), solid_diagonal(baked.cell_density, baked.field.aabb)
    )


def solid_diagonal(cell_density: Float[Tensor, "gx gy gz"], aabb: Float[Tensor, "2 3"]) -> float:
    """Diagonal of the box around the cells of a grid over `aabb` that are solid, SRN units."""
    solid = (cell_density >= SOLID).nonzero()
    if not len(solid):
        return 0.0
    cells = torch.tensor(cell_density.shape, device=aabb.device)
    edges = (aabb[1] - aabb[0]) / cells
    spans = (solid.amax(0) - solid.amin(0) + 1).to(aabb.device) * edges
    return float(spans.norm()) / WORLD_PER_SRN


def curves(
    steps: Sequence[Step],
    field_of: Callable[[Tensor], Field],
    distance: float = 1.3,
) -> dict[str, Curve]:
    """Curves of a run, by name.

    Args:
        steps: Steps of one object.
        field_of: Field of a latent (`*latent_shape`).
        distance: Distance of the camera for opacity, SRN units.

    Returns:
        One list per name in `NAMES`, as long as `steps`.
    """
    extents = [measure(field_of(step.latent[0]), distance) for step in steps]
    return {
        **cheap_curves(steps),
        "opacity": [extent.opacity for extent in extents],
        "extent": [extent.size for extent in extents],
    }


def cheap_curves(steps: Sequence[Step], whole: bool = True) -> dict[str, Curve]:
    """The curves that need no rendering; `whole` is True where all steps still have their latents."""
    found: dict[str, Curve] = {
        "log_snr": [step.log_snr for step in steps],
        "change": changes(steps) if whole else [None] * len(steps),
    }
    for name in ("guidance_norm", "psnr"):
        found[name] = [step.scalars.get(name) for step in steps]
    return found


def changes(steps: Sequence[Step]) -> Curve:
    """Root mean square change of x0 from one step to the next; None for the first."""
    pairs = zip(steps[1:], steps, strict=False)
    found = (math.sqrt(float((b.latent - a.latent).square().mean())) for b, a in pairs)
    return [None, *found] if steps else []


def to_csv(steps: Sequence[Step], found: Mapping[str, Curve]) -> str:
    """A table with one row per step: its place, stage, index, timestep, then the curves; empty where there is no value."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["place", "stage", "index", "t", *found])
    for place, step in enumerate(steps):
        values = (found[name][place] for name in found)
        cells = ("" if value is None else f"{value:.6g}" for value in values)
        table.writerow([place, step.stage, step.index, "" if step.t is None else step.t, *cells])
    return text.getvalue()

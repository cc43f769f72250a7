"""Augmentation: the same shape in other colours, light and proportions, so that models generalise beyond the generator.

A pure function of the shape's seed. Half of all shapes stay as they are, so that models learn the generator's own too.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from engine.data.light import DAYLIGHT, Light
from engine.data.procedural.shape import Shape
from engine.types import WORLD_PER_SRN

SHARE = 0.5
"""Share of the shapes that are changed."""
STRETCH = 0.18
"""Standard deviation of the logarithm of each axis' stretch."""
SATURATION, GAMMA = (0.55, 1.35), (0.7, 1.5)
"""Ranges of the factor on saturation and of the exponent on value; hues turn by anything."""
REPAINTED = 0.2
"""Share of the parts that get a colour of their own."""
AMBIENT, SKY, DIFFUSE = (0.42, 0.80), (0.02, 0.22), (0.10, 0.55)
SUN_ELEVATION = (15.0, 85.0)
"""Degrees."""


def augmented(
    shape: Shape, box: tuple[tuple[float, ...], tuple[float, ...]], share: float = SHARE
) -> Shape:
    """The shape, or a variation of it, as its seed decides.

    Args:
        shape: The shape as built.
        box: Lower and upper corner that must hold the result, engine units.
        share: Share of the shapes that are changed.
    """
    noise = np.random.default_rng([shape.seed, 0xA6])
    if noise.uniform() >= share:
        return shape
    stretched = _stretched(shape, np.exp(noise.normal(0, STRETCH, 3)), np.asarray(box))
    turn, saturation = noise.uniform(), noise.uniform(*SATURATION)
    rgb = recoloured(shape.face_rgb, turn, saturation, noise.uniform(*GAMMA))
    for name in shape.parts:
        if noise.uniform() < REPAINTED:
            cover, colour = noise.uniform(0.2, 0.9), noise.uniform(0.05, 0.95, 3)
            grey = colour + noise.uniform(0.4, 1.0) * (colour.mean() - colour)
            faces = shape.labelled([name])
            rgb[faces] += np.float32(cover) * (grey.astype(np.float32) - rgb[faces])
    kept = shape.labelled(shape.glowing)
    rgb[kept] = shape.face_rgb[kept]
    return dataclasses.replace(stretched, face_rgb=rgb, light=_light(noise))


def _stretched(
    shape: Shape, stretch: Float[np.ndarray, "3"], box: Float[np.ndarray, "2 3"]
) -> Shape:
    """The shape scaled along its axes to diagonal 1 again; scaled less if it would leave the box."""
    for share in (1.0, 0.6, 0.3):
        factors = stretch**share
        vertices = shape.vertices * factors
        diagonal = np.linalg.norm(np.ptp(vertices, axis=0))
        vertices = vertices / diagonal
        world = vertices * WORLD_PER_SRN
        if (world.min(0) >= box[0]).all() and (world.max(0) <= box[1]).all():
            normals = shape.corner_normals / factors
            normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
            return dataclasses.replace(
                shape,
                vertices=vertices.astype(np.float32),
                corner_normals=normals.astype(np.float32),
            )
    return shape


def recoloured(
    rgb: Float[np.ndarray, "n 3"], turn: float, saturation: float, gamma: float
) -> Float[np.ndarray, "n 3"]:
    """Colours whose hue is turned, saturation scaled and value raised to a power; greys stay grey.

    Args:
        rgb: sRGB in [0, 1].
        turn: Rotation of the hue, in turns.
        saturation: Factor; the result is at most 1.
        gamma: Exponent of the value (HSV).
    """
    value = rgb.max(-1, keepdims=True)
    low = rgb.min(-1, keepdims=True)
    chroma = value - low
    safe = np.maximum(chroma, 1e-8)
    red, green, blue = (rgb[:, [k]] for k in range(3))
    hue = np.where(
        value == red,
        (green - blue) / safe % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = (hue / 6 + turn) % 1
    full = np.clip(np.abs((hue + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)
    strength = np.clip(saturation * chroma / np.maximum(value, 1e-8), 0, 1)
    return (value**gamma * (1 + strength * (full - 1))).astype(np.float32)


def _light(noise: np.random.Generator) -> Light:
    azimuth, elevation = noise.uniform(0, 2 * np.pi), np.deg2rad(noise.uniform(*SUN_ELEVATION))
    sun = (
        np.cos(elevation) * np.cos(azimuth),
        np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation),
    )
    ambient, sky, diffuse = (noise.uniform(*span) for span in (AMBIENT, SKY, DIFFUSE))
    brightest = ambient + sky + diffuse
    scale = min(1.0, (DAYLIGHT.ambient + DAYLIGHT.sky + DAYLIGHT.diffuse) / brightest)
    return Light(tuple(map(float, sun)), ambient * scale, sky * scale, diffuse * scale)

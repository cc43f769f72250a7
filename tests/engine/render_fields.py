"""Fields with known answers for the tests of rendering, and a slow renderer that shares no code with the engine's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from engine.fields.triplane import DecoderConfig, TriplaneDecoder, TriplaneField
from engine.types import Camera

HALF_EXTENTS = (0.48, 1.0, 0.45)


def soft_car(
    *,
    hidden: int = 32,
    rows: int = 40,
    cols: int = 40,
    direction: str = "add",
    sharpness: float = 1.5,
    seed: int = 0,
    **config,
) -> TriplaneField:
    """A car as the common part of a soft top, front and side silhouette, in waves of colour.

    The decoder's units come in pairs (v, -v), since silu(v) - silu(-v) = v: its log density is exactly the sum of
    channel 0 over the planes. Colours are the waves of the other channels, bent by random units and by the direction.
    """
    noise = torch.Generator().manual_seed(seed)
    half = hidden // 2
    box = (tuple(-extent for extent in HALF_EXTENTS), HALF_EXTENTS)
    decoder = TriplaneDecoder(
        DecoderConfig(
            base_widths=(hidden,),
            direction=direction,
            direction_widths=(hidden,),
            aabb=box,
            **config,
        )
    )
    decoder = decoder.eval().requires_grad_(False)
    units = 0.3 * torch.randn(half, 6, 3, generator=noise)
    units[:4] = 0
    for channel in range(4):
        units[channel, channel] = 1
    decoder.base[0].weight.copy_(torch.cat([units, -units]).flatten(1))
    decoder.density_head[0].weight.zero_()
    decoder.density_head[0].weight[0, [0, half]] = torch.tensor([1.0, -1.0])
    decoder.density_head[0].bias.fill_(5.5)
    decoder.color_head[0].weight.normal_(0, 0.15, generator=noise)
    if direction == "add":
        decoder.direction[0].weight.normal_(0, 0.15, generator=noise)
    planes = torch.zeros(3, 6, rows, cols)
    for plane, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        u, v = _texel_positions(a, b, rows, cols)
        planes[plane, 0] = -sharpness * F.softplus(60 * _silhouette(plane, u, v))
        for channel in range(1, 6):
            k = torch.randn(4, generator=noise)
            planes[plane, channel] = torch.sin(4 * k[0] * u + k[1]) + torch.cos(4 * k[2] * v + k[3])
    return TriplaneField(decoder, planes)


def _texel_positions(a: int, b: int, rows: int, cols: int):
    u = ((torch.arange(cols) + 0.5) / cols * 2 - 1) * HALF_EXTENTS[a]
    v = ((torch.arange(rows) + 0.5) / rows * 2 - 1) * HALF_EXTENTS[b]
    return u.expand(rows, cols), v[:, None].expand(rows, cols)


def _silhouette(plane: int, u, v):
    """Signed distance to the outline on one plane: top (x, y), front (x, z) or side (y, z)."""
    if plane == 0:
        return _rounded(u, v, 0, 0, 0.4, 0.88, 0.15)
    if plane == 1:
        body, cabin = (0, -0.12, 0.4, 0.2, 0.08), (0, 0.1, 0.3, 0.22, 0.08)
    else:
        body, cabin = (0, -0.12, 0.88, 0.18, 0.08), (-0.1, 0.1, 0.45, 0.22, 0.12)
    return torch.minimum(_rounded(u, v, *body), _rounded(u, v, *cabin))


def _rounded(u, v, centre_u, centre_v, half_u, half_v, radius):
    du, dv = (u - centre_u).abs() - half_u + radius, (v - centre_v).abs() - half_v + radius
    outside = torch.hypot(du.clamp_min(0), dv.clamp_min(0))
    return outside + torch.maximum(du, dv).clamp_max(0) - radius


def constant_box(log_density: float, hidden: int = 32) -> TriplaneField:
    """The same density and a mid grey everywhere in the box."""
    field = soft_car(hidden=hidden)
    field.decoder.density_head[0].weight.zero_()
    field.decoder.density_head[0].bias.fill_(log_density)
    field.decoder.color_head[0].weight.zero_()
    return field


@dataclass(frozen=True)
class Ball:
    """A red ball of constant density, so not a triplane."""

    kind: ClassVar[str] = "ball"
    radius: float = 0.6
    matter: float = 40.0

    @property
    def aabb(self):
        return torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])

    def density(self, xyz):
        return self.matter * torch.sigmoid((self.radius - xyz.norm(dim=-1)) * 40)

    def query(self, xyz, dirs):
        return self.density(xyz), xyz.new_tensor([1.0, 0.0, 0.0]).expand(len(xyz), 3)


def rays(camera: Camera):
    """Origins, unit directions and their share along the view axis, in float64."""
    c2w, (fx, fy, cx, cy) = camera.c2w.double(), camera.intrinsics.double()
    rows, cols = torch.arange(camera.height).double(), torch.arange(camera.width).double()
    v, u = torch.meshgrid(rows + 0.5, cols + 0.5, indexing="ij")
    local = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1)
    length = local.norm(dim=-1)
    return c2w[:3, 3], local @ c2w[:3, :3].T / length[..., None], 1 / length


def chords(camera: Camera, aabb):
    """Where rays enter and leave the box; equal where they miss it."""
    origin, dirs, _ = rays(camera)
    faces = (aabb.double()[:, None, None] - origin) / dirs
    enter, leave = faces.amin(0).amax(-1), faces.amax(0).amin(-1)
    return enter, torch.maximum(leave, enter)


def brute_force(field: TriplaneField, camera: Camera, step: float = 0.002):
    """Colour on white and opacity: every ray through the whole box in tiny steps, in float64."""
    decoder = TriplaneDecoder(field.decoder.config).double().eval().requires_grad_(False)
    decoder.load_state_dict(field.decoder.state_dict())
    decoder.aabb = field.aabb.double()
    planes = field.latent.double()[None]
    origin, dirs, _ = rays(camera)
    enter, leave = chords(camera, field.aabb)
    rgb = torch.ones(camera.height, camera.width, 3, dtype=torch.float64)
    opacity = torch.zeros(camera.height, camera.width, dtype=torch.float64)
    for row, col in torch.nonzero(leave > enter):
        a, b, d = enter[row, col], leave[row, col], dirs[row, col]
        count = max(int((b - a) / step), 1)
        dt = (b - a) / count
        xyz = origin + (a + (torch.arange(count) + 0.5) * dt)[:, None] * d
        density, color = decoder(planes, xyz, d[None], torch.zeros(count, dtype=torch.long))
        passed = torch.exp(-(density * dt).cumsum(0))
        weights = torch.cat([passed.new_ones(1), passed[:-1]]) - passed
        opacity[row, col] = weights.sum()
        rgb[row, col] = weights @ color + passed[-1]
    return rgb, opacity

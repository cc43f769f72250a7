"""Camera poses: looking at the origin, orbits, and angles back from a pose.

Azimuth 0 stands in front of the object (camera on +y) and grows counter-clockwise seen from above; elevation 0 is
level. Angles are radians except in the `_deg` helpers at the edge. OpenCV axes: x right, y down, z forward.
"""

from __future__ import annotations

import math
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from engine.types import Camera

SRN_FOCAL = 131.25 / 128
"""SRN's focal length as a share of the image size."""


def orbit(
    azimuth: Float[Tensor, "*b"], elevation: Float[Tensor, "*b"], distance: Float[Tensor, "*b"]
) -> Float[Tensor, "*b 4 4"]:
    """Camera-to-world poses on a sphere, looking at its centre, image up towards +z.

    The right axis depends on the azimuth alone, so the pose is defined at the poles too.
    Source: the closed form of SRN's test path (1906.01618), phi = azimuth + 90 degrees.
    """
    phi = azimuth + math.pi / 2
    sin_p, cos_p = torch.sin(phi), torch.cos(phi)
    sin_e, cos_e = torch.sin(elevation), torch.cos(elevation)
    zero, one = torch.zeros_like(phi), torch.ones_like(phi)
    outward = torch.stack([cos_e * cos_p, cos_e * sin_p, sin_e], -1)
    right = torch.stack([-sin_p, cos_p, zero], -1)
    down = torch.stack([cos_p * sin_e, sin_p * sin_e, -cos_e], -1)
    columns = torch.stack([right, down, -outward, distance[..., None] * outward], -1)
    last = torch.stack([zero, zero, zero, one], -1)[..., None, :]
    return torch.cat([columns, last], -2)


def look_at(position: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4 4"]:
    """The pose at `position` that looks at the origin with the image's up towards +z."""
    distance = position.norm(dim=-1)
    elevation = torch.asin((position[..., 2] / distance).clamp(-1, 1))
    azimuth = torch.atan2(position[..., 1], position[..., 0]) - math.pi / 2
    return orbit(azimuth, elevation, distance)


def pose_angles(
    c2w: Float[Tensor, "*b 4 4"],
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Azimuth in (-pi, pi], elevation and distance of a camera's position."""
    position = c2w[..., :3, 3]
    distance = position.norm(dim=-1)
    elevation = torch.asin((position[..., 2] / distance).clamp(-1, 1))
    azimuth = torch.atan2(-position[..., 0], position[..., 1])
    return azimuth, elevation, distance


def srn_intrinsics(size: int) -> Float[Tensor, "4"]:
    """fx, fy, cx, cy of an SRN camera whose image is `size` pixels wide."""
    return torch.tensor([SRN_FOCAL * size, SRN_FOCAL * size, size / 2, size / 2])


def orbit_camera(
    azimuth_deg: float | Tensor,
    elevation_deg: float | Tensor,
    distance_srn: float | Tensor = 1.3,
    size: int = 128,
) -> Camera:
    """An SRN camera (or several: the arguments broadcast) from the numbers that users see.

    Differentiable in them where they are tensors, whose precision it has.
    """
    values = (azimuth_deg, elevation_deg, distance_srn)
    given = [value for value in values if isinstance(value, Tensor)]
    dtype = reduce(torch.promote_types, (value.dtype for value in given), torch.float32)
    azimuth, elevation, distance = torch.broadcast_tensors(
        *(torch.as_tensor(value, dtype=dtype) for value in values)
    )
    c2w = orbit(torch.deg2rad(azimuth), torch.deg2rad(elevation), distance)
    intrinsics = srn_intrinsics(size).to(c2w).expand(*c2w.shape[:-2], 4)
    return Camera.from_srn(c2w, intrinsics, size, size)

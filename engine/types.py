"""Cameras, rays and views: the one page of axes, units and colour range.

World frame of the engine: z up, an object's front towards +y, its right towards +x. One engine unit is half an SRN
unit (`WORLD_PER_SRN = 2`): SRN's object space [-0.5, 0.5]^3 is the engine's [-1, 1]^3, as in 2304.06714's official code.
Files, command line and page speak SRN units; loaders and exporters convert, nobody else does.

Cameras are camera-to-world matrices with OpenCV axes (x right, y down, z forward). Pixel centres lie at +0.5.
Colours are float sRGB in [0, 1]; the background is white unless somebody says otherwise.

Axis names: `*b` any leading axes, `views`, `rays`, `height`, `width`, `scenes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

WORLD_PER_SRN = 2.0
"""Engine units in one SRN unit."""


@dataclass(frozen=True)
class Camera:
    """One or many pinhole cameras that share an image size.

    Attributes:
        c2w: Camera to world, OpenCV axes, engine units.
        intrinsics: fx, fy, cx, cy in pixels.
        height: Image rows.
        width: Image columns.
    """

    c2w: Float[Tensor, "*b 4 4"]
    intrinsics: Float[Tensor, "*b 4"]
    height: int
    width: int

    def __len__(self) -> int:
        """Number of cameras along the first axis; 1 for a single camera."""
        return 1 if self.c2w.ndim == 2 else self.c2w.shape[0]

    def __getitem__(self, index) -> Camera:
        """The cameras at `index` of the first axis."""
        return replace(self, c2w=self.c2w[index], intrinsics=self.intrinsics[index])

    def to(self, device: torch.device | str) -> Camera:
        """The same cameras with tensors on `device`."""
        return replace(self, c2w=self.c2w.to(device), intrinsics=self.intrinsics.to(device))

    def resized(self, height: int, width: int) -> Camera:
        """The same cameras seen on a `height` x `width` image (intrinsics scale with it)."""
        factor = self.intrinsics.new_tensor(
            [width / self.width, height / self.height, width / self.width, height / self.height]
        )
        return replace(self, intrinsics=self.intrinsics * factor, height=height, width=width)

    @classmethod
    def stack(cls, cameras: Sequence[Camera]) -> Camera:
        """Cameras (or batches of as many cameras) of one image size, under a new first axis."""
        c2w = torch.stack([camera.c2w for camera in cameras])
        intrinsics = torch.stack([camera.intrinsics for camera in cameras])
        return replace(cameras[0], c2w=c2w, intrinsics=intrinsics)

    @classmethod
    def from_srn(
        cls,
        c2w: Float[Tensor, "*b 4 4"],
        intrinsics: Float[Tensor, "*b 4"],
        height: int,
        width: int,
    ) -> Camera:
        """A camera whose pose is given in SRN units."""
        return cls(_scale_translation(c2w, WORLD_PER_SRN), intrinsics, height, width)

    def srn_c2w(self) -> Float[Tensor, "*b 4 4"]:
        """The poses in SRN units."""
        return _scale_translation(self.c2w, 1 / WORLD_PER_SRN)


def _scale_translation(c2w: Tensor, factor: float) -> Tensor:
    scaled = c2w.clone()
    scaled[..., :3, 3] *= factor
    return scaled


@dataclass(frozen=True)
class Views:
    """Pictures of one scene with their cameras.

    Attributes:
        images: RGB in [0, 1], composited on white.
        alpha: Coverage in [0, 1], or None where unknown.
        camera: One camera per picture (`len(camera) == views`).
    """

    images: Float[Tensor, "views height width 3"]
    camera: Camera
    alpha: Float[Tensor, "views height width 1"] | None = None

    def __len__(self) -> int:
        """Number of pictures."""
        return self.images.shape[0]

    def __getitem__(self, index) -> Views:
        """The pictures at `index` (a list, slice or index tensor)."""
        alpha = None if self.alpha is None else self.alpha[index]
        return Views(self.images[index], self.camera[index], alpha)


@dataclass(frozen=True)
class SceneBatch:
    """Pictures of several scenes, as many views of each.

    Attributes:
        images: uint8 or float [0, 1] colours on white, of these scenes or of a whole data set.
        camera: One camera per picture (`scenes views`).
        scene: Where in `images` each scene's pictures are; None for the same order. A training step reads so few pixels
            that copying whole scenes would take longer than rendering.
        pixels: Flat indices into each scene's (view, row, column) pixels, those that count; None for all.
    """

    images: UInt8[Tensor, "all views height width 3"] | Float[Tensor, "all views height width 3"]
    camera: Camera
    scene: Int[Tensor, " scenes"] | None = None
    pixels: Int[Tensor, "scenes counted"] | None = None

    @classmethod
    def of(cls, views: Views) -> SceneBatch:
        """A batch of one scene."""
        return cls(views.images[None], views.camera[None])

    @property
    def num_scenes(self) -> int:
        """Scenes in the batch."""
        return self.camera.c2w.shape[0]

    @property
    def num_pixels(self) -> int:
        """Pixels of one scene that count, all views together."""
        if self.pixels is not None:
            return self.pixels.shape[1]
        return self.images.shape[1] * self.images.shape[2] * self.images.shape[3]

    def to(self, device: torch.device | str) -> SceneBatch:
        """The same batch on `device`."""
        scene, pixels = (
            None if index is None else index.to(device) for index in (self.scene, self.pixels)
        )
        return SceneBatch(self.images.to(device), self.camera.to(device), scene, pixels)


@dataclass(frozen=True)
class RayBatch:
    """Rays of several scenes with the colours they should show, equally many of each scene, sorted by scene.

    Attributes:
        rays_o: Origins, engine units.
        rays_d: Unit directions.
        rgb: Colours in [0, 1].
        scene: Scene of each ray, ascending.
        focal: Mean focal length of the ray's scene, pixels.
        per_scene: Rays of each scene.
    """

    rays_o: Float[Tensor, "rays 3"]
    rays_d: Float[Tensor, "rays 3"]
    rgb: Float[Tensor, "rays 3"]
    scene: Int[Tensor, " rays"]
    focal: Float[Tensor, " rays"]
    per_scene: int

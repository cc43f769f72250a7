"""The protocol: given views, compared views, and the figures of the paper (SSDNeRF, 2304.06714, section 5)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from engine.methods.base import Mode
from engine.render.frames import Quality

PLACES = 251
"""Pictures on SRN's test path."""
FEW, MANY = (1, 2), (4, 8, 16, 32)
"""Numbers of given views: of every scene, and of the dense scenes in addition."""
SHOWN_PLACES = (8, 40, 96, 140, 190)
"""Places on the path whose pictures are kept, where they were not given."""
SHAPED_SCENES = 16
"""Scenes whose geometry is compared with the true mesh, which costs as much as a fit."""
SHOWN_SCENES = 12
"""Scenes whose pictures are kept."""


@dataclass(frozen=True)
class BoardOptions:
    """Extent and settings of a measurement."""

    scenes: int = 50
    """Test scenes rebuilt from one and from two views."""
    dense_scenes: int = 8
    """Those rebuilt from 4, 8, 16 and 32 views too, from the first."""
    ablation_scenes: int = 24
    """Those on which the paper's ablation is repeated, from the first."""
    samples: int = 64
    """Objects drawn from the prior."""
    mode: Mode = "ours"
    """Whose settings `ours` are."""
    seed: int = 0
    """Randomness of fits and samples."""
    size: int = 128
    """Rows and columns of a picture."""
    quality: Quality = "standard"
    """How results are rendered."""
    training_scenes: int = 300
    """Candidates for the nearest training scene; as many make the mean picture."""
    rate_scenes: int = 4
    """Validation scenes that decide the learning rate of the fits without prior; half as many from four views on."""

    def quick(self) -> BoardOptions:
        """The same with so few scenes that everything is seen to work in minutes; no figure to quote."""
        return dataclasses.replace(
            self,
            scenes=min(self.scenes, 2),
            dense_scenes=min(self.dense_scenes, 1),
            ablation_scenes=min(self.ablation_scenes, 2),
            samples=min(self.samples, 8),
            training_scenes=min(self.training_scenes, 30),
            rate_scenes=1,
        )


def given_views(count: int) -> tuple[int, ...]:
    """Places on the test path whose pictures are given."""
    if count <= 2:
        return (64, 104)[:count]
    return tuple(round(k * (PLACES - 1) / (count - 1)) for k in range(count))


CARS = "SSDNeRF (2304.06714), ShapeNet-SRN cars at 128 px, 704 test scenes"
PUBLISHED: dict[str, Any] = {
    "source": CARS,
    "views": {"1": {"psnr": 23.52, "ssim": 0.913}, "2": {"psnr": 26.49, "ssim": 0.94}},
    "ablation": {
        "A0": {"psnr": 23.52, "ssim": 0.913, "lpips": 0.078, "fid": 16.39},
        "A1": {"psnr": 22.83, "ssim": 0.906, "lpips": 0.090, "fid": 20.97},
        "A2": {"psnr": 23.13, "ssim": 0.907, "lpips": 0.088, "fid": 27.93},
        "A3": {"psnr": 23.07, "ssim": 0.905, "lpips": 0.092, "fid": 30.95},
    },
    "samples": {
        "one_stage": {"fid": 11.08, "kid_thousandths": 3.47},
        "two_stage": {"fid": 16.33, "kid_thousandths": 6.38},
    },
}
"""Measured by the authors on other data: orderings and steps compare, levels do not."""
OTHERS: dict[str, dict[str, Any]] = {
    "chairs": {
        "source": "SSDNeRF (2304.06714), ShapeNet-SRN chairs at 128 px; the ablation on cars",
        "views": {"1": {"psnr": 24.35, "ssim": 0.93}, "2": {"psnr": 26.94, "ssim": 0.95}},
        "samples": {},
    },
    "tables": {
        "source": "SSDNeRF (2304.06714), samples of ABO tables; the ablation on ShapeNet-SRN cars",
        "views": {},
        "samples": {"one_stage": {"fid": 14.27, "kid_thousandths": 4.08}},
    },
}
"""What was published on other objects than cars."""


def published(category: str) -> dict[str, Any]:
    """The paper's figures on the objects most like a category's."""
    return PUBLISHED | OTHERS.get(category, {})

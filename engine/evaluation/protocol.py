"""The protocol: which views are given, and which are compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

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
    """Test scenes also rebuilt from 4, 8, 16 and 32 views, from the first."""
    ablation_scenes: int = 24
    """Test scenes on which the paper's ablation is repeated, from the first."""
    samples: int = 64
    """Objects sampled from the model."""
    mode: str = "ours"
    """Preset of the settings of `ours`."""
    seed: int = 0
    """Randomness of fits and samples."""
    size: int = 128
    """Rows and columns of a picture."""
    quality: Quality = "standard"
    """Quality at which results are rendered."""
    training_scenes: int = 300
    """Candidates for the nearest training scene; as many make the mean picture."""
    rate_scenes: int = 4
    """Validation scenes that decide the learning rate of the fits without prior; half as many from four views on."""

    def quick(self) -> BoardOptions:
        """These options with so few scenes that it takes minutes: a functional check, whose figures mean nothing."""
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

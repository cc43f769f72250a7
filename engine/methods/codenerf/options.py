"""CodeNeRF's settings: training, reconstruction from posed views, and codes drawn from a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from engine.config import Bounds, check_bounds
from engine.methods.options import Control, Plan


@dataclass(frozen=True)
class TrainOptions:
    """Joint training of the network and all codes (2109.01750, eq. 4)."""

    rays: int = 16
    """Rays of each scene in an iteration. Many scenes with few rays each: a code is visited the more often."""
    net_rate: float = 4e-3
    """Adam's rate of the network."""
    code_rate: float = 1e-2
    """Adam's rate of the codes."""
    coarse_steps: int = 64
    """Samples along the diagonal of [-1, 1]^3 at first."""
    fine_from: int = 9_600
    """Iteration from which rays are sampled as finely as in rendering."""


@dataclass(frozen=True)
class SampleOptions:
    """Codes drawn from the Gaussian of the training codes. CodeNeRF has no prior: this is an extra, not the paper's."""

    spread: Annotated[
        float,
        Bounds(0.0, 3.0),
        Control(
            "Spread",
            "Distance of the codes from the mean object, in standard deviations of the training codes.",
            high=2,
            step=0.05,
        ),
    ] = 0.8
    """Standard deviation of the draws, in those of the training codes."""

    def __post_init__(self):
        check_bounds(self)

    def stages(self) -> Plan:
        """One draw."""
        return (("sample", 1),)

    def least(self) -> SampleOptions:
        """These options: a draw is one step already."""
        return self


@dataclass(frozen=True)
class FitOptions:
    """Both codes fitted to posed views, the network as it is; rates and steps are the released code's."""

    steps: Annotated[
        int,
        Bounds(1, 5000),
        Control("Steps", "AdamW steps on both codes.", low=1, high=1000, step=1),
    ] = 200
    """AdamW steps."""
    rate: Annotated[
        float,
        Bounds(1e-6, 1.0),
        Control(
            "Rate", "AdamW's step size on the codes at first.", low=1e-6, high=1.0, branch=True
        ),
    ] = 1e-2
    """Learning rate of both codes at first."""
    halve_every: Annotated[
        int,
        Bounds(1, 5000),
        Control("Halve every", "Steps after which the rate is halved.", low=1, high=500, step=1),
    ] = 50
    """Steps after which the rate is halved."""
    rays: Annotated[
        int,
        Bounds(16, 1_048_576),
        Control("Rays", "Pixels of each step, most of them near the object.", low=16, high=65_536),
    ] = 512
    """Rays of each step; the released code takes all."""
    weight_decay: Annotated[float, Bounds(0.0, 1.0)] = 1e-2
    """AdamW's."""

    def __post_init__(self):
        check_bounds(self)

    def stages(self) -> Plan:
        """The steps of the fit."""
        return (("fit", self.steps),)

    def least(self) -> FitOptions:
        """One step."""
        return replace(self, steps=1, rays=16)


PAPER_FIT = FitOptions(rays=16_384)
"""As many rays as a picture of 128 x 128 pixels has."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "vehicles": {
        "source": "CodeNeRF (2109.01750), ShapeNet-SRN cars at 128 px, true poses",
        "views": {"1": {"psnr": 23.80, "ssim": 0.91}, "2": {"psnr": 25.71, "ssim": 0.93}},
    },
    "chairs": {
        "source": "CodeNeRF (2109.01750), ShapeNet-SRN chairs at 128 px, true poses",
        "views": {"1": {"psnr": 23.66, "ssim": 0.90}, "2": {"psnr": 25.63, "ssim": 0.91}},
    },
}
"""The paper's figures, by category of ours that is most like its objects; its data are others, so levels do not compare."""

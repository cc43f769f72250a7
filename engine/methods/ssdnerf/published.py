"""Figures of the paper (SSDNeRF, 2304.06714, section 5), on other data than ours: orderings and steps compare, levels do not."""

from __future__ import annotations

from typing import Any

_ABLATION = {
    "A0": {"psnr": 23.52, "ssim": 0.913, "lpips": 0.078, "fid": 16.39},
    "A1": {"psnr": 22.83, "ssim": 0.906, "lpips": 0.090, "fid": 20.97},
    "A2": {"psnr": 23.13, "ssim": 0.907, "lpips": 0.088, "fid": 27.93},
    "A3": {"psnr": 23.07, "ssim": 0.905, "lpips": 0.092, "fid": 30.95},
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "vehicles": {
        "source": "SSDNeRF (2304.06714), ShapeNet-SRN cars at 128 px, 704 test scenes",
        "views": {"1": {"psnr": 23.52, "ssim": 0.913}, "2": {"psnr": 26.49, "ssim": 0.94}},
        "ablation": _ABLATION,
        "samples": {
            "one_stage": {"fid": 11.08, "kid_thousandths": 3.47},
            "two_stage": {"fid": 16.33, "kid_thousandths": 6.38},
        },
    },
    "chairs": {
        "source": "SSDNeRF (2304.06714), ShapeNet-SRN chairs at 128 px; the ablation on cars",
        "views": {"1": {"psnr": 24.35, "ssim": 0.93}, "2": {"psnr": 26.94, "ssim": 0.95}},
        "ablation": _ABLATION,
        "samples": {},
    },
    "tables": {
        "source": "SSDNeRF (2304.06714), samples of ABO tables; the ablation on ShapeNet-SRN cars",
        "views": {},
        "ablation": _ABLATION,
        "samples": {"one_stage": {"fid": 14.27, "kid_thousandths": 4.08}},
    },
}
"""By category of ours that is most like the paper's objects."""

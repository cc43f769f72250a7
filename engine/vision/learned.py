"""Cut-outs by a learned model: u2netp, the small U^2-Net (2005.09007; Apache-2.0), run by onnxruntime.

Its preprocessing is that of rembg, which brings the same file and is not imported: that takes a minute of compilation and
half a gigabyte. The file is not part of the project: `launch.py models get cutout` fetches it.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from engine import NAME
from engine.errors import ImageError, plain
from engine.files import MEGABYTE, regular

FILE = "u2netp.onnx"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
BYTES = 4_574_861
SIDE = 320
"""Rows and columns of the network's input."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MARGIN = 0.2
"""Margin around what the first look found that the second look sees, over its longer side."""
FOUND = 0.5
"""Value that the network gives to an object somewhere; below, there is none."""
RADIUS, LEAST = 0.012, 1e-4
"""Of the guided filter: radius over the picture's longer side, and the variance that counts as an edge."""


def model_path() -> Path | None:
    """The model's file: in the folder `U2NET_HOME`, or where it was fetched to; None if it is in neither."""
    for folder in (os.environ.get("U2NET_HOME"), model_folder()):
        if folder and (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    return None


def model_folder() -> Path:
    """Folder that models are fetched to: of the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / f"{NAME}-models"


def check_model(data: bytes, name: str) -> bytes:
    """The file's contents, if they are the model's.

    Raises:
        ImageError: If they are something else.
    """
    if len(data) != BYTES or hashlib.sha256(data).hexdigest() != SHA256:
        raise ImageError(
            f"{name} is not the model that it should be (SHA-256 {SHA256[:12]}...); fetch it with launch.py models get cutout."
        )
    return data


def learned_mask(
    rgb: Float[np.ndarray, "rows columns 3"],
) -> tuple[Float[np.ndarray, "rows columns"], float] | None:
    """Coverage of the picture's main object, and how well two looks at it agree, 0 to 1 (intersection over union).

    The first look is at the whole picture, the second at what the first found; edges are those of the picture (guided
    filter, He et al. 2013).

    Returns:
        None if the model is not there, or finds nothing.

    Raises:
        ImageError: If the model's file is something else.
    """
    path = model_path()
    if path is None:
        return None
    session = _session(path, path.stat().st_mtime_ns)
    first = _look(session, rgb)
    rows, columns = np.nonzero(first > 0.5)
    if first.max() < FOUND or not len(rows):
        return None
    margin = MARGIN * max(np.ptp(rows), np.ptp(columns))
    top, left = max(int(rows.min() - margin), 0), max(int(columns.min() - margin), 0)
    bottom, right = int(rows.max() + margin) + 1, int(columns.max() + margin) + 1
    second = np.zeros_like(first)
    second[top:bottom, left:right] = _look(session, rgb[top:bottom, left:right])
    one, other = first > 0.5, second > 0.5
    agreement = float((one & other).sum() / max((one | other).sum(), 1))
    radius = max(round(RADIUS * max(first.shape)), 1)
    return guided((first + second) / 2, rgb, radius).clip(0, 1), agreement


def guided(
    mask: Float[np.ndarray, "rows columns"], rgb: Float[np.ndarray, "rows columns 3"], radius: int
) -> Float[np.ndarray, "rows columns"]:
    """A mask that follows the picture's edges: in each window a linear function of its colours (guided filter)."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (2 * radius + 1, 2 * radius + 1))

    colour, cover = mean(rgb), mean(mask)
    product = np.stack([mean(rgb[..., k] * mask) for k in range(3)], -1) - colour * cover[..., None]
    spread = np.empty((*mask.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            shared = mean(rgb[..., i] * rgb[..., j]) - colour[..., i] * colour[..., j]
            spread[..., i, j] = spread[..., j, i] = shared
    spread += LEAST * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(spread, product[..., None])[..., 0]
    offset = cover - (slope * colour).sum(-1)
    return (mean(slope) * rgb).sum(-1) + mean(offset)


@lru_cache(maxsize=1)
def _session(path: Path, changed: int) -> Any:
    """The model, opened once for a file of one age."""
    import onnxruntime

    regular(path, ImageError, "the cut-out model", 64 * MEGABYTE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    data = check_model(path.read_bytes(), plain(path.name))
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _look(session: Any, rgb: np.ndarray) -> Float[np.ndarray, "rows columns"]:
    small = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    given = (small / max(float(small.max()), 1e-6) - MEAN) / SPREAD
    tensor = given.transpose(2, 0, 1)[None].astype(np.float32)
    told = session.run(None, {session.get_inputs()[0].name: tensor})[0][0, 0]
    rows, columns = rgb.shape[:2]
    return cv2.resize(told, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32)

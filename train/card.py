"""`launch.py card CHECKPOINT`: measure a finished model's samples and draw its model card's pictures.

Writes into the checkpoint's folder: `samples.png` (64 samples, four sides each), `neighbours.png` (some of them above the
training scenes that look most like them), `reconstructions.png` (unseen scenes from one view), `curve.html` (the run's
log; also `curve.png` where kaleido is installed), and the entry `samples` of `metrics.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from engine.data.procedural.categories import Category
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.raster import composite_white
from engine.errors import ExportError
from engine.evaluation.baselines import NUM_TRAINING_SCENES, category_of
from engine.evaluation.protocol import BoardOptions
from engine.evaluation.samples import NEIGHBOURS, SIDES, drawn
from engine.evaluation.tune import (
    PLAID_DISTANCE,
    PLAID_SIZE,
    PLAID_VIEWS,
    add_metrics,
    sample_plaid,
)
from engine.events import finish
from engine.fields.base import SURFACE, Field
from engine.files import replacing
from engine.methods.base import Method, options_of
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.ops.components import largest_component_share
from engine.ops.metrics import plaid, psnr_matrix
from engine.output.video import contact_sheet, save_picture
from engine.render.frames import RenderOptions, render_views, to_uint8
from engine.render.occupancy import cell_points
from engine.store.checkpoint import open_checkpoint, read_config
from engine.training.keeping import read_log
from engine.training.recipe import settings_of
from engine.types import Camera

CURVES = {"psnr": "PSNR on training rays (dB)", "diffusion_loss": "diffusion loss"}
"""Curves of the run's log, and their titles."""
SHOWN = (64, 8, 40, 96, 140, 190)
"""Places on SRN's test path of the sheet of reconstructions; the first is the input, as published."""
SHEET_DISTANCE = 1.4
"""Samples are looked at from no further away: at SRN's 2.0 a chair fills a quarter of its picture."""
COPY_DB = 30.0
"""A sample nearer than this to a training scene counts as its copy."""


def draw_card(
    folder: Path,
    *,
    samples: int = 64,
    training_scenes: int | None = None,
    reconstructions: int = 8,
    seed: int = 0,
    run: Path | None = None,
) -> None:
    """Measure a model and write its model card's pictures into its folder.

    Args:
        folder: The checkpoint.
        samples: Number of samples.
        training_scenes: Training scenes that samples are compared with; None takes as many as the recipe says.
        reconstructions: Unseen scenes on the sheet of reconstructions.
        seed: Of the first sample.
        run: Folder of the training run, for the curve.
    """
    method = open_checkpoint(folder)
    compared = trained_scenes(folder) if training_scenes is None else training_scenes
    measured = measure_samples(method, samples, compared, seed, folder)
    add_metrics(folder, samples=measured)
    logging.info("%s", json.dumps(measured, indent=1))
    draw_reconstructions(method, reconstructions, folder)
    if run is not None:
        draw_curve(run / "metrics.jsonl", folder)


def trained_scenes(folder: Path) -> int:
    """Scenes the checkpoint was trained on, as its provenance says; as many as the yardsticks use where it does not."""
    recipe = read_config(folder).provenance.get("recipe")
    return settings_of(recipe).get("scenes", NUM_TRAINING_SCENES)


def measure_samples(
    method: Method, count: int, training_scenes: int, seed: int, folder: Path
) -> dict[str, float | int]:
    """Plaid, solidity and novelty of samples; draws their sheet on the way."""
    category = category_of(method)
    board = BoardOptions(samples=count, seed=seed)
    fields = finish(drawn(method, board, "samples"))
    side, top = (torch.tensor(values) for values in zip(*SIDES, strict=True))
    cameras = orbit_camera(side, top, min(method.data.distance, SHEET_DISTANCE), board.size)
    renders = torch.stack([render_views(field, cameras) for field in fields])
    draw_samples(renders, folder / "samples.png")

    ours = sample_plaid(method, options_of(method, "generate"), count, seed)
    paper = sample_plaid(method, options_of(method, "generate", "paper"), count, seed)
    truth = plaid(*true_looks(category, count))
    shares = [largest_component_share(occupied(field)) for field in fields]
    pictures = renders[:, 0].cpu()
    training = training_pictures(category, cameras[0:1], training_scenes)
    similarity = psnr_matrix(pictures, training)
    nearest = similarity.amax(1)
    beside = torch.stack([pictures, training[similarity.argmax(1)]])
    draw_neighbours(beside[:, :NEIGHBOURS], folder / "neighbours.png")
    return {
        "count": count,
        "plaid": _round(ours.luminance),
        "plaid_chroma": _round(ours.chroma),
        "hf_luminance": _round(ours.high_luminance / truth.high_luminance),
        "paper_plaid": _round(paper.luminance),
        "paper_plaid_chroma": _round(paper.chroma),
        "paper_hf_luminance": _round(paper.high_luminance / truth.high_luminance),
        "truth_plaid": _round(truth.luminance),
        "truth_plaid_chroma": _round(truth.chroma),
        "largest_component_min": _round(min(shares)),
        "largest_component_median": _round(float(np.median(shares))),
        "largest_component_at_least_97": sum(share >= 0.97 for share in shares),
        "nearest_training_psnr_median": _round(float(nearest.median())),
        "further_than_30_db": int((nearest < COPY_DB).sum()),
    }


def _round(value: float) -> float:
    return round(float(value), 4)


def draw_samples(
    renders: Float[Tensor, "samples sides height width 3"], path: Path, columns: int = 4
) -> None:
    """Write a contact sheet of all samples from all sides, cropped to what any of them covers."""
    tiles = cropped(renders.flatten(0, 1))
    save_picture(path, contact_sheet(tiles, columns=columns * renders.shape[1], gap=0))


def cropped(pictures: Float[Tensor, "pictures height width 3"]) -> list[np.ndarray]:
    """Pictures on white, cropped alike to what any of them covers (uint8)."""
    covered = (pictures < 1 - 2 / 255).any(-1).any(0)
    rows, cols = (covered.any(axis).nonzero().flatten() for axis in (1, 0))
    inside = pictures[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return [to_uint8(picture).numpy() for picture in inside]


def draw_neighbours(beside: Float[Tensor, "2 samples height width 3"], path: Path) -> None:
    """Samples above the training scenes that look most like them."""
    save_picture(path, contact_sheet(cropped(beside.flatten(0, 1)), columns=beside.shape[1], gap=2))


def occupied(field: Field, resolution: int = 64) -> np.ndarray:
    """Cells of a lattice over the field's box that hold matter: denser than a mesh's surface."""
    shape = (resolution,) * 3
    with torch.no_grad():
        density = field.density(cell_points(shape, field.aabb))
    return (density > SURFACE).reshape(shape).cpu().numpy()


def true_looks(category: Category, count: int) -> tuple[Tensor, Tensor]:
    """Small pictures of validation scenes and their alpha, from where samples are measured."""
    side, top = (torch.tensor(values) for values in zip(*PLAID_VIEWS, strict=True))
    camera = orbit_camera(side, top, PLAID_DISTANCE, PLAID_SIZE)
    rgba = np.concatenate(
        [
            render_shape(
                category.build(scene_seed("val", k)),
                camera.srn_c2w().numpy(),
                camera.intrinsics[0].numpy(),
                PLAID_SIZE,
            )
            for k in range(count)
        ]
    )
    images = torch.from_numpy(composite_white(rgba)).float() / 255
    return images, torch.from_numpy(rgba[..., 3]).float() / 255


def training_pictures(
    category: Category, camera: Camera, count: int
) -> Float[Tensor, "scenes height width 3"]:
    """The first training scenes from one place."""
    c2w = camera.srn_c2w().numpy()
    images = [
        category.pictures(category.build(scene_seed("train", k)), c2w, camera.width)
        for k in range(count)
    ]
    return torch.from_numpy(np.concatenate(images)).float() / 255


def draw_reconstructions(method: Method, count: int, folder: Path) -> None:
    """Rows of input, then truth and prediction from places that were not given."""
    pictures: list[Tensor] = []
    for index in range(count):
        views = category_of(method).views("test", index, which=SHOWN)
        latent = finish(
            method.reconstruct(views[[0]], options_of(method, "reconstruct"), Noise(0))
        )[0]
        renders = render_views(method.scene(latent).field, views.camera, RenderOptions("high"))
        row = [views.images[0], renders[0]]
        for k in range(1, len(views)):
            row += [views.images[k], renders[k]]
        pictures += [picture.cpu() for picture in row]
    tiles = cropped(torch.stack(pictures))
    save_picture(
        folder / "reconstructions.png", contact_sheet(tiles, columns=2 * len(SHOWN), gap=2)
    )


def draw_curve(log: Path, folder: Path) -> None:
    """Write a run's curves as `curve.html`, which holds plotly's script (4.8 MB), and as `curve.png` where kaleido is installed.

    Raises:
        ExportError: If kaleido finds no Chrome to draw with.
    """
    figure = curve_figure(read_log(log))
    with replacing(folder / "curve.html") as temporary:
        figure.write_html(temporary, include_plotlyjs=True)
    if find_spec("kaleido") is None:
        logging.info("curve.png is left as it is; it is drawn where kaleido is installed.")
        return
    path = folder / "curve.png"
    with replacing(path) as temporary:
        try:
            figure.write_image(temporary, format="png")
        except RuntimeError as error:
            raise ExportError(
                f"{path}: kaleido draws with Chrome and found none; install Chrome, or uninstall kaleido."
            ) from error


def curve_figure(lines: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Training PSNR and diffusion loss over iterations, as logged and as running means over a sixtieth of the run."""
    figure = make_subplots(1, 2, subplot_titles=list(CURVES.values()))
    for column, key in enumerate(CURVES, 1):
        known = [line for line in lines if key in line]  # a stage of its own may measure less
        steps, values = (np.array([line[name] for line in known]) for name in ("step", key))
        width = max(1, len(values) // 60)
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        logged = {"color": "#c9d4ee", "width": 1}
        means = {"color": "#3b5bdb", "width": 2}
        figure.add_scatter(x=steps, y=values, line=logged, name="logged", row=1, col=column)
        figure.add_scatter(
            x=steps[width - 1 :], y=smooth, line=means, name="mean", row=1, col=column
        )
    figure.update_traces(mode="lines", showlegend=False)
    figure.update_xaxes(title_text="iteration")
    figure.update_yaxes(type="log", dtick="D2", col=2)
    figure.update_layout(template="plotly_white", width=990, height=352, margin={"t": 40, "b": 10})
    return figure

"""Pure: steps, records and arrays to text, HTML and pictures. No state, no gradio, no viser."""

from __future__ import annotations

import base64
import html
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from app.session.jobs import Job
from app.session.records import Channel, Pane, Record, Snapshot
from engine.events import STAGES, Step
from engine.ops.cameras import orbit_camera
from engine.render.frames import Baked, RenderOptions, RenderOutput, render, to_uint8
from engine.store.timeline import noisy
from engine.types import Camera, Views

HAZE = 0.15
"""Opacity that is not shown over dark paper."""
FAIR_DB, BAD_DB = 26.0, 20.0
"""PSNR on the inputs below which an object matches its pictures in part, or not at all."""
HEAT_GAIN = 3.0
"""Factor by which a difference of colours is amplified."""
GONE = '<span class="tl-gone"></span>'
"""Placeholder for a step without a thumbnail."""
THUMB = 112
"""Side of a thumbnail, pixels."""
THUMB_ZOOM = 0.88
"""Times the camera's distance: how much closer than its lens a thumbnail comes. Objects have diagonal 1, so they fill it."""


def stage_title(stage: str) -> str:
    """A stage's name for people."""
    return STAGES.get(stage, html.escape(stage.capitalize()))


def seconds_text(seconds: float) -> str:
    """A duration in words: `8 s`, `1 min 20 s`."""
    whole = max(round(seconds), 0)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def size_text(size: float) -> str:
    """A number of bytes in words: `96 bytes`, `4.0 KB`, `192 KB`, `5.4 MB`."""
    if size < 1024:
        return f"{size:.0f} bytes"
    size, unit = (size / 2**10, "KB") if size < 2**20 else (size / 2**20, "MB")
    return f"{size:.{0 if size >= 100 else 1}f} {unit}"


def status_text(job: Job | None, ahead: int, left: float | None) -> str:
    """One line about a job."""
    if job is None:
        return "Ready"
    if job.state == "queued":
        begins = "Preparing kernels" if job.preparing else "Starting"
        return f"Waiting: {ahead} ahead" if ahead else begins
    if job.state == "failed":
        return job.error or "Failed"
    step = job.step
    where = f"{stage_title(step.stage)} {step.index} of {step.total}" if step else "Starting"
    if job.state == "cancelled":
        return f"Cancelled at {where.lower()}" if step else "Cancelled"
    if job.state == "done":
        return f"Done in {seconds_text(job.elapsed)}"
    if job.cancelling:
        return f"{where}, stopping"
    return where if left is None else f"{where}, {seconds_text(left)} left"


def timeline_html(
    token: str,
    record: Record,
    index: int,
    *,
    status: str,
    share: float,
    state: str,
    length: int,
    captions: Mapping[str, Any],
    revision: int,
    measured: int,
) -> str:
    """The filmstrip with its progress bar.

    Args:
        token: The session's token, for the thumbnails' addresses.
        record: Whose frames are shown.
        index: The selected frame.
        status: The line above the strip.
        share: How much of the run is done, in [0, 1].
        state: State of the job, for colours.
        length: Frames the strip will have in the end (places yet to come are drawn empty).
        captions: See `captions`.
        revision: The session's, of which this is at least: the page knows by it what came too late.
        measured: Steps that the inspector has measured so far, of all objects that are shown.
    """
    groups = []
    for stage, places in itertools.groupby(
        range(len(record.frames)), key=lambda place: record.frames[place].stage
    ):
        figures = "".join(_figure(token, record, place, place == index) for place in places)
        groups.append(
            f'<section><span class="tl-stage">{stage_title(stage)}</span><div>{figures}</div></section>'
        )
    empty = '<figure class="tl-empty"></figure>' * max(length - len(record.frames), 0)
    if empty:
        groups.append(f'<section><span class="tl-stage">&nbsp;</span><div>{empty}</div></section>')
    shown = record.frames[index] if record.frames else None
    return (
        f'<div class="tl" data-token="{token}" data-record="{record.id}" data-state="{state}" '
        f'data-count="{len(record.frames)}" data-shown="{index}" data-revision="{revision}" data-measured="{measured}" data-panes="{html.escape(json.dumps(captions))}">'
        f'<div class="tl-head"><span class="tl-status" title="{html.escape(status)}">{html.escape(status)}</span>'
        f'<span class="tl-shown">{shown_text(record, shown)}</span>{downloads_html(token, record)}</div>'
        f'<div class="tl-bar"><i style="width:{100 * share:.1f}%"></i></div>'
        f'<div class="tl-strip" tabindex="0" role="slider" aria-label="Step of this run" aria-valuemin="1" '
        f'aria-valuemax="{len(record.frames)}" aria-valuenow="{index + 1}" '
        f'aria-valuetext="{frame_title(shown)}">{"".join(groups)}</div></div>'
    )


def frame_title(frame: Step | None) -> str:
    """A step's name for people."""
    if frame is None or frame.stage == "result":
        return stage_title("result")
    return f"{stage_title(frame.stage)} {frame.index} of {frame.total}"


def _figure(token: str, record: Record, place: int, selected: bool) -> str:
    frame = record.frames[place]
    title = frame_title(frame)
    picture = GONE
    if frame.latent is not None:
        address = f"film/{token}/{record.id}/{place}.jpg?version={record.version}"
        second = _thumb(f"{address}&look=x_t", f"{title}, noisy") if noisy(frame) else GONE
        picture = f'{_thumb(address, title)}<span class="tl-noisy">{second}</span>'
    return (
        f'<figure class="{"tl-sel" if selected else ""}" data-index="{place}" title="{title}">'
        f"{picture}<figcaption>{frame.index}</figcaption></figure>"
    )


def _thumb(address: str, title: str) -> str:
    return f'<img src="{address}" alt="{title}" loading="lazy" draggable="false">'


def captions(snapshot: Snapshot) -> dict[str, Any]:
    """Captions of the view's parts, as the page's script takes them."""
    look = snapshot.display.look
    texts = [pane_text(pane) for pane in snapshot.panes]
    if snapshot.difference:
        texts = [" against ".join(texts)]
    several = len({pane.record.id for pane in snapshot.panes}) > 1
    return {"look": look, "panes": texts, "several": several}


def pane_text(pane: Pane) -> str:
    """Caption of one part of the view: object, stage and step."""
    frame = pane.record.frames[pane.index]
    what = {"x0": "", "x_t": "x<sub>t</sub>, "}[pane.look]
    where = (
        "result" if frame.stage == "result" else f"{stage_title(frame.stage).lower()} {frame.index}"
    )
    return f"<b>{html.escape(pane.record.title)}</b> {what}{where}"


def grade(psnr: float) -> str:
    """A PSNR as a class of the style sheet: `good`, or `fair` and `bad` below `FAIR_DB` and `BAD_DB`."""
    if psnr < BAD_DB:
        return "bad"
    return "fair" if psnr < FAIR_DB else "good"


def shown_text(record: Record, frame: Step | None) -> str:
    """The line about the step that is shown."""
    parts = [html.escape(record.title)]
    if frame is not None and frame.stage != "result":
        parts.append(f"step {frame.index} of {frame.total}, {stage_title(frame.stage).lower()}")
    psnr = None if frame is None else frame.scalars.get("psnr")
    if frame is not None and frame.stage == "result":
        psnr = record.psnr
    if psnr is not None:
        parts.append(f'<b class="{grade(psnr)}">{psnr:.1f} dB</b>')
    return " &middot; ".join(parts)


def result_html(token: str, record: Record) -> str:
    """Inputs against renders, once a run has ended."""
    many = " many" if len(record.psnrs) > 1 else ""
    return "".join(
        f'<div class="compare{many}"><figure><img src="film/{token}/{record.id}/input/{view}.png" alt="input">'
        f"<figcaption>Input</figcaption></figure>"
        f'<figure><img src="film/{token}/{record.id}/render/{view}.png?frames={len(record.frames)}" alt="render">'
        f"<figcaption>Render</figcaption></figure>"
        f'<div class="psnr"><b class="{grade(psnr)}">{psnr:.1f}</b> dB<small>PSNR</small></div></div>'
        for view, psnr in enumerate(record.psnrs)
    )


DOWNLOADS = {
    "mesh.glb": ("GLB", "mesh with vertex colours"),
    "turntable.mp4": ("MP4", "turntable film"),
    "sheet.png": ("PNG", "eight views"),
    "scene.safetensors": ("Scene", "file for launch.py"),
    "run.safetensors": ("Run", "every step, for this page"),
}
"""File name to its button and what it is."""


def downloads_html(token: str, record: Record) -> str:
    """Links that prepare a file when they are clicked."""
    links = "".join(
        f'<a class="dl" id="download-{"run" if name.startswith("run") else name.rpartition(".")[2]}" title="{label}: {note}" download '
        f'href="download/{token}/{record.id}/{name}"><b>{label}</b><small>{note}</small></a>'
        for name, (label, note) in DOWNLOADS.items()
    )
    return f'<div class="dls">{links}</div>'


def error_html(sentence: str) -> str:
    """One sentence about something the user can put right."""
    return f'<p class="error" role="alert">{html.escape(sentence)}</p>' if sentence else ""


# -- pictures --------------------------------------------------------------------------------------


def channel_image(
    output: RenderOutput, channel: Channel, background: tuple[float, float, float]
) -> np.ndarray:
    """One channel of a render as `height width 3` uint8."""
    paper = torch.tensor(background)
    opacity = output.opacity[..., None]
    if channel == "colour":
        white = min(background) == 1.0
        return to_uint8(output.rgb if white else _without_haze(output.rgb, opacity, paper)).numpy()
    if channel == "opacity":
        return to_uint8(paper + (1 - 2 * paper.mean().round()) * opacity).numpy()
    if channel == "normals":
        return to_uint8(paper * (1 - opacity) + (output.normal * 0.5 + 0.5) * opacity).numpy()
    return to_uint8(paper * (1 - opacity) + _depth_colors(output) * opacity).numpy()


def _without_haze(rgb: Tensor, opacity: Tensor, paper: Tensor) -> Tensor:
    """Colours over dark paper without what is hardly there.

    Priors learn on white paper, where nobody sees the faint white that they leave in empty space.
    """
    share = ((opacity - HAZE) / (1 - HAZE)).clamp_min(0) / opacity.clamp_min(HAZE)
    return torch.lerp(paper, rgb, share)


def _depth_colors(output: RenderOutput) -> Tensor:
    """Depth from near (bright) to far (dark), stretched over what is seen."""
    seen = output.opacity > 0.5
    if not seen.any():
        return torch.zeros(*output.depth.shape, 3)
    near, far = output.depth[seen].min(), output.depth[seen].max()
    level = 1 - ((output.depth - near) / (far - near).clamp_min(1e-6)).clamp(0, 1)
    colored = cv2.applyColorMap(to_uint8(level).numpy(), cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    return torch.from_numpy(colored).float() / 255


def heat(
    first: np.ndarray, second: np.ndarray, background: tuple[float, float, float]
) -> np.ndarray:
    """Heat map of the difference of two pictures, uint8: background where equal, brighter where they differ more."""
    apart = np.abs(first.astype(np.float32) - second.astype(np.float32)).mean(-1)
    level = np.clip(apart / 255 * HEAT_GAIN, 0, 1)
    colors = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = np.sqrt(level)[..., None]
    paper = np.array(background, np.float32) * 255
    return np.round(paper * (1 - share) + colors * share).astype(np.uint8)


def thumb_camera(record: Record, size: int) -> Camera:
    """From where a record's thumbnails are taken: its first input's camera, or three quarters from the front."""
    if record.views is not None:
        return record.views.camera[0].resized(size, size)
    return usual_camera(record.method.data.distance, size)


def usual_camera(distance: float, size: int) -> Camera:
    """Three quarters from the front, closer than `distance`: objects fill the picture."""
    camera = orbit_camera(40.0, 18.0, distance, size)
    zoom = THUMB_ZOOM * distance
    closer = camera.intrinsics * torch.tensor([zoom, zoom, 1.0, 1.0])
    return Camera(camera.c2w, closer, size, size)


def picture(
    baked: Baked, camera: Camera, background: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> np.ndarray:
    """A render as uint8."""
    return to_uint8(render(baked, camera, RenderOptions(background=background)).rgb).cpu().numpy()


def encode(rgb: np.ndarray, extension: str = ".jpg", quality: int = 85) -> bytes:
    """A picture as JPEG or PNG bytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if extension == ".jpg" else []
    done, data = cv2.imencode(extension, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    assert done, f"cv2 could not encode a picture of shape {rgb.shape}"
    return data.tobytes()


def data_uri(rgb: np.ndarray, extension: str = ".png") -> str:
    """A small picture as an address that carries it."""
    return f"data:image/{extension[1:]};base64,{base64.b64encode(encode(rgb, extension)).decode()}"


def file_uri(path: Path) -> str:
    """A small JPEG file as an address that carries it."""
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def fitted(rgba: np.ndarray, size: int) -> np.ndarray:
    """A cut-out object on white, filling a square, uint8.

    Args:
        rgba: Float RGBA in [0, 1], straight alpha.
        size: Side of the square, pixels.
    """
    rows, cols = np.nonzero(rgba[..., 3] > 0.5)
    inner = rgba[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
    on_white = inner[..., :3] * inner[..., 3:] + 1 - inner[..., 3:]
    scale = 0.9 * size / max(on_white.shape[:2])
    small = cv2.resize(on_white, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    square = np.ones((size, size, 3), np.float32)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return (square.clip(0, 1) * 255).round().astype(np.uint8)


def overlay(rgb: np.ndarray, camera: Camera, views: Views, strength: float = 0.6) -> np.ndarray:
    """An input picture laid over a render, if the camera stands where the picture was taken.

    The two cameras then differ by a rotation and a zoom only, which a homography undoes exactly.

    Args:
        rgb: The render, uint8.
        camera: Its camera.
        views: The picture, one view; only its object is laid over where its alpha is known.
        strength: Share of the picture.
    """
    taken = views.camera[0]
    apart = (camera.c2w[:3, 3] - taken.c2w[:3, 3]).norm()
    if apart > 0.02 * taken.c2w[:3, 3].norm():
        return rgb
    turn = (camera.c2w[:3, :3].T @ taken.c2w[:3, :3]).double().numpy()
    homography = _matrix(camera) @ turn @ np.linalg.inv(_matrix(taken))
    alpha = torch.ones_like(views.images[0, ..., :1]) if views.alpha is None else views.alpha[0]
    picture = torch.cat([views.images[0] * 255, strength * alpha], -1).numpy()
    warped = cv2.warpPerspective(picture, homography, (camera.width, camera.height))
    share = warped[..., 3:]
    return (rgb * (1 - share) + warped[..., :3] * share).round().clip(0, 255).astype(np.uint8)


def _matrix(camera: Camera) -> np.ndarray:
    """3x3 intrinsics of a camera whose pixel centres lie at whole numbers, as cv2 has them."""
    fx, fy, cx, cy = camera.intrinsics.tolist()
    return np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1.0]])

"""Novel views of objects from one picture: without its camera, with sliders set exactly right, and with its true camera.

The three differ in the camera alone, on the same pictures of unseen objects, so that their differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from engine.data.procedural.categories import Category
from engine.data.procedural.shape import scene_seed
from engine.evaluation.intervals import paired
from engine.events import Run, Step, finish
from engine.methods.base import Method, options_of
from engine.nets.posenet import PoseNet
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.ops.metrics import evaluation_psnr
from engine.output.mesh import framing_objects
from engine.pose.guess import Guess, frame_for, guess_cameras, guessed_view, network_picture
from engine.pose.judge import SIZE, Exam
from engine.render.frames import RenderOptions, render_views
from engine.types import Views
from engine.vision.images import frame_view, on_white

WAYS = ("guessed", "directed", "sliders", "true")
"""Sources of the camera: the network; a person who knows the angles and distance, with the network's framing; the same
with the framing of the model's objects; the renderer."""
PLACES = tuple(
    (azimuth, elevation)
    for elevation in (5.0, 25.0, 50.0)
    for azimuth in (20.0, 110.0, 200.0, 290.0)
)
"""Azimuths and elevations of the compared views, degrees."""


def true_view(exam: Exam) -> Views:
    """A centred picture with its own camera: that of the whole picture, seen through the square."""
    camera, window, size = exam.camera, exam.window, len(exam.square)
    scale = size / window.side
    fx, fy, cx, cy = camera.intrinsics.tolist()
    values = [fx * scale, fy * scale, (cx - window.left) * scale, (cy - window.top) * scale]
    through = replace(camera, intrinsics=torch.tensor(values), height=size, width=size)
    return on_white(exam.square, through)


def novel_views(
    method: Method, net: PoseNet, category: Category, pictures: Sequence[Exam], mode: str = "ours"
) -> Run[dict[str, list[float]]]:
    """PSNR of `PLACES` for every way and picture, dB (stage "judge").

    Args:
        method: What reconstructs.
        net: Pose network of the category.
        category: Kind of the objects; picture i shows test scene i (see `engine.pose.judge.exams`).
        pictures: One of each object.
        mode: Preset of the method's settings.
    """
    objects = framing_objects(method.scene(latent).field for latent in method.gallery)
    options = options_of(method, "reconstruct", mode)
    distance = category.distance
    azimuths, elevations = torch.tensor(PLACES).T
    cameras = orbit_camera(azimuths, elevations, distance, SIZE)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for index, exam in enumerate(pictures):
        shape = category.build(scene_seed("test", index))
        truth = category.pictures(shape, cameras.srn_c2w().double().numpy(), SIZE)
        expected = torch.from_numpy(truth).float() / 255
        for way in WAYS:
            given = given_view(way, exam, net, objects)
            latent = finish(method.reconstruct(given, options, Noise(0)))[0]
            seen = render_views(method.scene(latent).field, cameras, RenderOptions("high"))
            found[way].append(float(evaluation_psnr(seen, expected).mean()))
        scalars = {way: float(np.mean(values)) for way, values in found.items()}
        yield Step(stage="judge", index=index + 1, total=len(pictures), scalars=scalars)
    return found


def given_view(
    way: str, exam: Exam, net: PoseNet, objects: Float[np.ndarray, "n points 3"]
) -> Views:
    """A picture with its camera from one of `WAYS`; `objects` are outermost points of the model's own."""
    if way == "guessed":
        guess: Guess = guess_cameras(net, network_picture(exam.square), 1)[0]
        return guessed_view(exam.square, guess)
    if way == "true":
        return true_view(exam)
    azimuth, elevation, _ = (float(np.rad2deg(angle)) for angle in exam.direction)
    if way == "directed":
        guess = frame_for(net, network_picture(exam.square), azimuth, elevation)
        return guessed_view(exam.square, replace(guess, distance=exam.distance))
    return frame_view(exam.square, azimuth, elevation, exam.distance, SIZE, objects)


def gains(found: dict[str, list[float]]) -> dict[str, float]:
    """Means of `novel_views`, and how far the guessed cameras are above the other ways, paired, with 95 % intervals."""
    told = {f"{way}_psnr": float(np.mean(values)) for way, values in found.items()}
    for way in WAYS[1:]:
        gain = paired(found["guessed"], found[way])
        told |= {
            f"above_{way}": gain.mean,
            f"above_{way}_low": gain.low,
            f"above_{way}_high": gain.high,
        }
    return told

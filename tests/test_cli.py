from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

import launch
import train.progress as progress_module
from engine.data.cameras import srn_intrinsics
from engine.data.procedural.categories import VEHICLES
from engine.data.procedural.shape import render_shape
from engine.data.srn import SRNDataset
from engine.fields.scene import Scene
from engine.ops.cameras import orbit_camera
from engine.output.mesh import load_mesh
from engine.render.frames import RenderOptions, render_views
from engine.types import WORLD_PER_SRN
from tests.signals import ignore_interrupts

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "app/examples/studio.jpg"
RESULT = {"scene.safetensors", "mesh.glb", "turntable.mp4", "sheet.png", "report.json"}
SRN_INTRINSICS = "131.25 64. 64. 0.\n0. 0. 0.\n1.\n128 128\n"


@pytest.fixture(scope="module")
def generated(tiny_checkpoint, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("generated")
    arguments = [
        "generate",
        "--checkpoint",
        str(tiny_checkpoint),
        "--seed",
        "3",
        "--set",
        "steps=1",
    ]
    assert launch.main([*arguments, "--out", str(out)]) == 0
    return out


def test_generate_writes_every_file_and_reports_settings_and_seconds(generated, tiny_checkpoint):
    assert {path.name for path in generated.iterdir()} == RESULT
    report = json.loads((generated / "report.json").read_text())
    assert report["seed"] == 3
    assert report["settings"]["steps"] == 1
    assert report["settings"]["mode"] == "ours"
    assert {"denoise", "renoise", "mesh", "turntable"} <= report["seconds"].keys()
    assert "psnr" not in report
    assert Scene.load(generated / "scene.safetensors").provenance["seed"] == 3
    assert cv2.imread(str(generated / "sheet.png")).shape == (260, 524, 3)
    assert len(trimesh.load(generated / "mesh.glb", force="mesh").faces) > 0


def test_generating_a_seed_alone_or_among_others_gives_the_same_object(
    generated, tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    arguments = [
        "generate",
        "--checkpoint",
        str(tiny_checkpoint),
        "--seed",
        "2",
        "--set",
        "steps=1",
    ]
    assert launch.main([*arguments, "--count", "2", "--out", str(tmp_path)]) == 0
    again = Scene.load(tmp_path / "seed_0003" / "scene.safetensors").field.latent
    assert torch.equal(again, Scene.load(generated / "scene.safetensors").field.latent)


def only_the_scene(scene, folder, inputs=None):
    yield from ()
    return scene.save(Path(folder) / "scene.safetensors")


def reconstruct(checkpoint: Path, out: Path, *arguments: str) -> int:
    return launch.main(
        ["reconstruct", *arguments, "--checkpoint", str(checkpoint), "--out", str(out)]
    )


def test_reconstruct_reports_the_camera_and_the_psnr_on_its_input(tiny_checkpoint, tmp_path):
    camera = ("--azimuth", "55", "--elevation", "8", "--distance", "1.3")
    assert reconstruct(tiny_checkpoint, tmp_path, str(PHOTO), *camera) == 0
    assert {path.name for path in tmp_path.iterdir()} == RESULT
    report = json.loads((tmp_path / "report.json").read_text())
    assert 0 < report["psnr"]["mean"] == report["psnr"]["views"][0] < 60
    assert {"guide", "renoise", "finetune"} <= report["seconds"].keys()
    expected = orbit_camera(55.0, 8.0, 1.3).srn_c2w()[:, 2:]  # where it looks, and from where
    found = torch.tensor(report["camera"][0]["c2w"])[:, 2:]
    torch.testing.assert_close(found, expected)
    assert Scene.load(tmp_path / "scene.safetensors").provenance["images"] == ["studio.jpg"]


def test_one_camera_value_serves_all_pictures_or_there_is_one_for_each(
    tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    camera = ("--azimuth", "-30", "90", "--elevation", "-5", "--distance", "1.3")
    assert reconstruct(tiny_checkpoint, tmp_path, str(PHOTO), str(PHOTO), *camera) == 0
    cameras = json.loads((tmp_path / "report.json").read_text())["camera"]
    for found, azimuth in zip(cameras, (-30.0, 90.0), strict=True):
        expected = orbit_camera(azimuth, -5.0, 1.3).srn_c2w()[:, 2:]
        torch.testing.assert_close(torch.tensor(found["c2w"])[:, 2:], expected)


def write_posed_picture(folder: Path) -> tuple[Path, Path, Path]:
    picture, pose, intrinsics = (folder / name for name in ("a.png", "pose.txt", "intrinsics.txt"))
    pixels = np.full((128, 128, 3), 255, np.uint8)
    pixels[30:70, 20:60] = (200, 40, 40)
    cv2.imwrite(str(picture), pixels)
    c2w = orbit_camera(20.0, 10.0).srn_c2w()
    pose.write_text(" ".join(str(float(value)) for value in c2w.flatten()))
    intrinsics.write_text(SRN_INTRINSICS)
    return picture, pose, intrinsics


def test_a_picture_with_pose_and_intrinsics_is_used_as_it_is(
    tiny_checkpoint, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    monkeypatch.setattr(
        "engine.output.export.input_psnr", lambda scene, views: seen.append(views) or [1.0]
    )
    picture, pose, intrinsics = write_posed_picture(tmp_path)
    arguments = (str(picture), "--pose", str(pose), "--intrinsics", str(intrinsics))
    assert reconstruct(tiny_checkpoint, tmp_path / "out", *arguments, "--mode", "paper") == 0
    truth = torch.from_numpy(cv2.imread(str(picture))[..., ::-1].copy()) / 255
    torch.testing.assert_close(seen[0].images[0], truth)
    torch.testing.assert_close(seen[0].camera.c2w[0], orbit_camera(20.0, 10.0).c2w)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["mode"] == "paper"
    assert report["settings"]["rate_decay"] == "exponential"


OPENGL = np.diag([1.0, -1, -1, 1])


def posed_vehicle(folder: Path) -> np.ndarray:
    """A picture of a vehicle with its pose in several files, and intrinsics in two; returns the pose."""
    c2w = orbit_camera(130.0, 20.0).srn_c2w().double().numpy()
    intrinsics = srn_intrinsics(128)
    shape = VEHICLES.build(31)
    pixels = render_shape(shape, c2w[None], intrinsics, 128)[0]
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "a.png"), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    far = c2w.copy()
    far[:3, 3] *= 4.03 / 1.3
    up = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    poses = {"gl": c2w @ OPENGL, "w2c": np.linalg.inv(c2w), "far": far, "yup": up @ c2w, "cv": c2w}
    for name, pose in poses.items():
        np.savetxt(folder / f"{name}.txt", pose)
    fx, fy, cx, cy = intrinsics
    for name, unit in (("k", 1), ("normalised", 128)):
        np.savetxt(
            folder / f"{name}.txt",
            np.diag([1 / unit] * 2 + [1]) @ [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
        )
    return c2w


@pytest.mark.parametrize(
    ("pose", "intrinsics", "flags"),
    [
        ("gl", "k", "--convention opengl"),
        ("w2c", "k", "--inverse"),
        ("far", "k", "--scale 0.3226"),
        ("yup", "k", "--up y"),
        ("cv", "normalised", "--intrinsics-width 1"),
    ],
)
def test_cameras_of_another_convention_are_refused_and_mended_by_the_flag_they_name(
    tiny_checkpoint, tmp_path, monkeypatch, capsys, pose, intrinsics, flags
):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    c2w = posed_vehicle(tmp_path)
    files = [str(tmp_path / f"{name}.txt") for name in (pose, intrinsics)]
    arguments = [str(tmp_path / "a.png"), "--pose", files[0], "--intrinsics", files[1]]
    assert reconstruct(tiny_checkpoint, tmp_path / "out", *arguments) == 2
    said = capsys.readouterr().err
    assert f"give {flags}" in said
    assert said.count("\n") == 1
    assert reconstruct(tiny_checkpoint, tmp_path / "out", *arguments, *flags.split()) == 0
    assert "Doubtful" not in capsys.readouterr().err
    (camera,) = json.loads((tmp_path / "out/report.json").read_text())["camera"]
    np.testing.assert_allclose(camera["c2w"], c2w, atol=2e-4)
    np.testing.assert_allclose(camera["intrinsics"], srn_intrinsics(128), rtol=1e-4)


def test_poses_go_to_the_pictures_of_their_names(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    expected = [orbit_camera(angle, 15.0).srn_c2w().double().numpy() for angle in (30.0, 200.0)]
    shape = VEHICLES.build(31)
    pictures = render_shape(shape, np.stack(expected), srn_intrinsics(128), 128)
    np.savetxt(tmp_path / "k.txt", [[131.25, 0, 64], [0, 131.25, 64], [0, 0, 1]])
    for name, pixels, pose in zip(("2", "10"), pictures, expected, strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
        np.savetxt(tmp_path / f"{name}.txt", pose)
    one, other = (str(tmp_path / name) for name in ("2", "10"))
    arguments = [f"{one}.png", f"{other}.png", "--pose", f"{other}.txt", f"{one}.txt"]
    arguments += ["--intrinsics", str(tmp_path / "k.txt")]
    assert reconstruct(tiny_checkpoint, tmp_path / "out", *arguments) == 0
    cameras = json.loads((tmp_path / "out/report.json").read_text())["camera"]
    np.testing.assert_allclose([camera["c2w"] for camera in cameras], expected, atol=1e-5)
    (tmp_path / "10.txt").rename(tmp_path / "11.txt")
    arguments[3] = str(tmp_path / "11.txt")
    assert reconstruct(tiny_checkpoint, tmp_path / "out", *arguments) == 2


def test_evaluate_reads_a_folder_of_opengl_poses_when_told(tiny_checkpoint, tmp_path, capsys):
    data = tmp_path / "cars"
    arguments = ["dataset", "vehicles", "--out", str(data), "--scenes", "1", "--views", "12"]
    assert launch.main([*arguments, "--size", "32"]) == 0
    for path in data.glob("*/*/0*"):  # no leading zeros
        path.rename(path.with_name(f"{int(path.stem)}{path.suffix}"))
    flags = ["evaluate", "--checkpoint", str(tiny_checkpoint), "--data", str(data), "--views", "10"]
    assert launch.main([*flags, "--out", str(tmp_path / "right.json")]) == 0
    right = json.loads((tmp_path / "right.json").read_text())
    for path in data.glob("*/pose/*.txt"):
        np.savetxt(path, np.loadtxt(path).reshape(4, 4) @ OPENGL, fmt="%.17g")
    assert launch.main([*flags, "--out", str(tmp_path / "right.json")]) == 2
    assert "give --convention opengl" in capsys.readouterr().err
    flags += ["--convention", "opengl"]
    assert launch.main([*flags, "--out", str(tmp_path / "mended.json")]) == 0
    assert json.loads((tmp_path / "mended.json").read_text())["psnr"] == right["psnr"]
    (data / "vehicle-0000000/rgb/3.png").unlink()
    (data / "vehicle-0000000/pose/3.txt").unlink()
    assert launch.main([*flags, "--out", str(tmp_path / "gap.json")]) == 0
    assert "view 10 is rgb/11.png" in capsys.readouterr().err


def test_render_writes_a_picture_of_the_size_asked_for(generated, tmp_path):
    out = tmp_path / "new" / "view.png"
    scene = str(generated / "scene.safetensors")
    angles = ["--azimuth", "-40", "--elevation", "20", "--distance", "1.3", "--size", "72"]
    assert launch.main(["render", scene, *angles, "--out", str(out)]) == 0
    picture = cv2.imread(str(out))
    assert picture.shape == (72, 72, 3)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert (picture[30:42, 30:42] < 255).any()


def test_render_writes_depth_opacity_and_normals_that_agree_where_the_object_is(
    generated, tmp_path
):
    scene = str(generated / "scene.safetensors")
    shown = {}
    for channel in ("opacity", "depth", "normal"):
        out = tmp_path / f"{channel}.png"
        flags = ["--azimuth", "40", "--elevation", "20", "--size", "48", "--channel", channel]
        assert launch.main(["render", scene, *flags, "--out", str(out)]) == 0
        shown[channel] = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    solid = shown["opacity"] > 250
    assert solid.any()
    assert shown["depth"].dtype == np.uint16
    centre = shown["depth"][solid] / 10_000  # SRN units: the camera stands at 1.3
    assert 0.7 < np.median(centre) < 1.4
    assert (shown["depth"][shown["opacity"] == 0] == 0).all()
    assert (shown["normal"][solid].max(-1) > 0).mean() > 0.95


def test_dataset_mesh_draws_what_generate_made_in_its_colours(generated, tmp_path):
    """The pictures of the mesh are the scene's own renders from the same cameras, up to its edges."""
    mesh, scene = generated / "mesh.glb", generated / "scene.safetensors"
    out = ["--out", str(tmp_path / "m"), "--views", "6", "--size", "64"]
    assert launch.main(["dataset", "mesh", str(mesh), *out]) == 0
    (folder,) = (tmp_path / "m").iterdir()
    assert folder.name == "mesh"
    views = SRNDataset(tmp_path / "m").views(0)
    vertices = torch.from_numpy(load_mesh(mesh).vertices)
    low, high = vertices.min(0).values, vertices.max(0).values
    c2w = views.camera.c2w.clone()
    c2w[:, :3, 3] = c2w[:, :3, 3] * (high - low).norm() + (low + high) / 2 * WORLD_PER_SRN
    camera = dataclasses.replace(views.camera, c2w=c2w)
    field = Scene.load(scene).field
    truth = render_views(field, camera, RenderOptions(quality="high"))
    inside = views.alpha[..., 0] == 1
    inside = -torch.nn.functional.max_pool2d(-inside[:, None].float(), 5, 1, 2)[:, 0] > 0.5
    assert inside.sum() > 500
    error = (truth - views.images).abs().mean(-1)[inside]
    assert error.median() < 0.03


def test_dataset_mesh_says_what_it_assumed_and_left_out(tmp_path, capsys):
    (tmp_path / "a.obj").write_text("mtllib a.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 3\n")
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd gone.png\n")
    arguments = ["dataset", "mesh", str(tmp_path / "a.obj"), "--views", "1", "--size", "16"]
    assert launch.main([*arguments, "--out", str(tmp_path / "assumed")]) == 0
    said = capsys.readouterr().out
    assert "a.obj: drawn without a texture (gone.png is not there)." in said
    assert "y is up and the front faces z; --up and --front tell otherwise" in said
    told = ["--up", "z", "--front", "-y", "--out", str(tmp_path / "told")]
    assert launch.main([*arguments, *told]) == 0
    assert "--up" not in capsys.readouterr().out
    about = json.loads((tmp_path / "told" / "a" / "attributes.json").read_text())
    assert about["axes"] == {"up": "z", "front": "-y"}


def test_evaluate_writes_and_prints_what_it_measured(tiny_checkpoint, tmp_path, capsys):
    data, out = tmp_path / "cars", tmp_path / "metrics.json"
    arguments = ["dataset", "vehicles", "--out", str(data), "--scenes", "2", "--views", "4"]
    assert launch.main([*arguments, "--size", "32"]) == 0
    checkpoint = ["--checkpoint", str(tiny_checkpoint)]
    arguments = ["evaluate", *checkpoint, "--data", str(data), "--views", "1,3"]
    assert launch.main([*arguments, "--limit", "1", "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["scenes"] == 1
    assert results["views"] == [1, 3]
    (entry,) = results["per_scene"].values()
    assert results["psnr"] == entry["psnr"]
    printed = capsys.readouterr().out
    assert f"{results['psnr']:.2f}" in printed
    assert "mean pairwise PSNR" in printed


MISTAKES = {
    "dance": "Found no command 'dance'",
    "dataset": "Found no command 'dataset'; the nearest is 'dataset mesh'; launch.py --help lists all.",
    "generat --seed 1": "Found no command 'generat'; the nearest is 'generate'; ",
    "--prt 7000": "Found no option '--prt'; the nearest is '--port'; launch.py --help lists all.",
    "generate --sed 1 --out OUT": "Found no option '--sed'; the nearest is '--seed'; ",
    "generate --quick --out OUT": "Found no option '--quick'; launch.py generate --help lists all.",
    "train smok": "Found no recipe 'smok'; the nearest is 'smoke'; launch.py train --help lists all.",
    "train smoke --model.unt.base 3": "the nearest is '--model.unet.base'; launch.py train smoke --help",
    "dataset vehicles --out OUT --scenes 0": "Found scenes = 0",
    "dataset vehicles --out OUT --scenes 1 --views 3 --spiral": "both --views and --spiral",
    "dataset mesh nothing.glb --out OUT": "nothing.glb",
    "generate --checkpoint nowhere --seed 1 --out OUT": "nowhere: found no checkpoint",
    "generate --checkpoint TINY --set steps=0 --out OUT": "steps: found 0, expected 1 to 1000.",
    "generate --checkpoint TINY --set steps --out OUT": "Found --set steps, expected NAME=VALUE",
    "generate --checkpoint TINY --set stps=2 --out OUT": (
        "Found the setting stps, expected one of sampler, steps."
    ),
    "generate --checkpoint TINY --set sampler=euler --out OUT": "expected one of 'ddim', ",
    "generate --checkpoint TINY --mode fast --out OUT": "Found the preset fast, expected one of ours, ",
    "reconstruct PHOTO --azimuth 1 --elevation 1 --distance 1 --set rays=9 --checkpoint TINY --out OUT": (
        "Found the setting rays, expected one of sampler, steps, "
    ),
    "regenerate SCENE --keep-box 0,0,0,1,1,1 --set snr_power=11 --checkpoint TINY --out OUT": (
        "snr_power: found 11.0, expected -10.0 to 10.0."
    ),
    "settings nowhere": "nowhere: found no checkpoint",
    "generate --checkpoint TINY --seed 1 --device tpu --out OUT": "Found --device tpu",
    "reconstruct --azimuth 1 --elevation 1 --distance 1.3 --out OUT": "Found no picture",
    "reconstruct PHOTO --guess 4 --out OUT": "Found --guess 4, expected 1 to 3",
    "reconstruct PHOTO --guess 3 --out OUT": "Found --guess 3, expected 1",
    "reconstruct PHOTO --distance 1.3 --out OUT": "Found no complete camera",
    "pose planes": "Found category 'planes', expected one of vehicles, chairs, tables.",
    "reconstruct PHOTO --azimuth 1 --out OUT": "Found no complete camera",
    "reconstruct PHOTO --pose a.txt --out OUT": "Found no complete camera",
    "reconstruct PHOTO --azimuth 1 2 --elevation 1 --distance 1.3 --checkpoint TINY --out OUT": (
        "Found 2 values of --azimuth for 1 pictures"
    ),
    "reconstruct nothing.png --azimuth 1 --elevation 1 --distance 1.3 --checkpoint TINY --out OUT": (
        "nothing.png"
    ),
    "reconstruct PHOTO --pose no.txt --intrinsics no.txt --checkpoint TINY --out OUT": "no.txt",
    "render nothing.safetensors --azimuth 0 --elevation 0 --distance 1.3 --out OUT/a.png": (
        "nothing.safetensors: there is no such file"
    ),
    "render SCENE --azimuth 0 --elevation 0 --distance 1.3 --size 0 --out OUT/a.png": (
        "Found --size 0"
    ),
    "render SCENE --azimuth 0 --elevation 0 --distance 1.3 --out OUT/a.tga": "expected .png",
    "render SCENE --azimuth nan --elevation 0 --distance 1.3 --out OUT/a.png": "Found --azimuth nan",
    "render SCENE --azimuth 0 --elevation 0 --distance 0 --out OUT/a.png": "Found --distance 0.0",
    "reconstruct PHOTO --azimuth 1 --elevation 95 --distance 1.3 --checkpoint TINY --out OUT": (
        "Found --elevation 95.0, expected -90 to 90"
    ),
    "export SCENE --out OUT/a.doc": "found the ending '.doc'",
    "export PHOTO --out OUT/a.glb": "not a readable safetensors file",
    "evaluate --checkpoint TINY --data nowhere --out OUT/m.json": "nowhere: found no such folder",
    "evaluate --checkpoint TINY --data nowhere --limit -1 --out OUT/m.json": "Found --limit -1",
    "evaluate --data nowhere --views 6,x --out OUT/m.json": "Found --views '6,x'",
    "scoreboard bicycles --out OUT": "Found category 'bicycles', expected one of vehicles",
    "scoreboard vehicles --scenes 0 --out OUT": "Found --scenes 0, expected 1 to 10000",
    "scoreboard vehicles --one-stage TINY --two-stage nowhere --out OUT": (
        "nowhere: found no checkpoint"
    ),
    "scoreboard chairs --checkpoint TINY --samples 0 --out OUT": (
        "was trained on vehicles, expected a model of chairs"
    ),
    "scoreboard vehicles --checkpoint TINY --samples 0 --lpips no.pth --out OUT": (
        "no.pth: there is no such file"
    ),
}


UNWRITABLE = (
    "dataset vehicles --scenes 1 --out PHOTO/x",
    "dataset mesh SCENE --out PHOTO/x",
    "generate --checkpoint TINY --out PHOTO",
    "reconstruct PHOTO --azimuth 1 --elevation 1 --distance 1.3 --checkpoint TINY --out PHOTO/x",
    "render SCENE --azimuth 0 --elevation 0 --out PHOTO/a.png",
    "export SCENE --out PHOTO/a.glb",
    "denoise --checkpoint TINY --out PHOTO/x",
    "interpolate --from 1 --to 2 --checkpoint TINY --out PHOTO/a.mp4",
    "interpolate --from 1 --to 2 --checkpoint TINY --out OUT/a.mp4 --strip PHOTO/a.png",
    "regenerate SCENE --keep-box 0,0,0,1,1,1 --checkpoint TINY --out PHOTO/x",
    "evaluate --checkpoint TINY --data nowhere --out PHOTO/m.json",
    "scoreboard vehicles --checkpoint TINY --out PHOTO/x",
    "train smoke --out PHOTO/x",
    "blend TINY TINY --out PHOTO/x",
    "features --out PHOTO/x",
    "pose vehicles --out PHOTO/x",
    "kinds --out PHOTO/x",
    "judge-pose vehicles --pictures 1 --out PHOTO/x.json",
)
"""Every command, told to write where there is a file in the way."""
MISTAKES |= dict.fromkeys(UNWRITABLE, "part of its path is a file, expected a folder")


def test_every_command_is_told_to_write_where_it_cannot():
    assert {
        name
        for name in launch.COMMANDS
        if name
        not in ("dataset chairs", "dataset tables", "settings", "tune", "card", "models get")
    } == {" ".join(line.split()[: 1 + line.startswith("dataset")]) for line in UNWRITABLE}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_with_one_sentence_and_writes_nothing(
    line, tiny_checkpoint, generated, tmp_path, capsys
):
    names = {"OUT": tmp_path / "out", "TINY": tiny_checkpoint, "PHOTO": PHOTO}
    names["SCENE"] = generated / "scene.safetensors"
    filled = re.sub("|".join(names), lambda match: str(names[match[0]]), line)
    assert launch.main(filled.split()) == 2
    message = capsys.readouterr().err
    assert MISTAKES[line] in message
    assert message.count("\n") == 1
    assert message.endswith(".\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_data_set_goes_into_the_current_folder_and_into_odd_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (".", "12:30/a", "-dash", "caf\udce9"):
        arguments = ["dataset", "vehicles", f"--out={out}", "--scenes", "1", "--views", "1"]
        assert launch.main([*arguments, "--size", "16"]) == 0
        (scene,) = Path(out).glob("vehicle-*")
        assert cv2.imdecode(np.fromfile(scene / "rgb/000000.png", np.uint8), 1).shape == (16, 16, 3)
        assert not (Path(out) / ".partial").exists()


def test_a_name_that_is_no_text_is_told_in_a_sentence(tmp_path):
    arguments = ["render", b"caf\xe9.safetensors", "--azimuth", "0", "--elevation", "0"]
    done = run("launch.py", *arguments, "--out", str(tmp_path / "a.png"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "there is no such file" in done.stderr


NO_FILES = (
    "dataset mesh FILE --out OUT",
    "reconstruct FILE --azimuth 1 --elevation 1 --distance 1.3 --checkpoint TINY --out OUT",
    "reconstruct PHOTO --pose FILE --intrinsics FILE --checkpoint TINY --out OUT",
    "render FILE --azimuth 0 --elevation 0 --out OUT/a.png",
    "export FILE --out OUT/a.glb",
    "interpolate --from FILE --to 1 --checkpoint TINY --out OUT/a.mp4",
    "regenerate FILE --keep-box 0,0,0,1,1,1 --checkpoint TINY --out OUT",
    "generate --checkpoint FILE --out OUT",
    "evaluate --checkpoint TINY --data FILE --out OUT/m.json",
    "scoreboard vehicles --checkpoint TINY --lpips FILE --out OUT",
    "scoreboard vehicles --checkpoint TINY --inception FILE --out OUT",
)


@pytest.mark.parametrize("kind", ["device", "pipe"])
@pytest.mark.parametrize("line", NO_FILES)
def test_what_is_no_ordinary_file_is_refused_and_not_read(
    line, kind, tiny_checkpoint, tmp_path, capsys
):
    place = tmp_path / ("place.glb" if "mesh" in line else "place.png")
    names = {"OUT": tmp_path / "out", "TINY": tiny_checkpoint, "PHOTO": PHOTO, "FILE": place}
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    filled = re.sub("|".join(names), lambda match: str(names[match[0]]), line)
    with hanging_after(60):
        assert launch.main(filled.split()) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert place.name in message


@contextmanager
def hanging_after(seconds: int) -> Iterator[None]:
    """Fail where the block is still at work then: it reads something that never ends."""

    def give_up(number, frame):
        raise AssertionError(f"still at work after {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def test_a_mistake_ends_the_process_with_code_2_and_no_traceback():
    done = run("launch.py", "generate", "--count", "0", "--out", "never")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "Found --count 0, expected 1 to 1024.\n"
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_answered_with_the_install_line():
    program = "import sys; sys.modules['tyro'] = None; import launch"
    done = run("-c", program)
    assert done.returncode == 1
    assert "'tyro' is missing" in done.stderr
    assert "pip install -r requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_launch_imports_the_standard_library_first():
    program = "import sys; sys.modules['torch'] = sys.modules['gradio'] = None; import launch"
    assert run("-c", program).returncode == 0


def test_the_explorer_takes_host_port_checkpoint_and_device(monkeypatch):
    opened = []
    monkeypatch.setattr(launch, "open_explorer", opened.append)
    arguments = ["--host", "0.0.0.0", "--port", "7000", "--checkpoint", "x", "--device", "cpu"]
    assert launch.main(arguments) == 0
    assert launch.main([]) == 0
    (first, second) = opened
    assert (first.host, first.port, first.checkpoint, first.device) == ("0.0.0.0", 7000, "x", "cpu")
    assert (second.host, second.port, second.checkpoint) == ("127.0.0.1", 7860, "vehicles")


def test_options_are_known_by_all_their_names():
    line = "scoreboard vehicles --out x --no-equal-compute --dense_scenes 3 --scenes=4"
    command = launch.parse(line.split())
    assert (command.equal_compute, command.dense_scenes, command.scenes) == (False, 3, 4)
    command = launch.parse(
        ["train", "chairs", "--no-augment", "--model.unet.base", "8", "--out=-dash"]
    )
    assert (command.recipe.data.augment, command.recipe.model.unet.base) == (False, 8)
    assert command.out == Path("-dash")


def test_every_command_has_a_line_in_the_help_and_at_the_start_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(launch, "open_explorer", lambda settings: None)
    with pytest.raises(SystemExit):
        launch.main(["--help"])
    told = capsys.readouterr().out
    assert launch.main([]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert launch.main([]) == 0
    shown = capsys.readouterr().err
    for name in launch.COMMANDS:
        for text in (told, shown):
            (line,) = re.findall(rf"^  {name}  +(\S.*)$", text, re.MULTILINE)
            assert 10 < len(line) <= 100
    assert "--max-upload-mb" in told


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGINT, 130, "Interrupted.\n"), (signal.SIGTERM, 143, "Terminated.\n")],
)
def test_a_signal_leaves_nothing_half_written(number, code, told, tmp_path):
    """Also where the process was started with SIGINT ignored, as scripts start what they put into the background."""
    out = tmp_path / "cars"
    arguments = ["dataset", "vehicles", "--scenes", "100000", "--views", "2", "--size", "16"]
    command = [sys.executable, "launch.py", *arguments, "--out", str(out)]
    options = {"stderr": subprocess.PIPE, "text": True, "preexec_fn": ignore_interrupts}
    with subprocess.Popen(command, cwd=ROOT, **options) as process:
        while not out.exists() or not any(out.iterdir()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in message
    assert message.endswith(told)
    assert list(tmp_path.iterdir()) == [out]
    for scene in out.iterdir():
        assert len(list((scene / "rgb").iterdir())) == len(list((scene / "pose").iterdir())) == 2


class Terminal(io.StringIO):
    """Keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_progress_shows_the_time_left_and_keeps_the_seconds_of_each_stage(monkeypatch):
    from engine.events import Step

    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(now)))
    terminal = Terminal()
    progress = progress_module.Progress(terminal)
    for index in (1, 2):
        progress(Step(stage="guide", index=index, total=8, scalars={"psnr": 21.5}))
    progress(Step(stage="mesh", index=1, total=1))
    assert "guide 2/8  1:00 left  psnr 21.5" in terminal.getvalue()
    assert progress.seconds == {"guide": 20.0, "mesh": 10.0}
    progress(Step(stage="train", index=501, total=1001, scalars={"psnr": 20.0, "rms": 1.0}))
    assert "train 501/1001  1:23:20 left  psnr 20  rms 1" in terminal.getvalue()
    progress.numbers = ("psnr",)
    progress(Step(stage="train", index=1, total=2, scalars={"psnr": 20.0, "rms": 1.0}))
    assert terminal.getvalue().endswith("train 1/2  0:10 left  psnr 20")


def test_the_readme_and_ci_run_the_same_command():
    blocks = re.findall(r"```\n(python3 -m venv [^\n]*)\n```", (ROOT / "README.md").read_text())
    assert len(blocks) == 2
    assert blocks[0].endswith("launch.py")
    assert blocks[1] in (ROOT / ".ci/run").read_text().splitlines()


def test_the_readmes_command_lines_parse(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    lines = re.findall(r"^\.venv/bin/python launch\.py (.*?)(?:\s+#.*)?$", readme, re.MULTILINE)
    assert {line.split()[0] for line in lines} >= {name.split()[0] for name in launch.COMMANDS}
    for line in lines:
        command = launch.parse(line.split())
        assert isinstance(command, tuple(launch.COMMANDS.values())), line


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--seed", "9" * 20],
        ["generate", "--seed", str(2**31 - 2), "--count", "3"],
        ["generate", "--seed", "-1"],
        [
            "reconstruct",
            str(PHOTO),
            "--azimuth",
            "0",
            "--elevation",
            "0",
            "--distance",
            "1.3",
            "--seed",
            "9" * 20,
        ],
        ["regenerate", "a.safetensors", "--keep-box=0,0,0,1,1,1", "--seed", "9" * 20],
        ["interpolate", "--from", "1", "--to", "9" * 20],
        ["denoise", "--seed", "9" * 20],
    ],
)
def test_seeds_that_no_file_holds_are_refused_before_anything_is_drawn(arguments, tmp_path, capsys):
    assert launch.main([*arguments, "--out", str(tmp_path / "out.mp4")]) == 2
    assert "--seed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

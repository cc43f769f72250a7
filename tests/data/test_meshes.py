"""Mesh files: framed, upright, in their own colours."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from engine.data.cameras import orbit_cameras, srn_intrinsics
from engine.data.meshes import load_mesh, mesh_ids
from engine.data.raster import rasterise
from engine.data.srn_check import check_srn
from engine.data.write import write_meshes
from engine.errors import DataError
from engine.events import finish

TRUCK = Path(__file__).parents[1] / "fixtures" / "meshes" / "vehicle-truck-red.glb"


def _coloured_box(path, y_up):
    """A box 2 long, 1 wide, 0.5 high with a red front, a green top and a blue right side."""
    box = trimesh.creation.box((1, 2, 0.5))
    normals = box.face_normals
    rgba = np.full((len(box.faces), 4), [90, 90, 90, 255], np.uint8)
    rgba[normals[:, 1] > 0.5, :3] = [255, 0, 0]
    rgba[normals[:, 2] > 0.5, :3] = [0, 255, 0]
    rgba[normals[:, 0] > 0.5, :3] = [0, 0, 255]
    parts = [
        trimesh.Trimesh(
            box.vertices[f], [[0, 1, 2]], vertex_colors=np.tile(c, (3, 1)), process=False
        )
        for f, c in zip(box.faces, rgba, strict=True)
    ]
    mesh = trimesh.util.concatenate(parts)
    if y_up:
        mesh.vertices = np.stack(
            [-mesh.vertices[:, 0], mesh.vertices[:, 2], mesh.vertices[:, 1]], -1
        )
    mesh.apply_translation([3, -7, 11])
    mesh.apply_scale(4)
    mesh.export(path)


@pytest.mark.parametrize("name", ["box.glb", "box.ply", "box.obj"])
def test_every_format_ends_up_in_our_frame_with_its_colours(tmp_path, name):
    _coloured_box(tmp_path / name, name.endswith("glb"))
    soup = load_mesh(tmp_path / name)
    low, high = soup.vertices.min(0), soup.vertices.max(0)
    np.testing.assert_allclose(low, -high, atol=1e-6)
    np.testing.assert_allclose(
        high * 2, np.array([1, 2, 0.5]) / np.linalg.norm([1, 2, 0.5]), atol=1e-6
    )
    azimuth, elevation = np.deg2rad([90, 0, 0, 270]), np.deg2rad([0, 0, 90, 0])
    pictures = rasterise(soup, orbit_cameras(azimuth, elevation, 1.3), srn_intrinsics(32), 32, 32)
    front, right, top, rear = pictures[:, 16, 16, :3].astype(int)
    assert front.argmax() == 0
    assert right.argmax() == 2
    assert top.argmax() == 1
    assert front.min() == right.min() == top.min() == 0
    assert np.ptp(rear) == 0


def test_the_truck_is_red_upright_and_faces_forward():
    soup = load_mesh(TRUCK)
    extent = np.ptp(soup.vertices, axis=0)
    np.testing.assert_allclose(np.linalg.norm(extent), 1, rtol=1e-5)
    assert extent[1] > extent[0] > 0.3
    azimuth, elevation = np.deg2rad([90, 180, 270]), np.deg2rad([5, 5, 5])
    pictures = rasterise(
        soup, orbit_cameras(azimuth, elevation, 1.3), srn_intrinsics(128), 128, 128
    ).astype(int)
    for picture in pictures:
        pixels = picture[picture[..., 3] == 255]
        assert (
            np.mean((pixels[:, 0] > 1.8 * pixels[:, 1]) & (pixels[:, 0] > 1.8 * pixels[:, 2])) > 0.2
        )
    left = pictures[1]
    rows = np.nonzero((left[..., 3] == 255).any(1))[0]
    low, high = left[rows[-12] : rows[-1]], left[rows[0] : rows[0] + 12]
    dark = [part[part[..., 3] == 255][:, :3].max(-1) < 110 for part in (low, high)]
    assert dark[0].mean() > 0.6 > 0.3 > dark[1].mean()
    shown = left[..., 3] == 255
    columns = np.nonzero(shown.any(0))[0]
    bonnet, boards = (
        shown[:, np.quantile(columns, share).astype(int)].argmax() for share in (0.2, 0.8)
    )
    assert bonnet > boards + 3


def test_the_texture_of_a_material_is_used(tmp_path):
    plane = trimesh.Trimesh(
        [[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], [[0, 2, 1], [0, 3, 2]], process=False
    )
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, 2:] = [250, 0, 0]
    picture[2:, :2] = [0, 250, 0]
    uv = [[0, 0], [1, 0], [1, 1], [0, 1]]
    plane.visual = trimesh.visual.TextureVisuals(uv, image=Image.fromarray(picture))
    plane.export(tmp_path / "plane.obj")
    camera = orbit_cameras(np.array([np.pi / 2]), np.array([0.0]), 1.3)
    shown = rasterise(load_mesh(tmp_path / "plane.obj"), camera, srn_intrinsics(64), 64, 64)[
        0, ..., :3
    ].astype(int)
    assert shown[24, 24].argmax() == 0
    assert shown[24, 24, 0] > 120
    assert shown[40, 40].argmax() == 1
    assert shown[24, 40].max() < 10


def test_meshes_are_written_as_a_sound_srn_folder(tmp_path):
    dataset = finish(write_meshes([TRUCK, TRUCK], tmp_path / "out", views=4, size=48))
    assert dataset.ids == ("vehicle-truck-red", "vehicle-truck-red-2")
    assert check_srn(tmp_path / "out").pictures == 8
    spiral = finish(write_meshes([TRUCK], tmp_path / "spiral", spiral=True, size=16))
    assert len(spiral.frames(0)) == 251


def test_equal_names_are_numbered():
    assert mesh_ids(["a/x.glb", "b/x.obj", "y.ply", "c/x.stl"]) == ("x", "x-2", "y", "x-3")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.glb", None, "no such file"),
        ("bad.glb", b"not a mesh", "cannot be read as a mesh"),
        ("bad.xyzzy", b"not a mesh", "cannot be read as a mesh"),
        (
            "points.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
            b"property float z\nend_header\n0 0 0\n",
            "holds no triangles",
        ),
        ("dot.obj", b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "no extent|no triangles"),
    ],
)
def test_files_that_are_no_surface_get_one_sentence(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_mesh(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_plain_materials_and_stl_have_a_colour(tmp_path):
    (tmp_path / "m.mtl").write_text("newmtl a\nKd 0.9 0.1 0.1\nnewmtl b\nKd 0.1 0.1 0.9\n")
    (tmp_path / "m.obj").write_text(
        "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 0 1\nv 0 1 0\nusemtl a\nf 1 2 3\nusemtl b\nf 1 2 4\n"
    )
    colours = load_mesh(tmp_path / "m.obj").corner_rgb.mean(1)
    assert sorted(colours.argmax(1)) == [0, 2]
    trimesh.creation.box().export(tmp_path / "m.stl")
    colours = load_mesh(tmp_path / "m.stl").corner_rgb
    np.testing.assert_allclose(np.ptp(colours, axis=-1), 0, atol=1e-6)
    assert 0.2 < colours.min() < colours.max() < 0.9

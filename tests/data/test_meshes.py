"""Mesh files: framed, upright, in their own colours."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from engine.data.cameras import orbit_cameras, srn_intrinsics
from engine.data.mesh_scenes import find_places
from engine.data.meshes import load_mesh, near_faces, open_mesh
from engine.data.raster import rasterise
from engine.data.srn_check import check_srn
from engine.data.write import write_meshes
from engine.errors import DataError
from engine.events import finish
from engine.output.mesh import Mesh, save_mesh
from tests.data.boxes import COLOURS, assert_sides, atlas, atlas_uv, box, draw_sides, textured
from tests.data.pickup import lit, pickup, write_pickup


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


def test_a_pickup_of_many_parts_looks_like_the_shape_that_it_was_written_from(tmp_path):
    found = open_mesh(write_pickup(tmp_path))
    assert found.about.remarks == ()
    azimuth, elevation = np.deg2rad([90, 150, 180, 270, 330, 20]), np.deg2rad([5, 20, 5, 5, 40, 80])
    cameras = orbit_cameras(azimuth, elevation, 1.3)
    drawn, truth = (
        rasterise(soup, cameras, srn_intrinsics(96), 96, 96).astype(int)
        for soup in (found.soup, lit(pickup()))
    )
    assert np.abs(drawn[..., 3] - truth[..., 3]).mean() < 0.1
    solid = (drawn[..., 3] == 255) & (truth[..., 3] == 255)
    assert solid.mean((1, 2)).min() > 0.05
    error = np.abs(drawn - truth)[..., :3].max(-1)[solid]
    assert (error <= 2).mean() > 0.99


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
    mesh = write_pickup(tmp_path)
    dataset = finish(write_meshes([mesh, mesh], tmp_path / "out", views=4, size=48))
    assert dataset.ids == ("pickup", "pickup-2")
    assert check_srn(tmp_path / "out").pictures == 8
    spiral = finish(write_meshes([mesh], tmp_path / "spiral", spiral=True, size=16))
    assert len(spiral.frames(0)) == 251


def test_equal_names_are_told_apart_by_their_folders():
    files = [Path(name) for name in ("a/x.glb", "b/x.obj", "y.ply", "c/x.stl")]
    assert [place.scene for place in find_places(files, None)] == ["x", "b-x", "y", "c-x"]


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
    colours = load_mesh(tmp_path / "m.obj").surface.rgba[..., :3].mean(1)
    assert sorted(colours.argmax(1)) == [0, 2]
    trimesh.creation.box().export(tmp_path / "m.stl")
    azimuth, elevation = np.deg2rad([90, 180, 0]), np.deg2rad([5, 5, 89])
    shown = rasterise(
        load_mesh(tmp_path / "m.stl"),
        orbit_cameras(azimuth, elevation, 1.3),
        srn_intrinsics(32),
        32,
        32,
    )[:, 16, 16, :3].astype(int)
    assert (np.ptp(shown, axis=-1) == 0).all()
    assert 50 < shown.min() < shown.max() < 230


GLTF_AXES = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
Z_UP = [[-1, 0, 0], [0, 0, 1], [0, 1, 0]]


def _obj(folder, material="map_Kd atlas.png", head="", axes=GLTF_AXES, libraries="box.mtl"):
    """The box as OBJ, glTF's axes unless told otherwise, its texture beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    positions, faces, side = box()
    lines = [head, f"mtllib {libraries}"]
    lines += ["v {} {} {}".format(*point) for point in positions @ np.array(axes).T]
    lines += [f"vt {u} {1 - v}" for u, v in atlas_uv(side)]
    lines += ["usemtl paint"]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces]
    (folder / "box.obj").write_text("\n".join(lines))
    (folder / "box.mtl").write_text(f"newmtl paint\nKd 0.5 0.5 0.5\n{material}\n")
    if not (folder / "atlas.png").exists():
        atlas().save(folder / "atlas.png")
    return folder / "box.obj"


def test_obj_is_taken_y_up_unless_it_or_the_caller_says_otherwise(tmp_path):
    assert_sides(_obj(tmp_path))
    about = open_mesh(tmp_path / "box.obj").about
    assert (about.axes.up, about.axes.front, about.assumed) == ("y", "z", True)
    assert_sides(_obj(tmp_path, head="# up z, front y", axes=Z_UP))
    assert not open_mesh(tmp_path / "box.obj").about.assumed
    _obj(tmp_path, axes=Z_UP)
    assert_sides(load_mesh(tmp_path / "box.obj", up="z"))
    turned = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    _obj(tmp_path, axes=turned)
    assert_sides(load_mesh(tmp_path / "box.obj", front="x"))
    _obj(tmp_path, axes=[[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert_sides(load_mesh(tmp_path / "box.obj", up="x", front="y"))
    with pytest.raises(DataError, match="square to each other"):
        load_mesh(tmp_path / "box.obj", up="z", front="-z")


@pytest.mark.parametrize("ending", ["glb", "obj", "ply"])
def test_our_own_exports_come_back_upright_and_in_their_colours(tmp_path, ending):
    positions, faces, side = box()
    vertices = (positions @ np.array(Z_UP).T).astype(np.float32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (24, 1))
    mesh = Mesh(vertices, faces.astype(np.int32), COLOURS[side].astype(np.uint8), normals)
    path = save_mesh(mesh, tmp_path / f"box.{ending}")
    assert_sides(path, light=np.ones(6))
    assert not open_mesh(path).about.assumed


@pytest.mark.parametrize(
    "line",
    [
        "map_Kd textures\\atlas.png",
        "map_Kd ./textures/ATLAS.PNG",
        "map_Kd -s 1 1 1 -o 0 0 0 textures/atlas.png",
        "map_Kd -blendu on -clamp off -mm 0 1 -bm 1.0 textures/my atlas.png",
        "map_Kd ../images/atlas.png",
        "map_Kd C:\\Users\\me\\textures\\atlas.png",
        "map_Kd /home/me/textures/atlas.png",
        "MAP_KD\ttextures/atlas.png",
    ],
)
def test_obj_textures_are_found_by_the_names_that_other_programs_write(tmp_path, line):
    for name in ("car/textures/atlas.png", "car/textures/my atlas.png", "images/atlas.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        atlas().save(tmp_path / name)
    path = _obj(tmp_path / "car", line)
    (path.parent / "atlas.png").unlink()
    assert_sides(path)
    assert open_mesh(path).about.remarks == ()


def test_a_texture_option_scales_and_shifts(tmp_path):
    path = _obj(tmp_path, "map_Kd -s 0.5 1 1 -o 0.25 0 0 wide.png")
    wide = np.zeros((8, 96, 4), np.uint8)
    wide[:, 24:72] = np.asarray(atlas())
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert_sides(path)


def test_several_libraries_and_names_with_blanks(tmp_path):
    path = _obj(tmp_path, libraries="other.mtl box.mtl")
    (tmp_path / "other.mtl").write_text("newmtl another\nKd 1 0 0\n")
    assert_sides(path)
    assert_sides(_obj(tmp_path, libraries="C:\\Users\\me\\box.mtl"))
    _obj(tmp_path, libraries="my box.mtl")
    (tmp_path / "box.mtl").rename(tmp_path / "my box.mtl")
    assert_sides(path)


def test_textures_lie_beside_their_library_or_beside_the_mesh(tmp_path):
    path = _obj(tmp_path, libraries="paints/box.mtl")
    (tmp_path / "paints").mkdir()
    (tmp_path / "box.mtl").rename(tmp_path / "paints" / "box.mtl")
    assert_sides(path)
    (tmp_path / "atlas.png").rename(tmp_path / "paints" / "atlas.png")
    assert_sides(path)


def test_obj_indices_may_point_ahead_and_backwards_and_coordinates_may_be_missing(tmp_path):
    text = _obj(tmp_path).read_text()
    faces = [line for line in text.splitlines() if line.startswith(("f", "usemtl", "mtllib"))]
    rest = [line for line in text.splitlines() if line.startswith("v")]
    (tmp_path / "ahead.obj").write_text("\n".join(faces + rest))
    assert_sides(tmp_path / "ahead.obj")
    lines = [line for line in text.splitlines() if not line.startswith("f")]
    for line in (line for line in text.splitlines() if line.startswith("f")):
        numbers = (int(word.split("/")[0]) for word in line.split()[1:])
        lines.append("f " + " ".join(f"{n - 25}/{n - 25}" for n in numbers))
    (tmp_path / "back.obj").write_text("\n".join(lines))
    assert_sides(tmp_path / "back.obj")
    without = [line for line in text.splitlines() if not line.startswith("vt")]
    (tmp_path / "none.obj").write_text("\n".join(without))
    assert (
        "texture coordinates that are not there" in open_mesh(tmp_path / "none.obj").about.remarks
    )
    for face in ("f 1 2 25", "f 1 2 0", "f 1 2 -99"):
        (tmp_path / "bad.obj").write_text(text + "\n" + face)
        with pytest.raises(DataError, match="a vertex that is not there"):
            load_mesh(tmp_path / "bad.obj")


def test_obj_vertices_with_and_without_colours_stand_side_by_side(tmp_path):
    positions, faces, side = box()
    rows = [
        [*point, *(COLOURS[number] / 255 if number else [])]
        for point, number in zip(positions, side, strict=True)
    ]
    lines = ["v " + " ".join(map(str, row)) for row in rows]
    lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
    (tmp_path / "box.obj").write_text("\n".join(lines))
    assert_sides(tmp_path / "box.obj", np.concatenate([[[178.5] * 3], COLOURS[1:]]))


@pytest.mark.parametrize(
    ("line", "libraries", "named"),
    [
        ("map_Kd gone.png", "box.mtl", "gone.png is not there"),
        ("map_Kd box.mtl", "box.mtl", "box.mtl is no picture"),
        ("map_Kd fake.png", "box.mtl", "fake.png is not an image"),
        ("map_Kd http://127.0.0.1:9/x.png", "box.mtl", "is not there"),
        ("", "gone.mtl", "gone.mtl is not there"),
        ("", "../box.mtl", "../box.mtl is not there"),
    ],
)
def test_textures_and_libraries_that_are_missing_are_named(tmp_path, line, libraries, named):
    path = _obj(tmp_path, line, libraries=libraries)
    (tmp_path / "fake.png").write_bytes(b"not a picture")
    assert any(named in remark for remark in open_mesh(path).about.remarks)


def test_mtl_opacity_masks_and_glow(tmp_path):
    path = _obj(tmp_path, "map_Kd atlas.png\nd 0")
    with pytest.raises(DataError, match="wholly transparent"):
        load_mesh(path)
    for opaque in ("Tr 1", "Tr 0", "d 1\nTr 1"):
        assert_sides(_obj(tmp_path, f"map_Kd atlas.png\n{opaque}"))
    path = _obj(tmp_path, "map_Kd atlas.png\nTr 0.5")
    both_walls = 255 * (1 - 0.5 * 0.5)
    assert abs(draw_sides(path)[0, 16, 16, 3] - both_walls) <= 1
    mask = Image.fromarray(np.repeat(np.array([[0] + [255] * 5], np.uint8), 8, 1))
    mask.save(tmp_path / "mask.png")
    shown = draw_sides(_obj(tmp_path, "map_Kd atlas.png\nmap_d mask.png"))
    assert shown[1:, 16, 16, 3].min() == 255
    path = _obj(tmp_path, "Ka 0 0 0\nmap_Ke atlas.png")
    (tmp_path / "box.mtl").write_text("newmtl paint\nKd 0 0 0\nmap_Ke atlas.png\n")
    assert_sides(path, light=np.ones(6))


SLAB = np.array(
    [[-1, -1], [1, -1], [1, 1], [0.6, 1], [0.6, -0.6], [-0.6, -0.6], [-0.6, 1], [-1, 1.0]]
)


def _slab(path):
    """A U of 2 x 2 x 0.3 whose caps are one concave octagon each, z up."""
    points = np.concatenate([np.insert(SLAB, 2, z, 1) for z in (0.15, -0.15)])
    faces = [list(range(8)), [15 - i for i in range(8)]]
    faces += [[(i + 1) % 8, i, i + 8, (i + 1) % 8 + 8] for i in range(8)]
    if path.suffix == ".obj":
        lines = ["# up z, front y", *("v {} {} {}".format(*p) for p in points)]
        lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
        path.write_text("\n".join(lines))
        return path
    binary = path.name.startswith("binary")
    head = f"ply\nformat {'binary_big_endian' if binary else 'ascii'} 1.0\nelement vertex 16\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    if binary:
        body = points.astype(">f4").tobytes()
        body += b"".join(bytes([len(f)]) + np.array(f, ">i4").tobytes() for f in faces)
    else:
        rows = [*points.tolist(), *([len(f), *f] for f in faces)]
        body = "\n".join(" ".join(map(str, row)) for row in rows).encode()
    path.write_bytes(head.encode() + body)
    return path


@pytest.mark.parametrize("name", ["slab.obj", "ascii.ply", "binary.ply"])
def test_concave_polygons_stay_open_where_they_are(tmp_path, name):
    soup = load_mesh(_slab(tmp_path / name))
    corners = soup.vertices[soup.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    scale = np.linalg.norm([2, 2, 0.3])
    up, down = (cross[sign * cross[:, 2] > 1e-9].sum(0)[2] / 2 * scale**2 for sign in (1, -1))
    np.testing.assert_allclose([up, down], [2.08, -2.08], rtol=1e-4)
    top = draw_sides(soup, 64)[4, ::-1, :, 3]
    rows, columns = np.nonzero(top)
    upper = top[rows.min() + 3]
    assert upper[columns.min() + 3] == upper[columns.max() - 3] == 255
    assert upper[32] == top[32, 32] == 0
    assert top[rows.max() - 3, 32] == 255


def test_ply_colours_of_vertices_and_of_faces(tmp_path):
    positions, faces, side = box()
    positions = positions @ np.array(Z_UP).T
    columns = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    for name, of_vertices in (("vertices.ply", True), ("faces.ply", False)):
        head = "ply\nformat ascii 1.0\nelement vertex 24\n"
        head += "".join(f"property double {axis}\n" for axis in "xyz")
        head += columns * of_vertices + "element face 12\nproperty list uchar int vertex_index\n"
        head += columns * (not of_vertices) + "end_header\n"
        rows = np.concatenate([positions, COLOURS[side]], 1) if of_vertices else positions
        more = [[] if of_vertices else COLOURS[side[face[0]]] for face in faces]
        lines = [*rows.tolist(), *([3, *f, *c] for f, c in zip(faces, more, strict=True))]
        text = "\n".join(" ".join(f"{value:g}" for value in line) for line in lines)
        (tmp_path / name).write_text(head + text)
        assert_sides(tmp_path / name)


def test_a_ply_whose_rows_are_longer_than_its_header_says_is_refused(tmp_path):
    path = _slab(tmp_path / "ascii.ply")
    path.write_text(path.read_text() + " 7")
    with pytest.raises(DataError, match="more numbers than its header says"):
        load_mesh(path)


def test_damaged_text_and_bytes_never_end_in_an_internal_error(tmp_path):
    _obj(tmp_path)
    trimesh.creation.box().export(tmp_path / "box.stl")
    sound = [tmp_path / "box.obj", tmp_path / "box.mtl", tmp_path / "box.stl"]
    sound += [_slab(tmp_path / "ascii.ply"), _slab(tmp_path / "binary.ply")]
    noise, refused = np.random.default_rng(1), 0
    for path in sound:
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole[: noise.integers(1, len(whole) + 1)])
            for place in noise.integers(0, len(data), noise.integers(0, 9)):
                data[place] = noise.integers(256)
            path.write_bytes(data)
            try:
                load_mesh(path if path.suffix != ".mtl" else tmp_path / "box.obj")
            except DataError:
                refused += 1
        path.write_bytes(whole)
    assert refused > 60


def test_a_far_triangle_is_left_out_and_named_and_two_far_objects_are_refused(tmp_path):
    ball = trimesh.creation.icosphere(3)
    vertices = np.concatenate([ball.vertices, [[3e5, 0, 0], [3e5 + 1, 0, 0], [3e5, 1, 0]]])
    faces = np.concatenate([ball.faces, [[0, 1, 2]]])
    faces[-1] = len(ball.vertices) + np.arange(3)
    near, (remark,) = near_faces(vertices, faces)
    assert near[:-1].all()
    assert not near[-1]
    assert "a stray triangle far away" in remark
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "far.ply")
    trimesh.Trimesh(ball.vertices, ball.faces, process=False).export(tmp_path / "ball.ply")
    far, alone = (load_mesh(tmp_path / name) for name in ("far.ply", "ball.ply"))
    np.testing.assert_array_equal(draw_sides(far), draw_sides(alone))
    two = np.concatenate([ball.vertices, ball.vertices * 0.01 + 1e4])
    with pytest.raises(DataError, match="would be a dot"):
        near_faces(two, np.concatenate([ball.faces, ball.faces + len(ball.vertices)]))
    stick = trimesh.creation.cylinder(0.01, 10)
    near, remarks = near_faces(
        np.concatenate([ball.vertices, stick.vertices]),
        np.concatenate([ball.faces, stick.faces + len(ball.vertices)]),
    )
    assert near.all()
    assert remarks == ()


def test_a_fan_of_many_triangles_at_one_point_takes_no_quadratic_time(tmp_path):
    """100,000 triangles at the apex of a cone: 10^10 comparisons if each asked every other."""
    count = 100_000
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], -1)
    corners = np.stack([np.tile([0, 0, 1.0], (count, 1)), rim, np.roll(rim, -1, 0)], 1)
    records = np.zeros(count, [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("end", "<u2")])
    records["corners"] = corners
    data = bytes(80) + count.to_bytes(4, "little") + records.tobytes()
    (tmp_path / "cone.stl").write_bytes(data)
    assert len(load_mesh(tmp_path / "cone.stl").faces) == count


@pytest.fixture
def two_models(tmp_path):
    """A box and a small one of the same name in two folders."""
    for folder, size in (("a", [1, 0.6, 2]), ("b", [1, 1, 1])):
        (tmp_path / folder).mkdir()
        glb, primitive = textured()
        primitive["attributes"]["POSITION"] = glb.accessor(box(np.array(size))[0])
        glb.save(tmp_path / folder / "model.glb", primitive)
    return tmp_path


def _write(files, out, **options):
    said = []
    dataset = finish(write_meshes(files, out, views=1, size=16, say=said.append, **options))
    return dataset.ids, " ".join(said)


def test_another_mesh_of_the_same_name_is_written_and_said(two_models):
    a, b, out = two_models / "a/model.glb", two_models / "b/model.glb", two_models / "out"
    assert _write([a], out)[0] == ("model",)
    ids, said = _write([b], out)
    assert ids == ("b-model", "model")
    assert "written as b-model, because model was drawn from another mesh" in said
    pictures = [(out / name / "rgb/000000.png").read_bytes() for name in ids]
    assert pictures[0] != pictures[1]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    ids, said = _write([b, a], out)
    assert ids == ("b-model", "model")
    assert "drawn from the same content before" in said
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before


def test_a_mesh_that_changed_is_refused_also_where_only_its_texture_changed(two_models):
    a, out = two_models / "a/model.glb", two_models / "out"
    _write([a], out)
    a.write_bytes((two_models / "b/model.glb").read_bytes())
    with pytest.raises(DataError, match=r"model\.glb: has changed since .*model was drawn"):
        _write([a], out)
    path = _obj(two_models / "c")
    _write([path], out)
    assert "same content" in _write([path], out)[1]
    atlas(COLOURS[::-1]).save(path.parent / "atlas.png")
    with pytest.raises(DataError, match="has changed"):
        _write([path], out)


def test_what_was_assumed_and_left_out_is_said_and_kept_with_the_scene(tmp_path):
    path = _obj(tmp_path / "car", "map_Kd gone.png")
    _, said = _write([path], tmp_path / "out")
    assert "box.obj: drawn without a texture (gone.png is not there)." in said
    assert "Assumed of 1 OBJ file: y is up and the front faces z; --up and --front" in said
    about = json.loads((tmp_path / "out/box/attributes.json").read_text())
    assert about["left_out"] == ["a texture (gone.png is not there)"]
    assert about["axes"] == {"up": "y", "front": "z"}
    assert str(tmp_path) not in json.dumps(about)
    assert "Assumed" not in _write([path], tmp_path / "told", up="y")[1]


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        (b".hidden.glb", "hidden"),
        (b"caf\xe9.glb", "caf_"),
        (b"-dash.glb", "-dash"),
        (b"a\nb\x1b[31m.glb", "a_b_[31m"),
        (b"...glb", "mesh"),
    ],
)
def test_names_of_any_bytes_become_names_of_scenes(tmp_path, name, scene):
    glb, primitive = textured()
    path = glb.save(tmp_path / "box.glb", primitive).rename(tmp_path / os.fsdecode(name))
    assert _write([path], tmp_path / "out")[0] == (scene,)
    assert "same content" in _write([path], tmp_path / "out")[1]


def test_the_folder_may_be_the_one_we_are_in(tmp_path, monkeypatch):
    glb, primitive = textured()
    glb.save(tmp_path / "box.glb", primitive)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert _write(["../box.glb"], ".")[0] == ("box",)
    assert [path.name for path in Path().iterdir()] == ["box"]


def test_materials_share_their_textures_and_only_those_in_use_are_read(tmp_path):
    rgba = np.full((32, 16, 4), 100, np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    names = [f"m{i}" for i in range(20)]
    entries = [f"newmtl {name}\nmap_Kd a.png\nKe 0 0 0.{i}\n" for i, name in enumerate(names)]
    masked = [f"newmtl k{i}\nmap_Kd a.png\nmap_d a.png\nKe 0 0.{i} 0\n" for i in range(20)]
    (tmp_path / "m.mtl").write_text("".join(entries + masked) + "newmtl unused\nmap_Kd b.png\n")
    faces = [f"usemtl {name}\nf 1/1 2/1 3/1\n" for name in [*names, *(f"k{i}" for i in range(20))]]
    head = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 0 1\nvt 0 0\n"
    (tmp_path / "m.obj").write_text(head + "".join(faces))
    mesh = open_mesh(tmp_path / "m.obj")
    assert len(mesh.soup.surface.materials.alpha) == 40
    assert len(mesh.soup.surface.texels) == 2 * 32 * 16  # opaque, and masked
    assert mesh.about.remarks == ()
    assert "b.png" not in mesh.about.digests


@pytest.mark.parametrize(
    ("name", "head", "row", "tail", "message"),
    [
        ("a.gltf", '{"asset": {"version": "2.0"}, "nodes": [{}', ",{}", "]}", "1,000,0.. objects"),
        ("a.obj", "f 1 2 3", "\n#a", "\nv 0 0", "line 60002 is not understood"),
        (
            "a.ply",
            "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0",
            " 1",
            "",
            "more numbers than its header says",
        ),
    ],
)
def test_a_file_of_many_small_things_takes_no_many_times_its_memory(
    tmp_path, name, head, row, tail, message
):
    path = tmp_path / name
    path.write_text(head + row * (60_000 if name == "a.obj" else 1_000_000) + tail)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            open_mesh(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * path.stat().st_size


@pytest.mark.parametrize(
    ("row", "what"),
    [("vt 0 0", "texture coordinates"), ("f 1 2 3", "corners of faces"), ("f", "faces")],
)
def test_everything_in_an_obj_is_counted(tmp_path, monkeypatch, row, what):
    monkeypatch.setattr("engine.data.formats.obj.MOST_VERTICES", 10)
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n" + f"{row}\n" * 11)
    with pytest.raises(DataError, match=f"more than 10 {what}"):
        open_mesh(path)


@pytest.mark.parametrize("ending", [".off", ".3mf", ".dae"])
def test_a_format_that_is_not_read_is_told_what_to_save_it_as(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_text("OFF")
    with pytest.raises(DataError, match=rf"'{ending}'.*; save other formats .* as GLB"):
        open_mesh(path)


@pytest.mark.parametrize(
    "told",
    [
        {"source": {"place": "a", "files": ["a.obj"]}},
        {"source": {"place": "a", "files": "a.obj"}},
        {"source": {"place": "a", "files": {"a.obj": 3}}},
        {"source": {"place": 3, "files": {"a.obj": "b"}}},
        {"source": []},
        [],
    ],
)
def test_damaged_attributes_tell_nothing_of_what_a_scene_was_drawn_from(tmp_path, told):
    (tmp_path / "car").mkdir()
    (tmp_path / "car" / "attributes.json").write_text(json.dumps(told))
    (tmp_path / "car.obj").write_text("v 0 0 0")
    assert [place.kept for place in find_places([tmp_path / "car.obj"], tmp_path)] == [False]

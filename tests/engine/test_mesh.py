"""Meshes: a field of known shape and colour, and files read back by independent readers."""

import json
import struct

import numpy as np
import pytest
import torch

from engine.errors import ExportError
from engine.events import finish
from engine.output.mesh import FORMATS, Mesh, extract_mesh, framing_objects, load_mesh, save_mesh


class Balls:
    """Balls with soft skins; colour tells the place and the side it is looked at from."""

    kind = "balls"

    def __init__(self, balls, aabb=((-1, -1, -1), (1, 1, 1)), density=200.0, hollow=0.0):
        self.aabb = torch.tensor(aabb, dtype=torch.float32)
        self.balls = [(torch.tensor(centre, dtype=torch.float32), r) for centre, r in balls]
        self.peak, self.hollow = density, hollow

    def density(self, xyz):
        inside = [torch.exp(60 * (r - (xyz - c).norm(dim=-1))) for c, r in self.balls]
        total = 10 * torch.stack(inside).sum(0)
        if self.hollow:
            total = total * ((xyz - self.balls[0][0]).norm(dim=-1) > self.hollow)
        return total.clamp(max=self.peak)

    def query(self, xyz, dirs):
        rgb = torch.stack(
            [0.5 + 0.5 * xyz[:, 0], 0.5 - 0.5 * dirs[:, 2], torch.full_like(xyz[:, 0], 0.2)], -1
        )
        return self.density(xyz), rgb


def volume(mesh: Mesh) -> float:
    """Signed volume: positive when faces wind outwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return finish(extract_mesh(Balls([((0.2, 0.0, -0.1), 0.6)]), resolution=64))


def test_a_ball_has_its_radius_place_and_volume_in_srn_units(ball):
    centre = np.array([0.1, 0.0, -0.05])
    distance = np.linalg.norm(ball.vertices - centre, axis=1)
    np.testing.assert_allclose(distance, 0.3, atol=0.003)
    assert abs(volume(ball) / (4 / 3 * np.pi * 0.3**3) - 1) < 0.01


def test_normals_point_outwards(ball):
    outward = (ball.vertices - np.array([0.1, 0.0, -0.05])) / 0.3
    assert (ball.normals * outward).sum(1).min() > 0.99


def test_vertices_have_the_colour_that_a_ray_against_their_normal_gathers(ball):
    field = Balls([((0.2, 0.0, -0.1), 0.6)])
    for vertex in range(0, len(ball.vertices), 500):
        normal = torch.from_numpy(ball.normals[vertex])
        t = torch.linspace(-0.3, 0.3, 6001)[:, None]
        xyz = 2 * torch.from_numpy(ball.vertices[vertex]) - t * normal
        density, rgb = field.query(xyz, (-normal).expand_as(xyz))
        through = torch.exp(-torch.cumsum(density, 0) * 1e-4)
        weights = density * through
        wanted = (weights[:, None] * rgb).sum(0) / weights.sum()
        np.testing.assert_allclose(ball.colors[vertex] / 255, wanted.numpy(), atol=0.006)


def test_the_mesh_is_closed_even_where_the_object_fills_its_box():
    field = Balls([((0, 0, 0), 0.9)], aabb=((-0.5, -1, -0.4), (0.5, 1, 0.4)))
    mesh = finish(extract_mesh(field, resolution=48))
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count == 2).all()
    np.testing.assert_allclose(np.abs(mesh.vertices[:, 0]).max(), 0.25, atol=1e-6)
    assert volume(mesh) > 0


def test_crumbs_are_dropped_and_second_bodies_kept():
    bodies = [((-0.4, 0, 0), 0.4), ((0.6, 0, 0), 0.25), ((0, 0.8, 0.8), 0.05)]
    mesh = finish(extract_mesh(Balls(bodies), resolution=64))
    assert mesh.vertices[:, 1].max() < 0.25
    assert mesh.vertices[:, 0].max() > 0.4


def test_hollows_inside_are_filled():
    full = finish(extract_mesh(Balls([((0, 0, 0), 0.6)]), resolution=48))
    hollow = finish(extract_mesh(Balls([((0, 0, 0), 0.6)], hollow=0.4), resolution=48))
    assert len(hollow.faces) == len(full.faces)


def test_a_thin_object_still_has_a_surface():
    mesh = finish(extract_mesh(Balls([((0, 0, 0), 0.6)], density=4.0), resolution=48))
    radius = np.linalg.norm(mesh.vertices, axis=1).mean()
    assert 0.28 < radius < 0.35


def test_framing_objects_are_the_outermost_points_of_the_fields_that_show_something():
    fields = [Balls([((0.2, 0, 0), 0.6)]), Balls([((0, 0, 0), -1.0)]), Balls([((0, 0, 0), 0.4)])]
    objects = framing_objects(fields)
    assert objects.shape == (2, 64, 3)
    np.testing.assert_allclose(np.linalg.norm(objects[1], axis=1), 0.2, atol=0.005)
    assert framing_objects([]).shape[1:] == (64, 3)


def test_an_empty_field_is_refused_in_one_sentence():
    with pytest.raises(ExportError, match=r"empty .* before exporting a mesh\.$"):
        finish(extract_mesh(Balls([((0, 0, 0), -1.0)]), resolution=16))
    with pytest.raises(ExportError, match="threshold 500 is above"):
        finish(extract_mesh(Balls([((0, 0, 0), 0.5)]), resolution=16, threshold=500))


def test_progress_runs_to_its_end():
    seen = []
    finish(extract_mesh(Balls([((0, 0, 0), 0.5)]), resolution=100), seen.append)
    assert [s.index for s in seen] == list(range(1, len(seen) + 1))
    assert {s.total for s in seen} == {len(seen)}
    assert len(seen) > 3


@pytest.mark.parametrize("ending", FORMATS)
def test_a_mesh_comes_back_from_its_file(tmp_path, ball, ending):
    back = load_mesh(save_mesh(ball, tmp_path / f"ball{ending}"))
    assert abs(volume(back) / volume(ball) - 1) < 1e-3
    np.testing.assert_allclose(back.vertices.min(0), ball.vertices.min(0), atol=1e-5)
    np.testing.assert_allclose(back.vertices.max(0), ball.vertices.max(0), atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == [f"ball{ending}"]
    if ending == ".stl":
        return
    np.testing.assert_allclose(back.vertices, ball.vertices, atol=1e-5)
    np.testing.assert_array_equal(back.faces, ball.faces)
    np.testing.assert_allclose(back.normals, ball.normals, atol=1e-3)
    np.testing.assert_array_equal(back.colors, ball.colors)


def glb_parts(data: bytes) -> tuple[dict, bytes]:
    """JSON and binary chunk of a GLB file, read by the letter of the format."""
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON"
    rest = data[20 + json_length :]
    binary_length, kind = struct.unpack("<I4s", rest[:8])
    assert kind == b"BIN\0"
    return json.loads(data[20 : 20 + json_length]), rest[8 : 8 + binary_length]


def glb_array(tree: dict, binary: bytes, accessor: int) -> np.ndarray:
    """The numbers of an accessor."""
    entry = tree["accessors"][accessor]
    view = tree["bufferViews"][entry["bufferView"]]
    start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
    kind = {5126: np.float32, 5125: np.uint32}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[entry["type"]]
    flat = np.frombuffer(binary, kind, entry["count"] * width, start)
    return flat.reshape(entry["count"], width)


def test_a_glb_stands_upright_with_its_front_on_plus_z(tmp_path):
    colors = np.array([[255, 0, 0], [0, 128, 0], [0, 0, 5], [250, 250, 250]], np.uint8)
    front, right, up = [0.0, 0.5, 0.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.2]
    vertices = np.array([[0.0, 0.0, 0.0], front, right, up], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
    normals = np.eye(4, 3, dtype=np.float32)
    normals[3] = [0, 0, 1]
    mesh = Mesh(vertices, faces, colors, normals)
    tree, binary = glb_parts(save_mesh(mesh, tmp_path / "axes.glb").read_bytes())
    (primitive,) = tree["meshes"][0]["primitives"]
    position = glb_array(tree, binary, primitive["attributes"]["POSITION"])
    np.testing.assert_allclose(position[1], [0, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(position[2], [-0.3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(position[3], [0, 0.2, 0], atol=1e-6)
    indices = glb_array(tree, binary, primitive["indices"]).reshape(-1, 3)
    a, b, c = (position[indices[:, i]].astype(np.float64) for i in range(3))
    assert np.sign((a * np.cross(b, c)).sum()) == np.sign(volume(mesh))
    for node in tree["nodes"]:
        assert np.allclose(node.get("matrix", np.eye(4).ravel()), np.eye(4).ravel())
        assert not {"rotation", "scale", "translation"} & set(node)


def test_a_glb_has_linear_vertex_colours_and_an_unlit_material(tmp_path, ball):
    tree, binary = glb_parts(save_mesh(ball, tmp_path / "ball.glb").read_bytes())
    (primitive,) = tree["meshes"][0]["primitives"]
    linear = glb_array(tree, binary, primitive["attributes"]["COLOR_0"]).astype(np.float64)
    low, high = linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    srgb = np.where(linear <= 0.0031308, low, high)
    np.testing.assert_allclose(srgb[:, :3] * 255, ball.colors, atol=0.01)
    material = tree["materials"][primitive["material"]]
    assert "KHR_materials_unlit" in material["extensions"]
    assert "KHR_materials_unlit" in tree["extensionsUsed"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_an_unknown_ending_is_refused_in_one_sentence(tmp_path, ball):
    with pytest.raises(ExportError, match=r"found the ending '\.fbx', expected one of .*\.stl\.$"):
        save_mesh(ball, tmp_path / "ball.fbx")
    with pytest.raises(ExportError, match="'none'"):
        save_mesh(ball, tmp_path / "ball")
    assert not list(tmp_path.iterdir())


def test_what_is_no_mesh_is_refused(tmp_path):
    for ending in FORMATS:
        path = tmp_path / f"junk{ending}"
        path.write_bytes(b"this is not a mesh at all")
        with pytest.raises(ExportError, match="junk"):
            load_mesh(path)
    with pytest.raises(ExportError, match=r"nothing\.glb"):
        load_mesh(tmp_path / "nothing.glb")

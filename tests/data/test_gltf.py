"""glTF files of many kinds: drawn as the format says, named where something is left out, or refused."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from engine.data.meshes import load_mesh, open_mesh
from engine.errors import DataError
from tests.data.boxes import (
    COLOURS,
    DAYLIGHT,
    SIZE,
    Glb,
    assert_colour,
    assert_sides,
    atlas,
    atlas_uv,
    box,
    centres,
    draw_sides,
    linear,
    textured,
)


def _coloured(path, values, normalized=False, **material):
    glb = Glb()
    positions, faces, _ = box()
    colour = glb.accessor(values, normalized)
    primitive = glb.primitive(positions, faces, COLOR_0=colour)
    if material:
        glb.tree["materials"] = [material]
        primitive["material"] = 0
    return glb.save(path, primitive)


def _grey_core(glb, size=0.2):
    positions, faces, _ = box(np.full(3, size))
    return glb.primitive(positions, faces)


LINEAR = linear(COLOURS)[np.repeat(np.arange(6), 4)]


def test_the_reference_by_texture(tmp_path):
    glb, primitive = textured()
    assert_sides(glb.save(tmp_path / "box.glb", primitive))


@pytest.mark.parametrize(
    ("values", "normalized"),
    [
        (LINEAR.astype(np.float32), False),
        ((LINEAR * 65535).round().astype(np.uint16), True),
        (np.concatenate([LINEAR, np.ones((24, 1))], 1).astype(np.float32), False),
        ((np.concatenate([LINEAR, np.ones((24, 1))], 1) * 65535).round().astype(np.uint16), True),
    ],
)
@pytest.mark.parametrize("material", [{}, {"pbrMetallicRoughness": {"metallicFactor": 0}}])
def test_vertex_colours_are_linear_of_any_type_and_beside_a_material(
    tmp_path, values, normalized, material
):
    assert_sides(_coloured(tmp_path / "box.glb", values, normalized, **material))


def test_vertex_colours_texture_and_factor_are_multiplied_in_linear_light(tmp_path):
    glb, primitive = textured()
    primitive["attributes"]["COLOR_0"] = glb.accessor(np.full((24, 3), 0.25))
    glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [0.5, 0.5, 0.5, 1]
    value = linear(COLOURS) / 8
    srgb = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    assert_sides(glb.save(tmp_path / "box.glb", primitive), srgb * 255)


def test_unlit_colours_are_shown_as_they_are(tmp_path):
    glb, primitive = textured({"extensions": {"KHR_materials_unlit": {}}})
    glb.tree["extensionsUsed"] = ["KHR_materials_unlit"]
    assert_sides(glb.save(tmp_path / "box.glb", primitive), light=np.ones(6))


def test_the_second_uv_set_is_used_where_a_texture_asks_for_it(tmp_path):
    glb, primitive = textured()
    primitive["attributes"]["TEXCOORD_1"] = primitive["attributes"]["TEXCOORD_0"]
    primitive["attributes"]["TEXCOORD_0"] = glb.accessor(np.full((24, 2), 0.1))
    glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["texCoord"] = 1
    assert_sides(glb.save(tmp_path / "box.glb", primitive))


def _transformed(path, transforms, uv):
    """The box with a material for every side, each with a texture transform of its own."""
    glb = Glb()
    positions, faces, side = box()
    texture = glb.texture()
    primitives = []
    for number in range(len(transforms)):
        rows = side == number
        primitives.append(
            glb.primitive(positions[rows], faces[:2], TEXCOORD_0=uv(np.flatnonzero(rows)))
            | {"material": number}
        )
    info = [
        {"index": texture, "extensions": {"KHR_texture_transform": transform}}
        for transform in transforms
    ]
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": i}} for i in info]
    glb.tree["extensionsUsed"] = ["KHR_texture_transform"]
    return glb.save(path, *primitives)


def test_a_texture_transform_picks_the_cell(tmp_path):
    square = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    picks = [{"offset": [side / 6, 0], "scale": [1 / 6, 1]} for side in range(6)]
    assert_sides(_transformed(tmp_path / "box.glb", picks, lambda rows: square))


def test_a_turned_texture_transform_follows_the_formats_own_example(tmp_path):
    """Offset (0, 1), a quarter turn and half the scale show the lower left quadrant."""
    quadrants = np.zeros((8, 8, 3), np.uint8)
    quadrants[4:, :4] = [200, 0, 0]
    quadrants[:4, 4:] = [0, 0, 200]
    glb, primitive = textured()
    transform = {"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]}
    primitive["attributes"]["TEXCOORD_0"] = glb.accessor(
        np.tile([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]], (6, 1))
    )
    texture = glb.texture(Image.fromarray(quadrants))
    info = {"index": texture, "extensions": {"KHR_texture_transform": transform}}
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": info}}]
    path = glb.save(tmp_path / "box.glb", primitive, extensionsUsed=["KHR_texture_transform"])
    assert_sides(path, np.tile([200, 0, 0], (6, 1)))


def test_quantised_positions_and_coordinates_are_fractions_beside_a_float_part(tmp_path):
    positions, faces, side = box(SIZE * [1, 1, 0.5])
    glb, whole = textured()
    whole["attributes"]["POSITION"] = glb.accessor(positions + np.array([0, 0, 0.5]))
    half = (positions - [0, 0, 0.5]) / 2
    quantised = glb.primitive(
        positions,
        faces,
        TEXCOORD_0=glb.accessor((atlas_uv(side) * 65535).round().astype(np.uint16), True),
    )
    quantised["attributes"]["POSITION"] = glb.accessor(
        (half * 32767).round().astype(np.int16), True
    )
    quantised["material"] = 0
    glb.tree["meshes"] = [{"primitives": [whole]}, {"primitives": [quantised]}]
    glb.tree["nodes"] = [{"mesh": 0}, {"mesh": 1, "scale": [2, 2, 2]}]
    glb.tree["extensionsUsed"] = glb.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    assert_sides(glb.save(tmp_path / "box.glb"))


def test_interleaved_and_sparse_accessors(tmp_path):
    positions, faces, side = box()
    glb, primitive = textured()
    records = np.concatenate([positions, atlas_uv(side)], 1).astype(np.float32)
    records[5] = 9
    view = glb.view(records.tobytes(), byteStride=20)
    common = {"bufferView": view, "componentType": 5126, "count": 24}
    indices, values = (
        glb.view(array.tobytes()) for array in (np.array([5], np.uint8), positions[5].astype("f4"))
    )
    sparse = {
        "count": 1,
        "indices": {"bufferView": indices, "componentType": 5121},
        "values": {"bufferView": values},
    }
    uv_values = glb.view(atlas_uv(side)[5].astype(np.float32).tobytes())
    glb.tree["accessors"] += [
        {**common, "type": "VEC3", "sparse": sparse},
        {
            **common,
            "type": "VEC2",
            "byteOffset": 12,
            "sparse": {**sparse, "values": {"bufferView": uv_values}},
        },
    ]
    primitive["attributes"] = {"POSITION": 3, "TEXCOORD_0": 4}
    primitive["indices"] = glb.accessor(faces.ravel().astype(np.uint32))
    assert_sides(glb.save(tmp_path / "box.glb", primitive))


@pytest.mark.parametrize("mode", [5, 6])
def test_strips_and_fans(tmp_path, mode):
    glb = Glb()
    positions, _, side = box()
    texture = glb.texture()
    order = [0, 1, 3, 2] if mode == 5 else [0, 1, 2, 3]
    primitives = [
        glb.primitive(positions[side == k][order], TEXCOORD_0=atlas_uv(side)[side == k][order])
        | {"mode": mode, "material": 0}
        for k in range(6)
    ]
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}]
    assert_sides(glb.save(tmp_path / "box.glb", *primitives))


def _skinned(glb, primitive, joints, weights, matrices=None):
    primitive["attributes"]["JOINTS_0"] = glb.accessor(joints.astype(np.uint8))
    primitive["attributes"]["WEIGHTS_0"] = glb.accessor(weights)
    skin = {"joints": [1, 2]}
    if matrices is not None:
        skin["inverseBindMatrices"] = glb.accessor(matrices.swapaxes(1, 2).astype(np.float32))
    return skin


def test_a_skin_stands_where_its_joints_are_whatever_its_node_says(tmp_path):
    glb, primitive = textured()
    joints, weights = np.zeros((24, 4)), np.tile([1.0, 0, 0, 0], (24, 1))
    lifted = np.tile(np.eye(4), (2, 1, 1))
    lifted[:, 1, 3] = -5
    skin = _skinned(glb, primitive, joints, weights, lifted)
    nodes = [
        {"mesh": 0, "skin": 0, "rotation": [0.7071068, 0, 0, 0.7071068], "scale": [9, 1, 1]},
        {"translation": [0, 5, 0]},
        {},
    ]
    assert_sides(glb.save(tmp_path / "box.glb", primitive, nodes=nodes, skins=[skin]))


def test_weights_blend_joints(tmp_path):
    """The front half hangs on a joint one further forward: the box is drawn out to 3, twice its third."""
    positions, _, _ = box(SIZE * [1, 1, 0.5])
    glb, primitive = textured()
    primitive["attributes"]["POSITION"] = glb.accessor(positions)
    share = np.where(positions[:, 2] > 0, 1.0, 0.0)
    weights = np.stack([1 - share, share, 0 * share, 0 * share], -1)
    skin = _skinned(glb, primitive, np.tile([0, 1, 0, 0], (24, 1)), weights)
    nodes = [{"mesh": 0, "skin": 0}, {}, {"translation": [0, 0, 1]}]
    assert_sides(glb.save(tmp_path / "box.glb", primitive, nodes=nodes, skins=[skin]))


def test_vertices_without_weights_hang_on_their_first_joint_and_are_named(tmp_path):
    glb, primitive = textured()
    weights = np.tile([1.0, 0, 0, 0], (24, 1))
    weights[8:] = 0
    skin = _skinned(glb, primitive, np.zeros((24, 4)), weights)
    nodes = [{"mesh": 0, "skin": 0}, {"translation": [0, 5, 0]}, {}]
    path = glb.save(tmp_path / "box.glb", primitive, nodes=nodes, skins=[skin])
    assert_sides(path)
    (remark,) = open_mesh(path).about.remarks
    assert "weights of some vertices" in remark


def test_morph_targets_are_applied_as_far_as_the_weights_say(tmp_path):
    flat, _, _ = box(SIZE * [1, 0.5, 1])
    glb, primitive = textured()
    primitive["attributes"]["POSITION"] = glb.accessor(flat)
    raised = np.where(flat[:, 1:2] > 0, [0.0, 0.6, 0], [0.0, 0, 0])
    primitive["targets"] = [
        {"POSITION": glb.accessor(raised)},
        {"POSITION": glb.accessor(9 * raised)},
    ]
    glb.tree["meshes"] = [{"primitives": [primitive], "weights": [0.5, 0]}]
    assert_sides(glb.save(tmp_path / "mesh.glb"))
    extent = np.ptp(load_mesh(tmp_path / "mesh.glb").vertices, axis=0)
    np.testing.assert_allclose(extent[[0, 2, 1]] / extent[1], SIZE / SIZE[2], atol=1e-5)
    glb.tree["nodes"] = [{"mesh": 0, "weights": [0, 0]}]
    extent = np.ptp(load_mesh(glb.save(tmp_path / "node.glb")).vertices, axis=0)
    np.testing.assert_allclose(extent[2] / extent[1], 0.3 / 2, atol=1e-5)


def test_instances_are_drawn_where_they_stand(tmp_path):
    positions, faces, _ = box(np.ones(3))
    glb = Glb()
    primitive = glb.primitive(positions, faces)
    attributes = {
        "TRANSLATION": glb.accessor(np.array([[-2.0, 0, 0], [0, 0, 0], [2, 0, 0]])),
        "ROTATION": glb.accessor(np.tile(np.array([0, 0, 0, 127], np.int8), (3, 1)), True),
        "SCALE": glb.accessor(np.array([[1.0, 1, 1], [1, 1, 1], [1, 2, 1]])),
    }
    node = {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}}
    path = glb.save(
        tmp_path / "row.glb",
        primitive,
        nodes=[node],
        extensionsUsed=["EXT_mesh_gpu_instancing"],
        extensionsRequired=["EXT_mesh_gpu_instancing"],
    )
    front = draw_sides(path, 64)[0, ..., 3] > 127
    middle = front[32].astype(int)
    assert (np.diff(middle) == 1).sum() == 3
    columns = np.flatnonzero(front.any(0))
    left, right = front[:, columns[2]].sum(), front[:, columns[-3]].sum()
    assert abs(right / left - 2) < 0.35
    assert right > left, "the tall one stands at +x, at the right of who looks at the front"


def test_negative_scales_turn_faces_round(tmp_path):
    glb, primitive = textured()
    path = glb.save(tmp_path / "box.glb", primitive, nodes=[{"mesh": 0, "scale": [-1, 1, 1]}])
    mirrored = COLOURS[[0, 1, 3, 2, 4, 5]]
    assert_sides(path, mirrored)


def test_a_single_sided_face_is_not_seen_from_behind(tmp_path):
    _, faces, side = box()
    for two_sided, seen in ((False, False), (True, True)):
        glb, primitive = textured({"doubleSided": two_sided})
        front = np.isin(faces, np.flatnonzero(side != 1)).all(1)
        primitive["indices"] = glb.accessor(faces[front].ravel().astype(np.uint16))
        rear = draw_sides(glb.save(tmp_path / "open.glb", primitive))[1]
        assert (rear[16, 16, 3] > 0) == seen
        if seen:
            assert_colour(rear, COLOURS[0] * DAYLIGHT[1])


def test_alpha_masks_cut_away_and_blends_are_seen_through(tmp_path):
    for mode, cutoff, alpha, expected in (
        ("MASK", 0.5, 127, "core"),
        ("MASK", 0.25, 127, "front"),
        ("OPAQUE", 0.5, 0, "front"),
        ("BLEND", 0.5, 0, "core"),
        ("BLEND", 0.5, 51, "mixed"),
    ):
        glb, primitive = textured({"alphaMode": mode})
        if mode == "MASK":
            glb.tree["materials"][0]["alphaCutoff"] = cutoff
        texture = glb.texture(atlas(alpha=[alpha, 255, 255, 255, 255, 255]))
        glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["index"] = texture
        front = draw_sides(glb.save(tmp_path / "box.glb", primitive, _grey_core(glb)))[0]
        core, shell = 255 * DAYLIGHT[0], COLOURS[0] * DAYLIGHT[0]
        wanted = {"core": core, "front": shell, "mixed": 0.2 * shell + 0.8 * core}[expected]
        assert_colour(front, np.broadcast_to(wanted, 3))


def test_an_invisible_shell_is_neither_drawn_nor_framed(tmp_path):
    glb, primitive = textured()
    positions, faces, _ = box(SIZE * 3)
    shell = glb.primitive(positions, faces) | {"material": 1}
    glb.tree["materials"].append(
        {"alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0]}}
    )
    path = glb.save(tmp_path / "box.glb", primitive, shell)
    assert_sides(path)
    np.testing.assert_allclose(
        np.linalg.norm(np.ptp(load_mesh(path).vertices, axis=0)), 1, atol=1e-5
    )
    with pytest.raises(DataError, match="wholly transparent"):
        load_mesh(glb.save(tmp_path / "none.glb", shell))


def test_glass_alone_leaves_the_picture_half_transparent(tmp_path):
    glb, primitive = textured()
    glb.tree["materials"] = [
        {"alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 0.5]}}
    ]
    front = draw_sides(glb.save(tmp_path / "box.glb", primitive))[0]
    assert abs(front[16, 16, 3] - 128) <= 1
    assert front[16, 16, 1] == 0


def test_what_glows_is_added_in_linear_light(tmp_path):
    glb, primitive = textured()
    index = glb.texture()
    glb.tree["materials"] = [
        {
            "emissiveTexture": {"index": index},
            "emissiveFactor": [1, 1, 1],
            "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]},
        }
    ]
    assert_sides(glb.save(tmp_path / "box.glb", primitive), light=np.ones(6))
    strength = {"KHR_materials_emissive_strength": {"emissiveStrength": 2}}
    glb.tree["materials"][0] |= {"emissiveFactor": [0.1, 0.1, 0.1], "extensions": strength}
    del glb.tree["materials"][0]["emissiveTexture"]
    shown = draw_sides(glb.save(tmp_path / "strong.glb", primitive))[0]
    assert_colour(shown, np.full(3, 255 * (1.055 * 0.2 ** (1 / 2.4) - 0.055)))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG"])
def test_textures_of_other_formats_are_drawn(tmp_path, kind):
    glb, primitive = textured()
    stream = io.BytesIO()
    atlas(cell=32).convert("RGB").save(stream, kind, quality=95)
    texture = glb.texture(stream.getvalue(), kind)
    if kind != "JPEG":
        name = f"EXT_texture_{kind.lower()}"
        source = glb.tree["textures"][texture].pop("source")
        glb.tree["textures"][texture]["extensions"] = {name: {"source": source}}
        glb.tree |= {"extensionsUsed": [name], "extensionsRequired": [name]}
    glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["index"] = texture
    shown = centres(draw_sides(glb.save(tmp_path / "box.glb", primitive)))
    np.testing.assert_allclose(shown, np.minimum(COLOURS * DAYLIGHT[:, None], 255), atol=12)


def test_specular_glossiness_colours_are_drawn(tmp_path):
    glb, primitive = textured()
    info = glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    name = "KHR_materials_pbrSpecularGlossiness"
    dull = {"diffuseTexture": info, "specularFactor": [0.04, 0.04, 0.04]}
    glb.tree["materials"] = [{"extensions": {name: dull}}]
    path = glb.save(
        tmp_path / "box.glb", primitive, extensionsUsed=[name], extensionsRequired=[name]
    )
    assert_sides(path)
    assert open_mesh(path).about.remarks == ()


@pytest.mark.parametrize(("wrap", "column"), [(10497, 0), (33071, 1), (33648, 1)])
def test_coordinates_beyond_a_picture_wrap_as_the_sampler_says(tmp_path, wrap, column):
    halves = np.zeros((2, 2, 3), np.uint8)
    halves[:, 0], halves[:, 1] = [200, 0, 0], [0, 0, 200]
    glb, primitive = textured(samplers=[{"magFilter": 9728, "wrapS": wrap, "wrapT": 10497}])
    index = glb.texture(Image.fromarray(halves), sampler=0)
    glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["index"] = index
    primitive["attributes"]["TEXCOORD_0"] = glb.accessor(np.full((24, 2), 1.3))
    assert_sides(glb.save(tmp_path / "box.glb", primitive), np.tile(halves[0, column], (6, 1)))


@pytest.mark.parametrize(("magnified", "grey"), [(9728, 0), (9729, 128)])
def test_texels_are_interpolated_unless_the_sampler_says_nearest(tmp_path, magnified, grey):
    halves = np.zeros((1, 2, 3), np.uint8)
    halves[:, 1] = 255
    glb, primitive = textured(samplers=[{"magFilter": magnified}])
    index = glb.texture(Image.fromarray(halves), sampler=0)
    glb.tree["materials"] = [
        {
            "pbrMetallicRoughness": {"baseColorTexture": {"index": index}},
            "extensions": {"KHR_materials_unlit": {}},
        }
    ]
    share = linear(np.array(grey)) if grey else 0.24
    primitive["attributes"]["TEXCOORD_0"] = glb.accessor(
        np.full((24, 2), [0.25 + 0.5 * share, 0.5])
    )
    shown = draw_sides(glb.save(tmp_path / "box.glb", primitive))[0]
    assert_colour(shown, np.full(3, grey))


@pytest.mark.parametrize("name", ["my buffer.bin", "b\u00fcffer.bin"])
def test_uris_are_percent_encoded(tmp_path, name):
    glb, primitive = textured()
    (tmp_path / name).write_bytes(bytes(glb.blob))
    atlas().save(tmp_path / "my atlas.png")
    uri = {"my buffer.bin": "my%20buffer.bin"}.get(name, "b%C3%BCffer.bin")
    glb.tree["meshes"] = [{"primitives": [primitive]}]
    tree = glb.tree | {
        "nodes": [{"mesh": 0}],
        "buffers": [{"byteLength": len(glb.blob), "uri": uri}],
        "images": [{"uri": "my%20atlas.png"}],
    }
    (tmp_path / "box.gltf").write_text(json.dumps(tree))
    assert_sides(tmp_path / "box.gltf")


def test_data_uris_are_read(tmp_path):
    glb, primitive = textured()
    stream = io.BytesIO()
    atlas().save(stream, "PNG")
    as_uri = "data:{};base64,{}".format
    glb.tree["meshes"] = [{"primitives": [primitive]}]
    buffer = as_uri("application/octet-stream", base64.b64encode(bytes(glb.blob)).decode())
    tree = glb.tree | {
        "nodes": [{"mesh": 0}],
        "buffers": [{"byteLength": len(glb.blob), "uri": buffer}],
        "images": [{"uri": as_uri("image/png", base64.b64encode(stream.getvalue()).decode())}],
    }
    (tmp_path / "box.gltf").write_text(json.dumps(tree))
    assert_sides(tmp_path / "box.gltf")


def _outside(tmp_path, image, buffer=None):
    """A .gltf in a folder of its own, whose picture and buffer are elsewhere."""
    folder = tmp_path / "models"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    glb, primitive = textured()
    data = base64.b64encode(bytes(glb.blob)).decode()
    glb.tree["meshes"] = [{"primitives": [primitive]}]
    uri = buffer or f"data:;base64,{data}"
    tree = glb.tree | {
        "nodes": [{"mesh": 0}],
        "buffers": [{"byteLength": len(glb.blob), "uri": uri}],
        "images": [{"uri": image}],
    }
    (folder / "box.gltf").write_text(json.dumps(tree))
    return folder / "box.gltf"


def test_pictures_may_lie_above_but_nothing_else_is_read_there(tmp_path):
    (tmp_path / "images").mkdir()
    atlas().save(tmp_path / "images" / "x.png")
    assert_sides(_outside(tmp_path, "../images/x.png"))
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    with pytest.raises(DataError, match="outside its own folder"):
        load_mesh(_outside(tmp_path, "../images/x.png", "../secret.bin"))
    (tmp_path / "images" / "x.txt").write_bytes((tmp_path / "images" / "x.png").read_bytes())
    for name in ("../images/x.txt", str(tmp_path / "images" / "x.png")):
        (remark,) = open_mesh(_outside(tmp_path, name)).about.remarks
        assert remark.startswith("a texture (")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.bin", "file:///etc/passwd", "//h/x"])
def test_nothing_is_fetched(tmp_path, address):
    with pytest.raises(DataError, match="nothing is fetched"):
        load_mesh(_outside(tmp_path, "x.png", address))
    (remark,) = open_mesh(_outside(tmp_path, address)).about.remarks
    assert "nothing is fetched" in remark


def test_what_is_left_out_is_named(tmp_path):
    glb, primitive = textured({"normalTexture": {"index": 0}})
    lines = glb.primitive(box()[0]) | {"mode": 1}
    glb.tree["extensionsUsed"] = ["KHR_materials_clearcoat", "EXT_of_the_future"]
    remarks = open_mesh(glb.save(tmp_path / "box.glb", primitive, lines)).about.remarks
    assert remarks == (
        "EXT_of_the_future",
        "reflections (KHR_materials_clearcoat)",
        "normal maps",
        "points and lines",
    )
    glb, primitive = textured()
    texture = glb.texture(b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(80))
    source = glb.tree["textures"][texture].pop("source")
    glb.tree["textures"][texture]["extensions"] = {"KHR_texture_basisu": {"source": source}}
    glb.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["index"] = texture
    glb.tree["extensionsUsed"] = ["KHR_texture_basisu"]
    (remark,) = open_mesh(glb.save(tmp_path / "basisu.glb", primitive)).about.remarks
    assert "KHR_texture_basisu" in remark


def test_textures_beyond_the_budget_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.data.formats.pictures.MOST_PIXELS", 100)
    glb, primitive = textured({"emissiveFactor": [1, 1, 1]})
    glb.tree["materials"][0]["emissiveTexture"] = {"index": glb.texture()}
    path = glb.save(tmp_path / "box.glb", primitive)
    (remark,) = open_mesh(path).about.remarks
    assert "too many large ones" in remark


@pytest.mark.parametrize(
    "name",
    [
        "KHR_draco_mesh_compression",
        "EXT_meshopt_compression",
        "KHR_texture_basisu",
        "EXT_of_the_future",
    ],
)
def test_required_extensions_that_are_not_read_refuse_the_file(tmp_path, name):
    glb, primitive = textured()
    path = glb.save(tmp_path / "b.glb", primitive, extensionsUsed=[name], extensionsRequired=[name])
    with pytest.raises(DataError, match=f"cannot be drawn without {name}"):
        load_mesh(path)


def test_compressed_geometry_is_named_also_where_it_is_not_declared_as_required(tmp_path):
    glb, primitive = textured()
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {}}}
    assert_sides(glb.save(tmp_path / "fallback.glb", primitive))
    del glb.tree["accessors"][0]["bufferView"]
    with pytest.raises(DataError, match="KHR_draco_mesh_compression"):
        load_mesh(glb.save(tmp_path / "draco.glb", primitive))
    glb, primitive = textured()
    glb.tree["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 1}}
    glb.tree["bufferViews"][0]["buffer"] = 1
    buffers = [{"byteLength": len(glb.blob)}, {"byteLength": len(glb.blob)}]
    with pytest.raises(DataError, match="EXT_meshopt_compression"):
        load_mesh(glb.save(tmp_path / "meshopt.glb", primitive, buffers=buffers))


def test_hidden_nodes_and_other_scenes_are_not_drawn(tmp_path):
    glb, primitive = textured()
    positions, faces, _ = box(SIZE * 3)
    hull = glb.primitive(positions, faces)
    glb.tree["meshes"] = [{"primitives": [primitive]}, {"primitives": [hull]}]
    hidden = {"children": [2], "extensions": {"KHR_node_visibility": {"visible": False}}}
    glb.tree["nodes"] = [{"mesh": 0}, hidden, {"mesh": 1}, {"mesh": 1}]
    glb.tree |= {"scenes": [{"nodes": [3]}, {"nodes": [0, 1]}], "scene": 1}
    assert_sides(glb.save(tmp_path / "box.glb"))


def _broken(change):
    """A sound file after a change to its JSON."""

    def make(path):
        glb, primitive = textured()
        glb.tree["meshes"] = [{"primitives": [primitive]}]
        glb.tree["nodes"] = [{"mesh": 0}]
        change(glb.tree)
        return glb.save(path)

    return make


BROKEN = {
    "index": (lambda t: t["accessors"][2].update(count=3, componentType=5125), "asks for vertex"),
    "accessor": (lambda t: t["accessors"][0].update(count=10**9), "entries"),
    "beyond": (lambda t: t["accessors"][0].update(count=500), "reaches beyond"),
    "view": (lambda t: t["bufferViews"][0].update(byteLength=10**9), "reaches beyond"),
    "negative": (lambda t: t["accessors"][0].update(count=-1), "accessors"),
    "shape": (lambda t: t["accessors"][0].update(type="VEC4"), "expected VEC3"),
    "text": (lambda t: t["nodes"][0].update(mesh="a"), "Expected `int"),
    "mesh": (lambda t: t["nodes"][0].update(mesh=7), "asks for mesh 7 of 1"),
    "cycle": (
        lambda t: t.update(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}]),
        "own descendant",
    ),
    "parents": (
        lambda t: t.update(nodes=[{"children": [2]}, {"children": [2]}, {"mesh": 0}]),
        "two parents",
    ),
    "version": (lambda t: t["asset"].update(version="1.0"), "found glTF '1.0'"),
    "skin": (
        lambda t: (t.update(skins=[{"joints": [99]}]), t["nodes"][0].update(skin=0)),
        "joints that are not there",
    ),
    "scale": (lambda t: t["nodes"][0].update(scale=[1e30, 1e30, 1e31]), "scale"),
    "nothing": (lambda t: t["meshes"][0]["primitives"][0].update(mode=0), "no triangles"),
    "repeats": (
        lambda t: t["meshes"].__setitem__(0, {"primitives": t["meshes"][0]["primitives"] * 30_000}),
        "30,000 parts",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused_in_one_sentence(tmp_path, kind):
    change, message = BROKEN[kind]
    path = _broken(change)(tmp_path / "bad.glb")
    with pytest.raises(DataError, match=message) as caught:
        load_mesh(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_damaged_bytes_are_refused_or_drawn_but_never_an_internal_error(tmp_path):
    """Random damage to a sound file: every byte pattern ends in a surface or in one sentence."""
    glb, primitive = textured()
    sound = glb.save(tmp_path / "box.glb", primitive).read_bytes()
    noise = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(sound)
        if noise.random() < 0.2:
            data = data[: noise.integers(len(data))]
        for place in noise.integers(0, max(len(data), 1), noise.integers(1, 12)):
            data[place % len(data)] = noise.integers(256)
        (tmp_path / "bad.glb").write_bytes(bytes(data) or b"g")
        try:
            load_mesh(tmp_path / "bad.glb")
        except DataError:
            refused += 1
    assert refused > 30

"""glTF 2.0, GLB and .gltf: nodes, skins, morph targets and instances as parts in scene coordinates.

This reader is strict. trimesh, which writes meshes elsewhere here, silently ignores skins, morph weights, instancing,
masks, second texture coordinates and unknown required extensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.formats.folder import Folder
from engine.data.formats.gltf_accessors import Store
from engine.data.formats.gltf_materials import Look, Materials, transformed
from engine.data.formats.gltf_schema import Gltf, Mesh, Node, Primitive, Skin, TextureInfo, pick
from engine.data.formats.part import GLTF_AXES, MOST_FACES, MOST_VERTICES, MeshFile, Part
from engine.errors import DataError, plain

MOST_NODES = 200_000
MOST_PARTS = 20_000
"""Primitives, every instance of one counted."""
DRACO = "KHR_draco_mesh_compression"
DRAWN = {
    "KHR_materials_unlit",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_transmission",
    "KHR_materials_emissive_strength",
    "KHR_texture_transform",
    "KHR_mesh_quantization",
    "KHR_node_visibility",
    "EXT_mesh_gpu_instancing",
    "EXT_texture_webp",
    "EXT_texture_avif",
}
"""Extensions that are fully supported."""
UNSEEN = {
    "KHR_lights_punctual",
    "EXT_lights_image_based",
    "EXT_lights_ies",
    "KHR_materials_variants",
    "KHR_animation_pointer",
    "KHR_audio_emitter",
    "KHR_interactivity",
    "KHR_node_hoverability",
    "KHR_node_selectability",
    "KHR_physics_rigid_bodies",
    "KHR_implicit_shapes",
    "KHR_xmp",
    "KHR_xmp_json_ld",
    "FB_ngon_encoding",
    "EXT_mesh_features",
    "EXT_structural_metadata",
    "MSFT_packing_normalRoughnessMetallic",
    "MSFT_packing_occlusionRoughnessMetallic",
}
"""Extensions that change nothing in a still picture under the data sets' own light."""
SHINE = {
    f"KHR_materials_{name}"
    for name in (
        "anisotropy",
        "clearcoat",
        "dispersion",
        "ior",
        "iridescence",
        "sheen",
        "specular",
        "volume",
    )
}
"""Extensions of how surfaces shine: the data sets' light is diffuse."""
NAMED_LATER = {DRACO, "EXT_meshopt_compression", "KHR_meshopt_compression", "KHR_texture_basisu"}
"""Extensions that are refused or reported for each part that uses them."""


def read_gltf(folder: Folder) -> MeshFile:
    """A .glb or .gltf file's default scene.

    Raises:
        DataError: With a short description of the fault, or of a required feature that is not supported.
    """
    store = Store.open(folder)
    remarks = _extensions(store.gltf)
    return _Scene(store, Materials(store, remarks), remarks).read()


def _extensions(gltf: Gltf) -> dict[str, None]:
    """Remarks on unsupported extensions.

    Raises:
        DataError: If the file cannot be drawn without one.
    """
    known = DRAWN | UNSEEN | SHINE
    for name in gltf.extensions_required:
        if name not in known:
            raise DataError(
                f"it cannot be drawn without {plain(name[:80])}, which is not read; save it without"
            )
    remarks = {}
    for name in sorted(set(gltf.extensions_used) - known - NAMED_LATER):
        remarks[plain(name[:80])] = None
    shine = sorted(set(gltf.extensions_used) & SHINE)
    if shine:
        remarks[f"reflections ({', '.join(shine)})"] = None
    return remarks


@dataclass
class _Scene:
    store: Store
    materials: Materials
    remarks: dict[str, None]
    faces: int = 0
    parts: list[Part] = field(default_factory=list)

    def read(self) -> MeshFile:
        gltf = self.store.gltf
        worlds, parents = _worlds(gltf.nodes)
        shown = [i for i in _shown(gltf, parents) if gltf.nodes[i].mesh is not None]
        self._check_parts([gltf.nodes[index] for index in shown])
        for index in shown:
            self._place(gltf.nodes[index], worlds, index)
        return MeshFile(self.parts, GLTF_AXES, tuple(self.remarks))

    def _check_parts(self, nodes: list[Node]) -> None:
        """Refuses a scene of too many parts before any is made."""
        total = 0
        for node in nodes:
            copies = node.extensions.instancing
            counts = (
                [self.store.count(index) for index in copies.attributes.values()] if copies else [1]
            )
            mesh = pick(self.store.gltf.meshes, node.mesh, "mesh")
            total += len(mesh.primitives) * max(counts, default=0)
        if total > MOST_PARTS:
            raise DataError(f"it has {total:,} parts, expected at most {MOST_PARTS:,}; join them")

    def _place(self, node: Node, worlds: np.ndarray, index: int) -> None:
        """Adds a node's mesh in scene coordinates, once per instance."""
        mesh: Mesh = pick(self.store.gltf.meshes, node.mesh, "mesh")
        weights = mesh.weights if node.weights is None else node.weights
        if node.skin is not None:
            skin = pick(self.store.gltf.skins, node.skin, "skin")
            joints, places = self._joints(skin, worlds), np.eye(4)[None]
        else:
            joints, places = (
                None,
                self._instances(node) if node.extensions.instancing else np.eye(4)[None],
            )
            places = worlds[index] @ places
        for primitive in mesh.primitives:
            part = self._part(primitive, weights, joints, len(places))
            if part is not None:
                self.parts.extend(_placed(part, place) for place in places)

    def _part(
        self, primitive: Primitive, weights: list[float], joints: np.ndarray | None, copies: int
    ) -> Part | None:
        """A primitive's triangles in its node's axes, skinned and morphed."""
        if primitive.mode < 4:
            self.remarks["points and lines"] = None
            return None
        self._check_draco(primitive)
        if "POSITION" not in primitive.attributes:
            self.remarks["a part without positions"] = None
            return None
        count = self.store.count(primitive.attributes["POSITION"])
        faces = self._faces(primitive, count)
        self.faces += len(faces) * copies
        if self.faces > MOST_FACES:
            raise DataError(f"it has more than {MOST_FACES:,} triangles; simplify it")
        used, compact = np.unique(faces, return_inverse=True)
        if not len(faces):
            return None
        faces = compact.reshape(-1, 3)
        vertices = self._attribute(primitive, "POSITION", "VEC3", used).astype(np.float64)
        vertices += self._morph(primitive, weights, used)
        if not np.isfinite(vertices).all():
            raise DataError("a position is not finite")
        if joints is not None:
            vertices = self._skinned(primitive, vertices, joints, used)
        look = self.materials.look(primitive.material)
        corner = used[faces]
        rgba = np.broadcast_to(look.factor, (*faces.shape, 4))
        if "COLOR_0" in primitive.attributes:
            rgba = rgba * self._colours(primitive, used)[faces]
        return Part(
            vertices,
            faces,
            rgba.astype(np.float32),
            *self._coordinates(primitive, look, corner),
        )

    def _coordinates(self, primitive: Primitive, look: Look, corner: np.ndarray) -> tuple:
        """A part's material and texture coordinates; textures without coordinates are dropped."""
        material = look.material
        uv, glow_uv = (self._uv(primitive, info, corner) for info in (look.base, look.glow))
        if uv is None:
            material = replace(material, base=None)
        if glow_uv is None:
            material = replace(material, glow_texture=None)
        return material, uv, glow_uv

    def _uv(
        self, primitive: Primitive, info: TextureInfo | None, corner: np.ndarray
    ) -> np.ndarray | None:
        if info is None:
            return None
        transform = info.extensions.transform
        which = info.tex_coord
        if transform is not None and transform.tex_coord is not None:
            which = transform.tex_coord
        name = f"TEXCOORD_{which}"
        if name not in primitive.attributes:
            self.remarks[f"a texture without its coordinates ({name})"] = None
            return None
        uv = self._attribute(primitive, name, "VEC2", corner.ravel()).reshape(*corner.shape, 2)
        return transformed(uv, transform).astype(np.float32)

    def _attribute(
        self, primitive: Primitive, name: str, shape: str, rows: np.ndarray, **options: bool
    ) -> np.ndarray:
        values = self.store.array(primitive.attributes[name], shape, **options)
        if len(rows) and rows.max() >= len(values):
            raise DataError(f"{plain(name[:40])} has {len(values)} entries, fewer than POSITION")
        return values[rows]

    def _colours(self, primitive: Primitive, used: np.ndarray) -> np.ndarray:
        rgba = self._attribute(primitive, "COLOR_0", "VEC3|VEC4", used, fractions=True)
        if rgba.shape[1] == 3:
            rgba = np.concatenate([rgba, np.ones((len(rgba), 1), np.float32)], 1)
        return np.clip(np.nan_to_num(rgba), 0, 1)

    def _faces(self, primitive: Primitive, count: int) -> np.ndarray:
        """Triangles of a primitive of any mode."""
        if primitive.indices is None:
            if count > MOST_VERTICES:
                raise DataError(f"a part has {count} vertices, more than is read")
            indices = np.arange(count)
        else:
            indices = self.store.array(primitive.indices, "SCALAR", whole=True)[:, 0].astype(
                np.int64
            )
            if len(indices) and not 0 <= indices.min() <= indices.max() < count:
                raise DataError(f"a triangle asks for vertex {indices.max()} of {count}")
        if primitive.mode == 4:
            if len(indices) % 3:
                self.remarks["an incomplete triangle"] = None
            return indices[: len(indices) // 3 * 3].reshape(-1, 3)
        first = np.arange(max(len(indices) - 2, 0))
        if primitive.mode == 5:
            odd = first % 2
            return np.stack(
                [indices[first], indices[first + 1 + odd], indices[first + 2 - odd]], -1
            )
        centre = np.full(len(first), indices[0] if len(indices) else 0)
        return np.stack([indices[first + 1], indices[first + 2], centre], -1)

    def _check_draco(self, primitive: Primitive) -> None:
        """Refuses a part that exists only in Draco compression; some come with an uncompressed copy."""
        if DRACO not in primitive.extensions:
            return
        accessors = self.store.gltf.accessors
        names = [primitive.indices, primitive.attributes.get("POSITION")]
        held = [pick(accessors, i, "accessor").buffer_view for i in names if i is not None]
        if None in held:
            raise DataError(
                f"its geometry is compressed with {DRACO}, which is not read; save it without compression"
            )

    def _morph(
        self, primitive: Primitive, weights: list[float], used: np.ndarray
    ) -> np.ndarray | float:
        """Offsets that the morph targets add to the positions."""
        total = np.zeros((len(used), 3))
        for weight, target in zip(weights, primitive.targets, strict=False):
            if not weight:
                continue
            if any(name not in ("POSITION", "NORMAL", "TANGENT") for name in target):
                self.remarks["morphed colours"] = None
            if "POSITION" in target:
                moved = self.store.array(target["POSITION"], "VEC3")
                if len(used) and used.max() >= len(moved):
                    raise DataError(f"a morph target has {len(moved)} entries, fewer than POSITION")
                total += weight * moved[used]
        return total

    def _joints(self, skin: Skin, worlds: np.ndarray) -> np.ndarray:
        """Matrices of a skin's joints, which place its vertices in the scene."""
        if not skin.joints or max(skin.joints) >= len(worlds):
            raise DataError("a skin asks for joints that are not there")
        places = worlds[skin.joints]
        if skin.inverse_bind_matrices is None:
            return places
        bound = self.store.array(skin.inverse_bind_matrices, "MAT4")
        if len(bound) < len(places):
            raise DataError(f"a skin has {len(bound)} bind matrices for {len(places)} joints")
        return places @ bound[: len(places)].reshape(-1, 4, 4).swapaxes(1, 2)

    def _skinned(
        self, primitive: Primitive, vertices: np.ndarray, joints: np.ndarray, used: np.ndarray
    ) -> np.ndarray:
        """Vertices moved by their joints; the mesh's own node has no effect."""
        homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
        total, sum_of_weights = np.zeros((len(vertices), 3)), np.zeros((len(vertices), 1))
        if "JOINTS_0" not in primitive.attributes or "WEIGHTS_0" not in primitive.attributes:
            raise DataError("a skinned part has no joints or weights")
        for number in range(8):
            names = f"JOINTS_{number}", f"WEIGHTS_{number}"
            if not all(name in primitive.attributes for name in names):
                break
            which = self._attribute(primitive, names[0], "VEC4", used, whole=True)
            weights = self._attribute(primitive, names[1], "VEC4", used)
            if len(which) and which.max() >= len(joints):
                raise DataError(f"a vertex asks for joint {which.max()} of {len(joints)}")
            for k in range(4):
                moved = np.einsum("vij,vj->vi", joints[which[:, k], :3], homogeneous)
                total += weights[:, k, None] * moved
                sum_of_weights += weights[:, k, None]
        bare = sum_of_weights[:, 0] <= 0
        if bare.any():
            self.remarks["weights of some vertices, which hang on their first joint"] = None
            which = self._attribute(primitive, "JOINTS_0", "VEC4", used, whole=True)[bare, 0]
            total[bare] = np.einsum("vij,vj->vi", joints[which, :3], homogeneous[bare])
            sum_of_weights[bare] = 1
        return total / sum_of_weights

    def _instances(self, node: Node) -> np.ndarray:
        """Matrices of a node's copies, in the node's axes."""
        attributes = node.extensions.instancing.attributes
        shapes = {"TRANSLATION": "VEC3", "ROTATION": "VEC4", "SCALE": "VEC3"}
        found = {
            name: self.store.array(attributes[name], shape)
            for name, shape in shapes.items()
            if name in attributes
        }
        counts = {len(values) for values in found.values()}
        if len(counts) != 1:
            raise DataError("its instances differ in number")
        (count,) = counts
        return _matrices(
            found.get("TRANSLATION", np.zeros((count, 3))),
            found.get("ROTATION", np.tile([0.0, 0, 0, 1], (count, 1))),
            found.get("SCALE", np.ones((count, 3))),
        )


def _placed(part: Part, place: np.ndarray) -> Part:
    """A part transformed by a matrix, with faces flipped if that mirrors it."""
    vertices = part.vertices @ place[:3, :3].T + place[:3, 3]
    if np.linalg.det(place[:3, :3]) >= 0:
        return replace(part, vertices=vertices)
    turned = {
        name: None if value is None else value[:, ::-1]
        for name in ("faces", "rgba", "uv", "glow_uv")
        for value in [getattr(part, name)]
    }
    return replace(part, vertices=vertices, **turned)


def _matrices(translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Matrices `n 4 4` of translations, quaternions (x, y, z, w) and scales."""
    length = np.linalg.norm(rotation, axis=-1, keepdims=True)
    rotation = np.where(length > 0, rotation, [0.0, 0, 0, 1])
    matrices = np.tile(np.eye(4), (len(translation), 1, 1))
    matrices[:, :3, :3] = Rotation.from_quat(rotation).as_matrix() * scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices


def _locals(nodes: list[Node]) -> np.ndarray:
    matrices = _matrices(
        np.array([node.translation for node in nodes], float).reshape(-1, 3),
        np.array([node.rotation for node in nodes], float).reshape(-1, 4),
        np.array([node.scale for node in nodes], float).reshape(-1, 3),
    )
    for index, node in enumerate(nodes):
        if node.matrix is not None:
            matrices[index] = np.reshape(node.matrix, (4, 4)).T
    return matrices


def _worlds(nodes: list[Node]) -> tuple[np.ndarray, list[int | None]]:
    """Matrices of all nodes in the scene, and every node's parent.

    Raises:
        DataError: If a node is its own descendant, or has two parents.
    """
    if len(nodes) > MOST_NODES:
        raise DataError(f"it has {len(nodes)} nodes, expected at most {MOST_NODES}")
    parents: list[int | None] = [None] * len(nodes)
    for index, node in enumerate(nodes):
        for child in node.children:
            pick(nodes, child, "node")
            if parents[child] is not None:
                raise DataError(f"node {child} has two parents")
            parents[child] = index
    worlds = _locals(nodes) if nodes else np.zeros((0, 4, 4))
    ready = [index for index, parent in enumerate(parents) if parent is None]
    for index in ready:
        for child in nodes[index].children:
            worlds[child] = worlds[index] @ worlds[child]
            ready.append(child)
    if len(ready) < len(nodes):
        raise DataError("a node is its own descendant")
    return worlds, parents


def _shown(gltf: Gltf, parents: list[int | None]) -> list[int]:
    """Visible nodes of the default scene, in the order of the file."""
    if gltf.scenes:
        scene = pick(gltf.scenes, gltf.scene or 0, "scene")
        ready = list(dict.fromkeys(scene.nodes))
    else:
        ready = [index for index, parent in enumerate(parents) if parent is None]
    shown: dict[int, None] = {}
    while ready:
        index = ready.pop()
        node: Node = pick(gltf.nodes, index, "node")
        if index in shown or not node.extensions.visibility.visible:
            continue
        shown[index] = None
        ready.extend(node.children)
    return sorted(shown)

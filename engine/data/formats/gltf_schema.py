"""The JSON of glTF 2.0, as far as it is supported; msgspec checks every type and bound."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from engine.errors import DataError, one_line, plain

MOST_JSON = 64 * 2**20
"""Bytes of a file's JSON."""
MOST_OBJECTS = 1_000_000
"""Objects and lists in it."""
MOST_COMMAS = 4_000_000
"""Commas in it, that is about its values; buffers that it holds as text have none."""

Index = Annotated[int, Meta(ge=0, le=2**31)]
Bytes = Annotated[int, Meta(ge=0, le=2**40)]
Number = Annotated[float, Meta(ge=-1e30, le=1e30)]
Positive = Annotated[float, Meta(ge=0, le=1e6)]
Share = Annotated[float, Meta(ge=0, le=1)]
Vector2 = tuple[Number, Number]
Vector3 = tuple[Number, Number, Number]
Vector4 = tuple[Number, Number, Number, Number]
Colour3 = tuple[Share, Share, Share]
Colour4 = tuple[Share, Share, Share, Share]
Matrix = Annotated[list[Number], Meta(min_length=16, max_length=16)]


class Json(Struct, frozen=True, rename="camel"):
    """An object whose properties have glTF's names."""


class Buffer(Json, frozen=True):
    """Raw data; without a URI, the binary chunk of the file."""

    byte_length: Bytes
    uri: str | None = None


class BufferView(Json, frozen=True):
    """A slice of a buffer."""

    buffer: Index
    byte_length: Bytes
    byte_offset: Bytes = 0
    byte_stride: Annotated[int, Meta(ge=1, le=65536)] | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


class SparseIndices(Json, frozen=True):
    """Rows that a sparse accessor replaces."""

    buffer_view: Index
    component_type: Literal[5121, 5123, 5125]
    byte_offset: Bytes = 0


class SparseValues(Json, frozen=True):
    """Replacement values of a sparse accessor."""

    buffer_view: Index
    byte_offset: Bytes = 0


class Sparse(Json, frozen=True):
    """Replaced rows of an accessor."""

    count: Index
    indices: SparseIndices
    values: SparseValues


class Accessor(Json, frozen=True):
    """A typed array in a buffer view; zeros where it has none."""

    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Index
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    buffer_view: Index | None = None
    byte_offset: Bytes = 0
    normalized: bool = False
    sparse: Sparse | None = None


class Image(Json, frozen=True):
    """A picture, beside the file or in a buffer view."""

    uri: str | None = None
    mime_type: str | None = None
    buffer_view: Index | None = None


class Sampler(Json, frozen=True):
    """Magnification filter and wrap modes of a texture."""

    mag_filter: int | None = None
    wrap_s: Literal[33071, 33648, 10497] = 10497
    wrap_t: Literal[33071, 33648, 10497] = 10497


class TextureSource(Json, frozen=True):
    """A texture's picture in a format of its own."""

    source: Index | None = None


class TextureExtensions(
    Struct,
    frozen=True,
    rename={
        "webp": "EXT_texture_webp",
        "avif": "EXT_texture_avif",
        "basisu": "KHR_texture_basisu",
    },
):
    """Pictures in formats that are not glTF's own."""

    webp: TextureSource | None = None
    avif: TextureSource | None = None
    basisu: TextureSource | None = None


class Texture(Json, frozen=True):
    """A picture and how it is sampled."""

    source: Index | None = None
    sampler: Index | None = None
    extensions: TextureExtensions = TextureExtensions()


class TextureTransform(Json, frozen=True):
    """KHR_texture_transform."""

    offset: Vector2 = (0.0, 0.0)
    rotation: Number = 0.0
    scale: Vector2 = (1.0, 1.0)
    tex_coord: Index | None = None


class TextureInfoExtensions(Struct, frozen=True, rename={"transform": "KHR_texture_transform"}):
    """Transform of texture coordinates."""

    transform: TextureTransform | None = None


class TextureInfo(Json, frozen=True):
    """A texture of a material, and by which coordinates it is looked up."""

    index: Index
    tex_coord: Index = 0
    extensions: TextureInfoExtensions = TextureInfoExtensions()


class Metallic(Json, frozen=True):
    """A material's colour."""

    base_color_factor: Colour4 = (1.0, 1.0, 1.0, 1.0)
    base_color_texture: TextureInfo | None = None


class Glossiness(Json, frozen=True):
    """KHR_materials_pbrSpecularGlossiness: the colour under another name."""

    diffuse_factor: Colour4 = (1.0, 1.0, 1.0, 1.0)
    diffuse_texture: TextureInfo | None = None
    specular_factor: Colour3 = (1.0, 1.0, 1.0)
    specular_glossiness_texture: dict[str, Any] | None = None


class Transmission(Json, frozen=True):
    """KHR_materials_transmission: glass."""

    transmission_factor: Share = 0.0


class EmissiveStrength(Json, frozen=True):
    """KHR_materials_emissive_strength."""

    emissive_strength: Positive = 1.0


class MaterialExtensions(
    Struct,
    frozen=True,
    rename={
        "unlit": "KHR_materials_unlit",
        "glossiness": "KHR_materials_pbrSpecularGlossiness",
        "transmission": "KHR_materials_transmission",
        "strength": "KHR_materials_emissive_strength",
    },
):
    """Extensions of a material that are drawn."""

    unlit: dict[str, Any] | None = None
    glossiness: Glossiness | None = None
    transmission: Transmission | None = None
    strength: EmissiveStrength | None = None


class Material(Json, frozen=True):
    """Appearance of a surface."""

    pbr_metallic_roughness: Metallic = Metallic()
    emissive_factor: Colour3 = (0.0, 0.0, 0.0)
    emissive_texture: TextureInfo | None = None
    normal_texture: dict[str, Any] | None = None
    occlusion_texture: dict[str, Any] | None = None
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: Positive = 0.5
    double_sided: bool = False
    extensions: MaterialExtensions = MaterialExtensions()


class Primitive(Json, frozen=True):
    """Triangles of one material."""

    attributes: dict[str, Index]
    indices: Index | None = None
    material: Index | None = None
    mode: Annotated[int, Meta(ge=0, le=6)] = 4
    targets: list[dict[str, Index]] = field(default_factory=list)
    extensions: dict[str, Any] = field(default_factory=dict)


class Mesh(Json, frozen=True):
    """Primitives, and how far their morph targets are applied."""

    primitives: list[Primitive]
    weights: list[Number] = field(default_factory=list)


class Instancing(Json, frozen=True):
    """EXT_mesh_gpu_instancing: translations, rotations and scales of a node's copies."""

    attributes: dict[str, Index]


class Visibility(Json, frozen=True):
    """KHR_node_visibility."""

    visible: bool = True


class NodeExtensions(
    Struct,
    frozen=True,
    rename={"instancing": "EXT_mesh_gpu_instancing", "visibility": "KHR_node_visibility"},
):
    """Extensions of a node that are drawn."""

    instancing: Instancing | None = None
    visibility: Visibility = Visibility()


class Node(Json, frozen=True):
    """A place in the scene."""

    children: list[Index] = field(default_factory=list)
    mesh: Index | None = None
    skin: Index | None = None
    weights: list[Number] | None = None
    matrix: Matrix | None = None
    translation: Vector3 = (0.0, 0.0, 0.0)
    rotation: Vector4 = (0.0, 0.0, 0.0, 1.0)
    scale: Vector3 = (1.0, 1.0, 1.0)
    extensions: NodeExtensions = NodeExtensions()


class Skin(Json, frozen=True):
    """Joints that move a mesh's vertices."""

    joints: list[Index]
    inverse_bind_matrices: Index | None = None


class Scene(Json, frozen=True):
    """Nodes that are shown together."""

    nodes: list[Index] = field(default_factory=list)


class Asset(Json, frozen=True):
    """Version of the format; glTF 1 may leave it out."""

    version: str | float = "1"


class Gltf(Json, frozen=True):
    """A glTF file."""

    asset: Asset
    scene: Index | None = None
    scenes: list[Scene] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    meshes: list[Mesh] = field(default_factory=list)
    skins: list[Skin] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)
    samplers: list[Sampler] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    accessors: list[Accessor] = field(default_factory=list)
    buffer_views: list[BufferView] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    extensions_used: list[str] = field(default_factory=list)
    extensions_required: list[str] = field(default_factory=list)


class _Header(Json, frozen=True):
    """Header that all versions of glTF share."""

    asset: Asset


def decode(text: bytes) -> Gltf:
    """A file's JSON.

    Raises:
        DataError: With a short description of the fault.
    """
    if len(text) > MOST_JSON:
        raise DataError(f"its JSON has {len(text) >> 20} MB, expected at most {MOST_JSON >> 20}")
    objects, commas = text.count(b"{") + text.count(b"["), text.count(b",")
    if objects > MOST_OBJECTS or commas > MOST_COMMAS:
        raise DataError(
            f"its JSON has {objects:,} objects and lists and {commas:,} commas, expected at most {MOST_OBJECTS:,} and "
            f"{MOST_COMMAS:,}"
        )
    try:
        version = str(msgspec.json.decode(text, type=_Header).asset.version)
        if not version.startswith("2."):
            raise DataError(f"found glTF {plain(version)!r}, expected glTF 2")
        return msgspec.json.decode(text, type=Gltf)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(one_line(error)[:200]) from None


def pick(items: list, index: int, what: str) -> Any:
    """An entry of one of the file's lists.

    Raises:
        DataError: If the list is shorter.
    """
    if index >= len(items):
        raise DataError(f"asks for {what} {index} of {len(items)}")
    return items[index]

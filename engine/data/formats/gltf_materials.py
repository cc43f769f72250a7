"""Materials of glTF: colours, textures and their coordinates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.data.formats.folder import MOST_PICTURE_BYTES, decode_uri
from engine.data.formats.gltf_accessors import Store
from engine.data.formats.gltf_schema import Material as GltfMaterial
from engine.data.formats.gltf_schema import Texture as GltfTexture
from engine.data.formats.gltf_schema import TextureInfo, TextureTransform, pick
from engine.data.formats.part import Alpha, Material, Texture, Wrap
from engine.data.formats.pictures import Pictures
from engine.errors import DataError, plain

WRAPS = {10497: Wrap.REPEAT, 33071: Wrap.CLAMP, 33648: Wrap.MIRROR}
NEAREST = 9728
DIELECTRIC = 0.2
"""Specular colour above which a surface is a metal, which shows a colour of its own in its reflections."""
SEEN_THROUGH = 0.8
"""Transparency of clear glass; the rest stands for its reflections."""


@dataclass(frozen=True, eq=False)
class Look:
    """A material, the linear RGBA factor on its colours, and the coordinates of its textures."""

    material: Material
    factor: np.ndarray
    base: TextureInfo | None = None
    glow: TextureInfo | None = None


@dataclass
class Materials:
    """The materials of a file, made when they are first used.

    Attributes:
        store: The file.
        remarks: Features that are not drawn, in order.
    """

    store: Store
    remarks: dict[str, None]
    pictures: Pictures = field(default_factory=Pictures)
    _looks: dict[int | None, Look] = field(default_factory=dict)

    def look(self, index: int | None) -> Look:
        """A material by its index; None for glTF's default.

        Raises:
            DataError: If the file asks for what it does not hold.
        """
        if index not in self._looks:
            gltf = self.store.gltf
            entry = GltfMaterial() if index is None else pick(gltf.materials, index, "material")
            self._looks[index] = self._make(entry)
        return self._looks[index]

    def _make(self, entry: GltfMaterial) -> Look:
        extensions = entry.extensions
        factor = np.array(entry.pbr_metallic_roughness.base_color_factor)
        info = entry.pbr_metallic_roughness.base_color_texture
        if extensions.glossiness is not None:
            factor = np.array(extensions.glossiness.diffuse_factor)
            info = extensions.glossiness.diffuse_texture
            if max(extensions.glossiness.specular_factor) > DIELECTRIC:
                self.remarks["specular colours"] = None
        alpha = Alpha[entry.alpha_mode]
        if extensions.transmission is not None and extensions.transmission.transmission_factor:
            alpha = Alpha.BLEND
            factor[3] *= 1 - SEEN_THROUGH * extensions.transmission.transmission_factor
            self.remarks["refraction in glass"] = None
        if entry.normal_texture is not None and extensions.unlit is None:
            self.remarks["normal maps"] = None
        if entry.occlusion_texture is not None and extensions.unlit is None:
            self.remarks["occlusion maps"] = None
        strength = extensions.strength.emissive_strength if extensions.strength else 1.0
        glows = any(entry.emissive_factor) and extensions.unlit is None
        glow = entry.emissive_texture if glows else None
        base_texture, glow_texture = (
            None if found is None else self._texture(found.index) for found in (info, glow)
        )
        material = Material(
            base=base_texture,
            glow=tuple(strength * value for value in entry.emissive_factor)
            if glows
            else (0.0, 0.0, 0.0),
            glow_texture=glow_texture,
            alpha=alpha,
            cutoff=entry.alpha_cutoff,
            two_sided=entry.double_sided,
            lit=extensions.unlit is None,
        )
        return Look(
            material, factor, info if base_texture else None, glow if glow_texture else None
        )

    def _texture(self, index: int) -> Texture | None:
        """A texture; None, with a remark, if its picture is not available."""
        gltf = self.store.gltf
        entry: GltfTexture = pick(gltf.textures, index, "texture")
        try:
            picture = self._picture(entry)
        except DataError as error:
            self.remarks[f"a texture ({error})"] = None
            return None
        if entry.sampler is None:
            return Texture(picture)
        sampler = pick(gltf.samplers, entry.sampler, "sampler")
        wrap = WRAPS[sampler.wrap_s], WRAPS[sampler.wrap_t]
        return Texture(picture, wrap, sampler.mag_filter != NEAREST)

    def _picture(self, entry: GltfTexture) -> np.ndarray:
        extensions = entry.extensions
        others = (extensions.webp, extensions.avif)
        source = next((other.source for other in others if other is not None), entry.source)
        if source is None:
            if extensions.basisu is not None:
                raise DataError("KHR_texture_basisu is not read")
            raise DataError("it names no picture that is read")
        uri = pick(self.store.gltf.images, source, "image").uri
        name = f"image {source}" if uri is None or uri.startswith("data:") else plain(uri)
        return self.pictures.get(source, name, lambda: self._bytes(source))

    def _bytes(self, source: int) -> bytes:
        image = pick(self.store.gltf.images, source, "image")
        if image.buffer_view is not None:
            return self.store.bytes_of(image.buffer_view)
        if image.uri is None:
            raise DataError(f"image {source} has no data")
        name, data = decode_uri(image.uri, MOST_PICTURE_BYTES)
        if data is None:
            data = self.store.folder.picture(name)
        if data is None:
            raise DataError(f"{plain(name)} is not there")
        return data


def transformed(uv: np.ndarray, transform: TextureTransform | None) -> np.ndarray:
    """Texture coordinates as KHR_texture_transform moves them: scaled, turned, then shifted."""
    if transform is None:
        return uv
    sine, cosine = np.sin(transform.rotation), np.cos(transform.rotation)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return (uv * np.array(transform.scale)) @ turn.T + np.array(transform.offset)

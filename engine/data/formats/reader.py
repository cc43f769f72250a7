"""Mesh files of every format, by their ending."""

from __future__ import annotations

from engine.data.formats.folder import Folder
from engine.data.formats.gltf import read_gltf
from engine.data.formats.obj import read_obj
from engine.data.formats.part import MeshFile
from engine.data.formats.ply import read_ply
from engine.data.formats.stl import read_stl
from engine.errors import DataError, plain

READERS = {
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
}
WANTED = "GLB, glTF, OBJ, PLY or STL"


def read_mesh(folder: Folder) -> MeshFile:
    """Contents of a mesh file; its ending gives the format.

    Raises:
        DataError: If it is missing, damaged, or requires an unsupported feature.
    """
    name, ending = plain(folder.path), folder.path.suffix.lower()
    if ending not in READERS:
        raise DataError(
            f"{name}: cannot be read as a mesh (found the ending {plain(ending)!r}); expected {WANTED}; save "
            "other formats (OFF, 3MF, DAE, FBX) as GLB, in Blender for example."
        )
    try:
        return READERS[ending](folder)
    except DataError as error:
        if str(error).startswith(name):
            raise
        raise DataError(f"{name}: cannot be read as a mesh ({error}).") from None

"""Mesh files, read strictly: `read_mesh` of `reader` turns GLB, glTF, OBJ, PLY and STL into parts with materials.

Every count, index and size in a file is checked before anything is allocated; files beside the mesh are found by `Folder`
alone, and nothing is ever fetched. A feature that the readers do not support becomes a remark; if the shape would be
wrong without it, the file is refused.
"""

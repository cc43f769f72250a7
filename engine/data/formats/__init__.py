"""Mesh files, read strictly: `read_mesh` of `reader` turns GLB, glTF, OBJ, PLY and STL into parts with materials.

Every count, index and size in a file is checked before anything is allocated; files beside the mesh are found by `Folder`
alone, and nothing is ever fetched. What a file asks for and the readers do not draw becomes a remark, or refuses the file
where its shape would be wrong.
"""

"""Data sets of scenes with posed pictures: generate, read, write, pack. SRN units in files, engine units in `Views`.

Entry points: `procedural.CATEGORIES` (scenes that are built from seeds), `meshes.load_mesh`, `srn.SRNDataset` and
`srn.write_srn`, `srn_check.check_srn`, `write.write_scenes` and `write.write_meshes` (the command line's data sets),
`pack.pack_scenes`, `pack.pack_dataset` and `base.PackedDataset` (what training reads).
"""

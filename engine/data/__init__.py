"""Data: scenes with posed pictures, made, read, written and packed. SRN units in files, engine units in `Views`.

Entry points: `vehicles.build_vehicle` and `vehicles.render_vehicle` (procedural scenes), `meshes.load_mesh`, `srn.SRNDataset`
and `srn.write_srn`, `srn_check.check_srn`, `write.write_vehicles` and `write.write_meshes` (the command line's data sets),
`pack.pack_vehicles`, `pack.pack_dataset` and `base.PackedDataset` (what training reads).
"""

"""Commands of launch.py that explore: one file each, imported before torch is."""

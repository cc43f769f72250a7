"""Commands of launch.py: a file each, imported before torch is."""

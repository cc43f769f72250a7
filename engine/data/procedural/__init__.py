"""Objects built from seeds: vehicles, chairs and tables."""

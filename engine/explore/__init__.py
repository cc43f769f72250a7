"""Work on objects and runs: interpolation, curves, completion, films."""

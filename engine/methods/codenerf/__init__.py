"""CodeNeRF: one network for a category and two codes per scene (2109.01750)."""

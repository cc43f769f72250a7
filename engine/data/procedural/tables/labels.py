"""Part labels of the tables."""

PARTS = (
    "top",
    "leg",
    "apron",
    "drawer",
    "handle",
    "cabinet",
    "shelf",
    "stretcher",
    "base",
    "bench",
    "cloth",
    "decoration",
    "hidden",
)
"""Names of the part labels, in their order."""

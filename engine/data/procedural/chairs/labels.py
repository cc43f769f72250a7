"""Part labels of the chairs."""

PARTS = (
    "seat",
    "back",
    "leg",
    "arm",
    "base",
    "castor",
    "cushion",
    "trim",
    "rocker",
    "hidden",
)
"""Names of the part labels, in their order."""

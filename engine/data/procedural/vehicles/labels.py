"""Part labels of the vehicles."""

PARTS = (
    "body",
    "glass",
    "roof",
    "under",
    "tyre",
    "rim",
    "headlight",
    "taillight",
    "trim",
    "cargo",
    "sign",
)
"""Names of the part labels, in their order."""

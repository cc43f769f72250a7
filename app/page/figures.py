"""Plotly's script for the page's figures, from the installed package."""

from __future__ import annotations

import gzip
from functools import lru_cache


@lru_cache
def script(packed: bool) -> bytes:
    """The script, compressed with gzip (1.5 MB) or not (4.8 MB)."""
    from plotly.offline import get_plotlyjs  # slow to import, and not wanted before a figure is

    plain = get_plotlyjs().encode()
    return gzip.compress(plain, 6) if packed else plain

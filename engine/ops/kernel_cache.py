"""Compiled kernels on disk.

Numba keeps them beside the sources, and notices when the file of a kernel changes, but not when a file does whose
functions were compiled into it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

ENGINE = Path(__file__).parents[1]
SOURCES = ("*_fast.py", "lanes.py")
"""Files whose functions are compiled."""
STAMP = "kernels.digest"


def drop_stale(root: Path = ENGINE) -> bool:
    """Forget all compiled kernels below `root` if any of their sources changed since the last call.

    Returns whether anything had changed. Where the folder cannot be written there is no cache beside it either.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for pattern in SOURCES for path in root.rglob(pattern)):
        digest.update(path.read_bytes())
    stamp = root / "__pycache__" / STAMP
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return False
    try:
        for compiled in root.rglob("__pycache__/*.nb[ic]"):
            compiled.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest())
    except OSError:
        return True
    return True

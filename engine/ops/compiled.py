"""When compiled kernels may be used, and torch stands in for them.

Numba takes seconds to compile a kernel and a third of one to load it from its cache. Programs without an audience wait
for that. One with an audience calls `postpone` first and prepares the kernels in a thread of its own: until they are
ready, every other thread goes without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_missing = False
_thread: int | None = None


def usable() -> bool:
    """Whether the caller may use compiled kernels now; if not, torch computes the same."""
    return not _missing or _thread == threading.get_ident()


def postpone() -> None:
    """Let everybody go without kernels until a `preparing` block has ended."""
    global _missing
    _missing = True


@contextmanager
def preparing() -> Iterator[None]:
    """Use kernels in this block, and let all other threads go without until it has ended well."""
    global _missing, _thread
    with _lock:
        postpone()
        _thread = threading.get_ident()
        try:
            yield
        finally:
            _thread = None
        _missing = False

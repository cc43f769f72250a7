"""Kernels that are still being compiled: torch draws frames meanwhile, and runs wait.

Numba takes seconds to compile a kernel and half a second to load it from its cache. Commands and the trainer pay for that
in the first call of each kernel. A server calls `postpone` first and prepares the kernels in threads of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Kind = Literal["frames", "samples", "fits"]
"""Use of a kernel: images without gradients, sampling, or all that fitting and training need besides."""
KINDS: tuple[Kind, ...] = get_args(Kind)

_missing: set[Kind] = set()
_failed: set[Kind] = set()
_preparing: dict[Kind, int] = {}
_changed = threading.Condition()


def usable() -> bool:
    """True if the caller may draw frames with kernels now; if not, torch computes the same up to rounding."""
    return "frames" not in _missing | _failed or _preparing.get("frames") == threading.get_ident()


def pending() -> bool:
    """True if the kernels of frames are not prepared yet."""
    return "frames" in _missing


def wait(kinds: Collection[Kind], timeout_s: float) -> bool:
    """True once none of these is to be prepared any more; sleeps for that, at most `timeout_s` seconds."""
    with _changed:
        return _changed.wait_for(lambda: _missing.isdisjoint(kinds), timeout_s)


def postpone() -> None:
    """Let frames go without kernels, and runs wait for them, until they have been prepared."""
    _missing.update(KINDS)


@contextmanager
def preparing(kind: Kind) -> Iterator[None]:
    """Compile kernels in this block; those of frames are used by this thread alone until it has ended well.

    Where it ends badly, frames go without kernels for good, and runs compile on first use.
    """
    _missing.add(kind)
    _preparing[kind] = threading.get_ident()
    _failed.discard(kind)
    try:
        yield
    except BaseException:
        _failed.add(kind)
        raise
    finally:
        del _preparing[kind]
        with _changed:
            _missing.discard(kind)
            _changed.notify_all()

"""When compiled kernels may be used, and torch stands in for them.

Numba takes seconds to compile a kernel and half a one to load it from its cache. Programs without an audience wait for
that. One with an audience calls `postpone` first and prepares the kernels in threads of their own: until they are
ready, every other thread goes without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Kind = Literal["frames", "fits"]
"""What kernels are for: pictures without gradients, or sampling, fitting and training."""

_missing: set[Kind] = set()
_preparing: dict[Kind, int] = {}
_given_up: set[Kind] = set()


def usable(kind: Kind) -> bool:
    """Whether the caller may use compiled kernels now; if not, torch computes the same."""
    return kind not in _missing or _preparing.get(kind) == threading.get_ident()


def pending(kind: Kind) -> bool:
    """Whether kernels that are not usable now will be."""
    return kind in _missing and kind not in _given_up


def postpone() -> None:
    """Let everybody go without kernels until they have been prepared."""
    _missing.update(("frames", "fits"))


@contextmanager
def preparing(kind: Kind) -> Iterator[None]:
    """Use kernels in this block, and let all other threads go without until it has ended well.

    Where it ends badly they go without for good.
    """
    _missing.add(kind)
    _preparing[kind] = threading.get_ident()
    _given_up.discard(kind)
    try:
        yield
    except BaseException:
        _given_up.add(kind)
        raise
    finally:
        del _preparing[kind]
    _missing.discard(kind)

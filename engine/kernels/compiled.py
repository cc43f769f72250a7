"""When compiled kernels may be used, and torch stands in for them.

Numba takes seconds to compile a kernel and half a one to load it from its cache. Programs without an audience wait for
that. One with an audience calls `postpone` first and prepares the kernels in threads of their own: until they are
ready, every other thread goes without. What must come out the same again bit for bit says `without`, so that nothing
changes in its midst.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Kind = Literal["frames", "fits"]
"""What kernels are for: pictures without gradients, or sampling, fitting and training."""

_missing: set[Kind] = set()
_preparing: dict[Kind, int] = {}
_given_up: set[Kind] = set()
_decided = threading.local()


def usable(kind: Kind) -> bool:
    """True if the caller may use compiled kernels now; if not, torch computes the same but for rounding."""
    unused = getattr(_decided, "unused", None)
    if unused is not None:
        return kind not in unused and kind not in _given_up
    return kind not in _missing or _preparing.get(kind) == threading.get_ident()


def pending(kind: Kind) -> bool:
    """True if kernels that are not usable now will be."""
    return kind in _missing and kind not in _given_up


def unusable() -> tuple[Kind, ...]:
    """Which kernels the caller may not use now."""
    return tuple(kind for kind in get_args(Kind) if not usable(kind))


@contextmanager
def without(kinds: Collection[Kind]) -> Iterator[None]:
    """Use all kernels but these in this block and thread, whatever others prepare meanwhile.

    One that is not prepared yet is waited for; one whose preparation failed is not used.
    """
    before = getattr(_decided, "unused", None)
    _decided.unused = frozenset(kinds)
    try:
        yield
    finally:
        _decided.unused = before


def postpone() -> None:
    """Let everybody go without kernels until they have been prepared."""
    _missing.update(get_args(Kind))


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

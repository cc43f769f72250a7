"""Availability of compiled kernels; torch stands in for those that may not be used yet.

Numba takes seconds to compile a kernel and half a second to load it from its cache. Batch programs wait for that. An
interactive program calls `postpone` first and prepares the kernels in background threads; until they are ready, all
other threads use torch. A run whose result must repeat bit for bit fixes its choice of kernels with `without`, so that
it does not change half way.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Kind = Literal["frames", "fits"]
"""Purpose of kernels: pictures without gradients, or sampling, fitting and training."""

_missing: set[Kind] = set()
_preparing: dict[Kind, int] = {}
_given_up: set[Kind] = set()
_decided = threading.local()


def usable(kind: Kind) -> bool:
    """True if the caller may use compiled kernels now; torch computes the same up to rounding."""
    unused = getattr(_decided, "unused", None)
    if unused is not None:
        return kind not in unused and kind not in _given_up
    return kind not in _missing or _preparing.get(kind) == threading.get_ident()


def pending(kind: Kind) -> bool:
    """True if kernels that are not usable now will be."""
    return kind in _missing and kind not in _given_up


def unusable() -> tuple[Kind, ...]:
    """Kinds of kernels that the caller may not use now."""
    return tuple(kind for kind in get_args(Kind) if not usable(kind))


@contextmanager
def without(kinds: Collection[Kind]) -> Iterator[None]:
    """Use all kernels except these in this block and thread, whatever other threads prepare meanwhile.

    A kernel that is not ready yet is waited for; one whose preparation failed is not used.
    """
    before = getattr(_decided, "unused", None)
    _decided.unused = frozenset(kinds)
    try:
        yield
    finally:
        _decided.unused = before


def postpone() -> None:
    """Let all threads use torch until the kernels have been prepared."""
    _missing.update(get_args(Kind))


@contextmanager
def preparing(kind: Kind) -> Iterator[None]:
    """Use kernels in this block; all other threads use torch until it has ended without an exception.

    After an exception they use torch from then on.
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

"""The explorer's first step, which speeds up the imports that follow. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
import threading

LIBRARIES = ("libtorch_cpu.so", "libtorch_python.so")
"""torch's largest libraries. Linking them is a fifth of its import and needs no Python."""
M_ARENA_MAX = -8
"""glibc's `mallopt` parameter for the number of arenas."""
TURN_S = 5e-4
"""Longest turn of a thread while everything is imported, seconds."""
USUAL_TURN_S = sys.getswitchinterval()


def preload() -> None:
    """Until `settle`, disable garbage collection and let threads switch often; link torch's libraries meanwhile."""
    gc.disable()
    sys.setswitchinterval(TURN_S)
    threading.Thread(target=_link, name="link", daemon=True).start()


def settle() -> None:
    """After all imports: exclude existing objects, which live on, from garbage collection, and enable it again."""
    sys.setswitchinterval(USUAL_TURN_S)
    gc.freeze()
    gc.enable()


def _link() -> None:
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or os.name != "posix":
        return
    folder = os.path.join(os.path.dirname(torch.origin), "lib")
    link = ctypes.CDLL(None).dlopen  # unlike `CDLL` itself, a call of it lets other threads run
    link.restype, link.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name in LIBRARIES:
        link(os.path.join(folder, name).encode(), os.RTLD_LAZY)


def limit_arenas() -> None:
    """Limit glibc's malloc to two arenas instead of several per core.

    Otherwise memory of a visitor's runs stays fragmented among the arenas after the visitor has left.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 2)

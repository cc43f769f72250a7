"""The first thing the explorer does: what makes the imports that follow shorter. Standard library only."""

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
"""glibc's name for the number of places that memory is given out from."""
TURN_S = 5e-4
"""How long a thread may keep the others waiting while everything is imported."""
USUAL_TURN_S = sys.getswitchinterval()


def preload() -> None:
    """Until `settle`, let the collector rest and threads take short turns; link torch's libraries meanwhile."""
    gc.disable()
    sys.setswitchinterval(TURN_S)
    threading.Thread(target=_link, name="link", daemon=True).start()


def settle() -> None:
    """Once all is imported: what lives now lives on, so that the collector need never look at it again."""
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
    """Let the C library keep freed memory in two places instead of two for every thread, where it can (glibc).

    Otherwise what a visitor's runs took stays in pieces all over them when the visitor has left.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 2)

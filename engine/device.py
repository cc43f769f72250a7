"""Devices of this machine, by name."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from engine.errors import ConfigError


def pick_device(name: str) -> str:
    """`cpu` or `cuda`.

    Args:
        name: `cpu`, `cuda`, or `auto`: a GPU where there is one.

    Raises:
        ConfigError: If it is none of these, or there is no GPU.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name != "cpu" and not (name == "cuda" and available):
        raise ConfigError(
            f"Found --device {name}, expected auto, cpu, or cuda where torch finds a GPU; use --device cpu."
        )
    return name


def network_dtype(device: torch.device | str) -> torch.dtype | None:
    """Precision of trained networks: bfloat16 where the device multiplies in it natively, None for float32."""
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if native else None


@lru_cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def runs_triton(tensor: Tensor) -> bool:
    """True if the Triton kernels can work on a tensor: float32 on a GPU, with the compiler installed."""
    return tensor.is_cuda and tensor.dtype == torch.float32 and _has_triton()


def trim_memory() -> None:
    """Give memory that nothing uses any more back to the system, where the C library can (glibc).

    Latents of runs are smaller than the blocks that glibc maps one by one, so freed ones would stay with the process.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)

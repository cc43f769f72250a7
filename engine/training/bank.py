"""The scene bank: the latent records of all training scenes, in CPU memory or on a GPU that has room for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from engine.methods.optimise import LatentRecords


class SceneBank:
    """Records of all training scenes.

    Args:
        records: The records to begin with.
        half: True to keep latents in float16 and Adam's moments in bfloat16, which halves the memory; `fetch` returns
            float32 all the same. Source: the official `cache_16bit`.
    """

    def __init__(self, records: LatentRecords, *, half: bool = False):
        if half:
            records = replace(
                records,
                raw=narrowed(records.raw, torch.float16),
                first_moment=narrowed(records.first_moment, torch.bfloat16),
                second_moment=narrowed(records.second_moment, torch.bfloat16),
            )
        self.records = records

    def fetch(self, scenes: Int[Tensor, " batch"], device: torch.device | str) -> LatentRecords:
        """Copies of the records of some scenes, on `device`."""
        parts = {name: all_[scenes].to(device) for name, all_ in self.records.tensors().items()}
        for name in ("raw", "first_moment", "second_moment"):
            parts[name] = parts[name].float()
        return LatentRecords(**parts)

    def store(self, scenes: Int[Tensor, " batch"], records: LatentRecords) -> None:
        """Write records back."""
        values = records.tensors()
        for name, stored in self.records.tensors().items():
            stored[scenes] = narrowed(values[name].detach().to(stored.device), stored.dtype)

    def state_dict(self) -> dict[str, Tensor]:
        """All records, for resuming."""
        return self.records.tensors()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        for name, stored in self.records.tensors().items():
            stored.copy_(state[name])


def narrowed(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in another precision, clamped to what it can hold."""
    if dtype.is_floating_point and dtype != values.dtype:
        limits = torch.finfo(dtype)
        values = values.clamp(limits.min, limits.max)
    return values.to(dtype)

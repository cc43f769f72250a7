"""The scene bank: the latent records of all training scenes, in CPU memory or on a GPU that has room for them."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from jaxtyping import Int
from torch import Tensor

from engine.methods.optimise import LatentRecords


class SceneBank:
    """Records of all training scenes.

    Args:
        records: The records to begin with.
        half: Whether latents are kept in float16 and Adam's moments in bfloat16, which halves the memory; what is
            fetched is float32 all the same. Source: the official `cache_16bit`.
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
        parts = {
            f.name: getattr(self.records, f.name)[scenes].to(device) for f in fields(LatentRecords)
        }
        for name in ("raw", "first_moment", "second_moment"):
            parts[name] = parts[name].float()
        return LatentRecords(**parts)

    def store(self, scenes: Int[Tensor, " batch"], records: LatentRecords) -> None:
        """Write records back."""
        for f in fields(LatentRecords):
            stored = getattr(self.records, f.name)
            values = getattr(records, f.name).detach().to(stored.device)
            stored[scenes] = narrowed(values, stored.dtype)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, for resuming."""
        return {f.name: getattr(self.records, f.name) for f in fields(LatentRecords)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """What `state_dict` returned."""
        for f in fields(LatentRecords):
            getattr(self.records, f.name).copy_(state[f.name])


def narrowed(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in another precision, clamped to what it can hold."""
    if dtype.is_floating_point and dtype != values.dtype:
        limits = torch.finfo(dtype)
        values = values.clamp(limits.min, limits.max)
    return values.to(dtype)

"""The scene bank: the latent records of all training scenes, in CPU memory."""

from __future__ import annotations

from dataclasses import fields

import torch
from jaxtyping import Int
from torch import Tensor

from engine.methods.latents import LatentRecords


class SceneBank:
    """Records of all training scenes."""

    def __init__(self, records: LatentRecords):
        self.records = records

    def fetch(self, scenes: Int[Tensor, " batch"], device: torch.device | str) -> LatentRecords:
        """Copies of the records of some scenes, on `device`."""
        parts = {
            f.name: getattr(self.records, f.name)[scenes].to(device) for f in fields(LatentRecords)
        }
        return LatentRecords(**parts)

    def store(self, scenes: Int[Tensor, " batch"], records: LatentRecords) -> None:
        """Write records back."""
        for f in fields(LatentRecords):
            stored = getattr(self.records, f.name)
            stored[scenes] = getattr(records, f.name).detach().to(stored)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, for resuming."""
        return {f.name: getattr(self.records, f.name) for f in fields(LatentRecords)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """What `state_dict` returned."""
        for f in fields(LatentRecords):
            getattr(self.records, f.name).copy_(state[f.name])

"""A model between two, of which one was trained on from the other.

Source: Robust fine-tuning (2109.01903).
"""

from __future__ import annotations

import torch

from engine.errors import CheckpointError
from engine.methods.base import Method


@torch.no_grad()
def blend(first: Method, second: Method, share: float) -> Method:
    """The second prior with all weights and latent statistics moved towards the first's.

    Args:
        first: A prior.
        second: One of the same networks; changed in place.
        share: Of the second, 0 to 1.

    Raises:
        CheckpointError: If the networks differ in shape or the share is outside its range.
    """
    if type(first) is not type(second) or first.config != second.config:
        raise CheckpointError(
            f"{second.checkpoint}: its networks differ from those of {first.checkpoint}; "
            "blend a prior with what was trained from it."
        )
    if not 0 <= share <= 1:
        raise CheckpointError(f"Found a share of {share}, expected 0 to 1.")
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    for theirs, ours in pairs:
        ours.lerp_(theirs, 1 - share)
    for name in ("mean_latent", "directions"):
        setattr(second, name, torch.lerp(getattr(first, name), getattr(second, name), share))
    return second

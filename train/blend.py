"""`python -m train.blend A B --share S --out C`: a prior between two, of which one was trained on from the other.

Weights of a network and of its finetuned descendant can be averaged: the blend keeps most of what the first knows of its
own data and most of what the second learned of others (Wortsman et al., Robust fine-tuning, 2109.01903).
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from engine.errors import CheckpointError
from engine.methods.base import Method
from engine.store.checkpoint import find_checkpoint, open_checkpoint, save_checkpoint
from train.ending import ended


@dataclass(frozen=True)
class BlendOptions:
    """Average the weights of a prior and of its finetuned descendant."""

    first: tyro.conf.Positional[str]
    """Name or folder of the prior."""
    second: tyro.conf.Positional[str]
    """Name or folder of what was trained from it; its settings and gallery are kept."""
    out: Path
    """Folder of the blend."""
    share: float = 0.5
    """Of the second one, 0 to 1."""


def main(argv: list[str] | None = None) -> int:
    """Blend and write. Returns the exit code."""
    options = tyro.cli(BlendOptions, args=argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return ended(lambda: _blend(options))


def _blend(options: BlendOptions) -> None:
    folders = [find_checkpoint(options.first), find_checkpoint(options.second)]
    method = blend(*(open_checkpoint(folder) for folder in folders), options.share)
    names = [folder.name for folder in folders]
    save_checkpoint(options.out, method, provenance={"blend": names, "share": options.share})
    logging.info("wrote %s", options.out)


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


if __name__ == "__main__":
    sys.exit(main())

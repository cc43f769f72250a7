"""Randomness: every draw is a pure function of (seed, stage, step, name).

Runs repeat, branches agree with their trunk, and resuming needs no generator state. Draws are made on the CPU and
moved, so that a seed means the same noise with and without a GPU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """A source of randomness named by one integer."""

    seed: int

    def batch(self, count: int) -> BatchNoise:
        """One source per item: item k draws what `Noise(seed + k)` would."""
        return BatchNoise(tuple(self.seed + k for k in range(count)))

    def shared(self, count: int) -> BatchNoise:
        """The same source for every item."""
        return BatchNoise((self.seed,) * count)

    def generator(self, stage: str, step: int = 0) -> torch.Generator:
        """The CPU generator of one place: always in the same state for the same arguments."""
        digest = hashlib.blake2b(f"{self.seed}/{stage}/{step}".encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)

    def normal(self, shape: Sequence[int], stage: str, step: int = 0, *, device="cpu") -> Tensor:
        """Standard normal draws."""
        return torch.randn(*shape, generator=self.generator(stage, step)).to(device)

    def uniform(self, shape: Sequence[int], stage: str, step: int = 0, *, device="cpu") -> Tensor:
        """Draws from [0, 1)."""
        return torch.rand(*shape, generator=self.generator(stage, step)).to(device)

    def integers(
        self, low: int, high: int, shape: Sequence[int], stage: str, step: int = 0, *, device="cpu"
    ) -> Tensor:
        """Whole numbers from [low, high)."""
        draws = torch.randint(low, high, tuple(shape), generator=self.generator(stage, step))
        return draws.to(device)

    def permutation(self, count: int, stage: str, step: int = 0) -> Tensor:
        """The numbers 0 .. count-1 in random order."""
        return torch.randperm(count, generator=self.generator(stage, step))

    def pixels(self, total: int, count: int, chunk: int, stage: str, step: int = 0) -> Tensor:
        """The `chunk`-th `count` numbers of a random order of 0 .. total-1.

        All of them in order where `count >= total`; wraps around after the last whole chunk. Where a chunk is less
        than a sixteenth of the whole the draws are independent, which spares the permutation and repeats a number so
        rarely that nothing is lost.
        """
        if count >= total:
            return torch.arange(total)
        if count * 16 < total:
            return self.integers(0, total, (count,), f"{stage}/{chunk}", step)
        chunk %= total // count
        return self.permutation(total, stage, step)[chunk * count : (chunk + 1) * count]


@dataclass(frozen=True)
class BatchNoise:
    """One source per item of a batch: item i draws what `Noise(seeds[i])` would, whatever the batch around it."""

    seeds: tuple[int, ...]

    def _stack(self, shape: Sequence[int], draw) -> Tensor:
        if shape[0] != len(self.seeds):
            raise ValueError(
                f"found a batch of {shape[0]}, expected {len(self.seeds)}, one per seed"
            )
        return torch.cat([draw(Noise(seed), (1, *shape[1:])) for seed in self.seeds])

    def normal(self, shape: Sequence[int], stage: str, step: int = 0, *, device="cpu") -> Tensor:
        """Standard normal draws, item by item."""
        return self._stack(shape, lambda noise, one: noise.normal(one, stage, step, device=device))

    def integers(
        self, low: int, high: int, shape: Sequence[int], stage: str, step: int = 0, *, device="cpu"
    ) -> Tensor:
        """Whole numbers from [low, high), item by item."""
        return self._stack(
            shape, lambda noise, one: noise.integers(low, high, one, stage, step, device=device)
        )

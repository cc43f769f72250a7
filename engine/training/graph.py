"""Training iterations on a GPU as CUDA graphs: an iteration's few thousand small kernels are launched at once.

Everything that an iteration reads lies on the GPU: pictures as bytes, the scene bank, and the random draws, which
threads make ahead on the CPU (so that a seed means the same with and without a GPU) and which arrive in one copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.data.base import PackedDataset
from engine.methods.training import Trainable
from engine.noise import Noise
from engine.training.bank import SceneBank
from engine.types import Camera, SceneBatch

WARM_UP = 3
"""Iterations of a kind that run before it is captured: they compile kernels and make the optimisers' state."""
AHEAD = 6
"""Iterations whose random numbers are drawn ahead."""
DRAWERS = 3
"""Threads that compute them."""
ALIGNMENT = 256
"""Bytes between the starts of two draws, as a multiple."""

Draw = tuple
"""A method of `Noise` and its arguments."""


@dataclass(frozen=True)
class Tape(Noise):
    """Noise whose draws come from a given source, by method and arguments."""

    source: Callable[[Draw], Tensor] = field(kw_only=True)

    def normal(self, shape, stage, step=0, *, device="cpu"):
        """Standard normal draws."""
        return self.source(("normal", tuple(shape), stage, step)).to(device)

    def uniform(self, shape, stage, step=0, *, device="cpu"):
        """Draws from [0, 1)."""
        return self.source(("uniform", tuple(shape), stage, step)).to(device)

    def integers(self, low, high, shape, stage, step=0, *, device="cpu"):
        """Whole numbers from [low, high)."""
        return self.source(("integers", low, high, tuple(shape), stage, step)).to(device)

    def pixels(self, total, count, chunk, stage, step=0):
        """A chunk of a random order of pixels."""
        return self.source(("pixels", total, count, chunk, stage, step))


def _make(seed: int, draw: Draw) -> Tensor:
    return getattr(Noise(seed), draw[0])(*draw[1:])


class Draws:
    """The draws of one kind of iteration in one block of GPU memory.

    Args:
        examples: Every draw of such an iteration, with an example of its result.
        seed_of: The seed of each iteration's noise.
        device: The GPU.
        threads: Pool in which draws are computed ahead.
    """

    def __init__(
        self,
        examples: Mapping[Draw, Tensor],
        seed_of: Callable[[int], int],
        device: torch.device,
        threads: ThreadPoolExecutor,
    ):
        self._examples, self._seed_of, self._threads = dict(examples), seed_of, threads
        size = sum(self._room(example) for example in examples.values())
        self._host = torch.empty(
            AHEAD + 1, size, dtype=torch.uint8, pin_memory=device.type == "cuda"
        )
        self._block = torch.empty(size, dtype=torch.uint8, device=device)
        self._pending: dict[int, Future] = {}
        self.views = self._in(self._block)

    @staticmethod
    def _room(example: Tensor) -> int:
        return -(-example.nbytes // ALIGNMENT) * ALIGNMENT

    def _in(self, block: Tensor) -> dict[Draw, Tensor]:
        """Place of each draw in a block of bytes."""
        views, start = {}, 0
        for draw, example in self._examples.items():
            part = block[start : start + example.nbytes]
            views[draw] = part.view(example.dtype).view(example.shape)
            start += self._room(example)
        return views

    def _fill(self, step: int) -> None:
        seed = self._seed_of(step)
        for draw, view in self._in(self._host[step % len(self._host)]).items():
            view.copy_(_make(seed, draw))

    def load(self, step: int) -> None:
        """Copy an iteration's draws to the GPU, and start computing those of later ones."""
        if (
            step not in self._pending
        ):  # a jump: what is still being made shares the new ones' places
            for future in self._pending.values():
                future.result()
            self._pending.clear()
        for later in range(step, step + AHEAD + 1):
            if later not in self._pending:
                self._pending[later] = self._threads.submit(self._fill, later)
        self._pending.pop(step).result()
        self._block.copy_(self._host[step % len(self._host)], non_blocking=True)


@dataclass
class _Held:
    """State of one kind of iteration: its recorded draws during warm-up, then its graph."""

    scenes: Int[Tensor, " batch"]
    runs: int = 0
    examples: dict[Draw, Tensor] = field(default_factory=dict)
    draws: Draws | None = None
    graph: torch.cuda.CUDAGraph | None = None
    names: tuple[str, ...] = ()
    values: Float[Tensor, " numbers"] | None = None


class GraphedTraining:
    """Iterations of training on a GPU. See `possible`.

    Args:
        method: The method to train.
        bank: The scene bank, on the GPU.
        optimizers: Optimisers of the method's parameter groups; capturable, with rates that are tensors.
        options: The method's training settings.
        data: The pictures.
        seed_of: The seed of each iteration's noise.
    """

    def __init__(
        self,
        method: Trainable,
        bank: SceneBank,
        optimizers: Mapping[str, torch.optim.Optimizer],
        options: Any,
        data: PackedDataset,
        seed_of: Callable[[int], int],
    ):
        self.data = data
        self._method, self._bank, self._optimizers = method, bank, optimizers
        self._options, self._seed_of = options, seed_of
        device = method.device
        self._images = torch.empty(data.images.shape, dtype=torch.uint8, device=device)
        for scene in range(len(data)):
            self._images[scene] = torch.from_numpy(data.raw(scene)).to(device)
        self._camera = Camera.stack([data.cameras(k) for k in range(len(data))]).to(device)
        self._rate_factor = torch.zeros((), dtype=torch.float64, device=device)
        self._stream = torch.cuda.Stream(device)
        self._threads = ThreadPoolExecutor(DRAWERS, thread_name_prefix="draws")
        self._key: tuple = ()
        self._held: _Held | None = None

    @staticmethod
    def possible(bank: SceneBank | None, data: PackedDataset) -> bool:
        """True if the latents are on a GPU and the pictures fit there."""
        if bank is None or not bank.records.raw.is_cuda:
            return False
        free, _ = torch.cuda.mem_get_info(bank.records.raw.device)
        return data.images.nbytes < free // 2

    def launch(
        self, kind: Hashable, step: int, scenes: Int[Tensor, " batch"], rate_factor: float
    ) -> None:
        """Have the GPU run one iteration and store it in the bank.

        Args:
            kind: Kind of the iteration: see `Trainable.iteration_kind`.
            step: Number of the iteration, from 0.
            scenes: Its scenes, ascending.
            rate_factor: Share of the full rates.
        """
        key, device = (len(scenes), kind), self._method.device
        if self._held is None or key != self._key:
            self._key, self._held = key, _Held(scenes.to(device))
        held = self._held
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            held.scenes.copy_(scenes)
            self._rate_factor.fill_(rate_factor)
            if held.runs < WARM_UP:
                with warnings.catch_warnings():  # Adam would rather be captured from the start
                    warnings.filterwarnings("ignore", message=".*capturable=True")
                    self._learn(held, step, self._listener(held, step))
            else:
                if held.graph is None:
                    self._capture(held, step)
                held.draws.load(step)
                held.graph.replay()
            held.runs += 1
        torch.cuda.current_stream(device).wait_stream(self._stream)

    def numbers(self) -> dict[str, float]:
        """Reported numbers of the last iteration; waits for it."""
        return dict(zip(self._held.names, self._held.values.tolist(), strict=True))

    def _listener(self, held: _Held, step: int) -> Tape:
        """Ordinary noise that records its draws as examples."""
        seed = self._seed_of(step)

        def source(draw: Draw) -> Tensor:
            held.examples[draw] = _make(seed, draw)
            return held.examples[draw]

        return Tape(seed, source=source)

    def _capture(self, held: _Held, step: int) -> None:
        held.draws = Draws(held.examples, self._seed_of, self._method.device, self._threads)
        held.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(held.graph, stream=self._stream):
            self._learn(held, step, Tape(self._seed_of(step), source=held.draws.views.__getitem__))

    def _learn(self, held: _Held, step: int, noise: Noise) -> None:
        """One iteration: fetch, step, store."""
        scenes = held.scenes
        camera = replace(
            self._camera, c2w=self._camera.c2w[scenes], intrinsics=self._camera.intrinsics[scenes]
        )
        batch = SceneBatch(self._images, camera, scenes)
        records = self._bank.fetch(scenes, self._method.device)
        report = self._method.training_step(
            batch, records, self._optimizers, self._options, step, noise, self._rate_factor
        )
        self._bank.store(scenes, records)
        held.names = tuple(report)
        held.values = torch.stack([value.detach().float() for value in report.values()])

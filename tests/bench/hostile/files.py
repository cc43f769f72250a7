"""Scene, run, config, metrics, checkpoint and state files that somebody has changed, read in a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from tests.bench.hostile import mutations
from tests.bench.hostile.outcome import Outcome

PATIENCE_S = 30.0
"""After which a process is ended that does not answer."""


# ------------------------------------------------------------------------- what files are made of


def originals(folder: Path) -> Path:
    """Valid files of every kind, small, in a folder of this name."""
    from app.session import runs
    from engine.files import write_json
    from engine.store.checkpoint import save_checkpoint
    from engine.store.official import save_official
    from engine.store.official_scenes import OfficialScene, save_scene
    from tests.fixtures.saved.make import reconstruction, tiny_method

    method = tiny_method()
    scene = method.scene(method.mean_latent, seed=3, settings={"mode": "ours", "steps": 4})
    scene.save(folder / "scene.safetensors")
    runs.save(reconstruction(method), folder / "run.safetensors")
    save_checkpoint(folder / "checkpoint", method, provenance={"recipe": {"scenes": 4}})
    rate = {"rate": 0.01, "views": [64], "weights": "0c3b74d23bdea2b8"}
    write_json(folder / "checkpoint" / "metrics.json", {"no_prior_rate": rate, "samples": {}})
    save_official(folder / "official.pth", official_method())
    grid = method.mean_latent.new_zeros(8, 8, 8)
    save_scene(folder / "scene.pth", OfficialScene(method.mean_latent, "car", grid, grid > 0))
    train_state().save(folder / "state.pt")
    return folder


def official_method() -> Any:
    """A method of untrained networks with the groups that official files have."""
    import dataclasses

    from engine.methods.ssdnerf.method import SSDNeRF
    from tests.fixtures.saved.make import tiny_method

    config = tiny_method().config
    unet = dataclasses.replace(config.unet, base=32, groups=32)
    return SSDNeRF(dataclasses.replace(config, rows=128, cols=128, unet=unet))


def train_state() -> Any:
    """The state of a tiny training run after a step of its optimisers."""
    import torch

    from engine.methods.ssdnerf.method import TrainOptions
    from engine.training.recipe import LoopOptions, Recipe
    from engine.training.state import TrainState
    from tests.fixtures.saved.make import tiny_method

    loop = LoopOptions(precision="fp32")
    recipe = Recipe("tiny", tiny_method().config, TrainOptions(), loop=loop)
    state = TrainState.fresh(recipe, 2)
    for optimizer in state.optimizers.values():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    return state


KINDS = ("scene", "run", "config", "weights", "metrics", "official", "official scene", "state")


def made(kind: str, valid: Path, folder: Path, random: Random) -> Path:
    """A changed file of a kind, in `folder`, which is empty; or what is no file at all under its name."""
    if kind in ("config", "weights", "metrics"):
        path = (
            shutil.copytree(valid / "checkpoint", folder / "checkpoint")
            / {
                "config": "config.json",
                "weights": "model.safetensors",
                "metrics": "metrics.json",
            }[kind]
        )
        result = path.parent
    else:
        name = {"official scene": "scene.pth", "official": "official.pth", "state": "state.pt"}
        path = result = folder / name.get(kind, f"{kind}.safetensors")
        shutil.copy(valid / path.name, path)
    data = path.read_bytes()
    if random.randrange(40) == 0:
        path.unlink()
        random.choice(NO_FILES)(path)
    elif path.suffix == ".safetensors":
        path.write_bytes(mutations.mutated_tensors(data, random))
    elif path.suffix == ".json":
        text = mutations.mutated_text(data.decode(), random)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    else:
        path.write_bytes(mutations.mutated_pickle(data, random))
    return result


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(20 * 2**30)


NO_FILES: tuple[Callable[[Path], object], ...] = (
    os.mkfifo,
    lambda path: path.mkdir(),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to(path),
    lambda path: path.symlink_to("/proc/self/mem"),
    _sparse,
    lambda path: None,
)


# --------------------------------------------------------------------------------- who reads them


def _page(path: Path) -> None:
    """As the page opens a run or a scene: read, listed, described and drawn."""
    import torch

    from app.session import runs
    from app.tabs.history import cards
    from engine.explore.curves import curves
    from engine.ops.cameras import orbit_camera
    from engine.render.frames import render_views

    timeline, note = runs.load(path)
    record = runs.opened(timeline, note, None, "cpu")
    cards.settings_text(record)
    field = record.method.scene(record.latent(-1), **record.provenance).field
    with torch.no_grad():
        render_views(field, orbit_camera(30.0, 10.0, 1.3, 8))
    if len(record.frames) < 20:
        curves(record.steps(), lambda latent: record.method.scene(latent).field)


def _scene(path: Path) -> None:
    from engine.fields.scene import Scene

    Scene.load(path)
    _page(path)


def _checkpoint(folder: Path) -> None:
    from engine.store.checkpoint import known_rate, open_checkpoint, read_metrics

    method = open_checkpoint(folder)
    read_metrics(folder)
    known_rate(folder, method, (64,))


def _official_scene(path: Path) -> None:
    from engine.ops.activations import TanhLatent
    from engine.store.official_scenes import load_scene

    load_scene(path, TanhLatent())


def _official(path: Path) -> None:
    from engine.store.checkpoint import open_checkpoint

    open_checkpoint(path)


def _state(path: Path) -> None:
    global _own_state
    _own_state = _own_state or train_state()
    _own_state.load(path)


_own_state: Any = None
READERS = {
    "scene": _scene,
    "run": _page,
    "config": _checkpoint,
    "weights": _checkpoint,
    "metrics": _checkpoint,
    "official": _official,
    "official scene": _official_scene,
    "state": _state,
}


def answer(kind: str, path: Path) -> str:
    """Read a file; empty if it was used, else the sentence that refused it.

    Raises:
        AssertionError: If that is not one sentence, safe to print.
        Exception: Of any kind, where the reader broke.
    """
    from engine.errors import EngineError, plain

    try:
        READERS[kind](path)
    except EngineError as error:
        words = str(error)
        assert words.endswith("."), words
        assert words == plain(words, 10_000), f"unsafe to print: {words!r}"
        assert "weights_only" not in words, words
        assert "__init__" not in words, words
        return words
    return ""


# ------------------------------------------------------------------------------------- the process


def _peak_mb() -> float:
    """Largest resident memory of this process since it was last forgotten."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _work(pipe: Any) -> None:
    """Read what comes through a pipe, and say what became of it."""
    import torch

    torch.set_num_threads(1)
    while True:
        kind, path = pipe.recv()
        Path("/proc/self/clear_refs").write_text("5")  # forget the largest resident memory
        started = time.perf_counter()
        try:
            words = answer(kind, path)
            verdict = "refused" if words else "done"
        except BaseException as error:  # whatever it is, it is what this counts
            verdict, words = "internal", f"{type(error).__name__}: {error}"
        pipe.send((verdict, words, time.perf_counter() - started, _peak_mb()))


class Reader:
    """A process that reads files one by one; it is ended and started anew where it does not answer."""

    def __init__(self):
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def read(self, kind: str, path: Path, name: str) -> Outcome:
        """What became of a file."""
        started = time.perf_counter()
        self._pipe.send((kind, path))
        try:
            if not self._pipe.poll(PATIENCE_S):
                raise TimeoutError
            verdict, words, seconds, peak = self._pipe.recv()
        except (TimeoutError, EOFError, ConnectionError) as error:
            self.close()
            self._start()
            gone = "timeout" if isinstance(error, TimeoutError) else "internal"
            return Outcome("files", name, gone, time.perf_counter() - started, 0.0, repr(error))
        return Outcome("files", name, verdict, seconds, peak, words)


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """Read so many changed files; input k of a seed is always the same."""
    with tempfile.TemporaryDirectory() as top, closing(Reader()) as reader:
        valid = originals(Path(top) / "valid")
        for kind in KINDS:  # imports and compiled kernels belong to no input
            path = valid / "checkpoint" if kind in ("config", "weights", "metrics") else None
            names = {"official": "official.pth", "official scene": "scene.pth", "state": "state.pt"}
            path = path or valid / names.get(kind, f"{kind}.safetensors")
            outcome = reader.read(kind, path, f"valid {kind}")
            if outcome.verdict != "done":
                yield outcome
        for k in range(count):
            random = Random(f"{seed}/{k}")
            kind = KINDS[k % len(KINDS)]
            folder = Path(top) / "changed"
            folder.mkdir()
            path = made(kind, valid, folder, random)
            yield reader.read(kind, path, f"{kind} {seed}/{k}")
            shutil.rmtree(folder)

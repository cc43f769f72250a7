"""The numerics of SSDNeRF Explorer, and the full trainer; imports nothing of `app` or `train`.

    from engine import Noise, finish, open_checkpoint

    method = open_checkpoint("vehicles")
    latents = finish(method.generate(1, method.presets["generate"]["ours"], Noise(seed=1)))
    method.scene(latents[0]).save("scene.safetensors")

Slow work is a `Run`: a generator that yields `Step`s and returns its result; `finish` pulls one to its end. Cameras,
units and colour ranges are on one page, `engine.types`. Inside the engine imports go one way:

    types, events, errors, config, noise, files, device, decoding <- ops, images <- diffusion, nets <- fields
    <- scene, render, mesh, video <- methods <- checkpoint, convert, data, training

A method (`engine.methods`) owns its latents, losses and inner loops and reads like its paper; everything that works on
any field (rendering, meshes, export) or on any latent (samplers, checkpoints, the training loop) is shared.
"""

from importlib import import_module

_HOMES = {
    "METHODS": "engine.methods",
    "Camera": "engine.types",
    "EngineError": "engine.errors",
    "Noise": "engine.noise",
    "Run": "engine.events",
    "Scene": "engine.fields.scene",
    "Step": "engine.events",
    "Views": "engine.types",
    "bake": "engine.render.frames",
    "finish": "engine.events",
    "list_checkpoints": "engine.store.checkpoint",
    "open_checkpoint": "engine.store.checkpoint",
}


def __getattr__(name: str):
    """Public names are imported when first used, so that `--help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)

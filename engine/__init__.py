"""The numerics of SSDNeRF Explorer, and the full trainer; imports nothing of `app` or `train`.

    from engine import Noise, finish, open_checkpoint

    method = open_checkpoint("vehicles")
    options = method.presets["generate"]["ours"]
    latents = finish(method.generate(1, options, Noise(seed=1)))
    method.scene(latents[0]).save("scene.safetensors")

Slow work is a `Run`: a generator that yields `Step`s and returns its result; `finish` pulls one to its end. Cameras,
units and colour ranges are on one page, `engine.types`. Inside the engine imports go one way:

    types, events, errors, config, noise, device <- files, reading <- ops <- vision, diffusion <- nets, fields, kernels,
    render <- output <- methods <- store <- explore <- data <- training <- evaluation

A method (`engine.methods`) owns its latents, losses and inner loops and reads like its paper; everything that works on
any field (rendering, meshes, export) or on any latent (samplers, checkpoints, the training loop) is shared.

Words, one for each thing:

    latent       what a method keeps of one object, a tensor of any shape: planes, two codes, a grid; what is rendered
    code         one of CodeNeRF's two latents of an object: its shape's, its texture's
    field        a function from points and directions to density and colour: a latent read by a model's weights
    scene        a field and where it came from; the only thing saved, exported and shown
    model        trained weights with their settings; a prior is a model that gives objects probabilities
    method       a published system: how models are trained and used
    capability   something that a method declares it can do; nothing else is offered
    options      settings of one task, owned by the method; a preset is a named set of them (`ours`, `paper`)
    sample       an object drawn from a model; to sample is to draw one
    render       a picture of a field from a camera; to render is to compute it
    image        pixels in memory; a picture is what a person gives or sees
    completion   an object of which a part was kept and the rest sampled anew
    result       the object at the end of a run
    step, run    one reported piece of slow work; the whole of it, a generator
    noise level  how much of a state is noise: a timestep, EDM's sigma, and for all of them the log signal-to-noise ratio
"""

from importlib import import_module

TITLE = "SSDNeRF Explorer"
"""The project's name for people."""
NAME = "ssdnerf-explorer"
"""Its name in paths and in the formats of its files."""

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

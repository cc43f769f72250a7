"""Checks that a saved scene belongs to a model."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import SceneError
from engine.fields.scene import Scene
from engine.methods.base import Method


def scene_latent(method: Method, scene: Scene, title: str) -> Tensor:
    """The latent of a saved scene, `latent_shape`, on the method's device.

    Args:
        method: The method that is to work on it.
        scene: The saved scene.
        title: The scene's name in errors.

    Raises:
        SceneError: If the method cannot decode the scene: another shape, or another model's decoder.
    """
    latent = scene.field.latent.to(method.mean_latent.device)
    if tuple(latent.shape) != tuple(method.info.latent_shape):
        raise SceneError(
            f"{title}: found a latent of shape {tuple(latent.shape)}, expected {tuple(method.info.latent_shape)} "
            f"as of the model {method.checkpoint}; name the model that made the scene."
        )
    own, theirs = method.scene(latent).field.weights(), scene.field.weights()
    same = own.keys() == theirs.keys() and all(
        torch.equal(own[name].cpu(), theirs[name].cpu()) for name in own
    )
    if not same:
        raise SceneError(
            f"{title}: found a scene of the model {scene.provenance.get('checkpoint')}, whose latents the model "
            f"{method.checkpoint} cannot decode; name the model that made the scene."
        )
    return latent

"""Triplane decoders with their first layer merged into the planes, the form that fused kernels read.

The layer is linear and the lookup bilinear, so the layer can be applied to the texels, once, instead of to every point.
Hidden layers are padded with zeros to a multiple of the kernels' width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from engine.fields.planes import HIDDEN_MULTIPLE
from engine.fields.triplane import TriplaneDecoder
from engine.ops.harmonics import spherical_harmonics


def mergeable(decoder: TriplaneDecoder) -> bool:
    """True if the kernels support a decoder's shape: one layer each for base, density and colour."""
    config = decoder.config
    shallow = all(
        len(widths) == 1
        for widths in (config.base_widths, config.density_widths, config.color_widths)
    )
    plain = (config.activation, config.density_activation) == ("silu", "trunc_exp")
    dropping = bool(config.dropout) and decoder.training
    return shallow and plain and not dropping and config.direction != "concat"


def merged_planes(
    decoder: TriplaneDecoder, triplanes: Float[Tensor, "scenes 3 channels rows cols"]
) -> Float[Tensor, "scenes 3 rows cols hidden"]:
    """Planes times the first layer, without its bias; differentiable."""
    if decoder.scene_base is not None:
        triplanes = triplanes + decoder.scene_base
    if decoder.config.flip_z:
        triplanes = torch.cat([triplanes[:, :1], triplanes[:, 1:].flip(-2)], 1)
    layer = decoder.base[0].weight
    layer = F.pad(layer, (0, 0, 0, -len(layer) % HIDDEN_MULTIPLE)).unflatten(1, (-1, 3))
    merged = triplanes.flatten(3).transpose(2, 3) @ layer.permute(2, 1, 0)
    return merged.unflatten(2, triplanes.shape[-2:])


def merged_heads(decoder: TriplaneDecoder) -> Float[Tensor, " values"]:
    """Bias of the first layer, weights of density and colours (`hidden` each), then their four biases."""
    density, color = decoder.density_head[0], decoder.color_head[0]
    rows = _padded(torch.cat([decoder.base[0].bias[None], density.weight, color.weight]))
    return torch.cat([rows.flatten(), density.bias, color.bias])


def direction_terms(
    decoder: TriplaneDecoder, rays_d: Float[Tensor, "rays 3"]
) -> Float[Tensor, "rays hidden"]:
    """Contribution of each direction to the hidden layer of colour; zero channels if colour ignores directions."""
    if decoder.direction is None:
        return rays_d.new_zeros(len(rays_d), 0)
    return _padded(decoder.direction(spherical_harmonics(rays_d)))


def merged_direction(decoder: TriplaneDecoder) -> Float[Tensor, " values"] | None:
    """The direction's layer as 16 rows of `hidden` weights and one of biases; None if colour ignores directions."""
    if decoder.direction is None:
        return None
    layer = decoder.direction[0]
    return _padded(torch.cat([layer.weight.T, layer.bias[None]])).flatten()


def drawable(decoder: TriplaneDecoder) -> bool:
    """True if the picture kernels support a decoder: it is `mergeable` and has at most one layer for the direction."""
    return mergeable(decoder) and (decoder.direction is None or len(decoder.direction) == 1)


def _padded(rows: Float[Tensor, "n width"]) -> Float[Tensor, "n hidden"]:
    return F.pad(rows, (0, -rows.shape[1] % HIDDEN_MULTIPLE))

"""Accepted messages of viser's client: those that the view needs, with bounds. Does not import viser.

All other messages are dropped, and accepted ones are encoded again, so that nothing else is passed along.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Number = Annotated[float, Meta(ge=-1e6, le=1e6)]
Pair = tuple[Number, Number]
Triple = tuple[Number, Number, Number]
Quaternion = tuple[Number, Number, Number, Number]
Pixels = Annotated[float, Meta(ge=0, le=16384)]
Name = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=4096)]


class _Message(Struct, tag=True, tag_field="type"):
    pass


class ViewerCameraMessage(_Message):
    """The camera's pose: OpenCV axes in the world, radians, pixels of the canvas."""

    wxyz: Quaternion
    position: Triple
    fov: Annotated[float, Meta(ge=0.001, le=3.14)]
    near: Annotated[float, Meta(ge=0, le=1e6)]
    far: Annotated[float, Meta(ge=0, le=1e9)]
    image_height: Pixels
    image_width: Pixels
    look_at: Triple
    up_direction: Triple

    def __post_init__(self):
        if math.hypot(*self.wxyz) < 1e-6:
            raise ValueError("found a rotation of length 0, expected one of length 1")
        self.image_height, self.image_width = round(self.image_height), round(self.image_width)


class LocalStorageGetItemResponseMessage(_Message):
    """The browser's answer to a query, which acknowledges that everything sent before it was shown."""

    value: Text | None
    error: Text | None
    request_uuid: Name


class SceneNodeClickMessage(_Message):
    """A click on a node of the scene."""

    name: Name
    instance_index: Annotated[int, Meta(ge=0, le=1 << 20)] | None
    ray_origin: Triple
    ray_direction: Triple
    screen_pos: Pair
    modifier: Name | None = None
    owner: Name = ""


class TransformControlsUpdateMessage(_Message):
    """A handle is dragged."""

    name: Name
    wxyz: Quaternion
    position: Triple
    owner: Name = ""


class TransformControlsDragStartMessage(_Message):
    """A handle is taken."""

    name: Name
    owner: Name = ""


class TransformControlsDragEndMessage(_Message):
    """A handle is let go."""

    name: Name
    owner: Name = ""


_decoder = msgspec.msgpack.Decoder(
    ViewerCameraMessage
    | LocalStorageGetItemResponseMessage
    | SceneNodeClickMessage
    | TransformControlsUpdateMessage
    | TransformControlsDragStartMessage
    | TransformControlsDragEndMessage
)
_encoder = msgspec.msgpack.Encoder()


def checked(message: bytes) -> bytes | None:
    """A checked message, encoded again for the view's server; None if it is not accepted."""
    try:
        return _encoder.encode(_decoder.decode(message))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None

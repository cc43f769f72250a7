"""What of a browser's messages reaches the view's server."""

from __future__ import annotations

import math

import msgspec
import pytest
from viser import _messages

from app.view.messages import checked
from tests.scripted_viewer import ScriptedViewer, answer

CAMERA = msgspec.msgpack.decode(ScriptedViewer("", "")._camera(3))


def packed(message: object) -> bytes:
    return msgspec.msgpack.encode(message)


def passed(message: object) -> dict | None:
    found = checked(packed(message))
    return None if found is None else msgspec.msgpack.decode(found)


@pytest.mark.parametrize(
    "message",
    [
        CAMERA,
        msgspec.msgpack.decode(answer({"request_uuid": "a"})),
        {"type": "SceneNodeClickMessage", "name": "/inputs/0", "instance_index": None,
         "ray_origin": [0.0, 1.0, 2.0], "ray_direction": [0.0, 0.0, 1.0], "screen_pos": [0.5, 0.5],
         "modifier": None, "owner": ""},
        {"type": "TransformControlsUpdateMessage", "name": "/box/corner_0", "wxyz": [1.0, 0.0, 0.0, 0.0],
         "position": [0.1, 0.2, 0.3], "owner": "s"},
        {"type": "TransformControlsDragStartMessage", "name": "/box/corner_0", "owner": ""},
        {"type": "TransformControlsDragEndMessage", "name": "/box/corner_0", "owner": ""},
    ],
    ids=lambda message: message["type"],
)  # fmt: skip
def test_what_the_view_needs_arrives_as_viser_reads_it(message):
    arrived = passed(message)
    assert arrived == message
    assert _messages.Message.deserialize(packed(arrived)) == _messages.Message.deserialize(
        packed(message)
    )


def test_nothing_else_travels_along():
    assert passed({**CAMERA, "extra": 1}) == CAMERA
    twice = packed(CAMERA)
    assert twice[0] & 0xF0 == 0x80
    share = packed("type") + packed("ShareUrlRequest")
    assert checked(bytes([twice[0] + 1]) + twice[1:] + share) is None


KINDS = [
    kind for kind in vars(_messages) if kind.endswith(("Message", "Request", "Upload", "Disconnect", "Part", "Ack"))
]  # fmt: skip


@pytest.mark.parametrize("kind", sorted({*KINDS, "ShareUrlRequest", "ShareUrlDisconnect"}))
def test_a_kind_alone_is_no_message_and_most_kinds_are_not_for_the_server(kind):
    assert passed({"type": kind}) is None
    assert "ShareUrlRequest" in KINDS


@pytest.mark.parametrize(
    "change",
    [
        {"fov": math.nan},
        {"fov": 0.0},
        {"position": [math.inf, 0, 0]},
        {"position": [1e300, 0, 0]},
        {"position": [0, 0]},
        {"position": "abc"},
        {"wxyz": [0, 0, 0, 0]},
        {"image_height": -1},
        {"image_width": 10**9},
        {"image_width": 10**30},
        {"look_at": None},
    ],
    ids=str,
)
def test_cameras_that_cannot_be(change):
    if change == {"image_width": 10**30}:
        change = {"image_width": 1e30}
    assert passed({**CAMERA, **change}) is None


@pytest.mark.parametrize(
    "message",
    [b"", b"\xc1garbage", b"\x91" * 60_000, b"\x82\xa4type\xa1x\xa1y" + b"\x91" * 60_000, packed([1, 2]),
     packed({"type": "LocalStorageGetItemResponseMessage", "value": "x" * 5000, "error": None, "request_uuid": "a"})],
    ids=["empty", "garbage", "nested", "nested inside", "list", "long"],
)  # fmt: skip
def test_garbage_is_dropped(message):
    assert checked(message) is None

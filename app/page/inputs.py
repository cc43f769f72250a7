"""Components that pass uploaded pictures on undecoded, and keep few of them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio import component_meta
from gradio.components.base import server
from gradio.components.image import ImageData
from gradio.components.image_editor import AcceptBlobs, EditorData, EditorDataBlobs

from app.page.blocks import STRANGE

component_meta.create_or_modify_pyi = lambda *_: None  # it would write a stub beside this file


class Picture(gr.Image):
    """A picture's box that passes the uploaded file on undecoded, for `engine.vision.images` to open."""

    is_template = True

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The file's path, or None if the box is empty."""
        return None if payload is None else payload.path


class Brush(gr.ImageEditor):
    """An image editor that keeps few and small paintings, and decodes none."""

    is_template = True
    MOST_PAINTINGS, MOST_LAYERS = 32, 4
    MOST_BYTES, MOST_KEPT_BYTES = 4 << 20, 64 << 20
    """Most bytes of one picture of a painting, and of all that wait to be taken."""

    def preprocess(self, payload: EditorData | None) -> Any:
        """The first painted layer as a picture file: its bytes or its path; None if nothing was painted."""
        if payload is None:
            return None
        painting = payload if payload.id is None else self.blob_storage.pop(payload.id, None)
        layer = next(
            (one for one in (painting.layers if painting else []) if one is not None), None
        )
        return layer if layer is None or isinstance(layer, bytes) else layer.path

    @server
    def accept_blobs(self, data: AcceptBlobs) -> None:
        """Keep one picture of a painting until the painting is taken.

        Raises:
            gr.Error: If the message is not from the editor.
        """
        told = data.data
        index = str(told.get("index") or "null")
        known = len(data.files) == 1 and len(str(told.get("id", ""))) <= 64 and "type" in told
        if not known or len(data.files[0][1]) > self.MOST_BYTES:
            raise gr.Error(STRANGE, print_exception=False)
        if index != "null" and not (index.isdecimal() and int(index) < self.MOST_LAYERS):
            raise gr.Error(STRANGE, print_exception=False)
        super().accept_blobs(data)
        kept = self.blob_storage
        while len(kept) > self.MOST_PAINTINGS or _bytes(kept) > self.MOST_KEPT_BYTES:
            kept.pop(next(iter(kept)))


def _bytes(kept: dict[str, EditorDataBlobs]) -> int:
    """Bytes of all paintings."""
    return sum(
        len(part or b"")
        for painting in kept.values()
        for part in (painting.background, painting.composite, *painting.layers)
    )

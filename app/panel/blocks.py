"""Gradio's `Blocks`, mended where it trusts whoever sends something."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.components.base import server
from gradio.data_classes import ValidationError
from gradio.exceptions import ComponentProcessingError

from app import uploads
from engine.errors import EngineError

log = logging.getLogger(__name__)

INTERNAL = (
    "Something went wrong inside the explorer; what you made is still there, and the server's log "
    "says what it was."
)
STRANGE = "A value was not understood: found something else than the page sends; reload the page."
NOT_SENT = "A file is named that was not sent to this explorer; send it first."
PATHS = (
    re.compile(r"""(?<=['"])/[^'"\n]*/([^'"/\n]+)(?=['"])"""),
    re.compile(r"""(?<![\w.>/-])(?:/[^/\s'"<>:,;()]+)+/([^/\s'"<>:,;()]+)"""),
)
"""Quoted ones may hold spaces."""


class Panel(gr.Blocks):
    """A page whose handlers see only files that were sent to it, and whose errors say nothing of the server.

    Gradio copies what a request names, from any path or address, before a handler is called; what it or a handler
    raises reaches the browser with paths in it.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any):
        """Gradio's, for inputs whose files were sent to this process.

        Raises:
            gr.Error: If one was not.
        """
        for file in files_in(inputs):
            if not uploads.holds(str(file.get("path") or "")):
                raise gr.Error(NOT_SENT, print_exception=False)
            file["url"] = None  # nothing is fetched, and an inlined picture is no file
        return await super().preprocess_data(block_fn, inputs, *args, **options)

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Gradio's.

        Raises:
            gr.Error: With one sentence, whatever went wrong.
        """
        try:
            return await super().process_api(*args, **options)
        except EngineError as error:
            raise _told(str(error)) from error
        except gr.Error as error:
            raise _told(str(error.message), error.title) from error
        except (ComponentProcessingError, ValidationError) as error:
            log.info("an input was refused: %s", error)
            raise _told(STRANGE) from error
        except Exception as error:
            log.exception("a handler of the panel failed")
            raise _told(INTERNAL) from error


class Picture(gr.Image):
    """A picture's box that hands on the file that was sent, unopened: `engine.images` opens pictures, and says what is wrong."""

    is_template = True

    def preprocess(self, payload: gr.components.image.ImageData | None) -> str | None:
        """The file's path, or None where the box is empty."""
        return None if payload is None else payload.path


class Brush(gr.ImageEditor):
    """An image editor that keeps few paintings, and none that nobody asks for; it opens none."""

    is_template = True
    MOST_PAINTINGS = 32
    MOST_LAYERS = 4

    def preprocess(self, payload: gr.components.image_editor.EditorData | None) -> Any:
        """The first painted layer as a picture file: its bytes or its path; None if nothing was painted."""
        if payload is None:
            return None
        painting = payload if payload.id is None else self.blob_storage.pop(payload.id, None)
        layer = next(
            (one for one in (painting.layers if painting else []) if one is not None), None
        )
        return layer if layer is None or isinstance(layer, bytes) else layer.path

    @server
    def accept_blobs(self, data: gr.components.image_editor.AcceptBlobs) -> None:
        """Keep one picture of a painting until the painting is taken.

        Raises:
            gr.Error: If the message is none of the editor's.
        """
        told = data.data
        index = str(told.get("index") or "null")
        if len(data.files) != 1 or len(str(told.get("id", ""))) > 64 or "type" not in told:
            raise gr.Error(STRANGE, print_exception=False)
        if index != "null" and not (index.isdecimal() and int(index) < self.MOST_LAYERS):
            raise gr.Error(STRANGE, print_exception=False)
        super().accept_blobs(data)
        while len(self.blob_storage) > self.MOST_PAINTINGS:
            self.blob_storage.pop(next(iter(self.blob_storage)))


def files_in(data: Any) -> Iterator[dict[str, Any]]:
    """Every part of a request's data that names a file or an address; recursion is the caller's to bound."""
    if isinstance(data, dict):
        if isinstance(data.get("path"), str) or isinstance(data.get("url"), str):
            yield data
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from files_in(part)


def without_paths(text: str) -> str:
    """Text in which every path is only its file's name."""
    for path in PATHS:
        text = path.sub(r"\1", text)
    return text


def _told(sentence: str, title: str = "Error") -> gr.Error:
    return gr.Error(
        html.escape(without_paths(sentence), quote=False), title=title, print_exception=False
    )

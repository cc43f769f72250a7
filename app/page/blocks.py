"""Gradio's `Blocks` without its trust in what clients send."""

from __future__ import annotations

import html
import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ValidationError
from gradio.exceptions import ComponentProcessingError

from app.page.steer import UNREAD
from app.session import uploads
from engine.errors import EngineError

log = logging.getLogger(__name__)

INTERNAL = (
    "Something went wrong inside the explorer; what you made is still there, and the server's log "
    "says what it was."
)
STRANGE = "A value was not understood: found something else than the page sends; reload the page."
LONGEST_TEXT, LONGEST_PICK = 1 << 18, 16
"""Characters of a text that a component sends, and of what an element that was clicked stands for."""
NOT_SENT = "A file is named that was not sent to this explorer; send it first."
PATHS = (
    re.compile(r"""(?<=['"])/[^'"\n]*/([^'"/\n]+)(?=['"])"""),
    re.compile(r"""(?<![\w.>/-])(?:/[^/\s'"<>:,;()]+)+/([^/\s'"<>:,;()]+)"""),
)
"""Quoted ones may hold spaces."""


class Panel(gr.Blocks):
    """A page whose handlers see only files uploaded to it, and whose errors reveal nothing about the server.

    Before it calls a handler, Gradio copies files that a request names from any path or address; its errors and those
    of handlers reach the browser with paths in them.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any):
        """Gradio's, but only for files that were uploaded to this process.

        Raises:
            gr.Error: If an input names another file.
        """
        for file in files_in(inputs):
            if not uploads.holds(str(file.get("path") or "")):
                raise gr.Error(NOT_SENT, print_exception=False)
            file["url"] = None  # nothing is fetched, and an inlined picture is no file
        for block, value in zip(block_fn.inputs, inputs, strict=False):
            if not fits(block, value):
                raise gr.Error(STRANGE, print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *args, **options)

    async def process_api(self, block_fn: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Gradio's, with errors as one sentence.

        Raises:
            gr.Error: With one sentence, for any error.
        """
        try:
            return await super().process_api(block_fn, *args, **options)
        except EngineError as error:
            raise _told(str(error)) from error
        except gr.Error as error:
            raise _told(str(error.message), error.title) from error
        except (ComponentProcessingError, ValidationError) as error:
            log.info("an input was refused: %s", error)
            raise _told(STRANGE) from error
        except UNREAD as error:
            if not getattr(block_fn, "collects_event_data", False):
                log.exception("a handler of the panel failed")
                raise _told(INTERNAL) from error
            log.warning("an event was refused: %s", _summary(error))
            raise _told(STRANGE) from error
        except Exception as error:
            log.exception("a handler of the panel failed")
            raise _told(INTERNAL) from error


def fits(block: Any, value: Any) -> bool:
    """True if `value` is one that a component can send."""
    if isinstance(block, (gr.Slider, gr.Number)):
        return value is None or (is_number(value) and abs(value) <= 2**53)
    if isinstance(block, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(block, (gr.Radio, gr.Dropdown)) and not getattr(block, "multiselect", False):
        return value is None or isinstance(value, (str, int, float))
    if isinstance(block, (gr.Textbox, gr.HTML)):
        return value is None or (isinstance(value, str) and len(value) <= LONGEST_TEXT)
    return True


def is_number(value: Any) -> bool:
    """True if a JSON value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0


def picked(event: gr.EventData) -> str:
    """The value of the clicked element.

    Raises:
        gr.Error: If the event has none.
    """
    value = event._data.get("value") if isinstance(event._data, dict) else None
    if not isinstance(value, (str, int)) or len(str(value)) > LONGEST_PICK:
        raise gr.Error(STRANGE, print_exception=False)
    return str(value)


def picked_number(event: gr.EventData, most: int = 2**53) -> int:
    """The same as a whole number up to `most`.

    Raises:
        gr.Error: If it is none.
    """
    value = picked(event)
    if not value.isascii() or not value.isdecimal() or int(value) > most:
        raise gr.Error(STRANGE, print_exception=False)
    return int(value)


def files_in(data: Any) -> Iterator[dict[str, Any]]:
    """Every part of a request's data that names a file or an address; the caller bounds its depth."""
    if isinstance(data, dict):
        if isinstance(data.get("path"), str) or isinstance(data.get("url"), str):
            yield data
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from files_in(part)


def without_paths(text: str) -> str:
    """The text with every path reduced to its file's name."""
    for path in PATHS:
        text = path.sub(r"\1", text)
    return text


def _summary(error: BaseException) -> str:
    """An error and where it was raised, in one line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def _told(sentence: str, title: str = "Error") -> gr.Error:
    return gr.Error(
        html.escape(without_paths(sentence), quote=False), title=title, print_exception=False
    )

"""The permitted part of Gradio's server: the routes that the page uses, with bodies of the form that it sends."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.page.blocks import INTERNAL, STRANGE
from app.session import uploads
from app.session.uploads import Ledger

log = logging.getLogger(__name__)

API = "/gradio_api"
NAME = r"[\w-]{1,64}"
GET = re.compile(
    rf"/|/config/?|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/(assets|static|svelte)/.+"
    rf"|{API}/(info/?|app_id/?|theme\.css|startup-events|queue/(data|status)|upload_progress)"
    rf"|{API}/heartbeat/{NAME}|{API}/file=/(?!/).+"
)
POST = re.compile(rf"{API}/(queue/join|upload|cancel|reset/?|component_server/?|run/{NAME}/?)")
CALL = re.compile(rf"{API}/run/({NAME})/?")
SESSION = re.compile(NAME)
taken: ContextVar[list[Path]] = ContextVar("taken")
"""Unnamed temporary files that the parser of a request has created."""
DEEPEST = 24
"""Most levels of lists and objects in a body."""


class NotUnderstoodError(ValueError):
    """A body of a form that the page never sends; the text is one sentence."""


class Door:
    """Gradio's application behind a list of permitted routes.

    Gradio has many routes that this page does not use: they fetch addresses, convert films, write the page's state to
    disk. They are not available here. Bodies are read and checked before Gradio sees them.
    """

    def __init__(self, app: ASGIApp, panel: gr.Blocks, ledger: Ledger, most_mb: int):
        self._app = app
        self._panel = panel
        self._ledger = ledger
        self._most = most_mb << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        allowed = {"GET": GET, "HEAD": GET, "POST": POST}.get(scope.get("method", ""))
        if scope["type"] != "http" or allowed is None or not allowed.fullmatch(scope["path"]):
            await _answer("There is nothing here.", 404)(scope, receive, send)
            return
        if scope["path"] == f"{API}/queue/data" and not self._has_called(scope):
            await _answer("Nothing was asked under this session_hash.", 404)(scope, receive, send)
            return
        if not all(SESSION.fullmatch(name) for name in _named(scope, "upload_id")):
            await _answer("Expected an upload_id of letters, digits, - and _.", 400)(
                scope, receive, send
            )
            return
        scope = _without_range(scope)
        if scope["method"] == "POST" and _is_form(scope):
            await self._take(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._forward(scope, receive, send)
            return
        try:
            body = await _read(receive)
            if body is None:
                return
            body = self._checked(scope["path"], body)
        except NotUnderstoodError as error:
            await _answer(str(error), 400)(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in LENGTHS]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._forward({**scope, "headers": headers}, _once(body, receive), send)

    def _has_called(self, scope: Scope) -> bool:
        """True if the page that a request names has called a handler."""
        named = next(iter(_named(scope, "session_hash")), "")
        return named in self._panel._queue.pending_messages_per_session

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio receive files if there is room for them, and record their sender."""
        address = (scope.get("client") or ("", 0))[0]
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        size = int(lengths[0]) if lengths else self._most
        answered: list[Message] = []

        async def noting(message: Message) -> None:
            answered.append(message)
            await send(message)

        room = self._ledger.expect(address, size)
        try:
            await run_in_threadpool(self._open, room)
        except uploads.StorageFullError as error:
            await _answer(str(error), 429)(scope, receive, send)
            return
        begun: list[Path] = []
        taken.set(begun)
        with contextlib.ExitStack() as stack:
            stack.push(room)
            try:
                await self._forward(scope, receive, noting)
                for path in _paths(answered):
                    self._ledger.note(path, address)
            finally:
                for path in begun:  # what was meant for the page has been moved
                    path.unlink(missing_ok=True)

    def _open(self, room: AbstractContextManager[None]) -> None:
        """Remove old files and reserve room for new ones."""
        uploads.sweep(time.time())
        room.__enter__()

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio answer; if it fails, answer with one sentence and log the error."""
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if failed or message.get("status") == 500:
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold)
        except Exception as error:
            if not failed:
                raise
            if isinstance(error, OSError) and error.errno in FULL:
                await _answer("The server's disk is full.", 507)(scope, receive, send)
                return
            log.warning("%s failed", scope["path"], exc_info=error)
            ours = scope["method"] == "GET" or isinstance(error, OSError)
            answer = _answer(INTERNAL, 500) if ours else _answer(STRANGE, 400)
            await answer(scope, receive, send)
            return
        if failed:
            text = b"".join(part.get("body", b"") for part in failed)
            refused = INTERNAL.encode() not in text
            await send({**failed[0], "status": 400 if refused else 500})
            for part in failed[1:]:
                await send(part)

    def _checked(self, path: str, body: bytes) -> bytes:
        """A body of the form that the page sends.

        Raises:
            NotUnderstoodError: If it has another form.
        """
        asked = decoded(body)
        if path.startswith((f"{API}/reset", f"{API}/component_server")):
            return msgspec.json.encode(asked)
        if path == f"{API}/cancel":
            return msgspec.json.encode(_cancelled(asked))
        named = CALL.fullmatch(path)
        return msgspec.json.encode(self._call(asked, named and named[1]))

    def _call(self, asked: Mapping[str, Any], name: str | None) -> dict[str, Any]:
        """A checked call of a handler: its number, page and data."""
        fns = self._panel.fns
        index, data, session = (asked.get(key) for key in ("fn_index", "data", "session_hash"))
        if index is None and name is not None:
            index = next((i for i, fn in fns.items() if fn.api_name == name), None)
        if not _is_index(index) or index not in fns:
            raise NotUnderstoodError("Found the name of no function, expected one of /info's.")
        expected = len(fns[index].inputs)
        if not isinstance(data, list) or len(data) != expected:
            raise NotUnderstoodError(f"Expected data as a list of {expected} values.")
        if name is None or session is not None:
            _check_session(session)
        trigger, event = asked.get("trigger_id"), asked.get("event_data")
        if not isinstance(event, (dict, type(None))):
            raise NotUnderstoodError("Expected event_data as an object.")
        return {
            "fn_index": index,
            "data": data,
            "session_hash": session,
            "trigger_id": trigger if _is_index(trigger) else None,
            "event_data": event,
        }


FULL = (errno.ENOSPC, errno.EDQUOT)
LENGTHS = (b"content-length", b"transfer-encoding")


def decoded(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        NotUnderstoodError: If it is none, or nested too deeply.
    """
    try:
        asked = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotUnderstoodError("Expected JSON.") from error
    if not isinstance(asked, dict):
        raise NotUnderstoodError("Expected a JSON object.")
    level: list[Any] = [asked]
    for _ in range(DEEPEST):
        level = [
            part
            for one in level
            if isinstance(one, (dict, list))
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    if level:
        raise NotUnderstoodError(f"Found JSON nested deeper than {DEEPEST} levels.")
    return asked


def _cancelled(asked: Mapping[str, Any]) -> dict[str, Any]:
    session, index, event = (asked.get(key) for key in ("session_hash", "fn_index", "event_id"))
    _check_session(session)
    if not _is_index(index) or not isinstance(event, str) or not SESSION.fullmatch(event):
        raise NotUnderstoodError("Expected fn_index and event_id of what is to be cancelled.")
    return {"session_hash": session, "fn_index": index, "event_id": event}


def _check_session(session: Any) -> None:
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise NotUnderstoodError("Expected a session_hash of letters, digits, - and _.")


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _paths(answered: list[Message]) -> list[Path]:
    """Paths of uploaded files, as Gradio's answer names them."""
    if not answered or answered[0].get("status") != 200:
        return []
    try:
        said = msgspec.json.decode(b"".join(part.get("body", b"") for part in answered))
    except msgspec.DecodeError:
        return []
    paths = said if isinstance(said, list) else []
    return [Path(path) for path in paths if isinstance(path, str) and uploads.holds(path)]


def _named(scope: Scope, name: str) -> list[str]:
    """Values of a parameter in a request's query string."""
    return parse_qs(scope["query_string"].decode("latin-1")).get(name, [])


def _is_form(scope: Scope) -> bool:
    """True for a form, whose files Gradio reads as they arrive."""
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return scope["path"].startswith((f"{API}/upload", f"{API}/component_server")) and any(
        kind.lower().startswith(b"multipart/form-data") for kind in kinds
    )


def _without_range(scope: Scope) -> Scope:
    """The request without a Range header: Gradio fails on odd ranges, and the whole file answers every request."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}


async def _read(receive: Receive) -> bytes | None:
    """A body, whose length the guard has bounded; None if its sender has disconnected."""
    chunks, more = [], True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _once(body: bytes, receive: Receive) -> Receive:
    """A receive channel that returns `body` and then the messages after it."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _answer(sentence: str, status: int) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status)

"""The guard itself: an ASGI application around another one."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl, quote, urlencode

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.guard.bodies import FILE_S, PLAIN_BYTES, PLAIN_S, Body
from app.guard.headers import Header, first, last, safety
from app.guard.hosts import Hosts, is_loopback_address, split
from app.guard.keys import Attempts, Key, network
from app.settings import AppSettings

FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
PROXIES_ONLY = (*FORWARDED, b"x-forwarded-port", b"x-forwarded-prefix", b"x-gradio-server")
FILES = re.compile(r"/gradio_api/upload/?|/api/sessions/[^/]+/files")
"""Paths that files are uploaded to."""
PAINTINGS, PAINTING_BYTES = "/gradio_api/component_server", 5 << 20
"""Path that painted masks are sent to, and their longest body, bytes."""
LONGEST_PATH, LONGEST_PART, LONGEST_QUERY = 2048, 255, 4096
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LOCKED = Path(__file__).resolve().parents[1] / "page" / "assets" / "locked.html"
HOP = "<!doctype html><meta charset='utf-8'><title>…</title><meta http-equiv='refresh' content='0;url={}'>"
"""A page that goes on to another: a browser sends strict cookies after it, and not after a redirect from elsewhere."""


class RefusedError(Exception):
    """A request that is refused with this status and sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


@dataclass(frozen=True)
class Arrival:
    """Origin of a request, as far as it is trusted.

    Attributes:
        client: Address of the client.
        host: Host name of the request.
        secure: True for https.
    """

    client: str
    host: str
    secure: bool


class Guard:
    """Passes permitted requests on to `app`, with bounds on their bodies."""

    def __init__(self, app: ASGIApp, settings: AppSettings):
        self._app = app
        self._settings = settings
        self._hosts = Hosts(settings.host, settings.allow_host)
        self._proxies = {split(name)[0] for name in settings.trust_proxy}
        self._key = Key(settings.password) if settings.password else None
        self._attempts = Attempts()
        self._safety = safety(settings.allow_frame)
        self._prefix = settings.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            scope, arrival = self._arrive(scope)
            self._check_path(scope)
            self._check_origin(scope, arrival)
            answer = self._bare_prefix(scope) or self._unlock(scope, arrival)
            self._place(scope)
        except RefusedError as error:
            answer = self._refusal(scope, error)
        if answer is not None:
            await self._say(answer, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._pass(scope, receive, send)

    # -- who asks ---------------------------------------------------------------------------------

    def _arrive(self, scope: Scope) -> tuple[Scope, Arrival]:
        """The request without headers that only trusted proxies may set, and its origin.

        Raises:
            RefusedError: If it is addressed to another host.
        """
        peer = (scope.get("client") or ("127.0.0.1", 0))[0]
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        client, secure = peer, scope["scheme"] in ("https", "wss")
        if split(peer)[0] in self._proxies:
            client = split(last(scope["headers"], b"x-forwarded-for"))[0] or peer
            host = last(scope["headers"], b"x-forwarded-host") or host
            secure = last(scope["headers"], b"x-forwarded-proto") == "https"
        server = scope.get("server")
        address = server[0] if server else None
        if not self._hosts.answers_to(host, address):
            raise RefusedError(
                421,
                "This explorer does not answer under this name; its owner can allow it with --allow-host.",
            )
        if self._key is None and address and not is_loopback_address(address):
            raise RefusedError(403, "This explorer is open to its own machine only.")
        headers = [pair for pair in scope["headers"] if pair[0] not in PROXIES_ONLY]
        headers = [pair for pair in headers if pair[0] != b"host"] + [
            (b"host", host.encode("latin-1"))
        ]
        if secure:
            headers.append((b"x-forwarded-proto", b"https"))  # from here on it is believed
        arrived = {**scope, "headers": headers, "client": (network(client), 0)}
        return arrived, Arrival(client, host, secure)

    def _check_origin(self, scope: Scope, arrival: Arrival) -> None:
        """Refuse requests from pages of other origins.

        Raises:
            RefusedError: If it comes from one.
        """
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        foreign = any(
            not self._hosts.serves(origin.decode("latin-1"), arrival.host) for origin in origins
        )
        if not origins:
            site = first(scope["headers"], b"sec-fetch-site")
            target = first(scope["headers"], b"sec-fetch-dest")
            opened = scope.get("method") == "GET" and (
                target == "document" or (target == "iframe" and bool(self._settings.allow_frame))
            )
            foreign = site in ("cross-site", "same-site") and not opened
        if foreign:
            raise RefusedError(403, "This explorer does not answer to pages of other sites.")

    def _unlock(self, scope: Scope, arrival: Arrival) -> Response | None:
        """None for a request with the key; a redirect that sets a cookie for a browser with the key in the address.

        Raises:
            RefusedError: For a request without the key.
        """
        key = self._key
        if key is None:
            return None
        if any(
            key.shown(value.decode("latin-1"))
            for name, value in scope["headers"]
            if name == b"cookie"
        ):
            return None
        scheme, _, bearer = (first(scope["headers"], b"authorization") or "").partition(" ")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        by_header = scheme.lower() == "bearer"
        guess = bearer.strip() if by_header else query.get("key")
        if guess is None:
            raise RefusedError(
                401, "This explorer asks for its key.", {"WWW-Authenticate": "Bearer"}
            )
        if not self._attempts.may_try(arrival.client):
            raise RefusedError(
                429, "Too many wrong keys came from here; wait a minute.", {"Retry-After": "60"}
            )
        if not key.opens(guess):
            self._attempts.failed(arrival.client)
            raise RefusedError(401, "This is not the key.", {"WWW-Authenticate": "Bearer"})
        if by_header or scope["type"] == "websocket":
            return None
        return self._with_cookie(scope, arrival, query)

    def _with_cookie(self, scope: Scope, arrival: Arrival, query: dict[str, str]) -> Response:
        """Redirect to the address without the key, with the cookie that stands for it."""
        del query["key"]
        place = quote(scope["path"].rpartition("/")[2]) or "./"
        place += f"?{urlencode(query)}" if query else ""
        if first(scope["headers"], b"sec-fetch-site") in ("cross-site", "same-site"):
            answer: Response = HTMLResponse(HOP.format(html.escape(place)))
        else:
            answer = RedirectResponse(place, 303)
        framed = bool(self._settings.allow_frame) and arrival.secure
        name, value = self._key.cookie
        answer.set_cookie(
            name,
            value,
            path=f"{self._prefix}/",
            secure=arrival.secure,
            httponly=True,
            samesite="none" if framed else "strict",
        )
        return answer

    # -- what is asked ----------------------------------------------------------------------------

    def _check_path(self, scope: Scope) -> None:
        """Refuse addresses that are too long or contain control characters.

        Raises:
            RefusedError: If this is one.
        """
        path = scope["path"]
        too_long = len(path) > LONGEST_PATH or len(scope["query_string"]) > LONGEST_QUERY
        too_long |= any(
            len(part.encode("utf-8", "surrogatepass")) > LONGEST_PART for part in path.split("/")
        )
        if too_long or CONTROL.search(path) or not path.startswith("/"):
            raise RefusedError(404, "There is nothing here.")

    def _bare_prefix(self, scope: Scope) -> Response | None:
        """Redirect from the prefix without a slash to the one with it, where the cookie holds; None for other paths."""
        if not self._prefix or scope["path"] != self._prefix:
            return None
        query = scope["query_string"].decode("latin-1")
        return RedirectResponse(f"{self._prefix}/" + (f"?{query}" if query else ""), 308)

    def _place(self, scope: Scope) -> None:
        """Strip the proxy's prefix from the path if the proxy has not."""
        path, prefix = scope["path"], self._prefix
        if prefix and path.startswith(prefix + "/"):
            scope["path"] = path.removeprefix(prefix)
            scope["raw_path"] = quote(scope["path"]).encode()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body bounded."""
        files = FILES.fullmatch(scope["path"]) is not None
        most = ((self._settings.max_upload_mb + 1) << 20) if files else PLAIN_BYTES
        if scope["path"].startswith(PAINTINGS):
            most = PAINTING_BYTES
        body = Body(receive, most, FILE_S if files else PLAIN_S)
        body.expect(first(scope["headers"], b"content-length"))
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if body.refused and not started:
                return
            started = True
            await send(self._dressed(message))

        if body.refused is None:
            try:
                await self._app(scope, body, answer)
            except Exception:
                if body.refused is None or started:
                    raise
        if body.refused and not started:
            if first(scope["headers"], b"expect") is None:
                await body.drain()
            refusal = RefusedError(*body.refused, {"Connection": "close"})
            await self._say(self._refusal(scope, refusal), scope, receive, send)

    # -- answers ----------------------------------------------------------------------------------

    def _refusal(self, scope: Scope, error: RefusedError) -> Response:
        wants = first(scope["headers"], b"accept") or ""
        if error.status in (401, 429) and "text/html" in wants and scope["type"] == "http":
            page = Template(LOCKED.read_text(encoding="utf-8")).substitute(
                sentence=html.escape(error.sentence)
            )
            return HTMLResponse(page, error.status, error.headers)
        return JSONResponse({"error": error.sentence}, error.status, error.headers)

    async def _say(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        async def dressed(message: Message) -> None:
            await send(self._dressed(message))

        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403, "reason": ""})
        else:
            await answer(scope, receive, dressed)

    def _dressed(self, message: Message) -> Message:
        """The start of an answer, with the headers that every answer has."""
        if message["type"] != "http.response.start":
            return message
        given: list[Header] = list(message.get("headers", []))
        names = {name.lower() for name, _ in given}
        missing = [pair for pair in self._safety if pair[0] not in names]
        return {**message, "headers": [*given, *missing]}

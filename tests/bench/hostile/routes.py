"""Requests that nobody honest makes, to every route of a live server.

An answer from outside the allowed folders, and one to a foreign name or page, counts as an error of ours.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from tests.bench.hostile.outcome import Outcome
from tests.bench.hostile.target import READ, Answer, Target, request

FOREIGN = ("evil.example", "127.0.0.1.evil.example", "8.8.8.8", "[2001:db8::1]", "localhost@evil.example", "", "evil.example:80")  # fmt: skip
ODD_NUMBERS = (
    "-1", "0", "1", "99999", "9" * 30, "9" * 254, "1e9", "NaN", "inf", "٣", "0x10", "1.5", "%00", "..", "%2e%2e",
)  # fmt: skip
ODD_VALUES = (
    None, True, -1, 0, 10**6, 2**63, 10**40, 1.5, -0.0, 1e308, "", "x" * 300, "../../etc/passwd", "\u0000", [], {},
    [[]], [None] * 70, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, {"value": "0"},
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One request.

    Attributes:
        name: What it tries.
        parts: Its bytes, as they are sent.
        forbidden: Whether any answer that is no refusal is one too many.
    """

    name: str
    parts: tuple[bytes, ...]
    forbidden: bool = False


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """`count` requests drawn from `seed`, one after the other."""
    rng = random.Random(seed)
    with Target() as target:
        page = Page(target)
        for number in range(count):
            make = rng.choice(KINDS)
            shot = make(rng, page)
            yield fire(target, shot, number)


class Page:
    """What an attacker knows who has opened a page of his own."""

    def __init__(self, target: Target):
        self.target = target
        self.hash = "attacker"
        text = target.get("/").body.decode()
        self.token = re.search(r'data-token="([\w-]+)"', text)[1]
        config = json.loads(target.get("/config").body)
        self.calls = [(one["id"], len(one["inputs"])) for one in config["dependencies"]]
        self.session = json.loads(target.post("/api/sessions", {}).body)["session"]
        kinds = {one["id"]: one["type"] for one in config["components"]}
        load = next(
            one
            for one in config["dependencies"]
            if any(event == "load" for _, event in one["targets"])
            and "textbox" in (kinds[number] for number in one["inputs"])
        )
        given = {"checkbox": False, "textbox": self.token}
        data = [given.get(kinds[number]) for number in load["inputs"]]
        data = {"fn_index": load["id"], "data": data, "session_hash": self.hash}
        opened = target.post("/gradio_api/run/predict", data)
        assert opened.status == 200, opened.sentence

    @property
    def paths(self) -> list[str]:
        """A path of every route; `#` stands for a number."""
        token = self.token
        return [
            "/", "/healthz", "/config", "/theme.css", "/api/openapi.json", "/gradio_api/info",
            f"/viewport/{token}/", f"/film/{token}/#/input/#.png", f"/film/{token}/#/render/#.png",
            f"/film/{token}/#/last.jpg", f"/film/{token}/#/#.jpg?look=#", f"/news/{token}",
            f"/alive/{token}", f"/inspect/{token}/#.json",
            f"/planes/{token}/#/#.png?range=#", f"/planes/{token}/#/#/#/#.json?range=#",
            f"/path/{token}/#/path.mp4", f"/path/{token}/#/#", f"/download/{token}/#/scene.safetensors",
            f"/download/{token}/#/#", f"/api/sessions/{self.session}/records/#", f"/api/sessions/{self.session}/runs/#?wait=#",
            "/gradio_api/queue/data?session_hash=#", "/gradio_api/upload_progress?upload_id=#", "/assets/#", "/static/#",
        ]  # fmt: skip


def fire(target: Target, shot: Shot, number: int) -> Outcome:
    """Send one request and see what becomes of it, of the server, and of others."""
    began = time.monotonic()
    answer = target.ask(*shot.parts)
    others, memory = target.since(began)
    fault = target.faults()
    wrong = READ.search(answer.body) is not None or (shot.forbidden and 0 < answer.status < 400)
    verdict, message = judge(answer)
    if wrong:
        verdict, message = "internal", f"answered what it must not: {answer.body[:120]!r}"
    elif fault:
        verdict, message = "internal", fault
    return Outcome(
        "routes", f"{number} {shot.name}", verdict, answer.seconds, memory, message, others
    )


def judge(answer: Answer) -> tuple[str, str]:
    """How an answer counts; a connection that is closed without one is a refusal."""
    if answer.status < 0:
        return "timeout", ""
    if answer.status >= 500 and answer.status not in (503, 507):
        return "internal", f"{answer.status} {answer.sentence}"
    if 200 <= answer.status < 400:
        return "done", ""
    return "refused", answer.sentence


# -- kinds of requests -----------------------------------------------------------------------------


def a_path(rng: random.Random, page: Page) -> str:
    """A path of some route with odd numbers in it."""
    path = rng.choice(page.paths)
    while "#" in path:
        number = rng.choice(ODD_NUMBERS)
        path = path.replace("#", quote(number, safe="%") if number.isascii() else quote(number), 1)
    return path


def odd_numbers(rng: random.Random, page: Page) -> Shot:
    path = a_path(rng, page)
    return Shot(f"GET {path[:90]}", (request("GET", path),))


def foreign_host(rng: random.Random, page: Page) -> Shot:
    host, path = rng.choice(FOREIGN), a_path(rng, page)
    return Shot(f"host {host!r} {path[:60]}", (request("GET", path, Host=host),), forbidden=True)


def foreign_origin(rng: random.Random, page: Page) -> Shot:
    origin = rng.choice(
        ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:3000", "file://")
    )
    method, path = rng.choice(
        (
            ("GET", a_path(rng, page)),
            ("POST", f"/steer/{page.token}"),
            ("POST", "/api/sessions"),
            ("POST", "/gradio_api/upload"),
            ("OPTIONS", "/gradio_api/queue/join"),
        )
    )
    shot = request(method, path, b"{}" if method == "POST" else b"", Origin=origin)
    return Shot(f"origin {origin} {method} {path[:60]}", (shot,), forbidden=True)


def a_file(rng: random.Random, page: Page) -> Shot:
    """Ask for a file that is none of the attacker's."""
    outside = str(page.target.outside)
    path = rng.choice((outside, "/etc/passwd", f"/proc/self/cwd/../..{outside}", "/proc/self/environ", "//etc/passwd", f"file://{outside}", "http://127.0.0.1:1/", f"../../../..{outside}"))  # fmt: skip
    asked = rng.choice(
        (path, quote(path, safe=""), path.replace("/", "%2f"), path.replace(".", "%2e"))
    )
    route = rng.choice(("/gradio_api/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/assets/", "/static/", "/svelte/", f"/download/{page.token}/1/", f"/path/{page.token}/1/", "/viewport/"))  # fmt: skip
    return Shot(f"file {route}{asked[:60]}", (request("GET", route + asked),))


def a_call(rng: random.Random, page: Page) -> Shot:
    """A call of some handler with values that it does not expect."""
    index, inputs = rng.choice(page.calls)
    data = [rng.choice(ODD_VALUES) for _ in range(inputs)]
    outside = {
        "path": str(page.target.outside),
        "meta": {"_type": "gradio.FileData"},
        "url": "http://127.0.0.1:1/",
    }
    if data and rng.random() < 0.5:
        data[rng.randrange(len(data))] = outside
    body = {
        "fn_index": index,
        "data": data,
        "session_hash": page.hash,
        "event_data": rng.choice(ODD_VALUES),
    }
    if rng.random() < 0.3:
        body[rng.choice([*body])] = rng.choice(ODD_VALUES)
    route = rng.choice(
        ("queue/join", "run/predict", "queue/join", "cancel", "reset", "component_server")
    )
    return Shot(
        f"call {route} {index}",
        (request("POST", f"/gradio_api/{route}", json.dumps(body).encode()),),
    )


def a_message(rng: random.Random, page: Page) -> Shot:
    """A message to the session with odd values."""
    body = {
        "do": rng.choice(
            (
                "step",
                "look",
                "compare",
                "blend",
                "settle",
                "vary",
                "rename",
                "pin",
                "remove",
                "show",
                "tool",
                "cancel",
                "path",
                "mark",
                "branch",
                "none",
            )
        )
    }
    acts = {
        "path": ("seed", "drawn", "add", "remove", "choose", "store", "film"),
        "mark": ("half", "box", "stroke", "face", "clear", "show", "hide"),
    }
    names = (
        "record",
        "index",
        "look",
        "u",
        "v",
        "count",
        "amounts",
        "title",
        "tool",
        "seed",
        "place",
        "job",
    )
    more = ("box", "points", "width", "half", "way", "mode", "ending", "settings", "swap")
    for name in (*names, *more):
        if rng.random() < 0.5:
            body[name] = rng.choice(ODD_VALUES)
    if body["do"] in acts:
        body["act"] = rng.choice((*acts[body["do"]], *ODD_VALUES))
    text = json.dumps(body).replace(
        '"count": true', f'"count": {rng.choice(("1e999", "NaN", "-Infinity", "1"))}'
    )
    return Shot(f"steer {body['do']}", (request("POST", f"/steer/{page.token}", text.encode()),))


def a_program(rng: random.Random, page: Page) -> Shot:
    """A body for the API with odd values."""
    deed = rng.choice(
        (
            "generate",
            "reconstruct",
            "interpolate",
            "branch",
            "regenerate",
            "open",
            "files",
            "interpolate/point",
        )
    )
    names = (
        "seed",
        "count",
        "steps",
        "pictures",
        "file",
        "record",
        "from",
        "to",
        "box",
        "prior",
        "index",
        "mode",
    )
    body = {name: rng.choice(ODD_VALUES) for name in names if rng.random() < 0.4}
    shot = request("POST", f"/api/sessions/{page.session}/{deed}", json.dumps(body).encode())
    return Shot(f"api {deed}", (shot,))


def too_much(rng: random.Random, page: Page) -> Shot:
    """A body that is long, nested, without an end, or shorter than it says."""
    path = rng.choice(
        (
            f"/steer/{page.token}",
            "/gradio_api/queue/join",
            "/api/sessions",
            "/gradio_api/upload",
            "/healthz",
        )
    )
    kind = rng.choice(("long", "said", "chunked", "nested", "multipart"))
    if kind == "long":
        return Shot(f"3 MB {path}", (request("POST", path, b" " * (3 << 20)),))
    if kind == "said":
        return Shot(
            f"94 MB said {path}", (request("POST", path, b"", Content_Length=str(94 << 20)),)
        )
    if kind == "nested":
        return Shot(f"nested {path}", (request("POST", path, b"[" * 500_000),))
    if kind == "multipart":
        body = (
            b"--e\r\nContent-Disposition: form-data; name=files; filename="
            + b"a" * rng.choice((9, 9000))
            + b"\r\n\r\n"
        )
        return Shot(
            f"half a form {path}",
            (request("POST", path, body, Content_Type="multipart/form-data; boundary=e"),),
        )
    head = request("POST", path, b"", Transfer_Encoding="chunked").replace(
        b"Content-Length: 0\r\n", b""
    )
    return Shot(
        f"chunks {path}",
        (head, *(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(64)), b"0\r\n\r\n"),
    )


def no_request(rng: random.Random, page: Page) -> Shot:
    """Bytes that are hardly HTTP."""
    path = a_path(rng, page)
    shots = (
        rng.randbytes(200) + b"\r\n\r\n",
        request(rng.choice(("TRACE", "PUT", "DELETE", "CONNECT", "x" * 300)), path),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        request("GET", "/" + "a/" * 5000),
        request("GET", path, Range="bytes=9-1,5-,-", Cookie="=;" * 2000),
        request("GET", path, Upgrade="websocket", Connection="Upgrade, close"),
        request("POST", path, b"{}", Content_Length="-1"),
    )
    return Shot("odd bytes", (rng.choice(shots),))


KINDS: tuple[Callable[[random.Random, Page], Shot], ...] = (
    odd_numbers, odd_numbers, foreign_host, foreign_origin, a_file, a_file, a_call, a_call, a_message, a_program,
    too_much, no_request,
)  # fmt: skip

"""Who gets an answer, under which name, from which page and with which key; what is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.guard import bodies, connections, keys
from app.guard import guard as guard_module
from app.guard.guard import Guard
from app.guard.hosts import Hosts, is_loopback, split
from app.server import address, configured, listen, locked
from app.settings import AppSettings
from tests.waiting import until

OPEN = {"host": "127.0.0.1"}


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """What is behind the guard: says what it was told."""
    request = Request(scope, receive)
    length = len(await request.body())
    said = f"{request.url.path} {request.client.host} {request.headers.get('x-forwarded-for')} {length}"
    await PlainTextResponse(said)(scope, receive, send)


class Visit:
    """One request to a guard, and its answer."""

    def __init__(self, guard: Guard, path: str = "/", **more):
        options = {"method": "GET", "peer": "127.0.0.1", "server": "127.0.0.1", "query": "", **more}
        given = {"host": "127.0.0.1", **options.get("headers", {})}
        headers = [(k.lower().encode(), v.encode()) for k, v in given.items() if v is not None]
        self.scope = {
            "type": options.get("kind", "http"),
            "method": options["method"],
            "path": path,
            "raw_path": path.encode(),
            "query_string": options["query"].encode(),
            "headers": headers,
            "scheme": "http",
            "server": (options["server"], 7860),
            "client": (options["peer"], 5),
            "subprotocols": [],
        }
        self.parts = [{"type": "http.request", "body": b"", "more_body": False}]
        self.said: list[dict] = []
        asyncio.run(guard(self.scope, self._receive, self._send))

    async def _receive(self):
        return self.parts.pop(0) if self.parts else {"type": "http.disconnect"}

    async def _send(self, message):
        self.said.append(message)

    @property
    def status(self) -> int:
        return self.said[0].get("status", self.said[0].get("code"))

    @property
    def text(self) -> str:
        return b"".join(part.get("body", b"") for part in self.said).decode()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.said[0]["headers"]}


def guard(**settings) -> Guard:
    return Guard(inner, AppSettings(**settings))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:7860",
        "127.0.0.1:80",
        "127.1.2.3",
        "[::1]:7860",
        "[::1]",
        "localhost.",
    ],
)
def test_its_own_names_are_answered(host):
    assert Visit(guard(), headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example",
     "8.8.8.8", "[2001:db8::1]", "192.168.0.9", "127.0.0.1@evil.example", "evil.example#localhost"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_other_names_are_not_which_is_all_that_tells_a_rebound_name_apart(host, kind):
    visit = Visit(guard(), headers={"host": host}, kind=kind)
    assert visit.status in (421, 4403)
    assert "http.response.body" not in str(visit.said) or "--allow-host" in visit.text


def test_a_second_host_header_is_no_way_in():
    visit = Visit(guard())
    visit.said.clear()
    visit.scope["headers"].append((b"host", b"evil.example"))
    asyncio.run(guard()(visit.scope, visit._receive, visit._send))
    assert visit.status == 421


def test_allowed_names_and_those_of_an_address_for_all_networks():
    named = guard(allow_host=("nerf.example.org", "https://b.example"))
    assert Visit(named, headers={"host": "nerf.example.org"}).status == 200
    assert Visit(named, headers={"host": "b.example:8443"}).status == 200
    assert Visit(named, headers={"host": "c.example"}).status == 421
    anywhere = Hosts("0.0.0.0")
    assert anywhere.answers_to("10.1.2.3:7860", "10.1.2.3")
    assert not anywhere.answers_to("10.1.2.4", "10.1.2.3")
    assert anywhere.answers_to(socket.gethostname(), "10.1.2.3")
    assert Hosts("10.1.2.3").answers_to("10.1.2.3", "10.1.2.3")


@pytest.mark.parametrize(
    ("origin", "host", "served"),
    [
        ("http://127.0.0.1:7860", "127.0.0.1:7860", True),
        ("http://[::1]:7860", "[::1]:7860", True),
        ("https://nerf.example.org", "nerf.example.org", True),
        ("https://nerf.example.org", "127.0.0.1:7860", True),
        ("http://localhost:3000", "localhost:7860", False),
        ("http://localhost:7860", "127.0.0.1:7860", False),
        ("https://evil.example", "127.0.0.1:7860", False),
        ("https://nerf.example.org.evil.example", "nerf.example.org", False),
        ("null", "127.0.0.1:7860", False),
        ("file://", "127.0.0.1:7860", False),
        ("http://[::1", "127.0.0.1:7860", False),
        ("", "127.0.0.1:7860", False),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_pages_of_other_origins_get_no_answer(origin, host, served, kind):
    named = guard(allow_host=("nerf.example.org",))
    headers = {"host": host, "origin": origin}
    if kind == "websocket":
        assert named._hosts.serves(origin, host) is served
        if not served:
            assert Visit(named, headers=headers, kind=kind).status == 4403
    else:
        assert Visit(named, headers=headers, method="POST").status == (200 if served else 403)


@pytest.mark.parametrize(
    ("site", "target", "framers", "status"),
    [
        ("cross-site", "image", (), 403),
        ("cross-site", "script", (), 403),
        ("same-site", "empty", (), 403),
        ("cross-site", "iframe", (), 403),
        ("cross-site", "iframe", ("https://wiki.example",), 200),
        ("cross-site", "document", (), 200),
        ("same-origin", "iframe", (), 200),
        ("none", "document", (), 200),
    ],
)
def test_what_a_browser_asks_for_on_behalf_of_another_site(site, target, framers, status):
    headers = {"sec-fetch-site": site, "sec-fetch-dest": target}
    assert Visit(guard(allow_frame=framers), headers=headers).status == status


def test_only_named_origins_may_frame_the_page():
    own = Visit(guard()).headers
    assert own["x-frame-options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in own["content-security-policy"].split("; ")
    framed = Visit(guard(allow_frame=("https://wiki.example",))).headers
    assert "x-frame-options" not in framed
    assert "frame-ancestors 'self' https://wiki.example" in framed["content-security-policy"]
    for name, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
        assert own[name] == framed[name] == value


def test_without_the_key_there_is_nothing():
    locked_up = guard(password="Ü pass&word=1")
    assert Visit(locked_up).status == 401
    assert Visit(locked_up, kind="websocket").status == 4403
    page = Visit(locked_up, headers={"accept": "text/html"})
    assert page.status == 401
    assert 'type="password"' in page.text
    for name, value in (("authorization", "Bearer wrong"), ("cookie", "ssdnerf-explorer-key-1=wrong"), ("authorization", "Bearer")):  # fmt: skip
        assert Visit(locked_up, headers={name: value}).status == 401


def test_the_key_in_the_address_becomes_a_cookie_and_leaves_the_address():
    locked_up = guard(password="pass&word=1")
    shown = Visit(locked_up, query="key=pass%26word%3D1&__theme=dark")
    assert shown.status == 303
    assert shown.headers["location"] == "./?__theme=dark"
    cookie = shown.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "pass" not in cookie
    behind = {"authorization": "Basic eDp5"}  # a proxy's own password
    assert Visit(locked_up, query="key=pass%26word%3D1", headers=behind).status == 303
    pair = cookie.partition(";")[0]
    assert Visit(locked_up, headers={"cookie": f"a=b; {pair}; c=d"}).status == 200
    assert Visit(locked_up, headers={"cookie": pair}, kind="http", path="/x").status == 200
    assert Visit(locked_up, headers={"cookie": pair + "0"}).status == 401
    assert Visit(guard(password="other"), headers={"cookie": pair}).status == 401
    again = guard(password="pass&word=1")
    assert Visit(again, headers={"cookie": pair}).status == 200, "a restart locked everybody out"


def test_whoever_follows_a_link_from_elsewhere_goes_on_by_a_page():
    """A browser keeps a strict cookie back after a redirect that another site began."""
    visit = Visit(
        guard(password="p"),
        query="key=p",
        headers={"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"},
    )
    assert visit.status == 200
    assert "url=./" in visit.text
    assert "set-cookie" in visit.headers


def test_a_program_shows_the_key_in_a_header():
    assert Visit(guard(password="p"), headers={"authorization": "Bearer p"}).status == 200


def test_keys_are_guessed_slowly(monkeypatch):
    locked_up = guard(password="right")
    for guess in range(keys.GUESSES):
        assert Visit(locked_up, query=f"key={guess}").status == 401
    assert Visit(locked_up, query="key=right").status == 429
    assert Visit(locked_up, query="key=right", peer="127.0.0.2").status == 303
    cookie = "=".join(keys.Key("right").cookie)
    assert Visit(locked_up, headers={"cookie": cookie}).status == 200, "the owner is locked out"
    later = time.monotonic() + keys.GUESSES_S + 1
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert Visit(locked_up, query="key=right").status == 303


def test_guesses_from_one_ipv6_network_count_together():
    assert keys.network("2001:db8:1:2::1") == keys.network("2001:db8:1:2:ffff::9")
    assert keys.network("2001:db8:1:2::1") != keys.network("2001:db8:1:3::1")
    assert keys.network("::ffff:10.0.0.1") == keys.network("10.0.0.1")


def test_a_server_that_others_reach_has_a_key(monkeypatch):
    monkeypatch.delenv("SSDNERF_PASSWORD", raising=False)
    assert locked(AppSettings()).password == ""
    assert locked(AppSettings(host="::1")).password == ""
    made = locked(AppSettings(host="0.0.0.0")).password
    assert len(made) > 20
    assert made != locked(AppSettings(host="0.0.0.0")).password
    assert locked(AppSettings(host="0.0.0.0", password="mine")).password == "mine"
    monkeypatch.setenv("SSDNERF_PASSWORD", "from there")
    assert locked(AppSettings()).password == "from there"
    assert Visit(guard(), server="192.168.0.2", headers={"host": "127.0.0.1"}).status == 403


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "http://127.0.0.1:7860"),
        ({"host": "::1"}, "http://[::1]:7860"),
        ({"root_path": "ssd"}, "http://127.0.0.1:7860/ssd/"),
        ({"host": "0.0.0.0", "password": "a b"}, "http://127.0.0.1:7860/?key=a%20b"),
    ],
)
def test_the_address_that_is_printed_can_be_opened(settings, shown):
    assert address(AppSettings(**settings), 7860) == shown


def test_an_ipv6_address_can_be_listened_on():
    with listen("::1", 0) as bound:
        assert bound.family == socket.AF_INET6
        assert bound.getsockname()[0] == "::1"


def test_only_a_trusted_proxy_says_who_asks():
    told = {"x-forwarded-for": "6.6.6.6, 5.5.5.5", "x-forwarded-host": "evil.example"}
    visit = Visit(guard(), headers=told)
    assert visit.text == "/ 127.0.0.1 None 0"
    trusted = guard(trust_proxy=("127.0.0.1",), allow_host=("nerf.example",))
    told |= {"x-forwarded-host": "nerf.example", "x-forwarded-proto": "https"}
    assert Visit(trusted, headers=told).text == "/ 5.5.5.5 None 0"
    assert Visit(trusted, headers=told | {"x-forwarded-host": "evil.example"}).status == 421
    secure = guard(trust_proxy=("127.0.0.1",), allow_host=("nerf.example",), password="p")
    assert "Secure" in Visit(secure, headers=told, query="key=p").headers["set-cookie"]


def test_of_several_lines_the_nearest_proxys_is_believed():
    named = {"trust_proxy": ("127.0.0.1",), "allow_host": ("nerf.example",)}
    told = {
        "x-forwarded-for": "6.6.6.6",
        "X-Forwarded-For": "7.7.7.7, 5.5.5.5:4711",
        "x-forwarded-host": "evil.example",
        "X-Forwarded-Host": "nerf.example",
        "x-forwarded-proto": "http",
        "X-Forwarded-Proto": "https",
    }
    assert Visit(guard(**named), headers=told).text == "/ 5.5.5.5 None 0"
    secure = guard(**named, password="p")
    assert "Secure" in Visit(secure, headers=told, query="key=p").headers["set-cookie"]
    for said in ("[2001:db8::1]:443", "2001:db8::2"):
        there = Visit(guard(**named), headers={"host": "nerf.example", "x-forwarded-for": said})
        assert there.text == "/ 2001:db8::/64 None 0"


def test_limits_of_one_address_hold_for_an_ipv6_network():
    seen = [
        Visit(guard(), peer=f"2001:db8:1:{net}::{host}").text
        for net, host in ((2, 1), (2, 9), (3, 1))
    ]
    assert seen[0] == seen[1] != seen[2]
    assert Visit(guard(), peer="::ffff:10.0.0.1").text == "/ 10.0.0.1 None 0"


def test_the_key_opens_the_bare_prefix_too():
    under = guard(root_path="/ssd", password="p")
    bare = Visit(under, path="/ssd", query="key=p&__theme=dark")
    assert (bare.status, bare.headers["location"]) == (308, "/ssd/?key=p&__theme=dark")
    assert "set-cookie" not in bare.headers
    shown = Visit(under, path="/ssd/", query="key=p&__theme=dark")
    assert (shown.status, shown.headers["location"]) == (303, "./?__theme=dark")
    assert "Path=/ssd/;" in shown.headers["set-cookie"]


def test_a_body_has_its_time_from_when_it_is_read(monkeypatch):
    monkeypatch.setattr(guard_module, "PLAIN_S", 0.2)

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.4)
        await inner(scope, receive, send)

    assert Visit(Guard(late, AppSettings()), method="POST").status == 200


@pytest.mark.parametrize("root", ["ssd", "/ssd", "ssd/", "/ssd/", "https://nerf.example/ssd"])
def test_a_prefix_is_understood_however_it_is_written(root):
    under = guard(root_path=root)
    assert Visit(under, path="/ssd/healthz").text.startswith("/healthz ")
    assert Visit(under, path="/healthz").text.startswith("/healthz ")
    assert Visit(under, path="/ssdx").text.startswith("/ssdx ")
    bare = Visit(under, path="/ssd")
    assert (bare.status, bare.headers["location"]) == (308, "/ssd/")
    prefix = AppSettings(root_path=root).prefix
    assert prefix in ("/ssd", "https://nerf.example/ssd")


@pytest.mark.parametrize("path", ["/" + "9" * 300, "/a" * 2000, "/a\0b", "/a\nb", "x"])
def test_addresses_that_nothing_can_have_are_not_looked_up(path):
    assert Visit(guard(), path=path).status == 404


def test_names_are_read_as_browsers_write_them():
    assert split("[::1]:80") == ("::1", 80)
    assert split("::1") == ("::1", None)
    assert split("A.Example:8") == ("a.example", 8)
    assert split("https://a.example/b") == ("a.example", None)
    assert split("a:99999999") == ("a", None)
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")


# -- over real sockets -----------------------------------------------------------------------------


@pytest.fixture
def listening(monkeypatch) -> Iterator[int]:
    """The port of a guarded server with little patience."""
    for module, name, value in (
        (bodies, "PAUSE_S", 0.5),
        (guard_module, "PLAIN_S", 1.0),
        (connections, "HEAD_S", 0.5),
        (connections, "UNREAD_S", 0.5),
        (connections, "MOST_OF_ONE", 20),
    ):
        monkeypatch.setattr(module, name, value)
    settings = AppSettings(max_upload_mb=2)
    config = configured(Guard(tell, settings), settings, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    bound = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    until(lambda: server.started)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join(20)


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/much":
        await PlainTextResponse(b"x" * (64 << 20))(scope, receive, send)
    else:
        await inner(scope, receive, send)


def answer(connection: socket.socket) -> str:
    connection.settimeout(20)
    text = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            text += part
    return text.decode(errors="replace")


def opened(port: int, text: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(text)
    return connection


POST = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("path", "most"), [(b"steer", 1 << 20), (b"gradio_api/upload", 3 << 20)], ids=["plain", "file"]
)
def test_bodies_are_cut_off_while_they_come(listening, path, most):
    length = b"Content-Length: %d\r\n"
    with opened(listening, POST % (path, length % (most + 1))) as connection:
        assert " 413 " in answer(connection), "an announced length is not waited for"
    with opened(listening, POST % (path, length % most)) as connection:
        connection.sendall(b"x" * most)
        assert answer(connection).endswith(f" {most}")
    with opened(listening, POST % (path, CHUNKED)) as connection:
        for _ in range(most // 65536 + 64):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert " 413 " in answer(connection), "whoever sent too much does not hear why"


def test_bodies_that_do_not_come_are_not_waited_for(listening):
    with opened(listening, POST % (b"steer", b"Content-Length: 10\r\n") + b"x") as connection:
        assert " 408 " in answer(connection)
    with opened(listening, POST % (b"steer", b"Content-Length: 99\r\n")) as connection:
        text = b""
        connection.settimeout(0.2)
        began = time.monotonic()
        while not text and time.monotonic() < began + 20:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                text = connection.recv(100)
        assert b" 408 " in text, "one byte at a time kept it open"


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_requests_that_do_not_begin_are_not_waited_for(listening, head):
    with opened(listening, head) as connection:
        assert answer(connection) == ""


def test_nor_is_the_next_one_on_a_connection(listening):
    with opened(listening, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        assert b"200" in connection.recv(65536)
        connection.settimeout(0.2)
        deadline, closed = time.monotonic() + 20, False
        while not closed and time.monotonic() < deadline:
            try:
                connection.sendall(b"G")
                closed = connection.recv(100) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
        assert closed


def test_whoever_stops_reading_is_dropped(listening):
    with opened(listening, b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        time.sleep(1.5)
        assert len(answer(connection)) < 64 << 20


def test_one_address_has_few_connections_and_gets_them_back(listening):
    with contextlib.ExitStack() as held:
        for _ in range(20):
            held.enter_context(opened(listening, b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        with opened(listening) as refused:
            assert answer(refused) == ""

    def again() -> bool:
        with opened(listening, POST % (b"", b"")) as connection:
            return " 200 " in answer(connection)

    until(again, "room for another connection")


def test_connections_that_ask_nothing_keep_nobody_out(listening):
    with contextlib.ExitStack() as held:
        for _ in range(40):
            held.enter_context(opened(listening, b"GET / HTTP/1.1\r\nHost: local"))
        with opened(listening, POST % (b"", b"")) as connection:
            assert " 200 " in answer(connection)

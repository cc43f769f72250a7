"""Host names that the server answers to, and origins of the pages that may send requests."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

WILDCARDS = ("0.0.0.0", "::", "")
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Hosts:
    """The names of one server.

    A foreign page can let its own name resolve to this address (DNS rebinding) and is then of the same origin as this
    server; only the name in the request tells them apart.
    """

    def __init__(self, bound: str, more: Sequence[str] = ()):
        """Loopback names, the address listened on, and `more`."""
        self._more = {split(name)[0] for name in more}
        self._names = {"localhost", *self._more}
        if bound in WILDCARDS:
            self._names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
        else:
            self._names.add(split(bound)[0])
        self._any_of_ours = bound in WILDCARDS

    def answers_to(self, host: str, address: str | None) -> bool:
        """True if this server answers to a `Host`; `address` is the server's own in the connection, if known."""
        name, _ = split(host)
        if name in self._names or is_loopback_address(name):
            return True
        return self._any_of_ours and address is not None and name == split(address)[0]

    def serves(self, origin: str, host: str) -> bool:
        """True if a page of `origin` may send requests to `host`: the server's own pages and those of `more`."""
        try:
            asked = urlsplit(origin)
            port = asked.port or PORTS[asked.scheme]
        except (ValueError, KeyError):
            return False
        name, own_port = split(host)
        asking = split(asked.netloc)[0]
        return asking in self._more or (asking, port) == (name, own_port or PORTS[asked.scheme])


def split(host: str) -> tuple[str, int | None]:
    """Name and port of `name`, `name:port`, `[::1]:port`, `::1` or an address with a scheme; the name is normalised."""
    if "://" in host:
        host = urlsplit(host).netloc
    host = host.strip().lower()
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        name, port = host.split(":")
    else:
        name, port = host, ""
    try:
        name = str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        name = name.rstrip(".")
    return name, int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else None


def is_loopback(host: str) -> bool:
    """True if only this machine can reach a server that listens on `host`, an address or a name."""
    if host in WILDCARDS:
        return False
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return bool(found) and all(is_loopback_address(address[0]) for *_, address in found)


def is_loopback_address(name: str) -> bool:
    """True for a loopback address."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

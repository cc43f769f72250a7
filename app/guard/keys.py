"""The key of a server that is not open to everybody, and limits on guessing it."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict, deque

from engine import NAME

GUESSES, GUESSES_S = 10, 60.0
"""Wrong keys that one address may try in a time; more are not even looked at."""
MOST_ADDRESSES = 4096
"""Addresses whose guesses are remembered."""


class Key:
    """A password, and the cookie of a browser that has shown it.

    The cookie is derived from the password, so that it stays valid after a restart; recovering the password from it
    takes guesses of 50 ms each.

    Attributes:
        cookie: Name and value.
    """

    def __init__(self, password: str):
        self._digest = _digest(password)
        secret = hashlib.scrypt(password.encode(), salt=NAME.encode(), n=1 << 14, r=8, p=1)
        self.cookie = (f"{NAME}-key-{secret[:4].hex()}", secret[4:36].hex())

    def opens(self, password: str) -> bool:
        """True for the right password, compared in constant time."""
        return hmac.compare_digest(_digest(password), self._digest)

    def shown(self, cookies: str) -> bool:
        """True if a `Cookie` header holds the cookie."""
        name, value = self.cookie
        given = (part.strip().partition("=") for part in cookies.split(";"))
        return any(
            key == name and hmac.compare_digest(text.encode(), value.encode())
            for key, _, text in given
        )


class Attempts:
    """Recent wrong keys, by address."""

    def __init__(self):
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def may_try(self, address: str) -> bool:
        """True if an address has guesses left."""
        failed = self._failed.get(network(address), ())
        since = time.monotonic() - GUESSES_S
        return sum(when > since for when in failed) < GUESSES

    def failed(self, address: str) -> None:
        """Note a wrong key."""
        name = network(address)
        self._failed.setdefault(name, deque(maxlen=GUESSES)).append(time.monotonic())
        self._failed.move_to_end(name)
        while len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)


def network(address: str) -> str:
    """Network of one visitor: an IPv4 address itself, or the first half of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

"""viser's server for this process alone: its port requires a secret, serves no files and opens no tunnel."""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import Any

import viser
from viser import _messages, infra

SECRET = "X-Viewport-Secret"


class IntruderError(Exception):
    """A connection without the secret."""


class SecretSocket(infra.WebsockServer):
    """viser's websocket on a loopback port, for clients that send the secret in the handshake.

    Any program of the machine, and any page in a browser on it, can reach such a port.

    Attributes:
        secret: Made anew for each server.
    """

    def __init__(self, **options: Any):
        super().__init__(**options | {"http_server_root": None})
        self.secret = secrets.token_urlsafe(32)
        self.on_client_connect(
            self._admit
        )  # the first to hear of a client, before it is listened to

    async def _admit(self, client: infra.WebsockClientConnection) -> None:
        connection = self._live_connections[client.client_id]
        given = connection.request.headers.get_all(SECRET)
        if len(given) == 1 and hmac.compare_digest(given[0].encode(), self.secret.encode()):
            return
        del self._live_connections[client.client_id]
        del self._client_state_from_id[client.client_id]
        await connection.close(1008)
        raise IntruderError


infra.WebsockServer = SecretSocket  # which viser's server makes its own by this name


class ViewportServer(viser.ViserServer):
    """A viser server that only its own process reaches.

    Attributes:
        port: Its port, on loopback.
        secret: Header with the secret, by name.
    """

    def __init__(self):
        super().__init__(host="127.0.0.1", port=0, verbose=False)
        self.port = self.get_port()
        self.secret = {SECRET: self._websock_server.secret}
        for kind in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
            self._websock_server.unregister_handler(kind)

    def request_share_url(self, verbose: bool = True) -> None:
        """Do nothing: viser would open a public tunnel."""


def _quiet(record: logging.LogRecord) -> bool:
    """True if a log record of the websocket library is not about an intruder, since anybody could cause thousands."""
    return not (record.exc_info and isinstance(record.exc_info[1], IntruderError))


logging.getLogger("websockets.server").addFilter(_quiet)

"""viser's server for nobody but this process: its port asks for a secret, serves no files and opens no tunnel."""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import Any

import viser
from viser import _messages, infra

SECRET = "X-Viewport-Secret"


class IntruderError(Exception):
    """Somebody who does not know the secret."""


class SecretSocket(infra.WebsockServer):
    """viser's websocket on a loopback port, for whoever sends the secret in the handshake.

    Every program of the machine reaches such a port, and every page in a browser on it.

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
        port: Where it listens, on loopback.
        secret: The header that opens it, by name.
    """

    def __init__(self):
        super().__init__(host="127.0.0.1", port=0, verbose=False)
        self.port = self.get_port()
        self.secret = {SECRET: self._websock_server.secret}
        for kind in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
            self._websock_server.unregister_handler(kind)

    def request_share_url(self, verbose: bool = True) -> None:
        """Nothing: viser would open a public tunnel."""


def _quiet(record: logging.LogRecord) -> bool:
    """True if a line of the websocket library is no news of an intruder, whom anybody could send by the thousand."""
    return not (record.exc_info and isinstance(record.exc_info[1], IntruderError))


logging.getLogger("websockets.server").addFilter(_quiet)

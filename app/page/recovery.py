"""Routes by which a tab finds its session again: after a reload, a pause, a restart of the explorer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.session.sessions import SessionGoneError, Sessions, SessionsFullError
from app.startup.front import address

FRESH = {"Cache-Control": "no-store"}


def recovery_routes(sessions: Sessions) -> list[BaseRoute]:
    """The routes."""

    def alive(request: Request) -> Response:
        """204 if an open page's session lives; else a sentence: 404 if it is gone, 429 if it must wait."""
        try:
            sessions.expected(request.path_params["token"])
        except SessionGoneError as error:
            return JSONResponse({"said": str(error)}, 404, headers=FRESH)
        except SessionsFullError as error:
            return JSONResponse({"said": str(error)}, 429, headers=FRESH)
        return Response(status_code=204, headers=FRESH)

    def recover(request: Request) -> Response:
        """The earlier session of a page, as far as it can be recovered."""
        try:
            found = sessions.recover(request.path_params["token"], address(request.scope))
        except SessionsFullError as error:
            return JSONResponse({"token": None, "said": str(error)}, 429, headers=FRESH)
        return JSONResponse({"token": found.token, "said": found.said}, headers=FRESH)

    return [
        Route("/alive/{token}", alive),
        Route("/recover/{token}", recover, methods=["POST"]),
    ]

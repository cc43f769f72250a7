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
        """JSON for an open page: number of results, a sentence to show, and true if Gradio still knows the page.

        404 if the session is gone, 429 if it must wait.
        """
        try:
            session = sessions.expected(request.path_params["token"])
        except SessionGoneError as error:
            return JSONResponse({"said": str(error)}, 404, headers=FRESH)
        except SessionsFullError as error:
            return JSONResponse({"said": str(error)}, 429, headers=FRESH)
        session.come_back()  # the page is there, even if Gradio has lost sight of it
        told = {
            "results": len(session.history),
            "said": session.unkept,
            "open": sessions.has_page(session),
        }
        return JSONResponse(told, headers=FRESH)

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

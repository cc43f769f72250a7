"""The routes of the API, in a table from which its description is generated too."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.api import deeds, schema
from app.api.deeds import Desk, Runs, UnknownError
from app.api.files import Files, TooLargeError
from app.api.openapi import describe
from app.session.exports import StorageError
from app.session.jobs import Job, JobRunner, QueueFullError
from app.session.session import Session
from app.session.sessions import Sessions, SessionsFullError
from app.session.uploads import StorageFullError
from app.settings import AppSettings
from engine.errors import EngineError

LONGEST_WAIT_S = 30.0
POLL_S = 0.05
FRESH = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Operation:
    """One operation of the API.

    Attributes:
        verb: HTTP method.
        path: Address below /api, with `{session}`, `{run}` or `{record}`.
        summary: One sentence.
        asked: Type of the body; None without a body, `bytes` for a file.
        told: Type of the answer; None without an answer.
        status: HTTP status of success.
        answer: Handler.
    """

    verb: str
    path: str
    summary: str
    asked: type | None
    told: type | None
    status: int
    answer: Callable[[Api, Request], Any]


class Api:
    """The API of one explorer."""

    def __init__(self, sessions: Sessions, runner: JobRunner, settings: AppSettings):
        self.sessions, self.runner, self.settings = sessions, runner, settings

    def routes(self) -> list[BaseRoute]:
        """Its routes, and the description of them."""
        description = msgspec.json.encode(describe(OPERATIONS, self.settings.path))

        def described(request: Request) -> Response:
            return Response(description, media_type="application/json")

        by_path: dict[str, dict[str, Operation]] = {}
        for operation in OPERATIONS:
            by_path.setdefault(operation.path, {})[operation.verb] = operation
        made = [
            Route(
                f"/api{path}".replace("{run}", "{run:int}").replace("{record}", "{record:int}"),
                functools.partial(self._answer, operations),
                methods=list(operations),
            )
            for path, operations in by_path.items()
        ]
        return [Route("/api/openapi.json", described), *made]

    async def _answer(self, operations: dict[str, Operation], request: Request) -> Response:
        operation = operations["GET" if request.method == "HEAD" else request.method]
        try:
            told = await operation.answer(self, request)
        except ClientDisconnect:
            return Response(status_code=400)
        except msgspec.MsgspecError as error:
            return problem(400, schema.sentence(error))
        except UnsupportedBodyError as error:
            return problem(415, str(error))
        except UnknownError as error:
            return problem(404, str(error))
        except TooLargeError as error:
            return problem(413, str(error))
        except (QueueFullError, SessionsFullError, StorageFullError) as error:
            return problem(429, str(error))
        except StorageError as error:
            return problem(507, str(error))
        except EngineError as error:
            return problem(400, str(error))
        if told is None:
            return Response(status_code=operation.status)
        return answer(operation.status, told)

    def desk(self, request: Request) -> Desk:
        """The session that the path names, and the parts that serve it.

        Raises:
            UnknownError: If there is none.
        """
        session = self.sessions.of_token(request.path_params["session"])
        if session is None:
            raise UnknownError("Found no such session; it may have ended: open a new one.")
        session.touch()
        return self.desk_of(session)

    def desk_of(self, session: Session) -> Desk:
        """A session and the parts that serve it."""
        return Desk(session, self.runner, self.sessions.priors, self.settings.path)


class UnsupportedBodyError(EngineError):
    """A body is not JSON."""


def problem(status: int, sentence: str) -> Response:
    """An error as JSON."""
    headers = {"Retry-After": "5"} if status == 429 else {}
    return answer(status, schema.Problem(sentence), headers)


def answer(status: int, told: Struct, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(
        msgspec.json.encode(told),
        status,
        media_type="application/json",
        headers={**FRESH, **(headers or {})},
    )


async def body(request: Request, kind: type[Struct]) -> Any:
    """The checked body of a request; the guard in front bounds its length.

    Raises:
        UnsupportedBodyError: If its content type is not JSON: pages of other origins can send other types unasked.
        msgspec.MsgspecError: If it is not as described.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise UnsupportedBodyError("Send JSON, with the header Content-Type: application/json.")
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=kind)
    except RecursionError as error:
        raise msgspec.ValidationError("JSON is nested too deeply") from error


# -- operations ------------------------------------------------------------------------------------


async def open_session(api: Api, request: Request) -> schema.SessionTold:
    """A session of the caller's own."""
    asked = await body(request, schema.Opening)
    address = request.client.host if request.client else ""
    desk = api.desk_of(await asyncio.to_thread(api.sessions.open, address))
    try:
        await asyncio.to_thread(deeds.use, desk, asked.prior)
    except EngineError:
        await asyncio.to_thread(api.sessions.drop, desk.session)
        raise
    return told_session(desk)


async def about_session(api: Api, request: Request) -> schema.SessionTold:
    """The session's model, the models it can choose from, and its view."""
    return told_session(api.desk(request))


def told_session(desk: Desk) -> schema.SessionTold:
    """A session as the API reports it."""
    names = [name for _, name in desk.priors.choices]
    token = desk.session.token
    view = f"{desk.prefix}/viewport/{token}/"
    return schema.SessionTold(token, desk.session.prior.name, names, view)


async def end_session(api: Api, request: Request) -> None:
    """End a session: its runs are cancelled, its results deleted."""
    session = api.desk(request).session
    session.stop(api.runner)
    await asyncio.to_thread(api.sessions.remove, session)


async def send_file(api: Api, request: Request) -> schema.FileTold:
    """Receive a file."""
    session, most_mb = api.desk(request).session, api.settings.max_upload_mb
    files, ledger = session.part(Files), api.sessions.ledger
    with ledger.expect(session.address, most_mb << 20):
        name = await files.receive(request.query_params.get("name", ""), request.stream(), most_mb)
        ledger.note(files.path(name), session.address)
    return schema.FileTold(name, files.path(name).stat().st_size)


def begin(deed: Callable[[Desk, Any], Job], kind: type[Struct]) -> Callable[[Api, Request], Any]:
    """An operation that starts a run."""

    async def answer_run(api: Api, request: Request) -> schema.RunTold:
        desk = api.desk(request)
        asked = await body(request, kind)
        job = await asyncio.to_thread(deed, desk, asked)
        desk.session.part(Runs).add(job)
        return deeds.told_run(desk, job)

    return answer_run


def at_once(
    deed: Callable[[Desk, Any], Struct], kind: type[Struct]
) -> Callable[[Api, Request], Any]:
    """An operation that is answered when it is finished."""

    async def answer_deed(api: Api, request: Request) -> Struct:
        desk = api.desk(request)
        return await asyncio.to_thread(deed, desk, await body(request, kind))

    return answer_deed


async def follow(api: Api, request: Request) -> schema.RunTold:
    """The state of a run: now, or once it has ended, after at most `wait` seconds."""
    desk = api.desk(request)
    job = desk.session.part(Runs).get(request.path_params["run"])
    try:
        patience = float(request.query_params.get("wait", 0))
    except ValueError:
        patience = 0.0
    until = time.monotonic() + min(max(patience, 0.0), LONGEST_WAIT_S)
    while not job.ended and time.monotonic() < until:
        await asyncio.sleep(POLL_S)
    desk.session.touch()
    return deeds.told_run(desk, job)


async def cancel(api: Api, request: Request) -> schema.RunTold:
    """Stop a run within a step."""
    desk = api.desk(request)
    job = desk.session.part(Runs).get(request.path_params["run"])
    if not job.ended:
        await asyncio.to_thread(api.runner.cancel, job)
    return deeds.told_run(desk, job)


async def records(api: Api, request: Request) -> schema.RecordsTold:
    """Everything made in the session."""
    desk = api.desk(request)
    return schema.RecordsTold([deeds.told_record(desk, one) for one in desk.session.history])


async def one_record(api: Api, request: Request) -> schema.RecordTold:
    """One record."""
    desk = api.desk(request)
    number = request.path_params["record"]
    return deeds.told_record(desk, deeds.record(desk.session, number))


async def change_record(api: Api, request: Request) -> schema.RecordTold:
    """Rename or pin a record."""
    return deeds.change(
        api.desk(request), request.path_params["record"], await body(request, schema.Naming)
    )


async def remove_record(api: Api, request: Request) -> None:
    """Remove a record from the history."""
    deeds.remove(api.desk(request).session, request.path_params["record"])


S = "/sessions/{session}"
OPERATIONS = (
    Operation(
        "POST", "/sessions", "Open a session.", schema.Opening, schema.SessionTold, 201,
        open_session,
    ),
    Operation("GET", S, "Tell what a session may use.", None, schema.SessionTold, 200, about_session),
    Operation("DELETE", S, "End a session and all it made.", None, None, 204, end_session),
    Operation(
        "POST", f"{S}/files", "Send a picture, a mask, a run or a scene; its bytes are the body.", bytes,
        schema.FileTold, 201, send_file,
    ),
    Operation(
        "POST", f"{S}/generate", "Begin to draw objects.", schema.Generating, schema.RunTold, 202,
        begin(deeds.generate, schema.Generating),
    ),
    Operation(
        "POST", f"{S}/reconstruct", "Begin to fit an object to pictures.", schema.Reconstructing,
        schema.RunTold, 202, begin(deeds.reconstruct, schema.Reconstructing),
    ),
    Operation(
        "POST", f"{S}/interpolate", "Begin a path between records.", schema.Interpolating,
        schema.RunTold, 202, begin(deeds.interpolate, schema.Interpolating),
    ),
    Operation(
        "POST", f"{S}/interpolate/point", "Draw and keep the object at a point of the path.",
        schema.Point, schema.PathTold, 200, at_once(deeds.point, schema.Point),
    ),
    Operation(
        "POST", f"{S}/branch", "Go on from a step of a record.", schema.Branching, schema.RunTold,
        202, begin(deeds.go_on, schema.Branching),
    ),
    Operation(
        "POST", f"{S}/regenerate", "Keep a box of a record and begin to draw the rest anew.",
        schema.Regenerating, schema.RunTold, 202, begin(deeds.regenerate, schema.Regenerating),
    ),
    Operation(
        "POST", f"{S}/open", "Open a saved run or scene.", schema.OpeningFile, schema.RecordTold,
        201, at_once(deeds.open_file, schema.OpeningFile),
    ),
    Operation(
        "PUT", f"{S}/view", "Show records in the session's view.", schema.Showing,
        schema.RecordsTold, 200, at_once(deeds.show, schema.Showing),
    ),
    Operation(
        "GET", S + "/runs/{run}", "Tell where a run stands; ?wait=SECONDS waits for its end.", None,
        schema.RunTold, 200, follow,
    ),
    Operation("DELETE", S + "/runs/{run}", "Cancel a run.", None, schema.RunTold, 200, cancel),
    Operation("GET", f"{S}/records", "List what was made.", None, schema.RecordsTold, 200, records),
    Operation(
        "GET", S + "/records/{record}", "Tell about a record.", None, schema.RecordTold, 200,
        one_record,
    ),
    Operation(
        "PATCH", S + "/records/{record}", "Name or pin a record.", schema.Naming, schema.RecordTold,
        200, change_record,
    ),
    Operation(
        "DELETE", S + "/records/{record}", "Remove a record.", None, None, 204, remove_record,
    ),
)  # fmt: skip

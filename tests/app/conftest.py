"""A toy explorer, with and without a server around it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn

from app.explorer import Explorer
from app.server import configured, create_app
from app.session.jobs import JobRunner
from app.session.priors import Prior
from app.session.session import Session
from app.settings import AppSettings
from engine.methods.toy import ToyConfig, ToyMethod


@pytest.fixture(scope="session")
def method() -> ToyMethod:
    return ToyMethod()


@pytest.fixture
def runner() -> Iterator[JobRunner]:
    runner = JobRunner(max_queue=2)
    yield runner
    runner.close()


@pytest.fixture
def session(method) -> Iterator[Session]:
    session = Session(Prior("toy", method), AppSettings(max_history=3))
    yield session
    session.close()


@dataclass(frozen=True)
class Served:
    """A running explorer."""

    url: str
    explorer: Explorer


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    method = ToyMethod(ToyConfig(step_seconds=0.01))
    app = create_app(AppSettings(checkpoint="toy", grace_s=0.0), method)
    config = configured(
        app, AppSettings(), port=0, log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(f"http://127.0.0.1:{port}", app.state.explorer)
    server.should_exit = True
    thread.join(timeout=20)

"""Keeping: which object's part it is, and what of it goes when something else is marked."""

from __future__ import annotations

import pytest
import torch

from app.session.priors import Prior
from app.session.records import Record
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.complete.keeping import Keeping, mark
from engine.errors import ConfigError
from engine.events import Step
from engine.store.timeline import result_step
from tests.app.test_jobs import wait_for_end


@pytest.fixture
def session(vehicles, monkeypatch):
    def complete(latent, region, options, noise, after=None):
        yield Step(stage="guide", index=1, total=1, latent=latent[None])
        return latent[None]

    monkeypatch.setattr(vehicles, "complete", complete)
    session = Session(Prior("vehicles", vehicles), AppSettings())
    yield session
    session.close()


def made(session: Session, title: str, place: int = 0) -> Record:
    frames = [result_step(session.method.gallery[place][None])]
    record = Record("generate", title, {}, frames, session.method, state="done")
    session.add(record)
    return record


def test_the_object_that_is_looked_at_is_taken_anew(session, runner):
    first = made(session, "First")
    keeping = session.part(Keeping)
    mark(session, {"act": "half", "half": "front"})
    region = keeping.region
    wait_for_end(keeping.propose(runner, 2, 7))
    proposals = list(keeping.proposals)
    for own in (first, *proposals):
        session.select(own.id)
        mark(session, {"act": "show"})
        assert (keeping.original, keeping.region) == (first, region)
        assert session.selection()[0] is first
        assert session.snapshot().marked.region is region
    assert keeping.figures is not None
    second = made(session, "Second", 1)
    mark(session, {"act": "show"})
    assert session.selection()[0] is keeping.original is second
    assert keeping.region is keeping.box is keeping.figures is None
    assert not keeping.proposals
    session.select(first.id)
    mark(session, {"act": "half", "half": "top"})
    assert keeping.original is first
    running = made(session, "Running", 1)
    running.state = "running"
    mark(session, {"act": "show"})
    assert keeping.original is keeping.region is None
    assert session.selection()[0] is running
    with pytest.raises(ConfigError, match="not finished"):
        mark(session, {"act": "half", "half": "top"})


def test_figures_are_of_the_mark_and_proposals_are_counted_on(session, runner):
    made(session, "First")
    keeping = session.part(Keeping)
    mark(session, {"act": "half", "half": "front"})
    wait_for_end(keeping.propose(runner, 2, 7))
    assert len(keeping.report()["kept"]) == 2
    mark(session, {"act": "clear"})
    assert "kept" not in keeping.report()
    assert len(keeping.report()["proposals"]) == 2
    mark(session, {"act": "half", "half": "top"})
    assert "kept" not in keeping.report()
    wait_for_end(keeping.propose(runner, 1, 7))
    titles = [record.title for record in session.history if record.kind == "regenerate"]
    assert sorted(titles) == [f"Proposal {k} of First" for k in (1, 2, 3)]
    assert torch.isfinite(torch.tensor(keeping.report()["kept"])).all()

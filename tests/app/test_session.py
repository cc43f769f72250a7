"""One tab's state: what is shown, what is kept, what a run does to it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
import torch

from app.api import deeds, schema
from app.page import news
from app.session.jobs import Job, JobRunner
from app.session.priors import Prior, Priors
from app.session.records import Record
from app.session.session import Session
from app.session.sessions import Sessions
from app.settings import AppSettings
from engine.config import to_json
from engine.events import Step
from engine.kernels.voxel_frames import VoxelOnCpu
from engine.methods.base import options_of
from engine.methods.toy import ToyMethod
from engine.methods.toy_options import DrawOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.types import Views
from tests.app.test_jobs import wait_for_end
from tests.waiting import until

QUICK = DrawOptions("ddim", 3)


def generate(session: Session, runner: JobRunner, count: int = 1, seed: int = 1) -> list[Record]:
    """Objects of a run of three steps, whatever the model."""
    frames: list = []
    method = session.method
    options = replace(options_of(method, "generate", "paper"), steps=3)
    told = [{"seed": seed + n, "settings": to_json(options)} for n in range(count)]
    records = [
        Record("generate", f"{n}", about, frames, method, scene=n) for n, about in enumerate(told)
    ]
    job = session.start(
        runner, lambda: method.generate(count, options, Noise(seed)), records, (("denoise", 3),)
    )
    wait_for_end(job)
    return records


def test_a_new_session_shows_a_training_scene(session, method):
    record, index = session.selection()
    assert record.kind == "prior"
    assert torch.equal(record.latent(index), method.gallery[0])


def test_the_view_follows_a_run_to_its_result(session, runner):
    (record,) = generate(session, runner)
    shown, index = session.selection()
    assert shown is record
    assert [frame.stage for frame in record.frames] == ["denoise"] * 3 + ["result"]
    assert index == 3
    assert session.selection()[1] == 3


def test_a_chosen_step_stays_while_the_run_goes_on(session, runner):
    gate, reached = threading.Event(), threading.Event()
    frames: list = []
    record = Record("generate", "", {}, frames, session.method)

    def held():
        for step in session.method.generate(1, QUICK, Noise(1)):
            yield step
            reached.set()
            gate.wait(5)
        return torch.zeros(1, *session.method.info.latent_shape)

    job = session.start(runner, held, [record], ())
    reached.wait(5)
    gate.set()
    until(lambda: len(frames) >= 2, "the second step")
    session.select(record.id, 0)
    wait_for_end(job)
    assert session.selection() == (record, 0)


def test_every_object_of_a_run_is_its_own_record(session, runner):
    records = generate(session, runner, count=2)
    assert session.history[:2] == records
    assert not torch.equal(records[0].latent(-1), records[1].latent(-1))
    session.select(records[1].id)
    assert session.selection()[0] is records[1]


def test_old_results_are_forgotten_beyond_the_limit(session, runner):
    first = generate(session, runner, seed=1)[0]
    for seed in range(2, 6):
        generate(session, runner, seed=seed)
    assert len(session.history) == 3
    assert session.record(first.id) is None


def test_old_steps_are_dropped_before_results(method, runner):
    session = Session(Prior("toy", method), replace(AppSettings(), max_latent_mb=0))
    old = generate(session, runner, seed=1)[0]
    generate(session, runner, seed=2)
    assert all(frame.latent is None for frame in old.frames[:-1])
    assert old.latent(-1) is not None
    session.close()


def test_a_second_run_cancels_the_first(session, runner):
    def endless():
        while True:
            yield from session.method.generate(1, QUICK, Noise(1))

    record = Record("generate", "", {}, [], session.method)
    first = session.start(runner, endless, [record], ())
    until(lambda: first.version, "its first news")
    generate(session, runner)
    assert first.state == "cancelled"
    assert record.state == "cancelled"


def test_a_failed_run_leaves_no_empty_result(session, runner):
    def failing():
        raise ValueError("no")
        yield

    wait_for_end(
        session.start(runner, failing, [Record("generate", "", {}, [], session.method)], ())
    )
    assert session.history == []


def test_how_a_run_ended_is_told_beside_what_it_drew(session, runner):
    (first,), (second,) = generate(session, runner), generate(session, runner, seed=2)
    assert ">Done in" in news.timeline(session, runner)
    session.select(first.id)
    assert ">Ready" in news.timeline(session, runner)
    session.compare([(second.id, None)])
    assert ">Done in" in news.timeline(session, runner)
    session.start(runner, no_steps, [Record("generate", "None", {}, [], session.method)], ())
    wait_for_end(session.job)
    assert 'data-state="failed"' in news.timeline(session, runner), "no record shows why"


def no_steps():
    raise ValueError("no steps")


def test_scenes_carry_where_they_came_from(session, runner):
    (record,) = generate(session, runner, seed=7)
    assert session.scene(record).provenance["seed"] == 7


def test_a_frame_is_baked_once(session, runner):
    (record,) = generate(session, runner)
    assert session.baked(record, 0) is session.baked(record, 0)


def test_sessions_belong_to_their_pages():
    sessions = Sessions(Priors(AppSettings(), ToyMethod()), AppSettings())
    one, other = sessions.open(), sessions.open()
    assert one is not other
    assert one.token != other.token
    assert sessions.open_page("a", one.token) is one
    assert sessions.of_page("a") is one
    assert sessions.of_token(other.token) is other
    sessions.drop(one)
    assert sessions.of_token(one.token) is None
    assert one.closed
    sessions.drop(other)


def test_the_end_of_a_reconstruction_is_judged_as_it_is_rendered(session, runner):
    method = session.method
    camera = orbit_camera(torch.tensor([30.0, 200.0]), 10.0, 1.3, 48)
    views = Views(render_views(method.scene(method.gallery[2]).field, camera), camera)
    record = Record("reconstruct", "", {}, [], method, views=views)
    options = replace(method.presets["reconstruct"]["ours"], levels=2, rounds=2)
    wait_for_end(
        session.start(runner, lambda: method.reconstruct(views, options, Noise(1)), [record], ())
    )
    rendered = render_views(session.scene(record).field, camera)
    wanted = -10 * torch.log10((rendered - views.images).square().mean((1, 2, 3)))
    assert record.psnrs == pytest.approx(tuple(wanted.tolist()), abs=1e-3)
    assert record.psnr == pytest.approx(float(wanted.mean()), abs=1e-3)


def test_slow_fields_are_shown_as_voxels_and_measured_as_they_are(session, runner, monkeypatch):
    (record,) = generate(session, runner)
    assert session.baked(record, len(record.frames) - 1).field.kind == "voxel"
    assert session.exact(record).field.kind == session.scene(record).field.kind != "voxel"
    monkeypatch.setattr("engine.render.live.frame_kernels", lambda field: VoxelOnCpu)
    (record,) = generate(session, runner)
    fast = session.exact(record)
    assert session.baked(record, len(record.frames) - 1) is fast
    assert fast.field.kind == session.scene(record).field.kind


# -- looks and comparisons -----------------------------------------------------------------------


def test_the_difference_is_of_what_was_predicted_and_its_noisy_state(session, runner):
    (record,) = generate(session, runner)
    session.select(record.id, 1)
    session.show(look="x_t")
    (pane,) = session.snapshot().panes
    assert (pane.index, pane.look) == (1, "x_t")
    assert torch.equal(record.latent(1, "x_t"), record.frames[1].noisy_latent[0])
    session.show(look="difference")
    snapshot = session.snapshot()
    assert snapshot.difference
    assert [pane.look for pane in snapshot.panes] == ["x0", "x_t"]


def test_two_compared_objects_stand_side_by_side_until_one_is_chosen(session, runner):
    first, second = generate(session, runner, count=2)
    session.select(first.id)
    session.compare([(second.id, None)])
    assert [pane.record for pane in session.snapshot().panes] == [first, second]
    session.show(look="difference")
    assert [pane.record for pane in session.snapshot().panes] == [first, second]
    session.select(second.id)
    assert session.snapshot().panes[0].record is second
    assert session.beside() == []


def test_what_is_compared_is_not_forgotten(session, runner):
    (old,) = generate(session, runner)
    (new,) = generate(session, runner)
    session.select(new.id)
    session.compare([(old.id, None)])
    for _ in range(5):
        generate(session, runner)
    assert session.record(old.id) is old


def test_a_pinned_result_is_never_dropped_nor_thinned_out(method, runner):
    session = Session(Prior("toy", method), AppSettings(max_history=2))
    (pinned,) = generate(session, runner)
    session.change(pinned, pinned=True)
    session.settings = AppSettings(max_history=2, max_latent_mb=0)
    others = [generate(session, runner)[0] for _ in range(4)]
    assert pinned in session.history
    assert all(frame.latent is not None for frame in pinned.frames)
    assert others[0] not in session.history
    assert any(frame.latent is None for frame in others[-1].frames), "no room for its steps"
    session.close()


def test_memory_is_counted_once_for_all_objects_of_a_run(session, runner):
    first, second = generate(session, runner, count=2)
    code = first.frames[0].latent.nbytes // 2
    assert session.bytes() == 2 * (3 * 2 - 1) * code, (
        "the end is its last step's state and estimate"
    )
    session.remove(first)
    assert session.record(second.id) is second


def test_what_is_still_under_way_does_not_keep_a_closed_page(session):
    session.leave()
    session.touch()
    assert session.left is not None


def test_of_two_runs_that_start_at_once_one_stays(session, runner, monkeypatch):
    stop = session.stop

    def slowly(runner):
        stop(runner)
        time.sleep(0.2)  # long enough for the other to stop what went on before, too

    monkeypatch.setattr(session, "stop", slowly)

    def begin():
        record = Record("generate", "", {}, [], session.method)
        jobs.append(session.start(runner, lambda: endless(gate), [record], ()))

    def endless(gate):
        while not gate.wait(0.01):
            yield Step(stage="denoise", index=1, total=2)
        return torch.zeros(1, *session.method.info.latent_shape)

    gate, jobs = threading.Event(), []
    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    stopped = [job.cancelling or job.ended for job in jobs]
    gate.set()
    assert sorted(stopped) == [False, True]
    assert session.job is jobs[stopped.index(False)]


def test_each_of_two_requests_gets_its_own_run(session, runner, monkeypatch):
    start = session.start

    def overtaken(*told, **more):
        job = start(*told, **more)
        session.job = Job(lambda: iter(()))  # of another request that comes in between
        return job

    monkeypatch.setattr(session, "start", overtaken)
    desk = deeds.Desk(session, runner, None)
    run = wait_for_end(deeds.generate(desk, schema.Generating(seed=5, steps=2)))
    assert [record.title for record in session.history if record.job == run.id] == ["Seed 5"]
    (record,) = session.history
    again = wait_for_end(deeds.go_on(desk, schema.Branching(record=record.id, step=0)))
    assert [record.trunk for record in session.history if record.job == again.id] == [
        (record.id, 0)
    ]

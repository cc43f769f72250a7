"""Runs on the worker: order, steps, cancelling, errors, time left."""

from __future__ import annotations

import threading

import pytest

from app.page.present import status_text
from app.session.jobs import Job, JobRunner, Owner, QueueFullError, progress
from engine.errors import ImageError
from engine.events import Step
from tests.engine.test_compiled import a_compiler_at_work
from tests.waiting import until


def count_to(total: int, stage: str = "denoise", pause: threading.Event | None = None):
    for index in range(1, total + 1):
        if pause is not None:
            pause.wait(5)
        yield Step(stage=stage, index=index, total=total)
    return f"{total} steps"


def wait_for_end(job: Job) -> Job:
    until(lambda: job.ended, "the job's end")
    return job


def test_a_job_reports_every_step_and_keeps_the_result(runner):
    steps = []
    job = runner.submit(Job(lambda: count_to(4), on_step=steps.append))
    assert wait_for_end(job).state == "done"
    assert [step.index for step in steps] == [1, 2, 3, 4]
    assert job.result == "4 steps"
    assert set(job.rates()) == {"denoise"}


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_run_waits_for_kernels_that_are_being_compiled(runner, cancelled):
    steps = []
    with a_compiler_at_work() as finish:
        job = runner.submit(Job(lambda: count_to(2), on_step=steps.append))
        until(lambda: job.preparing, "that the run waits")
        assert (job.state, runner.ahead(job), steps) == ("queued", 0, [])
        assert status_text(job, 0, None) == "Preparing kernels"
        if cancelled:
            runner.cancel(job)
            assert wait_for_end(job).state == "cancelled"
        finish()
        assert wait_for_end(job).state == ("cancelled" if cancelled else "done")
    assert len(steps) == (0 if cancelled else 2)


def test_jobs_run_in_the_order_of_their_arrival(runner):
    order = []
    gate = threading.Event()
    first = runner.submit(Job(lambda: count_to(1, pause=gate)))
    until(lambda: first.version, "its first news")
    rest = [
        runner.submit(Job(lambda: count_to(1), on_end=lambda job, state: order.append(job.id)))
        for _ in range(2)
    ]
    assert runner.ahead(rest[1]) >= 1
    gate.set()
    for job in (first, *rest):
        wait_for_end(job)
    assert order == [job.id for job in rest]


def test_cancel_stops_after_the_current_step_and_closes_the_run(runner):
    closed = threading.Event()
    steps = []

    def endless():
        index = 0
        try:
            while True:
                index += 1
                yield Step(stage="denoise", index=index, total=1000)
        finally:
            closed.set()

    def on_step(step: Step) -> None:
        steps.append(step)
        if step.index == 3:
            job.cancel()

    job = Job(endless, on_step=on_step)
    runner.submit(job)
    assert wait_for_end(job).state == "cancelled"
    assert closed.is_set()
    assert len(steps) == 3


def test_a_waiting_job_is_cancelled_at_once(runner):
    gate = threading.Event()
    running = runner.submit(Job(lambda: count_to(1, pause=gate)))
    waiting = runner.submit(Job(lambda: count_to(1)))
    runner.cancel(waiting)
    assert waiting.state == "cancelled"
    assert not running.ended
    gate.set()
    assert wait_for_end(running).state == "done"


def test_a_full_queue_refuses_with_a_sentence(runner):
    gate = threading.Event()
    jobs = [runner.submit(Job(lambda: count_to(1, pause=gate)))]
    until(lambda: jobs[0].version, "its first news")
    jobs += [runner.submit(Job(lambda: count_to(1))) for _ in range(runner.max_queue)]
    with pytest.raises(QueueFullError, match="try again"):
        runner.submit(Job(lambda: count_to(1)))
    gate.set()
    for job in jobs:
        wait_for_end(job)


def failing(error: Exception):
    yield Step(stage="denoise", index=1, total=2)
    raise error


def test_an_engine_error_is_told_as_it_is(runner):
    job = runner.submit(Job(lambda: failing(ImageError("The picture is empty; send another."))))
    assert wait_for_end(job).state == "failed"
    assert job.error == "The picture is empty; send another."


def test_an_unforeseen_error_is_kept_and_the_worker_lives(runner, caplog):
    job = runner.submit(Job(lambda: failing(ZeroDivisionError("/srv/secret/place"))))
    assert wait_for_end(job).state == "failed"
    assert "ZeroDivisionError" in job.error
    assert "/srv" not in job.error, "it is shown to visitors"
    assert "/srv/secret/place" in caplog.text
    assert "Traceback" in caplog.text
    assert wait_for_end(runner.submit(Job(lambda: count_to(1)))).state == "done"


def test_time_left_counts_the_stages_to_come():
    job = Job(lambda: count_to(1), plan=(("guide", 10), ("finetune", 5)))
    job.state, job.step = "running", Step(stage="guide", index=4, total=10)
    job.seconds, job._counts = {"guide": 8.0}, {"guide": 4}
    share, left = progress(job, {"finetune": 1.0})
    assert left == pytest.approx(6 * 2.0 + 5 * 1.0)
    assert share == pytest.approx(8 / (8 + left))


def test_closing_the_runner_cancels_what_is_left():
    runner = JobRunner()
    job = runner.submit(Job(lambda: count_to(10**6)))
    runner.close()
    assert job.state == "cancelled"


def test_jobs_that_even_end_threads_do_not_end_the_worker(runner):
    job = runner.submit(Job(lambda: failing(SystemExit("bye"))))
    assert wait_for_end(job).state == "failed"
    assert wait_for_end(runner.submit(Job(lambda: count_to(1)))).state == "done"


def test_a_run_that_hangs_is_left_behind_when_it_is_cancelled():
    runner, gate, steps = JobRunner(patience_s=0.2), threading.Event(), []
    hanging = runner.submit(Job(lambda: count_to(3, pause=gate), on_step=steps.append))
    until(lambda: hanging.version, "its first news")
    waiting = runner.submit(Job(lambda: count_to(1)))
    runner.cancel(hanging)
    assert wait_for_end(hanging).state == "cancelled"
    assert wait_for_end(waiting).state == "done"
    gate.set()
    assert wait_for_end(runner.submit(Job(lambda: count_to(1)))).state == "done"
    assert hanging.state == "cancelled"
    assert steps == []
    runner.close()


def test_a_run_that_is_cancelled_often_is_waited_for_once_and_only_until_it_ends(runner):
    gate, before = threading.Event(), set(threading.enumerate())
    job = runner.submit(Job(lambda: count_to(3, pause=gate)))
    until(lambda: job.version, "its first news")
    for _ in range(50):
        runner.cancel(job)
    assert len(set(threading.enumerate()) - before) == 1
    gate.set()
    assert wait_for_end(job).state == "cancelled"
    until(lambda: set(threading.enumerate()) <= before, "the end of the waiting", patience_s=10)


def test_a_session_has_one_running_and_two_waiting_jobs():
    runner, gate, owner = JobRunner(), threading.Event(), Owner("one", "10.0.0.1")
    running = runner.submit(Job(lambda: count_to(1, pause=gate)), owner)
    until(lambda: running.version, "its first news")
    jobs = [runner.submit(Job(lambda: count_to(1)), owner) for _ in range(2)]
    with pytest.raises(QueueFullError, match="2 runs of this tab"):
        runner.submit(Job(lambda: count_to(1)), owner)
    other = runner.submit(Job(lambda: count_to(1)), Owner("other", "10.0.0.1"))
    gate.set()
    assert [wait_for_end(job).state for job in (running, *jobs, other)] == ["done"] * 4
    runner.close()


def test_twelve_sessions_of_one_address_leave_room_and_turns_to_others():
    runner, gate, order = JobRunner(max_queue=12), threading.Event(), []
    running = runner.submit(Job(lambda: count_to(1, pause=gate)), Owner("0", "10.6.6.6"))
    until(lambda: running.version, "its first news")

    def submit(session: str, address: str) -> Job:
        job = Job(lambda: count_to(1), on_end=lambda job, state: order.append(session))
        return runner.submit(job, Owner(session, address))

    flood = [submit(str(k), "10.6.6.6") for k in range(6)]
    with pytest.raises(QueueFullError, match="6 runs from this address"):
        submit("7", "10.6.6.6")
    honest = submit("honest", "10.0.0.1")
    again = submit("honest", "10.0.0.1")
    assert [runner.ahead(job) for job in (honest, flood[1], again)] == [1, 2, 3]
    gate.set()
    for job in (*flood, honest, again):
        wait_for_end(job)
    assert order[:4] == ["honest", "1", "honest", "2"]
    assert order[4:] == ["3", "4", "5", "0"]
    runner.close()

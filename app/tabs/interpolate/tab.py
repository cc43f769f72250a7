"""The Interpolate tab: paths and pads between objects, and the principal directions of the training latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from app.page import present, watch
from app.page.parts import reveal, script
from app.page.stage import Page
from app.session import tasks
from app.session.exports import bound
from app.session.jobs import Job
from app.session.records import Record
from app.session.session import Session
from app.session.tasks import LARGEST_SEED
from app.tabs.interpolate.blending import FILM_FRAMES, Blend
from app.tabs.interpolate.variation import Variation, keep
from engine.errors import ConfigError, EngineError

DIRECTIONS = 8
SKELETON = f"""
<div class="blend">
 <p class="lead">Slide from one object to another. The way decides what lies between: that is what the model has learnt.</p>
 <div class="blend-pad line"></div>
 <p class="blend-where"></p>
 <div class="blend-swap" hidden></div>
 <div class="blend-row">
  <button type="button" data-act="shown" title="Put what the view shows into the next corner">Add what is shown</button>
  <span class="blend-new"><input class="blend-seed" type="number" min="0" max="{
    LARGEST_SEED
}" value="1" aria-label="Seed">
  <button type="button" data-act="dice" title="Another seed" aria-label="Another seed">&#9860;</button>
  <button type="button" data-act="seed" title="Draw the seed's object and put it into the next corner">Add seed</button></span>
 </div>
 <div class="blend-row">
  <div class="seg blend-ways" role="group" aria-label="Way">
   <button type="button" data-way="slerp" aria-pressed="true" title="Starting noises x_T along the great circle: every point is as noisy as the model expects, so it is an object">Noise, slerp</button>
   <button type="button" data-way="lerp" aria-pressed="false" title="Starting noises x_T straight: halfway they are too short, and objects grow plain">Noise, lerp</button>
   <button type="button" data-way="code" aria-pressed="false" title="Latents straight: one object fades into the other">Latent, lerp</button>
   <button type="button" data-way="parts" aria-pressed="false" hidden></button>
  </div>
  <div class="seg blend-modes" role="group" aria-label="Procedure">
   <button type="button" data-mode="ours" aria-pressed="true" title="Every point drawn with renoise-averaging">Ours</button>
   <button type="button" data-mode="paper" aria-pressed="false" title="Every point drawn by deterministic DDIM, as in the paper's demonstration">Paper</button>
  </div>
 </div>
 <h2 class="blend-main">Main directions <small>applied to what is shown</small><button type="button" data-act="reset" title="Back to the object">Reset</button></h2>
 <div class="blend-directions">{
    "".join(
        f'<label title="Principal direction {k + 1} of the training latents, in standard deviations"><span>{k + 1}</span>'
        f'<input type="range" min="-3" max="3" step="0.1" value="0" data-direction="{k}" aria-label="Direction {k + 1}">'
        "<output>0.0&sigma;</output></label>"
        for k in range(DIRECTIONS)
    )
}</div>
 <div class="bar">
  <p class="blend-why why"></p>
  <div class="bar-row">
  <button type="button" class="primary" data-act="store" data-need="ready" title="Put the object at the knob into the history">Add to history</button>
  <button type="button" data-act="play" data-need="ready" aria-pressed="false" title="Go there and back">Play</button>
  <button type="button" data-act="loop" aria-pressed="true" title="Turn round at the ends">Loop</button>
  <button type="button" data-act="mp4" data-need="ready" title="The path from A to B as a film">MP4</button>
  <button type="button" data-act="gif" data-need="ready" title="The same as a GIF">GIF</button>
  </div>
 </div>
</div>
"""


def build(page: Page) -> None:
    """Lay the tab out and wire it."""
    view = gr.HTML(
        SKELETON,
        elem_id="interpolate",
        js_on_load=script("interpolate.js"),
        apply_default_css=False,
    )
    problem = gr.HTML("", elem_id="interpolate-problem")
    film = gr.HTML("", elem_id="interpolate-film", js_on_load=reveal(".film"))

    def act(event: gr.EventData, request: gr.Request) -> Iterator[dict[Any, Any]]:
        session = page.session(request)
        told = event._data
        try:
            job = do(page, session, told)
        except EngineError as error:
            yield {problem: present.error_html(str(error))}
            return
        yield {problem: "", film: ""}
        if job is None:
            yield page.news(session)
            return
        yield from page.follow(session, problem)
        if told["act"] == "seed" and job.state == "done":
            yield from added(session, job)
        if told["act"] == "film" and job.state == "done":
            yield {film: film_html(session, Path(job.result))}

    def added(session: Session, drawn: Job) -> Iterator[dict[Any, Any]]:
        """Add the sampled object of a seed as a corner."""
        blend = session.part(Blend)
        try:
            blend.add(made_by(session, drawn))
            job = blend.prepare(page.runner)
        except EngineError as error:
            yield {problem: present.error_html(str(error))}
            return
        yield {page.timeline: watch.timeline(session, page.runner)}
        if job is not None:
            yield from page.follow(session, problem)

    view.select(
        act,
        outputs=[page.timeline, page.history, problem, film],
        trigger_mode="multiple",  # somebody may add the next object while the last one is being drawn
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )


def do(page: Page, session: Session, told: Mapping[str, Any]) -> Job | None:
    """Carry out a request of the page; returns the job to follow, if there is one."""
    blend, what = session.part(Blend), told["act"]
    if what == "seed":
        busy = session.job is not None and not session.job.ended
        if busy and any(record.job == session.job.id for record in session.history):
            raise ConfigError("An object is being drawn; add the next one when it is there.")
        blend.check_room(session.method)
        return draw_seed(page, session, int(told["seed"] or 0))
    if what == "film":
        return make_film(page, session, blend, told["ending"])
    if what == "store":
        if blend.codes is None:
            raise ConfigError("There is no path yet; wait for the keyframes.")
        u, v = blend.point
        blend.finish()
        where = f"{u:.2f}" if len(blend.codes) == 1 else f"{u:.2f}, {v:.2f}"
        blend.keep(f"{blend.record.title}, {where}")
        return None
    if what == "varied":
        return None
    if what == "remove":
        blend.remove(int(told["place"]))
    elif what == "choose":
        blend.choose(told["way"], told["mode"])
    elif what in ("shown", "record"):
        record = session.selection()[0] if what == "shown" else session.record(int(told["record"]))
        if record is None:
            raise ConfigError("That object is not kept any more; choose another.")
        blend.add(settled(session, record))
    return blend.prepare(page.runner)


def made_by(session: Session, job: Job) -> Record:
    """The object that a run sampled.

    Raises:
        ConfigError: If it is gone.
    """
    found = [record for record in session.history if record.job == job.id]
    if not found:
        raise ConfigError("The object was not finished, or let go of; add it again.")
    return found[0]


def settled(session: Session, record: Any) -> Any:
    """The record itself, or a copy of its current state if it is steered."""
    blend = session.part(Blend)
    if record is blend.record:
        blend.finish()
        return blend.keep(record.title)
    if record is session.part(Variation).record:
        return keep(session, record, record.title)
    return record


def draw_seed(page: Page, session: Session, seed: int) -> Job:
    """Sample the object of a seed."""
    seed = min(max(seed, 0), LARGEST_SEED)
    return tasks.generate(session, page.runner, seed, 1, {}, session.part(Blend).mode)


def make_film(page: Page, session: Session, blend: Blend, ending: str) -> Job:
    """Write the film of the path from A to B, beside the other files of its record."""
    if blend.codes is None or ending not in ("mp4", "gif"):
        raise ConfigError("There is no path yet; choose two objects first.")
    file = session.folder_of(blend.record.id) / f"path.{ending}"
    plan = (("path", FILM_FRAMES), ("film", FILM_FRAMES))
    return session.start(
        page.runner, lambda: blend.film(file), [], plan, lambda job, state: bound(session, file)
    )


def film_html(session: Session, file: Path) -> str:
    """HTML that shows the film and lets it be saved."""
    name, made = file.name, file.stat().st_mtime_ns
    address = f"path/{session.token}/{file.parent.name}/{name}?made={made}"
    show = (
        f'<img src="{address}" alt="The path as a GIF">'
        if name.endswith(".gif")
        else f'<video src="{address}" autoplay loop muted playsinline controls></video>'
    )
    return f'<div class="film">{show}<a class="dl" href="{address}" download="{name}">Save {name.rpartition(".")[2].upper()}</a></div>'

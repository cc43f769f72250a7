"""The Inspect tab: a run's steps in 3D, in curves and in latents, and branches from any of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from app.page import present
from app.page.parts import script
from app.page.stage import Page
from app.session.records import Record
from app.session.session import Session
from app.session.tasks import LARGEST_SEED
from app.tabs.inspect.branching import Change, branch, branch_controls_of, pictures
from engine.errors import ConfigError, EngineError

SKELETON = """
<div class="insp">
 <div class="insp-bar">
  <div class="seg" role="group" aria-label="What is shown of a step">
   <button type="button" data-look="x0" aria-pressed="true" title="The model's prediction at this step: the clean object">Predicted <i>x&#770;<sub>0</sub></i></button>
   <button type="button" data-look="x_t" aria-pressed="false" title="The noisy state that the next step starts from">Noisy <i>x<sub>t</sub></i></button>
   <button type="button" data-look="difference" aria-pressed="false" title="Where the two pictures differ; of two compared runs: where their objects differ">Difference</button>
  </div>
 </div>
 <div class="insp-bar">
  <p class="insp-line"></p>
  <span class="zooms" role="group" aria-label="Zoom of the curves">
   <button type="button" data-zoom="0.5" title="Zoom the curves in about the shown step (or drag over steps with Shift held)" aria-label="Zoom in">+</button>
   <button type="button" data-zoom="2" title="Zoom out (double-click a curve to see all steps)" aria-label="Zoom out">&minus;</button>
  </span>
 </div>
 <div class="insp-charts"><div class="insp-cards"></div><div class="insp-curves" role="img" aria-label="Curves over the steps"></div></div>
 <div class="insp-tree" hidden></div>
 <form class="insp-branch" id="insp-form" title="With nothing changed the branch takes the same steps, bit for bit">
  <h2>Branch from this step <small>what you leave empty stays as it was</small></h2>
  <div class="insp-fields">
   <label title="Of all draws after this step; a deterministic sampler makes none, so that another seed changes little without renoising">Seed <input name="seed" type="number" min="0" step="1"></label>
   <div class="insp-settings"></div>
  </div>
  <label class="insp-swap"><input name="swap" type="checkbox"> use the pictures that lie in Reconstruct now</label>
 </form>
 <div class="insp-planes">
  <h2>Latent <small class="insp-note"></small><label title="Values from which colours are full">range <input type="range" min="0.2" max="3" step="0.1" value="2" aria-label="Colour range"><output>&plusmn;2.0</output></label></h2>
  <div class="sheet" tabindex="0" role="group" data-arrows aria-label="Latent of the shown step: Enter enlarges one, the arrow keys choose another"><img alt="" title="Blue is negative, red positive; click one to enlarge it"></div>
 </div>
 <p class="insp-cost"></p>
 <div class="insp-enlarged" aria-live="polite" hidden><div class="tile"></div><div class="bars"></div></div>
 <div class="bar">
  <p class="insp-why why"></p>
  <div class="bar-row">
  <button type="submit" form="insp-form" class="insp-primary" title="Go on from the shown step with what is changed above">Branch</button>
  <div class="transport">
   <button type="button" data-act="back" title="One step back (left arrow)" aria-label="One step back">&#9664;</button>
   <button type="button" data-act="play" aria-pressed="false" title="Play the steps (space)">Play</button>
   <button type="button" data-act="on" title="One step on (right arrow)" aria-label="One step on">&#9654;</button>
   <button type="button" data-act="loop" aria-pressed="false" title="Begin anew at the end">Loop</button>
  </div>
  </div>
 </div>
</div>
"""


def build(page: Page) -> None:
    """Lay out the tab and connect its handlers."""
    view = gr.HTML(
        SKELETON, elem_id="inspector", js_on_load=script("inspector.js"), apply_default_css=False
    )
    problem = gr.HTML("", elem_id="branch-problem")

    def act(event: gr.EventData, request: gr.Request) -> Iterator[dict[Any, Any]]:
        session, told = page.session(request), event._data
        if "value" in told:
            session.select(int(told["value"]))
            yield page.news(session)
            return
        yield from go_on(session, told, *session.selection())

    def go_on(
        session: Session, changes: Mapping[str, Any], trunk: Record | None, place: int
    ) -> Iterator[dict[Any, Any]]:
        try:
            if trunk is None or not 0 <= place < len(trunk.frames):
                raise ConfigError(f"Found no step {place} of that run; name one of this session's.")
            branch(session, page.runner, trunk, place, change_of(session, trunk, changes))
        except EngineError as error:
            yield {problem: present.error_html(str(error))}
            return
        yield from page.follow(session, problem)

    outputs = [page.timeline, page.history, problem]
    view.select(
        act,
        outputs=outputs,
        trigger_mode="multiple",
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )


def change_of(session: Session, record: Record, told: Mapping[str, Any]) -> Change:
    """The requested changes of a record's run.

    Raises:
        ConfigError: If a number is invalid, or pictures are requested and there are none.
    """
    settings = dict(told.get("settings") or {})
    try:
        seed = None if told.get("seed") in (None, "") else int(float(told["seed"]))
        for name, control in branch_controls_of(record).items():
            if name in settings and not control.choices:
                settings[name] = settings[name] and float(settings[name])
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            "Found something that is no number among the changes; leave it empty or type one."
        ) from None
    return Change(
        seed=None if seed is None else min(max(seed, 0), LARGEST_SEED),
        settings={name: value for name, value in settings.items() if value not in (None, "")},
        views=pictures(session) if told.get("swap") else None,
    )

"""The Inspect tab: a run's steps in 3D, in curves and in planes, and branches from any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app import present
from app.branching import Change, branch, pictures
from app.panel import watch
from app.panel.parts import LARGEST_SEED, script
from app.panel.stage import Page
from engine.errors import ConfigError, EngineError

SKELETON = """
<div class="insp">
 <div class="insp-bar">
  <div class="seg" role="group" aria-label="What is shown of a step">
   <button type="button" data-look="x0" aria-pressed="true" title="What the prior believes at this step: the predicted clean object">Predicted <i>x&#770;<sub>0</sub></i></button>
   <button type="button" data-look="x_t" aria-pressed="false" title="The noisy state that the next step starts from">Noisy <i>x<sub>t</sub></i></button>
   <button type="button" data-look="difference" aria-pressed="false" title="Where the two pictures differ; of two compared runs: where their objects differ">Difference</button>
  </div>
 </div>
 <div class="insp-bar">
  <p class="insp-line"></p>
  <div class="transport">
   <button type="button" data-act="back" title="One step back (left arrow)">&#9664;</button>
   <button type="button" data-act="play" aria-pressed="false" title="Play the steps (space)">Play</button>
   <button type="button" data-act="on" title="One step on (right arrow)">&#9654;</button>
   <button type="button" data-act="loop" aria-pressed="false" title="Begin anew at the end">Loop</button>
  </div>
 </div>
 <div class="insp-charts"></div>
 <div class="insp-tree" hidden></div>
 <div class="insp-planes">
  <h4>Triplane <small>planes xy, xz, yz &times; channels</small><label title="Values from which colours are full">range <input type="range" min="0.2" max="3" step="0.1" value="2" aria-label="Colour range"><output>&plusmn;2.0</output></label></h4>
  <img alt="The planes of the shown step" title="Blue is negative, red positive; click one to enlarge it">
 </div>
 <p class="insp-cost"></p>
 <div class="insp-enlarged" hidden><div class="tile"></div><div class="bars"></div></div>
</div>
"""
SAMPLERS = [
    ("As before", ""),
    ("DDIM", "ddim"),
    ("DPM-Solver++(2M)", "dpm++2m"),
    ("UniPC", "unipc"),
]


def build(page: Page, history: gr.HTML) -> None:
    """Lay the tab out and wire it."""
    view = gr.HTML(
        SKELETON, elem_id="inspector", js_on_load=script("inspector.js"), apply_default_css=False
    )
    with gr.Accordion("Branch from this step", open=True, elem_id="branch-settings"):
        gr.HTML(
            '<p class="hint">Goes on from the shown step. What you leave empty stays; with nothing changed the branch takes '
            "the same steps, bit for bit.</p>"
        )
        with gr.Row():
            seed = gr.Number(
                None, label="Seed", info="Of all draws after this step.", precision=0, minimum=0,
                maximum=LARGEST_SEED, elem_id="branch-seed",
            )  # fmt: skip
            sampler = gr.Dropdown(
                SAMPLERS, value="", label="Sampler", info="How the remaining noise levels are walked.",
                filterable=False, elem_id="branch-sampler",
            )  # fmt: skip
        with gr.Row():
            gain = gr.Number(
                None, label="Guidance gain λ", info="Pull towards your pictures (λ_gd).", minimum=0,
                elem_id="branch-gain",
            )  # fmt: skip
            power = gr.Number(
                None, label="SNR exponent ω", info="Small guides noisy steps, large clean ones.", minimum=0,
                maximum=1, step=0.05, elem_id="branch-power",
            )  # fmt: skip
        swap = gr.Checkbox(
            False,
            label="Guide with the pictures that lie in Reconstruct now",
            elem_id="branch-pictures",
        )
        go = gr.Button("Branch from here", variant="primary", elem_id="branch")
        problem = gr.HTML("", elem_id="branch-problem")
        report = gr.JSON(visible=False)

    def go_on(
        request: gr.Request,
        seed: float | None = None,
        sampler: str = "",
        guidance_gain: float | None = None,
        snr_power: float | None = None,
        swap_pictures: bool = False,
        record: int | None = None,
        step: int | None = None,
    ) -> Iterator[dict[Any, Any]]:
        """Branch from a step of a run; a program may name both, the page means the shown ones."""
        session = page.sessions.of_page(request.session_hash)
        try:
            trunk, place = session.selection()
            if record is not None:
                trunk, place = session.record(int(record)), int(step or 0)
                if trunk is None or not 0 <= place < len(trunk.frames):
                    raise ConfigError(
                        f"Found no step {place} of run {record}; name one of this session's."
                    )
            change = Change(
                seed=None if seed is None else min(max(int(seed), 0), LARGEST_SEED),
                sampler=sampler or None,
                guidance_gain=guidance_gain,
                snr_power=snr_power,
                views=pictures(session) if swap_pictures else None,
            )
            made = branch(session, page.runner, trunk, place, change)
        except EngineError as error:
            yield {problem: present.error_html(str(error))}
            return
        for _ in watch.follow(session):
            yield {
                page.timeline: watch.timeline(session, page.runner),
                history: watch.history(session),
                problem: present.error_html(session.job.error or ""),
                report: watch.report(session, made),
            }

    record, step = gr.Number(visible=False), gr.Number(visible=False)
    go.click(
        go_on,
        [seed, sampler, gain, power, swap, record, step],
        [page.timeline, history, problem, report],
        api_name="branch",
        concurrency_limit=None,
        show_progress="hidden",
    )

    def choose(event: gr.EventData, request: gr.Request) -> tuple[str, str]:
        session = page.sessions.of_page(request.session_hash)
        session.select(int(event._data["value"]))
        return watch.timeline(session, page.runner), watch.history(session)

    view.select(
        choose,
        outputs=[page.timeline, history],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )

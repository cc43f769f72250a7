"""The Complete tab: mark the part of an object to keep, and let the model sample the rest anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from app.page import present, watch
from app.page.parts import reason, script, seed_row
from app.page.stage import Page
from app.session.tasks import LARGEST_SEED
from app.tabs.complete.keeping import HALVES, MOST, Keeping
from engine.errors import ConfigError, EngineError

SKELETON = f"""
<div class="complete">
 <p class="lead">Mark what is to stay of the object, and the model samples the rest anew around it: up to three proposals, side by side.</p>
 <p class="complete-of hint"></p>
 <h2>A half</h2>
 <div class="complete-row">{"".join(f'<button type="button" data-half="{name}">{name.capitalize()}</button>' for name in HALVES)}</div>
 <h2>A box <small>two corners; the diagonal is 1, the front looks along +y</small></h2>
 <div class="complete-box">{"".join(f'<input type="number" step="0.05" aria-label="{corner} {axis}" placeholder="{axis}">' for corner in ("lower", "upper") for axis in "xyz")}</div>
 <h2>Surfaces <small>brush over them in the view</small></h2>
 <div class="complete-row"><button type="button" data-act="brush" aria-pressed="false" title="While this is on, dragging in the view paints instead of turning">Brush</button>
 <label title="Width of the stroke">width <input class="complete-width" type="range" min="0.01" max="0.15" step="0.005" value="0.06" aria-label="Width of the stroke"></label>
 <button type="button" data-act="clear" title="Mark nothing">Clear</button></div>
 <p class="complete-figures hint"></p>
</div>
"""


def build(page: Page) -> None:
    """Lay the tab out and wire it."""
    view = gr.HTML(
        SKELETON, elem_id="complete", js_on_load=script("complete.js"), apply_default_css=False
    )
    seed, _ = seed_row("complete-seed")
    count = gr.Slider(
        1, MOST, MOST, step=1, label="Proposals", info="How many, from consecutive seeds.",
        elem_id="complete-count", buttons=[],
    )  # fmt: skip
    problem = gr.HTML("", elem_id="complete-problem")
    with gr.Row(elem_classes="actions"):
        reason("regenerate")
        go = gr.Button("Complete", variant="primary", elem_id="regenerate")
        stop = gr.Button("Cancel", elem_id="regenerate-cancel", interactive=False)

    def act(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        session = page.session(request)
        try:
            mark(session.part(Keeping), event._data)
        except EngineError as error:
            return {problem: present.error_html(str(error))}
        return {problem: "", page.timeline: watch.timeline(session, page.runner)}

    def propose(request: gr.Request, seed: int, count: int) -> Iterator[dict[Any, Any]]:
        """Sample the rest anew and follow the run."""
        session = page.session(request)
        keeping = session.part(Keeping)
        try:
            seed = min(max(int(seed or 0), 0), LARGEST_SEED)
            keeping.propose(page.runner, int(count or 1), seed)
        except EngineError as error:
            yield {problem: present.error_html(str(error))}
            return
        yield {problem: ""}
        yield from page.follow(session, problem, stop)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    marking = {"outputs": [problem, page.timeline], "queue": False, "trigger_mode": "multiple"}
    view.select(act, **marking, **quiet)
    go.click(
        propose,
        [seed, count],
        [page.timeline, page.history, problem, stop],
        concurrency_limit=None,
        **quiet,
    )
    stop.click(page.cancel, outputs=page.timeline, queue=False, **quiet)


def mark(keeping: Keeping, told: Mapping[str, Any]) -> None:
    """Carry out a request of the page.

    Raises:
        ConfigError: If it is not possible.
    """
    what = told["act"]
    if what == "hide":
        keeping.hide()
        return
    if what == "show":
        keeping.show()
        return
    keeping.begin()
    if what == "half":
        keeping.half(str(told["half"]))
    elif what == "box":
        keeping.mark_box([float(value) for value in told["box"]])
    elif what == "face":
        keeping.face()
    elif what == "stroke":
        keeping.brush(told["points"], float(told["width"]))
    elif what == "clear":
        keeping.clear()
    else:
        raise ConfigError(f"Found {what!r}, expected half, box, stroke, clear or hide.")

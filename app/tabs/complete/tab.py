"""The Complete tab: mark the part of an object to keep, and let the model sample the rest anew."""

from __future__ import annotations

import gradio as gr

from app.page.parts import cancel, notice, reason, scripted, seed_row
from app.page.stage import Page
from app.session.tasks import LARGEST_SEED
from app.tabs.complete.keeping import HALVES, MOST, Keeping

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
    """Lay the tab out and wire it; its script marks."""
    scripted("complete", SKELETON, "complete.js")
    seed, _ = seed_row("complete-seed")
    count = gr.Slider(
        1, MOST, MOST, step=1, label="Proposals", info="How many, from consecutive seeds.",
        elem_id="complete-count", buttons=[],
    )  # fmt: skip
    notice("complete")
    with gr.Row(elem_classes="actions"):
        reason("regenerate")
        go = gr.Button("Complete", variant="primary", elem_id="regenerate")
        cancel("regenerate-cancel")

    def propose(request: gr.Request, seed: int, count: int) -> None:
        """Begin to sample the rest anew."""
        session = page.session(request)
        with session.notices.during("complete"):
            seed = min(max(int(seed or 0), 0), LARGEST_SEED)
            session.part(Keeping).propose(page.runner, int(count or 1), seed)

    go.click(
        propose,
        [seed, count],
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )

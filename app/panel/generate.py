"""The Generate tab: draw objects from the prior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app import present
from app.jobs import Plan, QueueFullError
from app.panel import watch
from app.panel.parts import LARGEST_SEED, clickable, mode_choice, seed_row
from app.panel.stage import Page
from app.records import Record
from engine.config import to_json
from engine.methods.base import SampleOptions, sample_options_of
from engine.noise import Noise

MOST = 8
"""Most objects of one run."""


@dataclass(frozen=True)
class GenerateTab:
    """Components that others need."""

    history: gr.HTML
    stop: gr.Button


def build(page: Page) -> GenerateTab:
    """Lay the tab out and wire it."""
    options = page.method.sample_options
    gr.HTML(
        '<p class="lead">Noise becomes an object. Every step appears below the view and can be turned.</p>'
    )
    mode = mode_choice("generate-mode")
    seed, _ = seed_row("generate-seed")
    with gr.Row():
        count = gr.Slider(
            1,
            MOST,
            1,
            step=1,
            label="Objects",
            info="How many are drawn at once, from consecutive seeds.",
            elem_id="count",
            buttons=[],
        )
        steps = gr.Slider(
            1, 100, options.steps, step=1, label="Denoising steps",
            info="Steps from noise to object.", elem_id="generate-steps", buttons=[],
        )  # fmt: skip
    with gr.Row(elem_classes="actions"):
        go = gr.Button("Generate", variant="primary", elem_id="generate")
        stop = gr.Button("Cancel", elem_id="generate-cancel", interactive=False)
    problem = gr.HTML("", elem_id="generate-problem")
    report = gr.JSON(visible=False)
    gr.HTML('<h3 class="section">Results of this tab</h3>')
    history = clickable("history")

    def generate(
        request: gr.Request, seed: int = 0, steps: int = 20, count: int = 1, mode: str = "ours"
    ) -> Iterator[dict[Any, Any]]:
        """Draw `count` objects; every update carries a report, the last one the downloads."""
        session = page.sessions.of_page(request.session_hash)
        seed, count = _whole(seed, 0, LARGEST_SEED), _whole(count, 1, MOST)
        chosen = replace(_options(page, mode), steps=_whole(steps, 1, 1000))
        frames: list = []
        records = [
            Record(
                "generate",
                f"Seed {seed + place}",
                {"task": "generate", "seed": seed + place, "settings": to_json(chosen),
                 "checkpoint": page.method.checkpoint},
                frames,
                scene=place,
            )
            for place in range(count)
        ]  # fmt: skip
        try:
            session.start(
                page.runner,
                lambda: page.method.generate(count, chosen, Noise(seed)),
                records,
                plan(chosen),
            )
        except QueueFullError as error:
            yield {problem: present.error_html(str(error))}
            return
        for _ in watch.follow(session):
            ended = session.job.ended
            yield {
                page.timeline: watch.timeline(session, page.runner),
                history: watch.history(session),
                problem: present.error_html(session.job.error or ""),
                report: watch.report(session, records[0]),
                stop: gr.Button(interactive=not ended),
            }

    go.click(
        generate,
        [seed, steps, count, mode],
        [page.timeline, history, problem, report, stop],
        api_name="generate",
        concurrency_limit=None,
        show_progress="hidden",
    )
    mode.change(
        lambda mode: _options(page, mode).steps,
        mode, steps, queue=False, show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    return GenerateTab(history, stop)


def plan(options: SampleOptions) -> Plan:
    """Stages that a sampling run will have."""
    renoise = (("renoise", options.renoise.steps),) if options.mode == "ours" else ()
    return (("denoise", options.steps), *renoise)


def _options(page: Page, mode: str) -> SampleOptions:
    return sample_options_of(page.method, mode)


def _whole(value: float | None, low: int, high: int) -> int:
    return min(max(int(value or 0), low), high)

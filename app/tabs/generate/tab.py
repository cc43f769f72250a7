"""The Generate tab: sample objects from the model."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.page import present
from app.page.blocks import picked_number
from app.page.fields import Settings
from app.page.parts import (
    cancel,
    clickable,
    mode_choice,
    notice,
    presets,
    scripted,
    seed_row,
)
from app.page.stage import Page
from app.session import tasks
from app.session.session import Session
from app.session.showcase import Showcase
from app.session.tasks import LARGEST_SEED, MOST_OBJECTS
from engine.methods.base import Method, can


@dataclass(frozen=True)
class GenerateTab:
    """Components that others need."""

    lead: gr.HTML
    go: gr.Button
    mode: gr.Radio
    seed: gr.Number
    settings: Settings
    examples: gr.HTML

    def follow(self, session: Session, mode: str) -> dict[Any, Any]:
        """Updates for the session's model."""
        method = session.method
        return {
            **self.settings.follow(method, mode),
            self.examples: examples_html(session.prior.showcase),
            self.lead: lead_html(method),
            self.mode: presets(method, "generate", mode),
            self.go: gr.Button(interactive=can(method, "generate")),
        }

    @property
    def outputs(self) -> list[Any]:
        """Components that `follow` updates."""
        return [*self.settings.outputs, self.examples, self.lead, self.mode, self.go]


def build(page: Page) -> GenerateTab:
    """Lay the tab out and wire it."""
    first = page.priors.first
    lead, showcase = gr.HTML(lead_html(first.method), elem_id="generate-lead"), first.showcase
    examples = clickable("ready", examples_html(showcase))
    mode = mode_choice("generate-mode", first.method, "generate")
    seed, _ = seed_row("generate-seed", showcase.seeds[0] if showcase.seeds else 0)
    with gr.Row():
        count = gr.Slider(
            1,
            MOST_OBJECTS,
            1,
            step=1,
            label="Objects",
            info="How many are drawn at once, from consecutive seeds.",
            elem_id="count",
            buttons=[],
        )
    settings = Settings("generate", first.method)
    settings.layout()
    notice("generate")
    gr.HTML('<h2 class="section">Results of this tab</h2>')
    scripted("history", '<div class="gallery"></div>', "gallery.js")
    with gr.Row(elem_classes="actions"):
        go = gr.Button(
            "Generate",
            variant="primary",
            elem_id="generate",
            interactive=can(first.method, "generate"),
        )
        cancel("generate-cancel")

    def generate(
        request: gr.Request,
        seed: int,
        count: int,
        mode: str,
        checkpoint: str,
        shown: str,
        *told: Any,
    ) -> None:
        """Begin to sample `count` objects."""
        seed, count = _whole(seed, 0, LARGEST_SEED), _whole(count, 1, MOST_OBJECTS)
        session = page.session(request)
        with session.notices.during("generate"):
            page.use(session, checkpoint)
            given = page.settings(shown, settings, told, session, mode)
            tasks.generate(session, page.runner, seed, count, given, mode)

    go.click(
        generate,
        [seed, count, mode, page.prior, page.shown, *settings.inputs],
        api_visibility="private",
        concurrency_limit=None,
        show_progress="hidden",
    )

    def take(event: gr.EventData, request: gr.Request) -> int:
        session = page.session(request)
        chosen = picked_number(event)
        if chosen in session.prior.showcase.seeds:
            session.stop(page.runner)
            session.add(session.prior.showcase.record(chosen))
        return chosen

    examples.select(take, outputs=seed, show_progress="hidden", api_visibility="private")

    def usual(request: gr.Request, mode: str) -> dict[Any, Any]:
        return settings.follow(page.session(request).method, mode)

    mode.input(
        usual,
        mode,
        settings.outputs,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return GenerateTab(lead, go, mode, seed, settings, examples)


def _whole(value: float | None, low: int, high: int) -> int:
    return min(max(int(value or 0), low), high)


def lead_html(method: Method) -> str:
    """The sentence at the tab's top: the method with its paper, and the source of new objects, if it has one."""
    source, name = method.info.capabilities.generate, named_html(method)
    if not source:
        told = f"{name} draws no objects; choose another model above."
    elif source in ("prior", "noise"):
        told = f"{name} turns noise into an object. Every step appears below the view and can be turned."
    else:
        told = f"{name}: objects are drawn from a {html.escape(source)}. They appear below the view and can be turned."
    return f'<p class="lead">{told}</p>'


def named_html(method: Method) -> str:
    """The method's name, which leads to its paper if it has one."""
    name, paper = html.escape(method.info.title), method.info.paper
    if paper == "none":
        return name
    return f'<a href="https://arxiv.org/abs/{paper}" target="_blank" rel="noreferrer" title="arXiv {paper}">{name}</a>'


def examples_html(showcase: Showcase) -> str:
    """HTML of precomputed objects, as pictures to click on."""
    buttons = "".join(
        f'<button type="button" data-pick="{seed}" title="Show seed {seed} and how it formed, at once">'
        f'<img src="{present.file_uri(showcase.picture(seed))}" alt="Seed {seed}"></button>'
        for seed in showcase.seeds
        if showcase.picture(seed).is_file()
    )
    return f'<div class="examples"><span>Try one</span>{buttons}</div>' if buttons else ""

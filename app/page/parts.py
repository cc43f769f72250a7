"""Small components that the tabs share."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import gradio as gr

from app.session.tasks import LARGEST_SEED
from engine.methods.base import Method, Task

ASSETS = Path(__file__).resolve().parent / "assets"


def script(name: str) -> str:
    """A script of app/page/assets."""
    return (ASSETS / name).read_text(encoding="utf-8")


def scripted(elem_id: str, value: str, name: str) -> gr.HTML:
    """HTML with a script of app/page/assets."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=script(name), apply_default_css=False)


def clickable(elem_id: str, value: str) -> gr.HTML:
    """HTML whose elements with `data-pick` trigger `select` with that value when clicked."""
    return scripted(elem_id, value, "click.js")


def notice(tab: str) -> gr.HTML:
    """The line for what a session has to say in a tab (`Session.notices`)."""
    return scripted(f"{tab}-problem", f'<div data-tab="{tab}"></div>', "notice.js")


def cancel(elem_id: str) -> gr.Button:
    """The button that stops the session's run; the page's script presses it, and switches it off while nothing runs."""
    return gr.Button("Cancel", elem_id=elem_id, elem_classes="cancel")


def reason(button: str, name: str | None = None) -> gr.HTML:
    """The line beside a button with the reason why it is disabled; a script of app/page/assets fills it."""
    return gr.HTML(
        f'<p class="why" id="{button}-why"></p>',
        elem_classes="reason",
        js_on_load=script(name) if name else None,
        apply_default_css=False,
    )


def seed_row(elem_id: str, value: int = 0) -> tuple[gr.Number, gr.Button]:
    """A seed with a button that rolls a new one."""
    with gr.Row(elem_classes="seed"):
        seed = gr.Number(
            value,
            label="Seed",
            info="The same seed and settings give the same object.",
            precision=0,
            minimum=0,
            maximum=LARGEST_SEED,
            elem_id=elem_id,
        )
        dice = gr.Button(
            "", icon=str(ASSETS / "dice.svg"), elem_id=f"{elem_id}-dice", elem_classes="dice"
        )
    dice.click(
        lambda: random.randrange(10_000), outputs=seed, queue=False, api_visibility="private"
    )
    return seed, dice


def mode_choice(elem_id: str, method: Method, task: Task) -> gr.Radio:
    """Choice among a method's procedures for a task; hidden if it has only one."""
    return gr.Radio(
        label="Procedure",
        info="Paper is the published procedure; ours is what did better here in quality for its time.",
        elem_id=elem_id,
        elem_classes="segmented",
        **_choices(method, task),
    )


def presets(method: Method, task: Task, chosen: str) -> gr.Radio:
    """Update of that choice for a method; its first procedure if it has none of the chosen name."""
    return gr.Radio(**_choices(method, task, chosen))


def _choices(method: Method, task: Task, chosen: str = "ours") -> dict[str, Any]:
    names = [*method.presets.get(task, ())] or ["ours"]
    return {
        "choices": [(name.capitalize(), name) for name in names],
        "value": chosen if chosen in names else names[0],
        "visible": len(names) > 1,
    }

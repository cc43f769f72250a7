"""The page as a whole: panel left, view right."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.page import about, prior
from app.page.blocks import Panel
from app.page.opening import wire_opening
from app.page.stage import Page, build_stage
from app.session.jobs import JobRunner
from app.session.session import Session
from app.session.sessions import Sessions
from app.tabs.complete import tab as complete
from app.tabs.generate import tab as generate
from app.tabs.history import tab as history
from app.tabs.inspect import tab as inspect
from app.tabs.interpolate import tab as interpolate
from app.tabs.reconstruct import tab as reconstruct
from engine import TITLE
from engine.methods.base import Method


def theme() -> gr.themes.Base:
    """Colours and sizes; system fonts only, so that nothing is downloaded."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_sm,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="var(--solid)",
        button_primary_background_fill_hover="color-mix(in srgb, var(--solid) 88%, black)",
        button_primary_background_fill_dark="var(--solid)",
        button_primary_background_fill_hover_dark="color-mix(in srgb, var(--solid) 88%, black)",
        button_secondary_background_fill="var(--ground)",
        button_secondary_border_color="var(--line)",
        button_large_text_size="14px",
        button_large_padding="9px 14px",
        block_info_text_color="var(--faint)",
        block_info_text_color_dark="var(--faint)",
        block_label_text_color="var(--faint)",
        block_label_text_color_dark="var(--faint)",
        body_text_color_subdued="var(--faint)",
        body_text_color_subdued_dark="var(--faint)",
        input_placeholder_color="var(--faint)",
        input_placeholder_color_dark="var(--faint)",
        slider_color="var(--accent)",
        slider_color_dark="var(--accent)",
        block_border_color="var(--line)",
        block_border_color_dark="var(--line)",
        border_color_primary_dark="var(--line)",
        body_background_fill_dark="#0d1016",
        block_background_fill_dark="transparent",
        input_background_fill_dark="#1a1f2a",
    )


def build_panel(sessions: Sessions, runner: JobRunner) -> gr.Blocks:
    """The page."""
    method = sessions.priors.first.method
    with Panel(title=TITLE, fill_width=True, delete_cache=(600, 7200)) as demo:
        gr.HTML(header_html(method), elem_id="header", apply_default_css=False)
        with gr.Row(elem_id="main"):
            with gr.Column(elem_id="panel", min_width=0):
                chosen, shown, note = prior.choice(sessions.priors)
                panel = gr.Tabs(elem_id="tabs", overflow_behavior="wrap")
            with gr.Column(elem_id="stage", min_width=0):
                build_stage()
        page = Page(sessions, runner, chosen, shown)
        with panel:
            with gr.Tab("Reconstruct", elem_id="tab-reconstruct"):
                fitted = reconstruct.build(page)
            with gr.Tab("Generate", elem_id="tab-generate"):
                made = generate.build(page)
            with gr.Tab("Interpolate", elem_id="tab-interpolate"):
                interpolate.build()
            with gr.Tab("Complete", elem_id="tab-complete"):
                complete.build(page)
            with gr.Tab("Inspect", elem_id="tab-inspect"):
                inspect.build()
            with gr.Tab("History", elem_id="tab-history", render_children=True):
                history.build(page, made, fitted)
        follow_prior(page, note, fitted, made)
        wire_opening(demo, page, fitted, made)
    return demo


def follow_prior(
    page: Page,
    note: gr.HTML,
    fitted: reconstruct.ReconstructTab,
    made: generate.GenerateTab,
) -> None:
    """Let both tabs follow the choice of the model, and then frame the pictures again."""
    pictures = fitted.pictures
    distances = [slot.distance for slot in pictures.slots]
    shown = [part for slot in pictures.slots for part in slot.shown]

    def follow(session: Session, fitting: str, making: str) -> dict[Any, Any]:
        return {**fitted.follow(session, fitting), **made.follow(session, making)}

    tabs = [*made.outputs, *fitted.outputs]
    outputs = [*tabs, pictures.examples, *distances]
    prior.wire(page, note, outputs, follow, [fitted.mode, made.mode]).then(
        pictures.reframe,
        pictures.inputs,
        shown,
        show_progress="hidden",
        api_visibility="private",
    )


def header_html(method: Method) -> str:
    """Header of the page: the title and the loaded model."""
    device = method.mean_latent.device.type
    return (
        f'<div class="masthead"><span class="mark"></span><h1>{TITLE}</h1>'
        f'<span class="chips"><i>device <b>{device}</b></i></span>'
        f'<button type="button" class="help" data-dialog="about" aria-haspopup="dialog">About</button></div>{about.TEXT}'
    )

"""The page as a whole: panel left, view right."""

from __future__ import annotations

import html

import gradio as gr

from app.jobs import JobRunner
from app.outlines import Outlines
from app.panel import about, generate, reconstruct, watch
from app.panel.parts import script
from app.panel.stage import Page, build_stage, toolbar_html, viewport_html, wire_stage
from app.session import Sessions
from engine.methods.base import Method

TITLE = "SSDNeRF Explorer"
HEAD = '<meta name="color-scheme" content="light dark">'
BACKGROUNDS = {False: (1.0, 1.0, 1.0), True: (0.071, 0.082, 0.106)}
"""Behind the object in the light and the dark theme."""


def theme() -> gr.themes.Base:
    """Colours and sizes; system fonts only, nothing is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_sm,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="var(--accent)",
        button_primary_background_fill_hover="color-mix(in srgb, var(--accent) 88%, black)",
        button_primary_background_fill_dark="#5870f0",
        button_secondary_background_fill="var(--ground)",
        button_secondary_border_color="var(--line)",
        button_large_text_size="14px",
        button_large_padding="9px 14px",
        slider_color="var(--accent)",
        slider_color_dark="var(--accent)",
        block_border_color="var(--line)",
        block_border_color_dark="var(--line)",
        border_color_primary_dark="var(--line)",
        body_background_fill_dark="#0d1016",
        block_background_fill_dark="transparent",
        input_background_fill_dark="#1a1f2a",
    )


def stylesheet() -> str:
    """The page's style sheet."""
    return script("page.css")


def build_panel(
    method: Method, sessions: Sessions, runner: JobRunner, outlines: Outlines
) -> gr.Blocks:
    """The page."""
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=(600, 7200)) as demo:
        gr.HTML(header_html(method), elem_id="header", apply_default_css=False)
        with gr.Row(elem_id="main"):
            with gr.Column(elem_id="panel", min_width=360):
                panel = gr.Tabs(elem_id="tabs")
            with gr.Column(elem_id="stage", min_width=480):
                toolbar, viewport, timeline = build_stage()
        page = Page(method, sessions, runner, toolbar, viewport, timeline, outlines)
        with panel:
            with gr.Tab("Reconstruct", elem_id="tab-reconstruct"):
                reconstruct_slot = gr.Column()
            with gr.Tab("Generate", elem_id="tab-generate"):
                made = generate.build(page)
            with gr.Tab("About", elem_id="tab-about"):
                about.build(method)
        with reconstruct_slot:
            reconstruct.build(page, made)
        wire_stage(page, made.history)

        def open_page(dark: bool, request: gr.Request) -> tuple[str, str, str, str]:
            session = sessions.of_page(request.session_hash)
            session.show(background=BACKGROUNDS[bool(dark)])
            return (
                viewport_html(session.token, bool(dark)),
                toolbar_html(session),
                watch.timeline(session, runner),
                watch.history(session),
            )

        def close_page(request: gr.Request) -> None:
            session = sessions.page_closed(request.session_hash)
            if session is None:
                return
            if session.job is not None and not session.job.ended:
                runner.cancel(session.job)
            session.leave()

        dark = gr.Checkbox(visible=False)
        demo.load(
            open_page,
            dark,
            [viewport, toolbar, timeline, made.history],
            js="() => [document.body.classList.contains('dark')]",
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        demo.unload(close_page)
    return demo


def header_html(method: Method) -> str:
    """Name and what is loaded."""
    prior = html.escape(method.checkpoint or method.info.name)
    device = method.mean_latent.device.type
    return (
        f'<div class="masthead"><span class="mark"></span><h1>{TITLE}</h1><span class="tag">{html.escape(method.info.title)}</span>'
        f'<span class="chips"><i>prior <b>{prior}</b></i><i>device <b>{device}</b></i></span></div>'
    )

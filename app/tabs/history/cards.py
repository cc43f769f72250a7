"""The history as HTML: the small gallery of the Generate tab, and the cards of the History tab."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence

from app.page.present import grade
from app.session.jobs import ENDED
from app.session.plans import TASKS, options_type
from app.session.records import Record
from app.session.session import Session
from app.tabs.history.again import made_with
from app.tabs.history.history import Shelf, whole
from engine.config import from_json
from engine.methods.base import options_of
from engine.methods.options import controls_of, settings_of

MADE = {
    "generate": "Generated",
    "reconstruct": "Reconstructed",
    "regenerate": "Redrawn in part",
    "blend": "Blended",
    "file": "From a file",
    "prior": "From the training set",
}
"""Origin of a record by kind, for people."""
ACTIONS = {
    "compare": ("Compare", "Show beside the shown object, with one camera"),
    "end": ("End comparison", "Show the other object alone"),
    "reuse": ("Reuse", "Put its seed and settings back into the tab that made it"),
    "inspect": ("Inspect", "Its steps, curves and planes"),
    "interpolate": ("Interpolate", "Take it as a corner of the Interpolate tab"),
    "reconstruct": (
        "Reconstruct",
        "Take its picture from where you stand as picture 1 of Reconstruct: image in, object out",
    ),
}
"""Labels and descriptions of a card's buttons."""
ICONS = {
    "pin": "M9.5 1.5l5 5-2 .6-2.6 2.6-.3 3.3-2.2 0-2.2-2.6L2 14l3-3.4-2.5-2.1 0-2.1 3.4-.4L8.7 3.4z",
    "rename": "M2 14l.8-3.4L11 2.4l2.6 2.6-8.2 8.2zM9.6 3.8l2.6 2.6",
    "download": "M8 2v8M4.8 7L8 10.2 11.2 7M3 13.5h10",
    "remove": "M3 4.5h10M6.2 4.5V2.6h3.6v1.9M4.3 4.5l.6 9h6.2l.6-9",
}


# -- the gallery -----------------------------------------------------------------------------------


def gallery(token: str, records: Sequence[Record], selected: int) -> str:
    """The tab's results as a gallery of clickable pictures."""
    shown = [record for record in records if record.frames]
    if not shown:
        return '<p class="note">Results of this tab will gather here.</p>'
    cards = "".join(
        f'<button class="card{" card-sel" if record.id == selected else ""}" data-pick="{record.id}" '
        f'title="Show {html.escape(record.title)}">{_thumbnail(token, record)}'
        f"<span>{html.escape(record.title)}</span><small>{_note(record)}</small></button>"
        for record in shown
    )
    return f'<div class="cards">{cards}</div>'


def _note(record: Record) -> str:
    if record.state == "running":
        return "forming"
    if record.state in ("cancelled", "failed"):
        return record.state
    if record.psnr is not None:
        return f"{record.psnr:.1f} dB"
    return (
        html.escape(f"{record.preset}, {len(record.frames) - 1} steps") if record.preset else "done"
    )


def _thumbnail(token: str, record: Record) -> str:
    stamp = f"frames={len(record.frames)}&v={record.version}"
    return f'<img src="film/{token}/{record.id}/last.jpg?{stamp}" alt="">'


# -- the cards -------------------------------------------------------------------------------------


def history(session: Session, now: float | None = None) -> str:
    """A session's History tab, as HTML.

    Args:
        session: The session.
        now: Seconds since 1970; default: the present.
    """
    now = time.time() if now is None else now
    records = [record for record in session.history if record.frames]
    shown = session.selection()[0]
    beside = {record.id for record, _ in session.beside()}
    cards = "".join(_card(session.token, r, r is shown, r.id in beside, now) for r in records)
    if not cards:
        cards = (
            '<p class="note">Nothing yet: what you reconstruct and generate in this tab gathers here, each with all its '
            "steps. A run that somebody saved opens below.</p>"
        )
    return f'{_fullness(Shelf.of(session))}<div class="hcards">{cards}</div>'


def _fullness(shelf: Shelf) -> str:
    share = min(max(shelf.kept / shelf.most, shelf.mb / max(shelf.most_mb, 1)), 1.0)
    pinned = f", <b>{shelf.pinned}</b> pinned" if shelf.pinned else ""
    return (
        f'<div class="hhead" title="Beyond the memory the oldest runs keep nothing but their ends"><p><b>{shelf.kept}</b> of {shelf.most} kept{pinned}, <b>{shelf.mb:.0f}</b> of '
        f'{shelf.most_mb} MB</p><div class="hbar"><i style="width:{100 * share:.0f}%"></i></div>'
        '<p class="hint">When it is full the oldest goes first; what you pin stays.</p></div>'
    )


def _card(token: str, record: Record, shown: bool, beside: bool, now: float) -> str:
    title = html.escape(record.title)
    classes = [name for name, holds in (("sel", shown), ("vs", beside)) if holds]
    psnr = (
        ""
        if record.psnr is None
        else f'<span class="hdb {grade(record.psnr)}">{record.psnr:.1f} dB</span>'
    )
    return (
        f'<article class="{" ".join(["hcard", *classes])}" data-record="{record.id}">'
        f'<button type="button" class="hshow" data-act="show" title="Show in the view" aria-label="Show {title}">'
        f"{_thumbnail(token, record)}</button>"
        f'<div class="hbody"><div class="htitle"><b title="Click to show, double click to rename">{title}</b>'
        f"{_icon('rename', 'Rename')}{psnr}{_icon('pin', 'Unpin' if record.pinned else 'Pin: never dropped', record.pinned)}"
        f"</div><p>{_made(record, now)}</p><p>{settings_text(record)}</p></div>{_actions(token, record, shown, beside)}</article>"
    )


def _actions(token: str, record: Record, shown: bool, beside: bool) -> str:
    compare = "" if shown else _action("end" if beside else "compare")
    tab = {"generate": "generate", "reconstruct": "reconstruct"}.get(record.kind)
    reuse = _action("reuse", f'data-tab="{tab}"') if tab else ""
    more = "".join(_action(act, 'class="more"') for act in ("interpolate", "reconstruct"))
    download = (
        f'<a class="ico" href="download/{token}/{record.id}/run.safetensors" download title="Download the run: every step '
        f'in one file, for this page" aria-label="Download the run">{_svg("download")}</a>'
    )
    delete = _icon("remove", "Delete") if record.state in ENDED else ""
    return (
        f'<div class="hacts">{compare}{reuse}{_action("inspect")}{more}'
        f"<span>{download}{delete}</span></div>"
    )


def _action(act: str, more: str = "") -> str:
    label, hint = ACTIONS[act]
    return f'<button type="button" data-act="{act}" title="{hint}" {more}>{label}</button>'


def _icon(act: str, label: str, pressed: bool | None = None) -> str:
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    return (
        f'<button type="button" class="ico" data-act="{act}" title="{label}" aria-label="{label}"{state}>'
        f"{_svg(act)}</button>"
    )


def _svg(name: str) -> str:
    return f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{ICONS[name]}"/></svg>'


def _made(record: Record, now: float) -> str:
    """A record's origin and age, in words."""
    parts = [MADE[record.kind]]
    if record.views is not None and len(record.views) > 1:
        parts[0] += f" from {len(record.views)} pictures"
    if record.state in ("queued", "running"):
        parts = ["Forming"]
    elif record.state in ("cancelled", "failed"):
        parts.append(record.state)
    steps = f"{len(record.frames)} steps" if whole(record) else "only its end"
    return html.escape(
        ", ".join([*parts, steps if len(record.frames) > 1 else "one step", ago(now - record.made)])
    )


def settings_text(record: Record) -> str:
    """A record's preset, what was changed of it, its seed and its model, in one short line."""
    told = record.provenance
    parts = [record.preset.capitalize(), *changes(record)]
    if "seed" in told:
        parts.append(f"seed {told['seed']}")
    parts.append(
        str(told.get("checkpoint") or record.method.checkpoint or record.method.info.title)
    )
    return html.escape(" · ".join(part for part in parts if part))


def changes(record: Record) -> list[str]:
    """The settings of a record that are not as its preset has them, each as its name and value; those that people set."""
    kind, settings = options_type(record.method, record.kind), made_with(record)
    if kind is None or not record.preset or not settings:
        return []
    usual = settings_of(options_of(record.method, TASKS[record.kind], record.preset))
    values = settings_of(from_json(kind, settings, "settings"))
    return [
        f"{control.label.lower()} {values[name]}"
        for name, control in controls_of(kind).items()
        if values[name] != usual[name]
    ]


def ago(seconds: float) -> str:
    """Time since an event, in words."""
    minutes = seconds / 60
    if minutes < 0.75:
        return "just now"
    if minutes < 59.5:
        return f"{round(minutes)} min ago"
    if minutes < 23.5 * 60:
        return f"{round(minutes / 60)} h ago"
    days = round(minutes / 60 / 24)
    return "yesterday" if days == 1 else f"{days} days ago"

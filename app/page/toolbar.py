"""The toolbar over the view: its buttons, and what they do. No gradio."""

from __future__ import annotations

from app.session.records import home
from app.session.session import Session

CHANNELS = ("colour", "depth", "normals", "opacity")
TOGGLES = {
    "cameras": ("Cameras", "Show where your pictures were taken"),
    "overlay": (
        "Overlay",
        "Stand at the first picture's camera and lay the picture over the render",
    ),
    "ground": ("Ground", "Show the ground grid; a cell is a tenth of the object's diagonal"),
}


def press(session: Session, tool: str) -> None:
    """One press of a toolbar button: a channel, a toggle, or `home`."""
    display = session.snapshot().display
    if tool in CHANNELS:
        session.show(channel=tool)
    elif tool in TOGGLES:
        session.show(**{tool: not getattr(display, tool)})
        slots = session.snapshot().slots
        if tool == "overlay" and not display.overlay and slots:
            session.fly(next(iter(slots.values())).camera[0])
    elif tool == "home":
        session.show(overlay=False)
        session.fly(home())


def _button(tool: str, label: str, hint: str) -> str:
    return f'<button type="button" data-tool="{tool}" title="{hint}" aria-pressed="false">{label}</button>'


_CHANNELS = "".join(_button(name, name.capitalize(), f"Show {name}") for name in CHANNELS)
_TOGGLES = "".join(_button(name, label, hint) for name, (label, hint) in TOGGLES.items())
_HOME = _button("home", "Reset view", "Return to the first view")
HTML = f'<div class="tools"><div class="seg">{_CHANNELS}</div><div class="togs">{_TOGGLES}{_HOME}</div></div>'
